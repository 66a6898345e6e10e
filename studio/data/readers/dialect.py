"""How a delimited file is written: its separator, whether cells stand in quotes, and where the header is.

None of it is declared in the file, so each way of reading is tried on a sample. The one that is taken is the one in
which the records have as many cells as the header, and the quotes are opened and closed where they must be.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from studio.data.readers.base import MAX_ROW_BYTES
from studio.i18n import Message, message

DELIMITERS = ",\t;|"
_SAMPLE = 1 << 18
_CHUNK = 16 << 20
_CONSISTENT = 0.995
_SEP = re.compile(rb'"?sep=(.)"?[,;\t]*\r?\n', re.IGNORECASE)
"""The line that tells Excel the separator, above the header."""
_ERRORS = 100
"""Misplaced quotes after which a way of reading is given up."""
_RETURN = re.compile(rb"(?<=\r)(?!\n)(?=.)", re.DOTALL)
_BACKSLASHES = re.compile(r'(?<!\\)(\\++)"')


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


def detect(path: Path, codec: str, begin: int, tabs: bool) -> Dialect:
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
    return replace(_quoting(lines, delimiter, tabs), begin=begin)


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
                    lines_taken, done = reader.line_num - done, reader.line_num
                    self.spanning += lines_taken > 1
                    if len(cells) >= len(self.first) and not any(cells[len(self.first) :]):
                        self.fitting += lines_taken
                break
            except csv.Error:
                self.errors += 1
                at += done + 1
        self.width = len(self.first)
        self.share = self.fitting / max(len(lines), 1)


def _quoting(lines: list[str], delimiter: str, tabs: bool) -> Dialect:
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
