"""Read the rows of a data set: bundled ones, and files in CSV, TSV, JSON or JSON lines.

Files are opened here and parsed from the open handle, with our own readers: no URL is followed, and every cell stays
what the file says (`None`, `NA` and `00123` are text).
"""

import codecs
import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from studio import presets
from studio.config import SourceConfig
from studio.errors import DataError
from studio.files import sha256
from studio.i18n import Message, message

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
MAX_CELL = 10_000_000
"""Longest cell that the CSV reader takes, in characters."""


@dataclass(frozen=True)
class Table:
    """The rows of a data set, in the order of the file."""

    rows: list[dict[str, Any]]
    columns: list[str]
    path: Path
    file_format: str
    encoding: str
    notes: list[Message] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        """The hash of the file's bytes."""
        return sha256(self.path)


def path_of(source: SourceConfig) -> Path:
    """Return the file of a source; raises DataError when it is not there."""
    if source.kind == "bundled":
        return presets.data_file(source.name)
    path = Path(source.name).expanduser()
    if not path.is_file():
        raise DataError("data.no_file", path=source.name)
    return path


def read(source: SourceConfig, limit: int | None = None) -> Table:
    """Read the first `limit` rows of a source, or all; raises DataError that says where the file is wrong."""
    path = path_of(source)
    file_format = path.suffix.lower().lstrip(".")
    reader = _READERS.get(file_format)
    if reader is None:
        raise DataError("data.format", name=path.name, formats=", ".join(_READERS))
    text, encoding = _decode(path)
    notes = [] if encoding == "utf-8" else [message("data.encoding", encoding=encoding)]
    rows = list(islice(reader(text, path.name), limit))
    if not rows:
        raise DataError("data.empty", name=path.name)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return Table(rows, columns, path, file_format, encoding, notes)


def _decode(path: Path) -> tuple[str, str]:
    """Decode a file: byte order mark, then UTF-8, then CP949 (the encoding of Korean Excel)."""
    data = path.read_bytes()
    marked = next((encoding for bom, encoding in _BOMS if data.startswith(bom)), None)
    for encoding in (marked,) if marked else ("utf-8", "cp949"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            line = text.count("\n", 0, text.index("\0")) + 1
            raise DataError("data.nul", name=path.name, line=line)
        return text, encoding
    raise DataError("data.encoding", name=path.name)


def _read_csv(text: str, name: str) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(MAX_CELL)
    first_lines = text[:20_000]
    try:
        dialect: Any = csv.Sniffer().sniff(first_lines, delimiters=",;\t|")
        delimiter = dialect.delimiter
    except csv.Error:
        delimiter = ","
    header_line = first_lines.splitlines()[0] if first_lines else ""
    if delimiter not in header_line:  # a sniffer that was led astray by the text of the cells
        delimiter = max(",\t;|", key=header_line.count)
    yield from _read_delimited(text, name, delimiter)


def _read_tsv(text: str, name: str) -> Iterator[dict[str, Any]]:
    yield from _read_delimited(text, name, "\t")


def _read_delimited(text: str, name: str, delimiter: str) -> Iterator[dict[str, Any]]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    started = 1
    try:
        header = [column.strip() for column in next(lines, [])]
        twice = [column for column, count in Counter(header).items() if count > 1]
        if twice:
            raise DataError("data.column_twice", name=name, column=twice[0])
        for cells in lines:
            if cells and len(cells) != len(header):
                raise DataError(
                    "data.ragged",
                    name=name,
                    line=started + 1,
                    found=len(cells),
                    wanted=len(header),
                    text=delimiter.join(cells)[:80],
                )
            started = lines.line_num
            if cells:
                yield dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DataError("data.csv", name=name, line=started + 1, detail=str(error)) from error


def _read_json(text: str, name: str) -> Iterator[dict[str, Any]]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        if error.lineno == 2 and error.msg == "Extra data":  # JSON lines under the wrong name
            yield from _read_jsonl(text, name)
            return
        raise DataError("data.json", name=name, line=error.lineno, detail=error.msg) from error
    if isinstance(content, dict):
        lists = [value for value in content.values() if isinstance(value, list)]
        content = lists[0] if len(lists) == 1 else content
    if not isinstance(content, list):
        raise DataError("data.json_shape", name=name)
    for number, row in enumerate(content, start=1):
        yield _as_row(row, name, number)


def _read_jsonl(text: str, name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError("data.json", name=name, line=number, detail=error.msg) from error
            yield _as_row(row, name, number)


def _as_row(row: Any, name: str, number: int) -> dict[str, Any]:
    if isinstance(row, list) and row and isinstance(row[0], dict):  # a bare conversation
        return {"messages": row}
    if not isinstance(row, dict):
        raise DataError("data.row", name=name, row=number, found=type(row).__name__)
    return {str(column).strip(): value for column, value in row.items()}


_READERS = {"csv": _read_csv, "tsv": _read_tsv, "json": _read_json, "jsonl": _read_jsonl}
