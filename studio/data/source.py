"""Open a data set: one that ships with the studio, a file, or one of the Hub."""

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from studio import presets
from studio.config import DataConfig, SourceConfig
from studio.data import hub
from studio.data.readers import columnar, lines, whole
from studio.data.readers.base import BadRow, Going, Reader, Row
from studio.errors import DataError
from studio.files import own_cache, sha256
from studio.i18n import Message, message

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HEAD = 4 << 20
"""Bytes from which the encoding and the delimiter are told."""
_SMALL = 32 << 20
FIRST_ROWS = 200
"""Rows from which the shape and the columns' types are told."""
FORMATS = ("csv", "tsv", "json", "jsonl", "parquet", "arrow", "xlsx", "txt")
_TEXT_FORMATS = ("csv", "tsv", "json", "jsonl", "txt")


@dataclass(frozen=True)
class Column:
    """A column, and what its cells are: `text`, `number`, `list`, `object`, `empty`, or several of them."""

    name: str
    type: str


@dataclass
class Table:
    """The rows of a data set, in the order of its file, which stays on the disk."""

    path: Path
    file_format: str
    encoding: str
    reader: Reader = field(repr=False)
    notes: list[Message] = field(default_factory=list)

    @cached_property
    def first(self) -> list[Row]:
        """The first rows that can be read."""
        return [row for row in self.reader.rows(0, FIRST_ROWS) if not isinstance(row, BadRow)]

    @cached_property
    def columns(self) -> list[Column]:
        """The columns of the first rows, in the order in which they appear; parts of nested cells stand behind them."""
        names = dict.fromkeys(name for row in self.first for name in row)
        found = [Column(name, _type_of(row.get(name) for row in self.first)) for name in names]
        return found + [Column(name, "text") for name in _nested(self.first)]

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [column.name for column in self.columns]

    @property
    def count(self) -> int:
        """Number of rows; found in one pass over the file at the first time."""
        return self.reader.index() if self.reader.count is None else self.reader.count

    def index(self, going: Going) -> int:
        """Find all rows, telling `going` the share done, and return how many there are."""
        return self.reader.index(going) if self.reader.count is None else self.reader.count

    @property
    def is_small(self) -> bool:
        """Whether all rows are counted in a moment."""
        return self.path.stat().st_size < _SMALL

    def row(self, number: int) -> Row | BadRow:
        """Return row `number` (0 is the first); beyond the last one, they begin again at the first."""
        found = next(self.reader.rows(number, number + 1), None)
        return found if found is not None else next(self.reader.rows(number % self.count))

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row | BadRow]:
        """Yield the rows from `start` to before `stop`."""
        return self.reader.rows(start, stop)

    @cached_property
    def sha256(self) -> str:
        """The hash of the file's bytes."""
        return sha256(self.path)


def path_of(source: SourceConfig, limit: int | None = None) -> Path:
    """Return the file of a source; of the Hub, the first `limit` rows are fetched if not here. Raises DataError."""
    if source.kind == "bundled":
        return presets.data_file(source.name)
    if source.kind == "hub":
        return hub.fetch(source, limit)
    path = Path(source.name).expanduser()
    if not path.is_file():
        raise DataError("data.no_file", path=source.name)
    return path


def is_here(data: DataConfig) -> bool:
    """Whether the rows can be read without asking the Hub for them."""
    return data.source.kind != "hub" or hub.is_here(data.source, data.limit if data.pick == "first" else None)


def open_table(source: SourceConfig) -> Table:
    """Open a source; only its beginning is read. Raises DataError that says what is wrong with the file."""
    return open_file(path_of(source))


def open_file(path: Path) -> Table:
    """Open a file as a table; raises DataError."""
    file_format = path.suffix.lower().lstrip(".")
    if file_format not in FORMATS:
        raise DataError("data.format", name=path.name, formats=", ".join(FORMATS))
    if path.stat().st_size == 0:
        raise DataError("data.empty", name=path.name)
    encoding = _encoding(path) if file_format in _TEXT_FORMATS else ""
    notes = [message("data.encoding", encoding=encoding)] if encoding not in ("", "utf-8") else []
    kept = path
    if encoding and not _has_line_ends(path, encoding):
        kept, encoding = _as_utf8(path, encoding), "utf-8"
    table = Table(path, file_format, encoding, _reader(kept, file_format, encoding), notes)
    if not table.first and next(table.rows(), None) is None:
        raise DataError("data.empty", name=path.name)
    if whole.Tree.COLUMNS.issubset(table.names):
        return Table(path, file_format, encoding, whole.Tree(table.reader), [*notes, message("data.tree")])
    return table


def _reader(path: Path, file_format: str, encoding: str) -> Reader:
    if file_format in ("csv", "tsv"):
        return lines.Delimited(path, encoding, "\t" if file_format == "tsv" else _delimiter(path, encoding))
    if file_format == "json":
        is_lines = _looks_like_lines(path, encoding)
        return lines.JsonLines(path, encoding) if is_lines else whole.JsonFile(path, encoding)
    if file_format == "jsonl":
        return lines.JsonLines(path, encoding)
    if file_format == "txt":
        return lines.TextLines(path, encoding)
    return {"parquet": columnar.Parquet, "arrow": columnar.Arrow, "xlsx": whole.Spreadsheet}[file_format](path)


def _encoding(path: Path) -> str:
    """Tell a file's encoding: byte order mark, then UTF-8, then CP949 (the encoding of Korean Excel)."""
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    if marked := next((encoding for bom, encoding in _BOMS if head.startswith(bom)), None):
        return marked
    if b"\0" in head:
        raise DataError("data.nul", name=path.name, line=head.count(b"\n", 0, head.index(b"\0")) + 1)
    for encoding in ("utf-8", "cp949"):
        try:
            codecs.getincrementaldecoder(encoding)().decode(head, final=len(head) < _HEAD)
            return encoding
        except UnicodeDecodeError:
            continue
    damaged = head.decode("utf-8", "replace").count("\ufffd")
    if damaged <= max(3, len(head) / 1000):  # UTF-8 with a few damaged letters: those rows are counted
        return "utf-8"
    raise DataError("data.encoding", name=path.name)


def _has_line_ends(path: Path, encoding: str) -> bool:
    """Whether the file's lines end in a byte of their own: not so in UTF-16, nor with the old Macintosh's line ends."""
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    return encoding != "utf-16" and (b"\n" in head or b"\r" not in head)


def _as_utf8(path: Path, encoding: str) -> Path:
    folder = own_cache("utf-8")
    kept = folder / f"{sha256(path)}{path.suffix.lower()}"
    if not kept.exists():
        if path.stat().st_size > whole.MAX_WHOLE:
            size, most = path.stat().st_size >> 20, whole.MAX_WHOLE >> 20
            raise DataError("data.too_large", name=path.name, size=size, most=most)
        draft = kept.with_suffix(".draft")
        try:
            text = path.read_bytes().decode(encoding)
            draft.write_text("\n".join(text.splitlines()) if "\n" not in text else text, encoding="utf-8")
        except UnicodeDecodeError as error:
            raise DataError("data.encoding", name=path.name) from error
        draft.rename(kept)
    return kept


def _delimiter(path: Path, encoding: str) -> str:
    with open(path, encoding=encoding, errors="replace", newline="") as file:
        head = file.read(20_000)
    header = head.splitlines()[0] if head else ""
    try:
        found = csv.Sniffer().sniff(head, delimiters=",;\t|").delimiter
    except csv.Error:
        found = ","
    return found if found in header else max(",\t;|", key=header.count)


def _looks_like_lines(path: Path, encoding: str) -> bool:
    """Whether a `.json` file holds an object a line."""
    with open(path, encoding=encoding, errors="replace") as file:
        first, second = file.readline().strip(), file.readline().strip()
    return first.startswith("{") and first.endswith("}") and second.startswith("{")


def _type_of(cells: Iterator[Any]) -> str:
    found = dict.fromkeys(_type(cell) for cell in cells)
    found.pop("empty", None)
    return " | ".join(found) or "empty"


def _type(cell: Any) -> str:
    if cell is None or cell == "":
        return "empty"
    if isinstance(cell, str):
        return "text"
    if isinstance(cell, bool | int | float):
        return "number"
    return "list" if isinstance(cell, list) else "object" if isinstance(cell, dict) else "other"


def _nested(rows: list[Row]) -> list[str]:
    """Return the text cells inside objects, and inside the first object of lists, as dotted paths."""
    found: dict[str, None] = {}
    for row in rows[:20]:
        for name, cell in row.items():
            inner, prefix = (cell[0], f"{name}.0") if isinstance(cell, list) and cell else (cell, name)
            if isinstance(inner, dict) and not {"role", "from"} & set(inner):
                found.update(dict.fromkeys(f"{prefix}.{key}" for key, value in inner.items() if isinstance(value, str)))
    return list(found)


def cell(row: Row, column: str) -> Any:
    """Return a row's cell; `a.0.b` reaches into nested cells. None where there is nothing."""
    if column in row or "." not in column:
        return row.get(column)
    value: Any = row
    for part in column.split("."):
        if isinstance(value, list):
            value = value[int(part)] if part.isdigit() and int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value
