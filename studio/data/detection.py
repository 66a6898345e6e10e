"""Find out which columns make the prompt and which the answer, from the first rows and the column names.

The order: lists of turns, a pair of columns, lists of texts in columns known to hold chats, text that marks its
speakers, one text. An earlier shape wins unless a later one is in clearly more of the rows. What is not understood is
refused by name, and never read as plain text.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from studio.config import MappingConfig
from studio.data import marks
from studio.data.columns import (
    ASSISTANT,
    ATTACHED,
    CHAT,
    CONTEXT,
    DOCUMENT,
    HISTORY,
    LABEL,
    PREFERRED,
    STRINGS,
    SYSTEM,
    TEXT,
    USER,
    WEAK,
)
from studio.data.content import parsed, text_of
from studio.data.conversation import Notes, RowProblem
from studio.data.readers.base import BadRow
from studio.data.roles import role_of, suggested
from studio.data.source import FIRST_ROWS, Table, cell
from studio.data.turns import TurnReader, columnar, holds_turns, speaker_of
from studio.errors import DataError
from studio.i18n import Message, message

_KEYWORD = re.compile(r"(key|keyword|키워드)[ _-]?\d+", re.IGNORECASE)
_LABEL_STUDIO = "annotations.0.result.{}.value.text"
_CANDIDATES = (
    "candidates.0.content",
    "choices.0.message",
    "response.candidates.0.content",
    "response.choices.0.message",
)
"""Where answers stand that were logged beside their question."""
_CLEARLY_MORE = 0.8
"""An earlier shape is taken when it is in at least this share of the rows of the one that is in most."""
_OFFSETS = {"start", "end", "start_offset", "end_offset", "begin", "offset"}
_CLASS_LENGTH = 30
_PLAIN = MappingConfig(shape="messages", messages="messages")


@dataclass(frozen=True)
class Detected:
    """A mapping and why it was chosen."""

    mapping: MappingConfig
    reason: Message


def detect(table: Table) -> Detected:
    """Find the shape of a table; raises DataError that names what is not understood."""
    return _Detection(table).run()


def as_setting(mapping: MappingConfig | Mapping[str, Any]) -> str:
    """Return the setting of a whole mapping, as `--set` takes it in a shell."""
    values = mapping.model_dump(mode="json", exclude_defaults=True) if isinstance(mapping, MappingConfig) else mapping
    written = yaml.safe_dump(values, default_flow_style=True, allow_unicode=True, width=10_000, sort_keys=False).strip()
    quoted = written.replace("'", "'\\''")
    return f"--set 'data.mapping={quoted}'"


class _Detection:
    def __init__(self, table: Table):
        self._table = table
        self._rows = table.first
        self._names: dict[str, str] = {}
        for column in table.names:
            self._names.setdefault(column.strip().lower(), column)
        for column in table.names:
            if "." in column and column not in self._top and self._is_plain_part(column):
                self._names.setdefault(column.rsplit(".", 1)[-1].lower(), column)

    def run(self) -> Detected:
        if not self._table.names:
            raise DataError("data.no_columns")
        self._refuse_single_turns()
        candidates = [self._chat(), self._pair(), self._strings(), self._tagged()]
        found = [(self._coverage(each.mapping), each) for each in candidates if each]
        most = max((rows for rows, _ in found), default=0)
        if most:
            return next(each for rows, each in found if rows >= _CLEARLY_MORE * most)
        self._refuse_objects()
        self._refuse_labels()
        return self._text() or self._unknown()

    @cached_property
    def _top(self) -> set[str]:
        return {name for row in self._rows for name in row}

    def _is_plain_part(self, column: str) -> bool:
        """Whether a nested column may be named by its last part: not inside a chat, whose keys are not columns."""
        root = column.split(".")[0]
        return ".0." not in column or (root.lower() not in CHAT and root.lower() not in ATTACHED)

    def _cells(self, column: str) -> list[Any]:
        """Return the cells of a column that are not empty."""
        cells = (cell(row, column) for row in self._rows)
        return [value for value in cells if value is not None and value != "" and value != [] and value != {}]

    def _coverage(self, mapping: MappingConfig) -> int:
        """Return how many of the first rows hold what a mapping cannot do without."""
        return len(self._cells(mapping.messages or mapping.completion or mapping.text or ""))

    def _first(self, wanted: Iterable[str]) -> str | None:
        return next((self._names[name] for name in wanted if name in self._names), None)

    # Conversations

    def _chat(self) -> Detected | None:
        """Find a column of turns; one that ends with a question is left to the pair that answers it."""
        if any(name in self._names for name in PREFERRED):
            return self._chosen_chat()
        for column in self._chat_columns:
            if column.lower() in HISTORY and self._pair():
                continue
            if self._ends_with_question(column) and self._completion(column):
                continue
            if column == self._completion() and self._prompt(column):
                continue
            if any(_has_answer(value) for value in self._cells(column)):
                return self._messages(column, "messages")
        return None

    def _chosen_chat(self) -> Detected | None:
        """Find preferred conversations that stand alone, without a prompt beside them."""
        column = self._names[PREFERRED[0]]
        whole = any(_has_answer(value) and not _starts_with_answer(value) for value in self._cells(column))
        return self._messages(column, "preferred_chat") if whole and not self._prompt(column) else None

    @cached_property
    def _chat_columns(self) -> list[str]:
        """The columns whose cells are turns, those first that are named for it."""
        named = [self._names[name] for name in CHAT if name in self._names]
        others = [name for name in self._table.names if name not in named and name in self._top]
        skipped = {self._names.get(name) for name in (*PREFERRED, "rejected")}
        return [
            column
            for column in [*named, *others]
            if column not in skipped and any(self._is_chat(column, value) for value in self._cells(column))
        ]

    def _is_chat(self, column: str, value: Any) -> bool:
        if not holds_turns(value) and not (column.strip().lower() in CHAT and _holds_objects(value)):
            return False
        return bool(_roles(value) & {"user", "assistant"})

    def _ends_with_question(self, column: str) -> bool:
        cells = [roles for value in self._cells(column) if (roles := _role_list(value))]
        return sum(roles[-1] == "user" for roles in cells) * 2 > len(cells)

    def _messages(self, column: str, reason: str) -> Detected:
        system = self._system(column)
        mapping = MappingConfig(shape="messages", messages=column, system=system)
        told = message(f"data.found.{reason}", column=column)
        return Detected(mapping, message("data.found.with_system", reason=told, system=system) if system else told)

    def _system(self, column: str) -> str | None:
        names = [*SYSTEM, "context"] if self._has_authors(column) else SYSTEM
        found = self._first(names)
        return found if found in self._top and found != column and self._is_text(found) else None

    def _has_authors(self, column: str) -> bool:
        """Whether turns name an author, as PaLM's do, whose `context` is the system prompt."""
        first = next(iter(self._cells(column)), None)
        entries = parsed(first)
        return isinstance(entries, list) and any(isinstance(entry, Mapping) and "author" in entry for entry in entries)

    def _strings(self) -> Detected | None:
        """Find a list of texts in a column that is known to hold chats."""
        names = [*STRINGS, *(["data"] if self._top <= {"id", "idx", "data"} else [])]  # UltraChat: `id`, `data`
        for column in (self._names[name] for name in names if name in self._names):
            if any(_is_texts(parsed(value)) and _has_answer(value) for value in self._cells(column)):
                return self._messages(column, "strings")
        return None

    def _tagged(self) -> Detected | None:
        """Find texts, or lists of texts, most of which say who speaks."""
        for column in sorted(self._top & set(self._table.names), key=self._table.names.index):
            cells = [value for value in self._cells(column) if isinstance(value, str) or _is_texts(value)]
            if cells and sum(_is_tagged(value) for value in cells) * 2 > len(cells):
                return self._messages(column, "tagged")
        return None

    # Pairs

    def _pair(self) -> Detected | None:
        completion = self._completion()
        prompt = completion and self._prompt(completion)
        if not completion or not prompt:
            return self._translation()
        keywords = all(_KEYWORD.fullmatch(name.strip()) for name in prompt)
        values: dict[str, Any] = {"prompt": prompt, "completion": completion}
        if keywords:
            values |= {"joiner": ", ", "joined": "keywords"}
        beside = {"system": self._first(SYSTEM), "history": self._first(HISTORY)}
        values |= {name: column for name, column in beside.items() if column not in (*prompt, completion)}
        several = not self._is_preferred(completion) and any(_is_texts(value) for value in self._cells(completion))
        reason = (
            "keywords"
            if keywords
            else "preference"
            if self._is_preferred(completion)
            else "nested"
            if completion not in self._top
            else "several"
            if several
            else "pair"
        )
        told = message(f"data.found.{reason}", prompt=" + ".join(prompt), completion=completion)
        return Detected(MappingConfig(**values), told)

    def _is_preferred(self, column: str) -> bool:
        return column.strip().lower() in PREFERRED

    def _completion(self, chat: str | None = None) -> str | None:
        """Return the column of the answers; beside a `chat` that ends with a question, also that of a logged answer."""
        named = [self._names[name] for name in (*PREFERRED, *ASSISTANT) if name in self._names]
        ending = [column for column in self._table.names if column.strip().endswith(("답변", "답"))]
        paths = [_LABEL_STUDIO.format(number) for number in range(5)]
        logged = [*_CANDIDATES] if chat or self._chat_columns else []
        labels = [self._names[name] for name in LABEL if name in self._names]
        labels = [column for column in labels if not _are_classes(self._cells(column))]
        candidates = [column for column in (*named, *ending) if column != chat and not self._is_mark(column)]
        spoken = [column for column in (*candidates, *paths, *logged, *labels) if self._is_answer(column)]
        return next(iter([*spoken, *candidates]), None)

    def _is_mark(self, column: str) -> bool:
        return marks.is_verdict(self._cells(column))

    def _is_answer(self, column: str) -> bool:
        return any(_is_answer(value) for value in self._cells(column))

    def _prompt(self, completion: str) -> tuple[str, ...]:
        """Return the columns before an answer; none where nothing asks."""
        keywords = tuple(name for name in self._table.names if _KEYWORD.fullmatch(name.strip()))
        if keywords:
            return keywords
        weak = [] if completion.strip().lower() in ("target", "completion", "completions") else WEAK
        asks = [name for name in USER if name not in weak]
        chats = [column for column in self._chat_columns if self._ends_with_question(column) and column != completion]
        asked = next((name for name in self._named(asks, completion) if self._is_text(name)), None)
        asked = asked or next(iter(chats), None) or next(iter(self._named(asks, completion)), None)
        documents = [name for name in self._named(DOCUMENT, completion) if self._is_text(name)]
        if asked is None:
            asked = next(iter([*documents, *self._named(weak, completion)]), None)
            return (asked,) if asked else ()
        extra = self._names.get("input") if asked.strip().lower().endswith("instruction") else None  # Alpaca
        context = next((name for name in self._named(CONTEXT, completion) if self._is_text(name)), None)
        if extra is None and asked.strip().lower() in ("instruction", "prompt"):  # an order about a text beside it
            context = context or next((name for name in documents if name.lower() in ("document", "dialogue")), None)
        columns = (context, asked, extra)
        return tuple(dict.fromkeys(column for column in columns if column and column != completion))

    def _named(self, wanted: Iterable[str], completion: str) -> list[str]:
        return [self._names[name] for name in wanted if name in self._names and self._names[name] != completion]

    def _is_text(self, column: str) -> bool:
        cells = self._cells(column)
        texts = [value for value in cells if isinstance(value, str) and not holds_turns(value)]
        return bool(texts) or any(_is_readable(value) and not holds_turns(value) for value in cells)

    def _translation(self) -> Detected | None:
        """Find `translation: {"en": …, "ko": …}`: from the first language to the second."""
        column = self._names.get("translation")
        first = next((value for value in self._cells(column) if isinstance(value, Mapping)), None) if column else None
        if first is None or len(first) != 2 or not all(isinstance(value, str) for value in first.values()):
            return None
        prompt, completion = (f"{column}.{language}" for language in first)
        mapping = MappingConfig(prompt=(prompt,), completion=completion)
        return Detected(mapping, message("data.found.translation", prompt=prompt, completion=completion))

    # One text

    def _text(self) -> Detected | None:
        column = next((name for name in self._named(TEXT, "") if ".0." not in name and self._is_text(name)), None)
        if column is None:
            return None
        others = [name for name in self._table.names if name != column and name in self._top]
        told = message("data.found.text", column=column)
        told = message("data.found.beside", reason=told, columns=", ".join(others)) if others else told
        return Detected(MappingConfig(shape="text", text=column), told)

    # Refusals

    def _refuse_single_turns(self) -> None:
        """Refuse a table with one message a row."""
        flat = [row for row in self._rows if speaker_of(row) is not None and not any(map(_holds_objects, row.values()))]
        roles = {str(speaker_of(row)).lower() for row in flat}
        if len(flat) * 2 > len(self._rows) and not suggested(roles, {}) and {"user", "assistant"} <= _known(roles):
            raise DataError("data.single_turns", columns=", ".join(self._table.names))

    def _refuse_objects(self) -> None:
        """Refuse lists of objects, or an object in a chat column, that are not understood, with their keys or roles."""
        for column in self._table.names:
            name = column.strip().lower()
            if column not in self._top or name in ATTACHED:
                continue
            for number, row in enumerate(self._table.rows(0, FIRST_ROWS), start=1):
                value = None if isinstance(row, BadRow) else parsed(cell(row, column))
                if isinstance(value, Mapping) and name in CHAT:
                    value = columnar(value) or [value]
                if isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
                    self._refuse(column, number, value)

    def _refuse(self, column: str, number: int, entries: list[Mapping[str, Any]]) -> None:
        keys = dict.fromkeys(str(key) for entry in entries for key in entry)
        if _OFFSETS & keys.keys():
            return  # spans of a text, not speech
        names = [name for entry in entries if (name := speaker_of(entry)) is not None]
        if unknown := suggested(names, {}):
            setting = as_setting({"shape": "messages", "messages": column, "roles": unknown})
            shown = ", ".join(list(unknown)[:8])
            raise DataError("data.unknown_roles", column=column, row=number, roles=shown, setting=setting)
        if names:
            raise DataError("data.no_answers", column=column, row=number, roles=", ".join(dict.fromkeys(names)))
        raise DataError("data.unknown_keys", column=column, row=number, keys=", ".join(list(keys)[:8]))

    def _refuse_labels(self) -> None:
        """Refuse to guess whether a label beside a text is its answer or its class."""
        text = self._first([*TEXT, *DOCUMENT, *USER])
        label = next((self._names[name] for name in LABEL if name in self._names), None)
        words = [word for value in self._cells(label) for word in _words(value)] if label else []
        if text is None or label is None or not words or all(_is_number(word) for word in words):
            return
        answer = as_setting({"prompt": [text], "completion": label})
        alone = as_setting({"shape": "text", "text": text})
        values = ", ".join(list(dict.fromkeys(words))[:6])
        raise DataError("data.label", column=label, text=text, values=values, answer=answer, alone=alone)

    def _unknown(self) -> Detected:
        for column in self._top:
            if any(_is_texts(parsed(value)) for value in self._cells(column)) and column.lower() in CHAT:
                setting = as_setting({"shape": "messages", "messages": column})
                raise DataError("data.unknown_texts", column=column, setting=setting)
        texts = [column for column in self._table.names if self._is_text(column)]
        columns = ", ".join(self._table.names)
        if len(texts) < 2:
            raise DataError("data.no_pair", columns=columns)
        setting = as_setting({"prompt": texts[:1], "completion": texts[1]})
        raise DataError("data.no_mapping", columns=columns, setting=setting)


def _roles(value: Any) -> set[str]:
    """Return the roles in a cell of turns; empty where they cannot be read."""
    return set(_role_list(value))


def _role_list(value: Any) -> list[str]:
    try:
        return [turn.role if turn else "assistant" for turn in TurnReader(_PLAIN, Notes()).read(value)]
    except RowProblem:
        return []


def _has_answer(value: Any) -> bool:
    return "assistant" in _roles(value)


def _starts_with_answer(value: Any) -> bool:
    roles = [role for role in _role_list(value) if role != "system"]
    return roles[:1] == ["assistant"]


def _known(names: set[str]) -> set[str]:
    return {role for name in names if (role := role_of(name, {}))}


def _holds_objects(value: Any) -> bool:
    raw = parsed(value)
    return isinstance(raw, Mapping) or (isinstance(raw, list) and any(isinstance(entry, Mapping) for entry in raw))


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(entry, str) for entry in value)


def _is_tagged(value: Any) -> bool:
    roles = _roles(value)
    return {"user", "assistant"} <= roles and (
        isinstance(value, str) or all(":" in text or "：" in text for text in value)
    )


def _is_readable(value: Any) -> bool:
    """Whether a cell is text, or parts or an object that hold text."""
    try:
        return bool(text_of(value, Notes()))
    except RowProblem:
        return False


def _is_answer(value: Any) -> bool:
    """Whether a cell may be an answer: text, several of them, or turns."""
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        value = value["text"]
    if isinstance(value, list) and value and all(isinstance(entry, str | Mapping) for entry in value):
        return holds_turns(value) or any(_is_readable(entry) for entry in value)
    return isinstance(value, str) or holds_turns(value) or _is_readable(value)


def _words(value: Any) -> list[str]:
    return [word for word in (value if isinstance(value, list) else [value]) if isinstance(word, str)]


def _is_number(word: str) -> bool:
    return word.strip().lstrip("-").replace(".", "", 1).isdigit()


def _are_classes(values: list[Any]) -> bool:
    """Whether labels are classes rather than answers: single words, or few short ones that come again."""
    words = [_words(value) for value in values]
    first = [each[0].strip() for each in words if each]
    if len(first) * 2 <= len(values) or any(isinstance(value, list) and not _words(value) for value in values):
        return True
    if any(len(word) > _CLASS_LENGTH for word in first):
        return False
    single = all(re.fullmatch(r"[\w-]+", word) for word in first)
    return single or len(set(first)) * 2 <= len(first)
