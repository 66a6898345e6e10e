"""CSV and its like, read a record at a time. The file itself stays on the disk.

How it is written is not declared in a file: its separator, whether cells stand in quotes, and where the header is. So
each way of reading is tried on a sample. The one that is taken is the one in which the records have as many cells as
the header, and the quotes are opened and closed where they must be.
"""

import csv
import re
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from typing_extensions import override

from studio.data.readers.base import MAX_COLUMNS, MAX_ROW_BYTES, BadRow, OnProgress, RepairedRow, Row, require_unique
from studio.data.readers.lines import LineReader, read_lines
from studio.data.vocabulary import VOCABULARY
from studio.errors import DataError
from studio.i18n import Message, message

_RETRIED = 64 << 20
"""Bytes that are read again behind quotes that swallow lines, before the file is refused."""
_MOST_BAD = 50_000
"""Records with a misplaced quote, one after another, before the file is refused."""
_SAMPLED = 200
"""Records that tell whether a column without a name holds anything."""
DELIMITERS = ",\t;|"
_SAMPLE = 1 << 18
_CHUNK = 16 << 20
_CONSISTENT = 0.995
_SEP = re.compile(rb'"?sep=(.)"?[,;\t]*\r?\n', re.IGNORECASE)
"""The line that tells Excel the separator, above the header."""
_READS = re.compile(r"[.?!\u2026\u3002\uff1f\uff01][\"'\u201d\u2019)]*\Z|.{60}", re.DOTALL).search
"""Finds in a cell what names of columns seldom have: the end of a sentence, or sixty letters."""
_KNOWN = frozenset(name for names in VOCABULARY["columns"].values() for name in names)
_ERRORS = 100
"""Misplaced quotes after which a way of reading is given up."""
_RETURN = re.compile(rb"(?<=\r)(?!\n)(?=.)", re.DOTALL)
_BACKSLASHES = re.compile(r'(?<!\\)(\\++)"')


class _LongLine(csv.Error):
    """A line is longer than a record may be."""


@dataclass(frozen=True)
class Dialect:
    """How records are written."""

    delimiter: str
    quoted: bool
    """Whether a quote at the beginning of a cell opens one; else it is a letter like others."""
    backslash: bool = False
    """Whether a quote inside a cell stands behind a backslash, in place of being written twice."""
    spaces: bool = False
    """Whether spaces between a separator and a quote are no part of the cell."""
    begin: int = 0
    """Byte at which the header starts."""
    note: Message | None = None

    def reader(self, lines: Iterable[str]) -> Any:
        """Return a `csv.reader` of the records in `lines`; it raises csv.Error where a quote is out of place."""
        csv.field_size_limit(MAX_ROW_BYTES)
        if not self.quoted:
            return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)
        if self.backslash:
            # a quote behind an odd number of backslashes becomes two quotes without the last backslash
            lines = (_BACKSLASHES.sub(lambda m: m[1][:-1] + '""' if len(m[1]) % 2 else m[0], line) for line in lines)
        return csv.reader(lines, delimiter=self.delimiter, strict=True, skipinitialspace=self.spaces)


def pieces(line: bytes) -> list[bytes]:
    """Return a line that ends in a line feed, cut behind every carriage return that ends a line by itself."""
    return [line] if line.find(b"\r", 0, -2) < 0 else _RETURN.split(line)


class _Record(NamedTuple):
    start: int
    end: int
    cells: list[str] | None
    bad: BadRow | None


class Delimited(LineReader):
    """CSV and its like. The first record is the header; a column without a name gets one, or goes where it is empty."""

    def __init__(self, path: Path, encoding: str, tabs: bool):
        super().__init__(path, encoding)
        self._dialect = detect_dialect(path, self._codec, self._begin, tabs)
        if self._dialect.note:
            self.notes.append(self._dialect.note)
        with self._open() as file:
            file.seek(self._dialect.begin)
            header = next((record for record in self._records(file) if record.cells or record.bad), None)
        if header and header.bad and header.bad.kind == "too_long":
            raise DataError("data.long_header", name=path.name, most=f"{MAX_ROW_BYTES:,}")
        if header and header.bad:
            raise DataError("data.open_quote", name=path.name, line=self._line_at(header.start))
        if header:
            self._begin = header.end
        self._names = [cell.strip() for cell in (header.cells if header else None) or ()]
        if len(self._names) > MAX_COLUMNS:
            raise DataError("data.too_many_columns", name=path.name, count=len(self._names), most=MAX_COLUMNS)
        require_unique(path.name, filter(None, self._names))
        if len(self._names) > 1 and not _KNOWN & {*map(str.lower, self._names)} and any(map(_READS, self._names)):
            self.notes.append(message("data.header_reads_like_row"))
        self._name_columns()

    def _name_columns(self) -> None:
        """Name the columns without a name that hold something, and drop the others."""
        unnamed = [place for place, name in enumerate(self._names) if not name]
        if not unnamed:
            return
        with self._open() as file:
            file.seek(self._begin)
            sample = [(record.cells or [])[: len(self._names)] for record in islice(self._records(file), _SAMPLED)]
        full = [place for place in unnamed if any(len(row) > place and row[place].strip() for row in sample)]
        for place in full:
            name = f"column {place + 1}"
            self._names[place] = name if name not in self._names else f"{name} (without a name)"
        if full:
            named = ", ".join(self._names[place] for place in full)
            self.notes.append(message("data.columns_named", columns=named))
        if len(full) < len(unnamed):
            self.notes.append(message("data.columns_dropped", count=len(unnamed) - len(full)))

    @override
    def _parse(self, file: Any) -> Iterator[Row | BadRow]:
        names = self._names
        for record in self._records(file):
            cells = record.cells or []
            if record.bad:
                yield record.bad
            elif not cells:
                continue
            elif any(names[len(cells) :]) or any(cell.strip() for cell in cells[len(names) :]):
                yield BadRow("ragged", self._dialect.delimiter.join(cells))
            else:
                row = {name: cell for name, cell in zip(names, cells, strict=False) if name}
                lost = len(row) < len(cells) and any(c.strip() for n, c in zip(names, cells, strict=False) if not n)
                if row:
                    yield RepairedRow(row, "cell_without_column") if lost else row

    @override
    def _find(self, on_progress: OnProgress) -> Any:
        if not self._dialect.quoted and not self._has_lone_returns():
            return super()._find(on_progress)
        size = max(self.path.stat().st_size, 1)
        starts = array("q")
        with self._open() as file:
            file.seek(self._begin)
            for number, record in enumerate(self._records(file)):
                if record.cells or record.bad:
                    starts.append(record.start)
                if number % 10_000 == 0:
                    on_progress(record.start / size)
        return starts

    def _has_lone_returns(self) -> bool:
        """Whether some lines end in a carriage return alone."""
        with self._open() as file:
            lone, before = re.compile(rb"\r[^\n]"), b""
            while chunk := file.read(16 << 20):
                if b"\r" in chunk and lone.search(before + chunk):
                    return True
                before = chunk[-1:]
        return False

    def _records(self, file: Any) -> Iterator[_Record]:
        """Yield the records from the file's position on; lines that a misplaced quote swallowed are read again."""
        end = file.tell()
        retried = bad_in_a_row = 0
        record_lines: list[bytes] = []
        damage = ""
        raws = read_lines(file)
        pending: deque[bytes] = deque()
        """Lines that were read from the file and belong to no record yet."""

        def lines() -> Iterator[str]:
            nonlocal end, damage
            while pending or (raw := next(raws, b"")):
                if not pending:
                    pending.extend([raw] if len(raw) > MAX_ROW_BYTES else pieces(raw))
                if record_lines and end - start + len(pending[0]) > MAX_ROW_BYTES:
                    raise csv.Error("the record is too long")
                piece = pending.popleft()
                record_lines.append(piece)
                if len(piece) > MAX_ROW_BYTES:
                    end = file.tell()
                    raise _LongLine
                end += len(piece)
                if b"\0" in piece:
                    damage = "nul"
                try:
                    text = piece.decode(self._codec)
                except UnicodeDecodeError:
                    damage, text = "bad_letters", piece.decode(self._codec, "replace")
                yield text

        reader = self._dialect.reader(lines())
        while True:
            start, cells, bad, damage = end, None, None, ""
            record_lines.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                kind = "too_long" if isinstance(error, _LongLine) else "bad_csv"
                bad = BadRow(kind, record_lines[0][:500].decode(self._codec, "replace"), str(error))
            if cells and damage:
                bad = BadRow(damage, self._dialect.delimiter.join(cells).replace("\0", ""))
            if cells and len(record_lines) == 1 and not record_lines[0].strip():
                cells = []
            if cells is not None:
                bad_in_a_row = 0
            else:  # the lines behind the one in which the record began are read again
                bad_in_a_row += 1
                retried += end - start if len(record_lines) > 1 else 0
                if retried > _RETRIED or bad_in_a_row > _MOST_BAD:
                    raise DataError("data.open_quote", name=self.path.name, line=self._line_at(start))
                if len(record_lines) > 1:
                    end = start + len(record_lines[0])
                    pending.extendleft(reversed(record_lines[1:]))
                reader = self._dialect.reader(lines())
            yield _Record(start, end, cells, bad)


def detect_dialect(path: Path, codec: str, begin: int, tabs: bool) -> Dialect:
    """Find out how a file is written from its beginning, and from where its first quoted cell is; `tabs` is for TSV.

    `begin` is the byte at which the text starts, behind a byte order mark.
    """
    with open(path, "rb") as file:
        file.seek(begin)
        head = file.read(_SAMPLE)
    declared = _SEP.match(head)
    if declared:
        head, begin = head[declared.end() :], begin + declared.end()
    lines = _lines(head, codec)
    delimiter = declared[1].decode("latin-1") if declared else _delimiter(lines, tabs)
    first = _first_quoted(path, begin, delimiter)
    if first is None:
        return Dialect(delimiter, quoted=False, begin=begin)
    if first > begin + len(head) - _SAMPLE // 10:
        with open(path, "rb") as file:
            file.seek(first)
            lines = [*lines[:1], *_lines(file.read(_SAMPLE), codec)]
    return replace(_detect_quoting(lines, delimiter, tabs), begin=begin)


def _lines(sample: bytes, codec: str) -> list[str]:
    raw = [piece for line in sample.splitlines(keepends=True) for piece in pieces(line)]
    if len(sample) >= _SAMPLE and len(raw) > 1:
        raw.pop()  # it may be cut
    return [line.decode(codec, "replace") for line in raw if line.strip()]


def _delimiter(lines: list[str], tabs: bool) -> str:
    """Return the separator that is in the header and cuts most lines into as many cells; in a TSV, rather a tab."""
    usual = "\t" if tabs else ","
    if not lines or (tabs and "\t" in lines[0]):
        return usual

    def fitting(delimiter: str) -> tuple[float, int]:
        readings = [_Reading(lines[:300], Dialect(delimiter, quoted)) for quoted in (True, False)]
        width = max(reading.width for reading in readings)
        return (max(reading.share for reading in readings if reading.width == width), width) if width > 1 else (0.0, 0)

    scores = {delimiter: fitting(delimiter) for delimiter in DELIMITERS}
    best = max(scores, key=lambda delimiter: scores[delimiter])
    return best if scores[best][1] else usual


def _first_quoted(path: Path, begin: int, delimiter: str) -> int | None:
    """Return the byte at which the first line starts that has a cell beginning with a quote; None without one."""
    pattern = re.compile(rb"[\r\n" + re.escape(delimiter.encode()) + rb'] *"')
    with open(path, "rb") as file:
        file.seek(begin)
        at, before = begin, b"\n"
        while chunk := file.read(_CHUNK):
            chunk = before + chunk
            if b'"' in chunk and (match := pattern.search(chunk)):
                return max(begin, at - len(before) + chunk.rfind(b"\n", 0, match.end() - 1) + 1)
            at += len(chunk) - len(before)
            before = chunk[-8:]
    return None


class _Reading:
    """A sample of lines, read in one way: behind an error, from the line after that at which its record began."""

    def __init__(self, lines: list[str], dialect: Dialect):
        self.rows: list[list[str]] = []
        self.first: list[str] = []
        self.fitting = self.errors = self.spanning = 0
        """Lines of the records that have as many cells as the first one; and records of several lines."""
        at = 0
        while at < len(lines) and self.errors < _ERRORS:
            reader, done = dialect.reader(islice(lines, at, None)), 0
            try:
                for cells in reader:
                    self.first = self.first or cells
                    self.rows.append(cells)
                    count, done = reader.line_num - done, reader.line_num
                    self.spanning += count > 1
                    if len(cells) >= len(self.first) and not any(cells[len(self.first) :]):
                        self.fitting += count
                break
            except csv.Error:
                self.errors += 1
                at += done + 1
        self.width = len(self.first)
        self.share = self.fitting / max(len(lines), 1)


def _detect_quoting(lines: list[str], delimiter: str, tabs: bool) -> Dialect:
    """Choose between the ways of reading quotes."""
    plain, quoted = Dialect(delimiter, quoted=False), Dialect(delimiter, quoted=True)
    ways = [quoted]
    if any('\\"' in line for line in lines):
        ways.append(replace(quoted, backslash=True))
    if any(f'{delimiter} "' in line for line in lines) and delimiter != " ":
        ways += [replace(way, spaces=True) for way in ways]
    read = [(way, _Reading(lines, way)) for way in ways]
    way, best = min(read, key=lambda pair: (pair[1].errors, -pair[1].share))
    literal = _Reading(lines, plain)
    as_letters = replace(plain, note=message("data.quotes_are_letters"))
    rows = [row for row in literal.rows[1:] if len(row) == literal.width]
    columns = [[cell.strip() for cell in column if cell.strip()] for column in zip(*rows, strict=True)]
    in_quotes = (literal.first and all(map(_in_quotes, literal.first))) or any(
        len(cells) > 1 and sum(map(_in_quotes, cells)) >= 0.9 * len(cells) for cells in columns
    )
    if in_quotes and best.errors <= len(literal.rows) / 20 + 1:  # a writer's, nearly all of which are closed
        return way
    if literal.width > 1 and literal.share >= _CONSISTENT and (best.errors or best.spanning):
        return as_letters
    if tabs and literal.share >= best.share:  # quotes around cells that hold nothing that needs them
        cells = (cell.strip() for row in literal.rows[1:] for cell in row)
        if any(_in_quotes(cell) and '"' not in cell[1:-1] and delimiter not in cell for cell in cells):
            return as_letters
    return as_letters if best.errors and literal.fitting > best.fitting else way


def _in_quotes(cell: str) -> bool:
    return len(cell) > 1 and cell.startswith('"') and cell.endswith('"')
