"""What every reader is: rows by number, and a place for those that cannot be read."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from typing_extensions import override

from studio.errors import DataError
from studio.i18n import Message

Row = dict[str, Any]
OnProgress = Callable[[float], None]
MAX_IN_MEMORY_BYTES = 300_000_000
"""Largest file, in bytes, of a format that can only be read as a whole; what is packed counts unpacked."""
MAX_ROW_BYTES = 10_000_000
"""Longest line, record or cell, in bytes or characters: searching one for patterns holds up the whole page."""
MAX_COLUMNS = 20_000
"""Columns of a table; Excel's sheets have 16,384 at most."""
MAX_DEPTH = 100
"""Lists and objects inside one another in a row: far more than data have, far less than overflows a parser's stack."""


class BadRow(Exception):
    """A row of the file cannot be read; the reader goes on with the next.

    `text` is how it begins, `detail` what the parser says of it.
    """

    def __init__(self, kind: str, text: str, detail: str = ""):
        self.kind, self.text, self.detail = kind, text[:120], detail
        super().__init__(kind)


class RepairedRow(dict[str, Any]):
    """A row in which something had to be changed to read it; `notes` are kinds of problems, as of a `Conversation`."""

    def __init__(self, row: Row, *notes: str):
        super().__init__(row)
        self.notes = notes


class Reader:
    """The rows of one file.

    `index` makes one pass over the file, after which `count` is known and any row can be had by its number. A row that
    cannot be read comes as a `BadRow` in its place, so that the numbers stay those of the file.
    """

    def __init__(self, path: Path):
        self.path = path
        self.count: int | None = None
        self.notes: list[Message] = []
        """What a reader of the report should know about how the file was read."""

    def index(self, on_progress: OnProgress = lambda share: None) -> int:
        """Index all rows and return their number; `on_progress` gets the share done, and may raise to end it."""
        raise NotImplementedError

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row | BadRow]:
        """Yield the rows from number `start` (0 is the first) to before `stop`."""
        raise NotImplementedError

    def rows_at(self, numbers: Sequence[int]) -> list[Row | BadRow]:
        """Return the rows with these numbers; those that the file does not have are left out."""
        return [row for number in numbers for row in self.rows(number, number + 1)]


class InMemoryReader(Reader):
    """A reader of a format that is read as a whole."""

    def _load(self) -> list[Any]:
        raise NotImplementedError

    @cached_property
    def _all(self) -> list[Any]:
        require_size(self.path.name, self.path.stat().st_size)
        return self._load()

    @override
    def index(self, on_progress: OnProgress = lambda share: None) -> int:
        self.count = len(self._all)
        return self.count

    @override
    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row | BadRow]:
        yield from self._all[start:stop]


def require_size(name: str, size: int, most: int = MAX_IN_MEMORY_BYTES) -> None:
    """Raise DataError for a file of more bytes than `most`, which may be read as a whole."""
    if size > most:
        raise DataError("data.too_large", name=name, size=size >> 20, most=most >> 20)


def require_unique(name: str, columns: Iterable[str]) -> None:
    """Raise DataError for a file with two columns of one name."""
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise DataError("data.column_twice", name=name, column=twice[0])


def as_row(value: Any) -> Row | BadRow:
    """Return a JSON value as a row: an object, or a bare list of turns under `messages`.

    Lone surrogates and NaN are replaced, which no later step can write.
    """
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = {"messages": value}
    if not isinstance(value, dict):
        return BadRow("not_an_object", json.dumps(value, ensure_ascii=False)[:120])
    notes: dict[str, None] = {}
    value = _repaired(value, notes, 0)
    if kind := next((kind for kind in ("too_deep", "too_long") if kind in notes), None):
        return BadRow(kind, next(iter(value), ""))
    row = {str(column).strip(): cell for column, cell in value.items()}
    return RepairedRow(row, *notes) if notes else row


def _repaired(value: Any, notes: dict[str, None], depth: int) -> Any:
    """Return a JSON value without lone surrogates and NaN; `notes` receives the kinds of changes."""
    if isinstance(value, str):
        if len(value) > MAX_ROW_BYTES:
            notes["too_long"] = None
            return None
        repaired = without_surrogates(value)
        if repaired != value:
            notes["half_letter"] = None
        return repaired
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        notes["not_a_number"] = None
        return None
    if isinstance(value, list | dict):
        if depth >= MAX_DEPTH:
            notes["too_deep"] = None
            return None
        if isinstance(value, list):
            return [_repaired(inner, notes, depth + 1) for inner in value]
        return {_repaired(str(key), notes, depth): _repaired(inner, notes, depth + 1) for key, inner in value.items()}
    return value


def without_surrogates(text: str) -> str:
    """Return a text in which halves of letters (lone surrogates), which no file can hold, are replaced."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
