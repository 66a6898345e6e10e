"""Detect which columns are the prompt and which the answer, from the first rows and the column names.

The order: lists of turns, a pair of columns, lists of texts in columns with the names of chats, text that names its
speakers, one text. An earlier shape wins unless a later one is in clearly more of the rows. What is not understood is
refused by name, and never read as plain text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from studio.config import MappingConfig, Method
from studio.data import first_rows
from studio.data.conversation import parsed
from studio.data.first_rows import FirstRows, are_classes, as_setting, is_readable, is_tagged, is_texts, roles_of
from studio.data.source import Table, cell
from studio.data.vocabulary import COLUMNS
from studio.errors import DataError
from studio.i18n import Message, listed, message

_KEYWORD = re.compile(r"(key|keyword|키워드)[ _-]?\d+", re.IGNORECASE)
_LABEL_STUDIO = tuple(f"annotations.0.result.{number}.value.text" for number in range(5))
_LOGGED = ("candidates.0.content", "choices.0.message", "response.candidates.0.content", "response.choices.0.message")
"""Where the answers of Gemini and OpenAI stand when they are logged beside their question."""
_CLEARLY_MORE = 0.8
"""An earlier shape is taken when it is in at least this share of the rows of the one that is in most."""


@dataclass(frozen=True)
class Detection:
    """A mapping and why it was chosen."""

    mapping: MappingConfig
    reason: Message


def detect(table: Table, method: Method = "sft") -> Detection:
    """Find the shape of a table, as a method of training reads it; raises DataError that names what is not understood.

    For preferences, the mapping also names the column of the worse answers, or that of the labels.
    """
    shapes = _Shapes(table)
    if method == "sft":
        return _detect(shapes)
    names = COLUMNS.rejected if method == "dpo" else COLUMNS.verdict
    column = shapes.first(names)
    if column is None:
        raise DataError(f"data.no_preference.{method}", columns=listed(list(shapes.top)), names=listed(names[:4]))
    detected = _detect(shapes)
    if detected.mapping.shape == "text":
        raise DataError("data.no_preference.text", column=detected.mapping.text)
    mapping = detected.mapping.model_copy(update={"rejected" if method == "dpo" else "label": column})
    return Detection(mapping, message(f"data.found.{method}", reason=detected.reason, column=column))


def _detect(shapes: "_Shapes") -> Detection:
    first_rows.refuse_single_messages(shapes)
    candidates = [shape for shape in (shapes.chat(), shapes.pair(), shapes.texts(), shapes.tagged()) if shape]
    rows = [len(shapes.cells(shape.mapping.messages or shape.mapping.completion or "")) for shape in candidates]
    if any(rows):
        enough = _CLEARLY_MORE * max(rows)
        return next(shape for shape, count in zip(candidates, rows, strict=True) if count >= enough)
    first_rows.refuse_objects(shapes)
    if candidates:  # the columns are there, and empty
        return candidates[0]
    first_rows.refuse_labels(shapes)
    return shapes.text() or first_rows.refuse(shapes)


class _Shapes(FirstRows):
    """The shapes that a table may have, each as its mapping, or None where it has not."""

    def chat(self) -> Detection | None:
        """Find a column of turns; one that ends with a question is left to the pair that answers it."""
        if (chosen := self.first(COLUMNS.preferred)) and self.is_answer(chosen):
            is_whole = any({"user", "assistant"} <= set(roles_of(value)) for value in self.cells(chosen))
            return self._messages(chosen, "preferred_chat") if is_whole and not self._prompt(chosen) else None
        for column in self._chat_columns:
            answer = self._completion(chat=column)
            if answer and self.is_answer(answer) and self._ends_with_question(column):
                continue
            answer = self._completion()
            is_pair = answer is not None and bool(self._prompt(answer))
            if is_pair and answer and (column == answer.split(".")[0] or column.lower() in COLUMNS.history):
                continue
            if any("assistant" in roles_of(value) for value in self.cells(column)):
                if len(self._chat_columns) > 1 and column.strip().lower() not in COLUMNS.chat:
                    setting = as_setting({"shape": "messages", "messages": column})
                    raise DataError("data.several_chats", columns=listed(self._chat_columns), setting=setting)
                return self._messages(column, "messages")
        return None

    @cached_property
    def _chat_columns(self) -> list[str]:
        """The columns whose cells are turns, those first that are named for it."""
        skipped = {*self.named([*COLUMNS.preferred, *COLUMNS.rejected, *COLUMNS.attached])}
        named_first = dict.fromkeys([*self.named(COLUMNS.chat), *self.top])
        columns = [name for name in named_first if name in self.top and name not in skipped]
        return [name for name in columns if self.is_chat(name)]

    def _ends_with_question(self, column: str) -> bool:
        last = [roles[-1] for value in self.cells(column) if (roles := roles_of(value))]
        return last.count("user") * 2 > len(last)

    def _messages(self, column: str, reason: str) -> Detection:
        system = self._system(column)
        chosen = message(f"data.found.{reason}", column=column)
        if system:
            chosen = message("data.found.with_system", reason=chosen, system=system)
        return Detection(MappingConfig(shape="messages", messages=column, system=system), chosen)

    def _system(self, column: str) -> str | None:
        """Return the column of the system prompts; `context` is one beside turns of an `author` (PaLM)."""
        turns = parsed(next(iter(self.cells(column)), None))
        has_authors = isinstance(turns, list) and any(isinstance(turn, Mapping) and "author" in turn for turn in turns)
        names = [*COLUMNS.system, *(["context"] if has_authors else [])]
        return next((name for name in self._readable(names, but=column) if name in self.top), None)

    def _readable(self, names: list[str], but: str = "") -> list[str]:
        columns = self.named(names, but=but)
        return [column for column in columns if any(map(is_readable, self.cells(column)))]

    def texts(self) -> Detection | None:
        """Find lists of texts in a column with the name of a chat."""
        is_ultrachat = self.top.keys() <= {"id", "idx", "data"}
        for column in self.named([*COLUMNS.strings, *(["data"] if is_ultrachat else [])]):
            if any(is_texts(parsed(value)) for value in self.cells(column)):
                return self._messages(column, "strings")
        return None

    def tagged(self) -> Detection | None:
        """Find texts, or lists of texts, most of which say who speaks."""
        for column in self.top:
            cells = [value for value in self.cells(column) if isinstance(value, str) or is_texts(value)]
            if cells and sum(map(is_tagged, cells)) * 2 > len(cells):
                return self._messages(column, "tagged")
        return None

    def pair(self) -> Detection | None:
        completion = self._completion()
        prompt = completion and self._prompt(completion)
        if not completion or not prompt:
            return self._translation()
        has_keywords = all(_KEYWORD.fullmatch(name.strip()) for name in prompt)
        joined = {"joiner": ", ", "joined": "keywords"} if has_keywords else {}
        columns = {}
        earlier = {name: map(parsed, self.cells(name)) for name in self.named(COLUMNS.history)}  # turns, not texts
        histories = [n for n, cells in earlier.items() if any(not isinstance(c, str) and roles_of(c) for c in cells)]
        for name, readable in (("system", self._readable(COLUMNS.system)), ("history", histories)):
            if free := [column for column in readable if column not in (*prompt, completion)]:
                columns[name] = free[0]
        mapping = MappingConfig(prompt=prompt, completion=completion, **joined, **columns)
        reason = "several" if any(map(is_texts, self.cells(completion))) else "pair"
        if has_keywords:
            reason = "keywords"
        elif completion.strip().lower() in COLUMNS.preferred:
            reason = "preference"
        elif completion not in self.top:
            reason = "nested"
        return Detection(mapping, message(f"data.found.{reason}", prompt=" + ".join(prompt), completion=completion))

    def _completion(self, chat: str | None = None) -> str | None:
        """Return the column of the answers, or of those to the last question of a `chat`."""
        named = self.named([*COLUMNS.preferred, *COLUMNS.assistant, *([] if chat else COLUMNS.version)], but=chat or "")
        ending = [column for column in self.table.names if column.strip().endswith(("답변", "답"))]
        verdicts = ("accept", "reject", "ignore")  # an annotator's, as Prodigy writes them
        columns = [name for name in (*named, *ending) if any(v not in verdicts for v in self.cells(name) or [""])]
        labels = [column for column in self.labels if not are_classes(self.cells(column))]
        logged = _LOGGED if chat or self._chat_columns else ()
        answers = [column for column in (*columns, *_LABEL_STUDIO, *logged, *labels) if self.is_answer(column)]
        return next(iter([*answers, *columns]), None)

    def _prompt(self, completion: str) -> tuple[str, ...]:
        """Return the columns before an answer; none where no column asks something."""
        keywords = tuple(name for name in self.table.names if _KEYWORD.fullmatch(name.strip()))
        if keywords:
            return keywords
        weak = [] if completion.strip().lower() in ("target", "completion", "completions") else COLUMNS.weak
        questions = self.named((name for name in COLUMNS.user if name not in weak), but=completion)
        chats = [column for column in self._chat_columns if column != completion and self._ends_with_question(column)]
        documents = [
            column for column in self.named(COLUMNS.document, but=completion) if self.is_text(column, lists=True)
        ]
        texts = [column for column in questions if self.is_text(column)]
        question = next(iter([*texts, *chats, *questions]), None)
        if question is None:
            return tuple([*documents, *self.named(weak, but=completion)][:1])
        extra = self._subject_column(question, [column for column in questions if column != question])
        contexts = [column for column in self.named(COLUMNS.context) if self.is_text(column)]
        name = question.strip().lower()
        if extra is None and name in ("instruction", "prompt"):  # what to do with a text beside it
            contexts += [column for column in documents if column.strip().lower() in ("document", "dialogue")]
        columns = (*contexts[:1], question, extra)
        return tuple(dict.fromkeys(column for column in columns if column and column != completion))

    def _subject_column(self, question: str, others: list[str]) -> str | None:
        """Return the column that an instruction is about: Alpaca's `input`, or a question that it does not repeat."""
        if _own_name(question) not in COLUMNS.instruction:
            return None
        rows = self.rows
        for column in (column for column in others if _own_name(column) in COLUMNS.subject):
            pairs = [(cell(row, question), cell(row, column)) for row in rows]
            apart = sum(isinstance(text, str) and isinstance(part, str) and part not in text for text, part in pairs)
            if _own_name(column) == "input" or apart * 2 > len(rows):
                return column
        return None

    def _translation(self) -> Detection | None:
        """Find `translation: {"en": …, "ko": …}`: from the first language to the second."""
        column = self.names.get("translation")
        cells = self.cells(column) if column else []
        texts = next((value for value in cells if isinstance(value, Mapping)), {})
        if len(texts) != 2 or not all(isinstance(text, str) for text in texts.values()):
            return None
        prompt, completion = (f"{column}.{language}" for language in texts)
        mapping = MappingConfig(prompt=(prompt,), completion=completion)
        return Detection(mapping, message("data.found.translation", prompt=prompt, completion=completion))

    def text(self) -> Detection | None:
        """Find a column of running text, and name the columns that are not read beside it."""
        texts = [column for column in self.named(COLUMNS.text) if ".0." not in column and self.has_strings(column)]
        if not texts:
            return None
        others = [column for column in self.top if column != texts[0]]
        reason = message("data.found.text", column=texts[0])
        if others:
            reason = message("data.found.beside", reason=reason, columns=", ".join(others))
        return Detection(MappingConfig(shape="text", text=texts[0]), reason)


def _own_name(column: str) -> str:
    """Return the name of a column without the path to it, in lower case."""
    return column.rsplit(".", 1)[-1].strip().lower()
