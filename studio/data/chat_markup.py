"""Text that carries the markup of a chat template already: of which family, and which parts are the assistant's."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from studio.data.tokens import Span
from studio.data.vocabulary import load


@dataclass(frozen=True)
class Family:
    """How a template marks the turns of a chat in running text."""

    name: str
    user: str
    """Regular expression of what opens a user's turn."""
    assistant: str
    """Regular expression of what opens an answer."""
    other: str = ""
    """Regular expression of other openings, such as a system turn's."""
    ends: Sequence[str] = ()
    """What ends a turn, besides the tokenizer's own end of text."""
    sign: str = ""
    """What a tokenizer or a template of this family has in it; empty for marks that are ordinary words."""


FAMILIES = tuple(Family(**entry) for entry in load("chat_markup"))


@dataclass(frozen=True)
class MarkedUpText:
    """A text with a template's marks."""

    family: Family
    answers: tuple[Span, ...]
    """The assistant's parts, each with the mark that ends it."""
    marks: tuple[Span, ...]
    """All marks, in order."""
    is_open: bool
    """Whether it ends in an answer without a mark behind it."""

    def ends_at(self, position: int, text: str) -> bool:
        """Whether nothing stands behind a position of the text but marks and white space."""
        for begin, end in self.marks:
            if begin >= position:
                if text[position:begin].strip():
                    return False
                position = end
        return not text[position:].strip()


def find(text: str, begin: str = "", end: str = "") -> MarkedUpText | None:
    """Recognize a text that carries a chat template's marks: a user's and, behind it, an assistant's.

    `begin` and `end` are the beginning and the end of text of the tokenizer in use. None for a text without marks.
    """
    if not any(sign in text for sign in ("<|", "<start_of_turn>", "<｜", "[INST]", "## ", "USER:")):
        return None
    for family in FAMILIES:
        kinds = {"assistant": family.assistant, "user": family.user, "other": family.other}
        kinds["end"] = "|".join(re.escape(each) for each in dict.fromkeys((*family.ends, end)) if each)
        kinds["begin"] = re.escape(begin)
        pattern = "|".join(f"(?P<{kind}>{expression})" for kind, expression in kinds.items() if expression)
        marks = list(re.finditer(pattern, text, re.MULTILINE))
        openings = [mark.lastgroup for mark in marks]
        if "user" in openings and "assistant" in openings[openings.index("user") :]:
            answers = []
            for mark, following in zip(marks, [*marks[1:], None], strict=True):
                if following is None:
                    end_of_answer = len(text)
                elif following.lastgroup == "end":
                    end_of_answer = following.end() + text.startswith("\n", following.end())
                else:
                    end_of_answer = len(text[: following.start()].rstrip())
                if mark.lastgroup == "assistant":
                    answers.append((mark.end(), end_of_answer))
            is_open = openings[-1] == "assistant"
            return MarkedUpText(family, tuple(answers), tuple(mark.span() for mark in marks), is_open)
    return None
