"""Render rows and questions into text: the one place where prompts are rendered.

Training text, comparison prompts and the preview all come from `PromptRenderer`. A row's text is tokenized as a whole,
and the prompt of a comparison is, token for token, the prefix of what was trained.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from typing_extensions import override

from studio.config import PromptConfig
from studio.data import chat_markup
from studio.data.chat import ChatText
from studio.data.chat_markup import MarkedUpText
from studio.data.conversation import RowProblem, Turn
from studio.data.tokens import Part, Rendering, Segment, Span, cut, end_of_turn, special_pattern
from studio.errors import PromptError
from studio.model.template import TemplateRefusal, source_of


class PromptRenderer:
    """Renders conversations with a tokenizer's chat template, or rows with a text template."""

    reads_columns = False
    """Whether `example` reads the columns of a row, see `rows.columns_for_template`, rather than its turns alone."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self._begin = tokenizer.bos_token or ""
        self._start = self._begin if adds_bos(tokenizer) else ""
        self._end = tokenizer.eos_token or ""
        added = {token.content for token in getattr(tokenizer, "added_tokens_decoder", {}).values()}
        self._known = added | set(tokenizer.all_special_tokens)
        turn = end_of_turn(tokenizer)
        ends = dict.fromkeys((self._end, tokenizer.convert_ids_to_tokens(turn) if turn is not None else ""))
        self._ends = tuple(filter(None, ends))

    def example(self, turns: Sequence[Turn], row: Mapping[str, Any]) -> Rendering:
        """Render a row for training; raises RowProblem for one that cannot be rendered."""
        raise NotImplementedError

    def question(self, turns: Sequence[Turn]) -> list[Segment]:
        """Render a conversation that ends with a user's turn, as the prompt of an answer; raises PromptError."""
        raise NotImplementedError

    def _without_end(self, text: str) -> str:
        """Return a text without a token that ends it, where it brings one."""
        stripped = text.rstrip()
        end = next((end for end in self._ends if stripped.endswith(end)), None)
        rest = stripped.removesuffix(end).rstrip() if end else text
        return text if special_pattern(self._tokenizer).search(rest) else rest  # it may be about such tokens, or HTML

    def _without_begin(self, text: str) -> str:
        """Return a text without the token that begins it, where it brings one."""
        return text.removeprefix(self._begin) if self._begin else text

    def _is_known(self, markup: MarkedUpText) -> bool:
        """Whether marks are the tokenizer's or its template's own, or ordinary words."""
        sign = markup.family.sign
        return not sign or sign in self._known or sign in source_of(self._tokenizer)

    def _render_markup(self, text: str, markup: MarkedUpText) -> Rendering:
        """Render a text that carries the marks of a chat template, and may bring its beginning and end."""
        start = "" if self._begin and text.startswith(self._begin) else self._start
        close, (begin, end) = "", markup.answers[-1]
        answers = [Part(a + len(start), b + len(start)) for a, b in markup.answers]
        if markup.ends_at(end, text) and not text[begin:end].rstrip().endswith(self._ends):
            if not text.rstrip().endswith(self._ends):
                close = next((end for end in markup.family.ends if markup.is_open and end in self._ends), self._end)
            answers[-1] = replace(answers[-1], end=len(start) + len(text) + len(close))
        marks = [(a + len(start), b + len(start)) for a, b in markup.marks]
        plain = [(a, b) for a, b in self._special(text, len(start)) if not any(c < b and a < d for c, d in marks)]
        foreign = [] if self._is_known(markup) else ["foreign_marks"]
        notes = ["ready_made", *foreign, *(["special_text"] if plain else [])]
        return Rendering(cut(start + text + close, answers, plain), tuple(notes))

    def _special(self, text: str, position: int) -> list[Span]:
        """Return where a text that stands at a position of another one spells special tokens."""
        spans = special_pattern(self._tokenizer).finditer(text)
        return [(span.start() + position, span.end() + position) for span in spans]

    def _ending_in(
        self, text: str, begin: int, turns: Sequence[Turn], plain: list[Span], is_shortened: bool
    ) -> Rendering:
        """Return a text whose end, from `begin` on, is the answer."""
        trained = not turns or turns[-1].trained
        notes = [*(["own_end"] if is_shortened else []), *(["special_text"] if plain else [])]
        return Rendering(cut(text, [Part(begin, len(text), trained)], plain), tuple(notes))


class ChatRenderer(PromptRenderer):
    """Renders with the tokenizer's own chat template.

    What the template puts before an answer is context, and the answer with its end of turn is trained, in every turn
    of a conversation. A pair whose prompt carries a template's marks already is taken as it is.
    """

    def __init__(self, tokenizer: Any, system: str | None, merge_system: bool = False, today: date | None = None):
        """`merge_system` puts what a system turn says in front of the first question, if the template has no place."""
        super().__init__(tokenizer)
        self._chat = ChatText(tokenizer, today)
        self._system = system
        refusal = self._chat.refusal_of_system
        self._merges = merge_system and refusal is not None
        if system and system.strip() and not merge_system and refusal is not None:
            raise PromptError("prompt.no_system", detail=refusal) if refusal else PromptError("prompt.system_left_out")

    @override
    def example(self, turns: Sequence[Turn], row: Mapping[str, Any]) -> Rendering:
        if (rendering := self._markup(turns)) is not None:
            return rendering
        original = self._with_system(turns)
        used = [self._without_ends(turn) for turn in original]
        trained = [turn.role == "assistant" and turn.trained and bool(turn.content.strip()) for turn in used]
        try:
            rendering = self._chat.example([(turn.role, turn.content) for turn in used], trained)
        except TemplateRefusal as refusal:
            has_system = used[0].role == "system" and self._chat.refusal_of_system is not None
            raise RowProblem("no_system_role" if has_system else "template_refused", detail=str(refusal)) from refusal
        notes = list(rendering.notes)
        if any(a.content != b.content for a, b in zip(original, used, strict=True)):
            notes.append("own_end")
        if any(t.role == "assistant" and t.trained and not t.content.strip() for t in used):
            notes.append("empty_turn")
        marked = (chat_markup.find(turn.content, self._begin, self._end) for turn in used)
        if any(markup and not self._is_known(markup) for markup in marked):
            notes.append("foreign_marks")
        return replace(rendering, notes=tuple(notes))

    @override
    def question(self, turns: Sequence[Turn]) -> list[Segment]:
        if (rendering := self._markup([*turns, Turn("assistant", "")])) is not None:
            return [segment for segment in rendering.segments if not segment.trained]
        used = [self._without_ends(turn) for turn in self._with_system(turns)]
        try:
            return [self._chat.question([(turn.role, turn.content) for turn in used])]
        except TemplateRefusal as refusal:
            raise PromptError("prompt.template_failed", detail=str(refusal)) from refusal

    def _with_system(self, turns: Sequence[Turn]) -> list[Turn]:
        if self._system is not None and not (turns and turns[0].role == "system"):
            turns = [Turn("system", self._system), *turns]
        if self._merges and len(turns) > 1 and turns[0].role == "system":
            return [replace(turns[1], content=f"{turns[0].content}\n\n{turns[1].content}"), *turns[2:]]
        return list(turns)

    def _without_ends(self, turn: Turn) -> Turn:
        cut_off = self._without_end if turn.role == "assistant" else self._without_begin
        content = cut_off(turn.content)
        return turn if content == turn.content else replace(turn, content=content)

    def _markup(self, turns: Sequence[Turn]) -> Rendering | None:
        """Render a pair whose prompt ends in the mark of an answer; None for all others."""
        if [turn.role for turn in turns] != ["user", "assistant"]:
            return None
        prompt, answer = turns[0].content, turns[1].content
        markup = chat_markup.find(prompt + answer, self._begin, self._end)
        if markup is None or not self._is_known(markup) or not markup.family.sign:
            return None
        if not len(prompt.rstrip()) <= markup.answers[-1][0] <= len(prompt):
            return None
        return self._render_markup(prompt + answer, markup)


class TextRenderer(PromptRenderer):
    r"""Renders with a template such as `### question: {question}\n### answer: {answer}`.

    Placeholders are plain column names; `{{` and `}}` are braces. White space before the answer belongs to the answer,
    because `question: ` and ` What` do not tokenize at the same place. The end of text is trained.
    """

    reads_columns = True

    def __init__(self, tokenizer: Any, template: str, answer: str):
        super().__init__(tokenizer)
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
    def example(self, turns: Sequence[Turn], row: Mapping[str, Any]) -> Rendering:
        text, plain = self._fill(row)
        begin = len(text)
        original = _cell(row, self.answer)
        answer = original if self._after.strip() else self._without_end(original)
        plain += self._special(answer, len(text) + len(self._space))
        text += f"{self._space}{answer}{self._after}"
        if not self._after.rstrip().endswith(self._end):
            text += self._end
        return self._ending_in(text, begin, turns, plain, answer != original)

    @override
    def question(self, turns: Sequence[Turn]) -> list[Segment]:
        """Render the last user's turn: it is taken as the text of the template's only column."""
        if len(self.columns) != 1:
            raise PromptError("prompt.many_columns", columns=", ".join(self.columns))
        text, plain = self._fill({self.columns[0]: turns[-1].content})
        return list(cut(text, [], plain))

    def _fill(self, row: Mapping[str, Any]) -> tuple[str, list[Span]]:
        """Return the text up to the answer, and where special tokens are spelled in its columns."""
        text, plain = "", []
        for literal, name in self._before:
            text += literal
            if name:
                value = _cell(row, name)
                if not text:
                    value = self._without_begin(value)
                plain += self._special(value, len(text))
                text += value
        if text.startswith(self._start):
            return text, plain
        moved = len(self._start)
        return self._start + text, [(start + moved, end + moved) for start, end in plain]


class PlainRenderer(PromptRenderer):
    """Renders raw text as it is, with the end of text behind it; all of it is trained.

    Of a text that carries a chat template's marks, the answers are trained.
    """

    @override
    def example(self, turns: Sequence[Turn], row: Mapping[str, Any]) -> Rendering:
        original = turns[-1].content
        if (markup := chat_markup.find(original, self._begin, self._end)) is not None:
            return self._render_markup(original, markup)
        content = self._without_end(self._without_begin(original))
        start = len(self._start)
        text = self._start + content + self._end
        return self._ending_in(text, start, turns, self._special(content, start), content != original)

    @override
    def question(self, turns: Sequence[Turn]) -> list[Segment]:
        """Render a beginning that the model is to continue."""
        content = turns[-1].content
        markup = chat_markup.find(content, self._begin, self._end)
        if markup is not None and not content[markup.answers[-1][0] :].strip():
            segments = self._render_markup(content, markup).segments
            return [segment for segment in segments if not segment.trained]
        content = self._without_begin(content)
        return list(cut(self._start + content, [], self._special(content, len(self._start))))


def renderer(
    prompt: PromptConfig,
    tokenizer: Any,
    answer: str | None,
    *,
    question: str = "question",
    merge_system: bool = False,
    today: date | None = None,
) -> PromptRenderer:
    """Return the renderer of the settings; raises PromptError.

    `auto` takes the chat template where the tokenizer has one, else the text template. `answer` and `question` are
    the names that a text template has for the answer (None for conversations) and the question.
    """
    has_template = bool(source_of(tokenizer))
    is_chat = prompt.style == "chat" or (prompt.style == "auto" and has_template)
    if is_chat and has_template:
        return ChatRenderer(tokenizer, prompt.system, merge_system, today)
    if answer is None:
        raise PromptError("prompt.text_needs_pair" if has_template else "prompt.chat_without_template")
    if is_chat or not prompt.template:
        template = f"### question: {{{question}}} ### answer: {{{answer}}}"
        raise PromptError("prompt.no_chat_template" if is_chat else "prompt.no_template", template=template)
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
    return tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
