"""What every reader is: rows by number, and a place for those that cannot be read."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Going = Callable[[float], None]


class BadRow(Exception):
    """A row of the file cannot be read; the reader goes on with the next. `text` is how it begins."""

    def __init__(self, kind: str, text: str):
        self.kind, self.text = kind, text[:120]
        super().__init__(kind)


class Reader:
    """The rows of one file.

    `index` makes one pass over the file, after which `count` is known and any row can be had by its number. A row that
    cannot be read comes as a `BadRow` in its place, so that the numbers stay those of the file.
    """

    def __init__(self, path: Path):
        self.path = path
        self.count: int | None = None

    def index(self, going: Going = lambda share: None) -> int:
        """Find all rows and return how many there are; `going` is told the share done, and may raise to end it."""
        raise NotImplementedError

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row | BadRow]:
        """Yield the rows from number `start` (0 is the first) to before `stop`."""
        raise NotImplementedError


def as_row(value: Any) -> Row | BadRow:
    """Return a JSON value as a row: an object, or a bare list of turns under `messages`."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {"messages": value}
    if not isinstance(value, dict):
        return BadRow("not_an_object", json.dumps(value, ensure_ascii=False)[:120])
    return {str(column).strip(): cell for column, cell in value.items()}
