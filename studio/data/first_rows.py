"""The first rows of a table, and what their cells may be: text, answers, turns."""

from collections.abc import Iterable, Mapping
from typing import Any

from studio.config import MappingConfig
from studio.data.content import parsed, text_of
from studio.data.conversation import Notes, RowProblem
from studio.data.source import Table, cell
from studio.data.turns import TurnReader, holds_turns, speaker_of
from studio.data.vocabulary import COLUMNS, role_of

_PLAIN = MappingConfig(shape="messages", messages="messages")


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
