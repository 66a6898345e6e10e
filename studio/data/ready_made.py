"""Texts that already carry the marks of a chat template: which template's, and which parts are the assistant's."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from studio.data.control import Span


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
    ends: tuple[str, ...] = ()
    """What ends a turn, besides the tokenizer's own end of text."""
    sign: str = ""
    """What a tokenizer or a template of this family has in it; empty for marks that are ordinary words."""


# From the chat templates of the families' own repositories.
FAMILIES = (
    Family(
        "ChatML",
        r"<\|im_start\|>user\n",
        r"<\|im_start\|>assistant\n",
        r"<\|im_start\|>\w+\n",
        ("<|im_end|>",),
        "<|im_start|>",
    ),
    Family(
        "Llama 3",
        r"<\|start_header_id\|>user<\|end_header_id\|>\s*",
        r"<\|start_header_id\|>assistant<\|end_header_id\|>(?:\n\n)?",
        r"<\|start_header_id\|>\w+<\|end_header_id\|>\s*",
        ("<|eot_id|>", "<|end_of_text|>"),
        "<|start_header_id|>",
    ),
    Family(
        "Gemma",
        r"<start_of_turn>user\n",
        r"<start_of_turn>model\n",
        r"<start_of_turn>\w+\n",
        ("<end_of_turn>",),
        "<start_of_turn>",
    ),
    Family(
        "Command R",
        r"<\|START_OF_TURN_TOKEN\|><\|USER_TOKEN\|>",
        r"<\|START_OF_TURN_TOKEN\|><\|CHATBOT_TOKEN\|>",
        r"<\|START_OF_TURN_TOKEN\|><\|SYSTEM_TOKEN\|>",
        ("<|END_OF_TURN_TOKEN|>",),
        "<|START_OF_TURN_TOKEN|>",
    ),
    Family("DeepSeek", r"<｜User｜>", r"<｜Assistant｜>", "", ("<｜end▁of▁sentence｜>",), "<｜User｜>"),
    Family(
        "Phi-3 / Zephyr",
        r"<\|user\|>\n?",
        r"<\|assistant\|>\n?",
        r"<\|system\|>\n?",
        ("<|end|>", "</s>", "<|endoftext|>"),
        "<|user|>",
    ),
    Family("Mistral / Llama 2", r"\[INST\]", r"\[/INST\]", "", ("</s>",), "[INST]"),
    Family(
        "Alpaca",
        r"^###? ?Instruction:",
        r"^###? ?Response:",
        r"^###? ?(?:Input|System):",
        ("</s>", "<|endoftext|>"),
    ),
    Family("Vicuna", r"(?:^|(?<=\s)|(?<=</s>))USER:", r"(?:^|(?<=\s))ASSISTANT:", "", ("</s>",)),
)


@dataclass(frozen=True)
class ReadyMade:
    """A text with a template's marks."""

    family: Family
    answers: tuple[Span, ...]
    """The assistant's parts, each with the mark that ends it."""
    marks: tuple[Span, ...]
    """All marks, in order."""
    is_open: bool
    """Whether it ends in an answer without a mark behind it."""


def read(text: str, begin: str = "", end: str = "") -> ReadyMade | None:
    """Recognize a text that carries a chat template's marks: a user's and, behind it, an assistant's.

    `begin` and `end` are the beginning and the end of text of the tokenizer in use. None for a text without marks.
    """
    if not any(sign in text for sign in ("<|", "<start_of_turn>", "<｜", "[INST]", "## ", "USER:")):
        return None
    for family in FAMILIES:
        if (found := _read(text, family, begin, end)) is not None:
            return found
    return None


def _read(text: str, family: Family, begin: str, end: str) -> ReadyMade | None:
    ends = [each for each in (*family.ends, end) if each]
    kinds = {"assistant": family.assistant, "user": family.user, "other": family.other, "end": _any_of(ends)}
    kinds["begin"] = re.escape(begin)
    wanted = "|".join(f"(?P<{kind}>{expression})" for kind, expression in kinds.items() if expression)
    marks = list(re.finditer(wanted, text, re.MULTILINE))
    openings = [mark.lastgroup for mark in marks]
    if "user" not in openings or "assistant" not in openings[openings.index("user") :]:
        return None
    answers = tuple(_answers(text, marks))
    return ReadyMade(
        family,
        tuple(span for span, _ in answers),
        tuple(mark.span() for mark in marks),
        is_open=answers[-1][1],
    )


def _answers(text: str, marks: list[re.Match[str]]) -> Iterator[tuple[Span, bool]]:
    """Yield the assistant's parts, and whether nothing follows that ends or answers them."""
    for number, mark in enumerate(marks):
        if mark.lastgroup != "assistant":
            continue
        following = marks[number + 1] if number + 1 < len(marks) else None
        if following is None:
            yield (mark.end(), len(text)), True
        elif following.lastgroup == "end":
            stop = following.end()
            yield (mark.end(), stop + text.startswith("\n", stop)), False
        else:
            yield (mark.end(), len(text[: following.start()].rstrip())), False


def _any_of(texts: list[str]) -> str:
    return "|".join(map(re.escape, dict.fromkeys(texts)))
