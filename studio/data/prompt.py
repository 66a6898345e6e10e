"""Render rows and questions into text: the one place where prompts are made.

Training text, comparison prompts and the preview all come from `PromptRenderer`. A text is a list of segments that are
tokenized one by one, so the prompt of a comparison is, token for token, the prefix of what was trained.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from studio.config import PromptConfig
from studio.data.formats import Turn
from studio.errors import PromptError


@dataclass(frozen=True)
class Segment:
    """A piece of text that is trained as a whole, or not at all."""

    text: str
    trained: bool


class PromptRenderer:
    """Renders conversations with a tokenizer's chat template, or rows with a text template."""

    def example(self, turns: Sequence[Turn], row: Mapping[str, Any]) -> list[Segment]:
        """Render a row for training: prompt and answer alternate, the last segment is an answer."""
        raise NotImplementedError

    def question(self, turns: Sequence[Turn]) -> list[Segment]:
        """Render a conversation that ends with a user's turn, as the prompt of an answer."""
        raise NotImplementedError


class ChatRenderer(PromptRenderer):
    """Renders with the tokenizer's own chat template.

    A conversation is cut at each assistant turn: what the template puts before the answer is context, and the answer
    with its end of turn is trained. Where a template rewrites earlier turns (some drop old reasoning), only the last
    answer is trained, since the earlier ones do not stand in the text as they were given.
    """

    def __init__(self, tokenizer: Any, system: str | None):
        self._tokenizer = tokenizer
        self._system = system

    @override
    def example(self, turns: Sequence[Turn], row: Mapping[str, Any]) -> list[Segment]:
        turns = self._with_system(turns)
        segments: list[Segment] = []
        done = ""
        for position, turn in enumerate(turns):
            if turn.role != "assistant":
                continue
            before = self._render(turns[:position], ask=True)
            after = self._render(turns[: position + 1], ask=False)
            if before.startswith(done) and after.startswith(before):
                segments += [Segment(before[len(done) :], False), Segment(after[len(before) :], True)]
                done = after
            elif position + 1 == len(turns):
                segments = [Segment(before, False), Segment(_from_answer(after, turn.content), True)]
        return segments

    @override
    def question(self, turns: Sequence[Turn]) -> list[Segment]:
        turns = self._with_system(turns)
        answered = [i for i, turn in enumerate(turns) if turn.role == "assistant"]
        text = self._render(turns, ask=True)
        if not answered:
            return [Segment(text, False)]
        told = self.example(turns[: answered[-1] + 1], {})
        done = "".join(segment.text for segment in told)
        return [*told, Segment(text[len(done) :], False)] if text.startswith(done) else [Segment(text, False)]

    def _with_system(self, turns: Sequence[Turn]) -> list[Turn]:
        has_own = bool(turns) and turns[0].role == "system"
        return list(turns) if has_own or self._system is None else [Turn("system", self._system), *turns]

    def _render(self, turns: Sequence[Turn], ask: bool) -> str:
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        try:
            return self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)
        except Exception as error:  # templates are programs and raise what they like
            raise PromptError("prompt.template_failed", detail=str(error)[:200]) from error


class TextRenderer(PromptRenderer):
    r"""Renders with a template such as `### question: {question}\n### answer: {answer}`.

    Placeholders are plain column names; `{{` and `}}` are braces. White space before the answer belongs to the answer,
    because `question: ` and ` What` do not tokenize at the same place. The end of text is trained.
    """

    def __init__(self, tokenizer: Any, template: str, answer: str):
        self._start = tokenizer.bos_token if adds_bos(tokenizer) else ""
        self._end = tokenizer.eos_token
        parts = _parse(template)
        names = [name for _, name in parts if name]
        if answer not in names:
            raise PromptError("prompt.no_answer", answer=answer, template=template)
        if names.count(answer) > 1 or names[-1] != answer:
            raise PromptError("prompt.answer_last", answer=answer, template=template)
        split = [name for _, name in parts].index(answer)
        self._before = [*parts[:split], (parts[split][0].rstrip(), None)]
        self._space = parts[split][0][len(parts[split][0].rstrip()) :]
        self._after = "".join(literal for literal, _ in parts[split + 1 :])
        self.answer = answer
        self.columns = [name for name in names if name != answer]

    @override
    def example(self, turns: Sequence[Turn], row: Mapping[str, Any]) -> list[Segment]:
        answer = f"{self._space}{_cell(row, self.answer)}{self._after}{self._end}"
        return [Segment(self._fill(row), False), Segment(answer, True)]

    @override
    def question(self, turns: Sequence[Turn]) -> list[Segment]:
        """Render the last user's turn: it is taken as the text of the template's only column."""
        if len(self.columns) != 1:
            raise PromptError("prompt.many_columns", columns=", ".join(self.columns))
        return [Segment(self._fill({self.columns[0]: turns[-1].content}), False)]

    def _fill(self, row: Mapping[str, Any]) -> str:
        text = "".join(literal + (_cell(row, name) if name else "") for literal, name in self._before)
        return self._start + text


class PlainRenderer(PromptRenderer):
    """Renders raw text as it is, with the end of text behind it; all of it is trained."""

    def __init__(self, tokenizer: Any):
        self._start = tokenizer.bos_token if adds_bos(tokenizer) else ""
        self._end = tokenizer.eos_token

    @override
    def example(self, turns: Sequence[Turn], row: Mapping[str, Any]) -> list[Segment]:
        return [Segment(self._start, False), Segment(turns[-1].content + self._end, True)]

    @override
    def question(self, turns: Sequence[Turn]) -> list[Segment]:
        """Render a beginning that the model is to continue."""
        return [Segment(self._start + turns[-1].content, False)]


def renderer(prompt: PromptConfig, tokenizer: Any, answer: str | None) -> PromptRenderer:
    """Make the renderer that the settings ask for; raises PromptError.

    `auto` takes the chat template where the tokenizer has one, else the text template.
    """
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if prompt.style == "chat" or (prompt.style == "auto" and has_template):
        if not has_template:
            raise PromptError("prompt.no_chat_template")
        return ChatRenderer(tokenizer, prompt.system)
    if not prompt.template:
        raise PromptError("prompt.no_template")
    if answer is None:
        raise PromptError("prompt.text_needs_pair")
    return TextRenderer(tokenizer, prompt.template, answer)


def _parse(template: str) -> list[tuple[str, str | None]]:
    """Split a template into (literal, column that follows it); raises PromptError for anything but plain names."""
    parts: list[tuple[str, str | None]] = []
    literal = ""
    position = 0
    for match in re.finditer(r"\{\{|\}\}|\{([^{}]*)\}|[{}]", template):
        literal += template[position : match.start()]
        position = match.end()
        if match[0] in ("{{", "}}"):
            literal += match[0][0]
        elif match[1] is None or not match[1].strip():
            raise PromptError("prompt.brace", template=template)
        else:
            parts.append((literal, match[1].strip()))
            literal = ""
    parts.append((literal + template[position:], None))
    return parts


def _cell(row: Mapping[str, Any], column: str) -> str:
    if column not in row:
        raise PromptError("prompt.no_column", column=column, columns=", ".join(row))
    value = row[column]
    return "" if value is None else str(value)


def adds_bos(tokenizer: Any) -> bool:
    """Whether the tokenizer itself would put a beginning-of-text token in front."""
    if tokenizer.bos_token_id is None:
        return False
    return tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]


def _from_answer(text: str, answer: str) -> str:
    """Return the end of a rendered conversation, from its last answer on."""
    start = text.rfind(answer.strip())
    if start < 0:
        raise PromptError("prompt.answer_lost", answer=answer[:80])
    return text[start:]
