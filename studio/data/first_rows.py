"""The first rows of a table: what their cells may be, and the refusal of a table of which too little is understood.

Each message of a refusal says what to give on the command line where a setting of the mapping is all that is missing.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import yaml

from studio.config import MappingConfig
from studio.data.conversation import Notes, RowProblem, parsed, text_of
from studio.data.readers.base import BadRow
from studio.data.source import FIRST_ROWS, Table, cell
from studio.data.turns import TurnReader, columnar, holds_turns, speaker_of
from studio.data.vocabulary import COLUMNS, role_of, suggest_roles
from studio.errors import DataError
from studio.i18n import listed

_PLAIN = MappingConfig(shape="messages", messages="messages")
_OFFSETS = {"start", "end", "start_offset", "end_offset", "begin", "offset"}
"""Keys of a span of a text, which is no message."""
_CLASS_LENGTH = 30
"""Characters of the longest name of a class."""


class FirstRows:
    """The first rows of a table by column; names of columns are compared without case and outer space."""

    def __init__(self, table: Table):
        self.table = table
        self.rows = table.first
        self.top = dict.fromkeys(name for row in self.rows for name in row)
        """The columns themselves, without the parts of nested cells."""
        self.names: dict[str, str] = {}
        """Columns by their names in lower case; parts of nested cells by their last names, behind the columns."""
        for column in table.names:
            self.names.setdefault(column.strip().lower(), column)
        for column in table.names:
            root = column.split(".")[0].strip().lower()
            is_in_chat = ".0." in column and (root in COLUMNS.chat or root in COLUMNS.attached)
            if column not in self.top and not is_in_chat:  # the keys of messages are no columns
                self.names.setdefault(column.rsplit(".", 1)[-1].lower(), column)

    def cells(self, column: str) -> list[Any]:
        """Return the cells of a column that are not empty."""
        cells = (cell(row, column) for row in self.rows)
        return [value for value in cells if value is not None and value != "" and value != [] and value != {}]

    def named(self, names: Iterable[str], but: str = "") -> list[str]:
        """Return the columns of these names in the names' order, without the column `but`."""
        columns = (self.names[name] for name in names if name in self.names)
        return [column for column in columns if column != but]

    def first(self, names: Iterable[str]) -> str | None:
        """Return the first column of these names."""
        return next(iter(self.named(names)), None)

    @property
    def labels(self) -> list[str]:
        """The columns of an annotation; labels inside nested cells are of parts of a text."""
        return [column for column in self.named(COLUMNS.label) if column in self.top]

    def has_strings(self, column: str) -> bool:
        """Whether cells of a column are plain text."""
        return any(isinstance(value, str) for value in self.cells(column))

    def is_text(self, column: str, lists: bool = False) -> bool:
        """Whether cells of a column hold text that is no list of turns; `lists` of texts count as one text too."""
        cells = (value for value in self.cells(column) if lists or not is_texts(value))
        return any(is_readable(value) and not holds_turns(value) for value in cells)

    def is_answer(self, column: str) -> bool:
        """Whether cells of a column may be answers: text, several of them, or turns."""
        for value in self.cells(column):
            if isinstance(value, Mapping) and isinstance(value.get("text"), list):  # SQuAD
                value = value["text"]
            if holds_turns(value) or any(map(is_readable, value if isinstance(value, list) else [value])):
                return True
        return False

    def is_chat(self, column: str) -> bool:
        """Whether cells of a column hold turns of a user or an assistant; exchanges only in columns named for chats."""
        named = column.strip().lower() in COLUMNS.chat
        return any(
            (holds_turns(value) or (named and holds_objects(value))) and {"user", "assistant"} & set(roles_of(value))
            for value in self.cells(column)
        )


def roles_of(value: Any) -> list[str]:
    """Return the roles of the turns in a cell, in their order, whatever they say; empty where one is not known."""
    try:
        return [turn.role if turn else "assistant" for turn in TurnReader(_PLAIN, Notes()).read(value)]
    except RowProblem:
        turns = parsed(value) if holds_turns(value) else []
        roles = [role_of(speaker_of(turn) or "", {}) for turn in turns if isinstance(turn, Mapping)]
        return [] if None in roles else [role for role in roles if role]


def holds_objects(value: Any) -> bool:
    """Whether a cell holds an object or a list with one."""
    raw = parsed(value)
    return isinstance(raw, Mapping) or (isinstance(raw, list) and any(isinstance(entry, Mapping) for entry in raw))


def is_texts(value: Any) -> bool:
    """Whether a value is a list of several texts."""
    return isinstance(value, list) and len(value) > 1 and all(isinstance(entry, str) for entry in value)


def is_tagged(value: Any) -> bool:
    """Whether a text, or each text of a list, says who speaks."""
    raw = parsed(value)
    names_speakers = isinstance(raw, str) or (is_texts(raw) and all(":" in text or "：" in text for text in raw))
    return names_speakers and {"user", "assistant"} <= set(roles_of(raw))


def is_readable(value: Any) -> bool:
    """Whether a cell is text, or parts or an object that hold text."""
    try:
        return bool(text_of(value, Notes()))
    except RowProblem:
        return False


def as_setting(mapping: MappingConfig | Mapping[str, Any]) -> str:
    """Return a whole mapping as `--set` takes it in a POSIX shell."""
    values = mapping.model_dump(mode="json", exclude_defaults=True) if isinstance(mapping, MappingConfig) else mapping
    written = yaml.safe_dump(values, default_flow_style=True, allow_unicode=True, width=10_000, sort_keys=False).strip()
    quoted = written.replace("'", "'\\''")
    return f"--set 'data.mapping={quoted}'"


def refuse_single_messages(first: FirstRows) -> None:
    """Refuse a table with one message a row."""
    flat = [row for row in first.rows if speaker_of(row) is not None and not any(map(holds_objects, row.values()))]
    names = {str(speaker_of(row)) for row in flat}
    roles = {role_of(name, {}) for name in names}
    if len(flat) * 2 > len(first.rows) and {"user", "assistant"} <= roles and None not in roles:
        raise DataError("data.single_messages", columns=listed(first.table.names))


def refuse_objects(first: FirstRows) -> None:
    """Refuse lists of objects, or an object in a column named for chats, with the keys or roles that are not known."""
    for column in first.top:
        name = column.strip().lower()
        if name in COLUMNS.attached:
            continue
        for number, row in enumerate(first.table.rows(0, FIRST_ROWS), start=1):
            value = None if isinstance(row, BadRow) else parsed(cell(row, column))
            if isinstance(value, Mapping) and name in COLUMNS.chat:
                value = columnar(value) or [value]
            if isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
                _refuse_messages(first, column, number, value)


def _refuse_messages(first: FirstRows, column: str, number: int, entries: list[Mapping[str, Any]]) -> None:
    keys = list(dict.fromkeys(str(key) for entry in entries for key in entry))
    if _OFFSETS & set(keys):
        return
    names = [name for entry in entries if (name := speaker_of(entry)) is not None]
    roles = suggest_roles(names, {})
    if not roles and len(names) > 1 and role_of(names[-1], {}) == "system":  # a dialogue system, as in MultiWOZ
        roles = {names[-1]: "assistant"}
    if roles:
        setting = as_setting({"shape": "messages", "messages": column, "roles": roles})
        raise DataError("data.unknown_roles", column=column, row=number, roles=listed(roles), setting=setting)
    if names:
        raise DataError("data.no_answers", column=column, row=number, roles=listed(dict.fromkeys(names)))
    unknown = {"column": column, "row": number, "keys": listed(keys)}
    if text := next((name for name in first.named(COLUMNS.text) if first.has_strings(name)), None):
        setting = as_setting({"shape": "text", "text": text})
        raise DataError("data.unknown_keys_beside_text", text=text, setting=setting, **unknown)
    raise DataError("data.unknown_keys", **unknown)


def refuse_labels(first: FirstRows) -> None:
    """Refuse to guess whether a label beside a text is its answer or its class."""
    text, label = first.first([*COLUMNS.text, *COLUMNS.document, *COLUMNS.user]), next(iter(first.labels), None)
    words = [word for value in first.cells(label) for word in _words(value)] if label else []
    if text and label and words and not _is_number(first, label):
        answer = as_setting({"prompt": [text], "completion": label})
        alone = as_setting({"shape": "text", "text": text})
        values = listed(dict.fromkeys(word[:40] for word in words))
        raise DataError("data.label", column=label, text=text, values=values, answer=answer, alone=alone)


def refuse(first: FirstRows) -> NoReturn:
    """Refuse a table of which nothing is known, with its columns."""
    for column in first.named(COLUMNS.chat):
        if any(is_texts(parsed(value)) for value in first.cells(column)):
            setting = as_setting({"shape": "messages", "messages": column})
            raise DataError("data.unknown_texts", column=column, setting=setting)
    better, worse = first.first(COLUMNS.preferred), first.first(COLUMNS.rejected)
    if better and worse and first.has_strings(better):
        raise DataError("data.no_preference.prompt", better=better, worse=worse)
    texts = [column for column in first.table.names if first.has_strings(column) and not _is_number(first, column)]
    columns = ", ".join(first.table.names)
    if len(texts) < 2:
        raise DataError("data.no_pair", columns=columns)
    raise DataError(
        "data.no_mapping", columns=columns, setting=as_setting({"prompt": texts[:1], "completion": texts[1]})
    )


def are_classes(labels: list[Any]) -> bool:
    """Whether labels are classes rather than answers: single words, or few short ones that come again."""
    words = [words[0].strip() for value in labels if (words := _words(value))]
    if len(words) * 2 <= len(labels):
        return True
    if any(len(word) > _CLASS_LENGTH for word in words):
        return False
    return all(re.fullmatch(r"[\w-]+", word) for word in words) or len(set(words)) * 2 <= len(words)


def _is_number(first: FirstRows, column: str) -> bool:
    words = [word for value in first.cells(column) for word in _words(value)]
    return all(re.fullmatch(r"-?[\d.,]+", word.strip()) for word in words)


def _words(value: Any) -> list[str]:
    return [word for word in (value if isinstance(value, list) else [value]) if isinstance(word, str)]
