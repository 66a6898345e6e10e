"""Open a dataset: one that ships with the studio, a file, or one of the Hub."""

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from studio import presets
from studio.config import DataConfig, SourceConfig
from studio.data import encodings, hub_datasets
from studio.data.readers import columnar, delimited, documents, lines
from studio.data.readers.base import MAX_COLUMNS, BadRow, OnProgress, Reader, Row, require_size
from studio.data.readers.documents import MessageTree
from studio.data.readers.spreadsheet import Spreadsheet
from studio.errors import DataError
from studio.files import replace_file, sha256, user_cache
from studio.i18n import Message, message

SEARCHED_ROWS = 20_000
"""Rows in which one that can be read is searched, before the file is refused."""
FIRST_ROWS = 200
"""Rows from which the shape and the types of columns are detected."""
_TEXT_FORMATS = ("csv", "tsv", "json", "jsonl", "txt")


_HEAD = 1 << 16
_LFS = b"version https://git-lfs.github.com/spec/"
_MAGIC = {
    "parquet": b"PAR1",
    "arrow": b"ARROW1",
    "zip": (b"PK\x03\x04", b"PK\x05\x06"),
    "ole": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "packed": (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"),
    "pdf": b"%PDF-",
    "sqlite": b"SQLite format 3\x00",
}
_MARKUP = (b"<!doctype html", b"<html", b"<head", b"<body", b"<table", b"<?xml")
_NAMES = {"csv": "CSV", "tsv": "TSV", "json": "JSON", "jsonl": "JSON lines", "parquet": "Parquet", "arrow": "Arrow",
          "xlsx": "Excel (.xlsx)", "txt": "text"}  # fmt: skip
FORMATS = tuple(_NAMES)
_BINARY = ("parquet", "xlsx")
"""Formats that always begin with a mark of their own; an Arrow stream has none."""


@dataclass(frozen=True)
class Column:
    """A column, and what its cells are: `text`, `number`, `list`, `object`, `empty`, or several of them."""

    name: str
    type: str


@dataclass
class Table:
    """The rows of a dataset, in the order of its file, which stays on the disk."""

    path: Path
    file_format: str
    encoding: str
    """Of the file itself, also where a copy of it is read; empty for formats that are no text."""
    reader: Reader = field(repr=False)
    notes: list[Message] = field(default_factory=list)

    @cached_property
    def first(self) -> list[Row]:
        """The first rows that can be read, wherever they are."""
        readable = [row for row in self.reader.rows(0, FIRST_ROWS) if not isinstance(row, BadRow)]
        further = (row for row in self.reader.rows(FIRST_ROWS, SEARCHED_ROWS) if not isinstance(row, BadRow))
        return readable or list(islice(further, FIRST_ROWS))

    @cached_property
    def columns(self) -> list[Column]:
        """The columns of the first rows, in the order in which they appear; parts of nested cells stand behind them."""
        names = dict.fromkeys(name for row in self.first for name in row)
        if len(names) > MAX_COLUMNS:
            raise DataError("data.too_many_columns", name=self.path.name, count=len(names), most=MAX_COLUMNS)
        columns = []
        for name in names:
            types = dict.fromkeys(_type(row.get(name)) for row in self.first)
            types.pop("empty", None)
            columns.append(Column(name, " | ".join(types) or "empty"))
        return columns + [Column(name, "text") for name in _nested(self.first)]

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [column.name for column in self.columns]

    @property
    def sheets(self) -> list[str]:
        """The names of a workbook's sheets; empty for other files."""
        return self.reader.sheets if isinstance(self.reader, Spreadsheet) else []

    @property
    def count(self) -> int:
        """Number of rows, counted in one pass over the file at first use."""
        return self.index()

    def index(self, on_progress: OnProgress = lambda share: None) -> int:
        """Find all rows, calling `on_progress` with the share done, and return how many there are."""
        return self.reader.index(on_progress) if self.reader.count is None else self.reader.count

    def row(self, number: int) -> Row | BadRow:
        """Return row `number` (0 is the first); beyond the last one, they begin again at the first."""
        row = next(self.reader.rows(number, number + 1), None)
        return row if row is not None else next(self.reader.rows(number % self.count))

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row | BadRow]:
        """Yield the rows from `start` to before `stop`."""
        return self.reader.rows(start, stop)

    @cached_property
    def sha256(self) -> str:
        """The hash of the file's bytes."""
        return sha256(self.path)


def path_of(source: SourceConfig, limit: int | None = None) -> Path:
    """Return the file of a source, the first `limit` rows of a dataset of the Hub; raises DataError."""
    if source.kind == "bundled":
        return presets.data_file(source.name)
    if source.kind == "hub":
        return hub_datasets.fetch(source, limit)
    path = Path(source.name).expanduser()
    if not path.is_file():
        raise DataError("data.no_file", path=source.name)
    return path


def sibling(source: SourceConfig, name: str) -> SourceConfig:
    """Return another file as a source; the encoding that `source` names stands in where the file's is not clear."""
    try:
        encodings.detect(Path(name).expanduser())
    except (OSError, DataError):
        return SourceConfig(kind="file", name=name, encoding=source.encoding)
    return SourceConfig(kind="file", name=name)


def is_local(data: DataConfig) -> bool:
    """Whether the rows can be read without the Hub."""
    limit = data.limit if data.pick == "first" else None
    return data.source.kind != "hub" or hub_datasets.is_cached(data.source, limit)


def open_table(source: SourceConfig) -> Table:
    """Open a source; only its beginning is read. Raises DataError that says what is wrong with the file."""
    return open_file(path_of(source), source)


def open_file(path: Path, source: SourceConfig | None = None) -> Table:
    """Open a file as a table, in the encoding and with the sheet that `source` names, if any; raises DataError."""
    file_format = path.suffix.lower().lstrip(".")
    if file_format not in FORMATS:
        raise DataError("data.format", name=path.name, formats=", ".join(FORMATS))
    if path.stat().st_size == 0:
        raise DataError("data.empty", name=path.name)
    _require_format(path, file_format)
    chosen = source.encoding if source else None
    if source and source.sheet is not None and file_format != "xlsx":
        raise DataError("data.no_sheets", name=path.name, sheet=source.sheet)
    encoding, notes = "", []
    if file_format in _TEXT_FORMATS:
        encoding = encodings.detect(path, chosen, can_choose=source is not None)
        if chosen and (other := encodings.clearly_other(path, encoding)):
            notes.append(message("data.encoding_doubtful", encoding=encoding, other=other))
        elif encoding != "utf-8":
            notes.append(message("data.encoding", encoding=encoding))
    reader = _reader(path, file_format, encoding, source.sheet if source else None)
    table = Table(path, file_format, encoding, reader)
    if not table.names:
        _refuse(path, reader)
    if MessageTree.COLUMNS.issubset(table.names):
        table = Table(path, file_format, encoding, MessageTree(reader))
        notes.append(message("data.tree"))
    table.notes = [*notes, *reader.notes]
    return table


def _refuse(path: Path, reader: Reader) -> None:
    """Raise DataError that says why no row of a file can be read."""
    bad = next(iter(reader.rows(0, 1)), None)
    if not isinstance(bad, BadRow):
        raise DataError("data.empty" if bad is None else "data.empty_rows", name=path.name)
    reader.index()
    line = reader.line_of(0) if isinstance(reader, lines.LineReader) else 1
    place, text = {"name": path.name, "line": line}, bad.text.strip()[:60]
    if bad.kind == "bad_json":
        raise DataError("data.json", detail=f"{bad.detail}: {text}", **place)
    why = message(f"problems.{bad.kind}.what", count=1, share="100%", rows=1)
    raise DataError("data.no_readable_row", why=why, text=text, **place)


def _reader(path: Path, file_format: str, encoding: str, sheet: str | None) -> Reader:
    if encoding and not _has_line_ends(path, encoding, file_format):
        path, encoding = _as_utf8(path, encoding), "utf-8"
    if file_format in ("csv", "tsv"):
        return delimited.Delimited(path, encoding, tabs=file_format == "tsv")
    if file_format in ("json", "jsonl"):
        return documents.reader(path, encoding)
    if file_format == "txt":
        return lines.RowPerLine(path, encoding, lambda line: {"text": line.rstrip("\r\n")})
    if file_format == "xlsx":
        return Spreadsheet(path, sheet)
    return columnar.Columnar(path)


def _has_line_ends(path: Path, encoding: str, file_format: str) -> bool:
    """Whether a file can be read a line at a time as it is."""
    if encoding.startswith(("utf-16", "utf-32", "iso2022", "hz")):  # any byte may be a line feed's
        return False
    with open(path, "rb") as file:
        head = file.read(encodings.CHUNK)
    if file_format in ("csv", "tsv"):
        return b"\n" in head or b"\r" not in head
    return not re.search(rb"\r[^\n]", head)


def _as_utf8(path: Path, encoding: str) -> Path:
    """Return a copy of a file in UTF-8 with line feeds at the ends of lines; damaged letters stay damaged."""
    copy = user_cache("utf-8") / f"{sha256(path)}-{encoding}{path.suffix.lower()}"
    if not copy.exists():
        require_size(path.name, path.stat().st_size)
        content = path.read_bytes()
        try:
            text = content.decode(encoding, "surrogatepass" if encoding.startswith("utf") else "surrogateescape")
        except UnicodeDecodeError:
            text = content.decode(encoding, "replace").replace("\ufffd", "\udcff")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        replace_file(copy, text.encode("utf-8", "surrogatepass"))
    return copy


def _type(cell: Any) -> str:
    if cell is None or cell == "":
        return "empty"
    kinds = {"number": (bool, int, float), "text": str, "list": list, "object": dict}
    return next((name for name, kind in kinds.items() if isinstance(cell, kind)), "other")


def _nested(rows: list[Row]) -> list[str]:
    """Return the text cells inside objects, and inside the first object of lists, as dotted paths."""
    paths: dict[str, None] = {}
    for row in rows[:20]:
        for name, cell in row.items():
            inner, prefix = (cell[0], f"{name}.0") if isinstance(cell, list) and cell else (cell, name)
            if isinstance(inner, dict) and not {"role", "from"} & set(inner):
                paths.update(dict.fromkeys(f"{prefix}.{key}" for key, value in inner.items() if isinstance(value, str)))
    return list(paths)


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


def _require_format(path: Path, file_format: str) -> None:
    """Raise DataError with the real type of a file where that is not the format of its name."""
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    if head.startswith(_LFS):
        raise DataError("data.lfs", name=path.name)
    kind = next((kind for kind, magic in _MAGIC.items() if head.startswith(magic)), None)
    if kind == "zip":
        kind = _kind_of_zip(path)
    elif kind == "ole":  # an encrypted workbook has an entry in its directory (MS-OFFCRYPTO)
        sector = 1 << min(int.from_bytes(head[30:32], "little"), 12)
        with open(path, "rb") as file:
            file.seek((int.from_bytes(head[48:52], "little") + 1) * sector)
            kind = "locked" if "EncryptedPackage".encode("utf-16-le") in file.read(_HEAD) else "xls"
    elif kind is None and head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_MARKUP):
        kind = "markup"
    elif kind is None and file_format in _BINARY and not head.startswith(b"PK"):
        kind = None if re.search(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]", head) else "text"
    if kind in (None, file_format) or (kind == "markup" and file_format == "txt"):
        return
    words = {"kind": message(f"data.kind.{kind}"), "advice": message(f"data.kind_advice.{kind}")}
    raise DataError("data.other_kind", name=path.name, expected=_NAMES[file_format], **words)


def _kind_of_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as parts:
            names = parts.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "xlsx" if path.suffix.lower() == ".xlsx" else "zip"  # a damaged one is reported by its reader
    if any(name.startswith("xl/") for name in names):
        return "xlsx"
    return "ods" if "content.xml" in names else "zip"
