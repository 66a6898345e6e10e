"""Formats whose rows begin at line starts: JSON lines, plain text, CSV. The file itself stays on the disk."""

import csv
import json
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from typing_extensions import override

from studio.data.readers.base import BadRow, Going, Reader, Row, as_row
from studio.errors import DataError

MAX_CELL = 10_000_000
"""Longest cell of a CSV file, in characters."""
_BATCH = 1 << 20
_SHORT = 64
"""Lines of fewer bytes are looked at, whether they are empty."""


class _LineReader(Reader):
    """A reader of a format whose rows begin at line starts. It keeps the byte and the line at which each row starts."""

    _begin = 0
    """Byte at which the first row can start."""
    _first_line = 1
    """Its line, counted from 1."""

    def __init__(self, path: Path, encoding: str):
        super().__init__(path)
        self.encoding = encoding
        self._codec = "utf-8" if encoding == "utf-8-sig" else encoding
        if encoding == "utf-8-sig":
            self._begin = 3
        self._starts: Any = None
        self._lines: Any = None

    def _parse(self, file: Any) -> Iterator[Row | BadRow]:
        """Yield the rows from the file's position on."""
        raise NotImplementedError

    def _skip(self, file: Any, rows: int) -> None:
        """Go past some rows, without reading what they hold where that can be done."""
        for _ in islice(self._parse(file), rows):
            pass

    @override
    def index(self, going: Going = lambda share: None) -> int:
        if self.count is None:
            self._starts, self._lines = self._find(going)
            self.count = len(self._starts)
        return self.count

    def _find(self, going: Going) -> tuple[Any, Any]:
        """Return the byte and the line at which each row starts: here, each line that is not empty.

        A gigabyte takes about a second, since only the short lines are looked at one by one.
        """
        import numpy

        size = max(self.path.stat().st_size, 1)
        ends = [numpy.zeros(0, dtype=numpy.int64)]
        with self._open() as file:
            file.seek(self._begin)
            done = self._begin
            while chunk := file.read(16 << 20):
                ends.append(numpy.flatnonzero(numpy.frombuffer(chunk, dtype=numpy.uint8) == ord("\n")) + done + 1)
                done += len(chunk)
                going(done / size)
            starts = numpy.concatenate(([self._begin], *ends))
            lengths = numpy.diff(numpy.concatenate((starts, [done])))
            kept = lengths > 0
            for line in numpy.flatnonzero(kept & (lengths < _SHORT)):
                file.seek(starts[line])
                kept[line] = bool(file.read(lengths[line]).strip())
        return starts[kept], numpy.flatnonzero(kept) + self._first_line

    @override
    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row | BadRow]:
        with self._open() as file:
            file.seek(self._begin)
            if self.count is None:
                self._skip(file, start)
            elif start < self.count:
                file.seek(int(self._starts[start]))
            else:
                return
            yield from islice(self._parse(file), None if stop is None else max(stop - start, 0))

    def line_of(self, row: int) -> int:
        """Return the line of the file, counted from 1, on which row number `row` begins; after `index`."""
        return int(self._lines[row])

    def _open(self) -> Any:
        return open(self.path, "rb", buffering=_BATCH)


class _LinePerRow(_LineReader):
    """A reader of a format with a row a line; empty lines are none."""

    def _row(self, line: str) -> Row | BadRow:
        raise NotImplementedError

    @override
    def _parse(self, file: Any) -> Iterator[Row | BadRow]:
        for line in file:
            if line.strip():
                try:
                    yield self._row(line.decode(self._codec))
                except UnicodeDecodeError:
                    yield BadRow("bad_letters", line.decode(self._codec, "replace"))

    @override
    def _skip(self, file: Any, rows: int) -> None:
        while rows and (line := file.readline()):
            rows -= bool(line.strip())


class JsonLines(_LinePerRow):
    """One JSON object a line; a line that is a list of turns is a row with the column `messages`."""

    @override
    def _row(self, line: str) -> Row | BadRow:
        try:
            return as_row(json.loads(line))
        except (json.JSONDecodeError, RecursionError):
            return BadRow("bad_json", line)


class TextLines(_LinePerRow):
    """A plain text file: each line that is not empty is a row with the column `text`."""

    @override
    def _row(self, line: str) -> Row | BadRow:
        return {"text": line.rstrip("\r\n")}


class Delimited(_LineReader):
    """CSV and its like. The first record is the header."""

    def __init__(self, path: Path, encoding: str, delimiter: str):
        super().__init__(path, encoding)
        self._delimiter = delimiter
        with self._open() as file:
            file.seek(self._begin)
            header = next(self._records(file), None)
        cells = header.cells if header else []
        self.header = [cell.strip() for cell in cells or []]
        if header:
            self._begin, self._first_line = header.end, header.line_after
        twice = [column for column, count in Counter(self.header).items() if count > 1]
        if twice:
            raise DataError("data.column_twice", name=path.name, column=twice[0])

    @override
    def _parse(self, file: Any) -> Iterator[Row | BadRow]:
        for record in self._records(file):
            if row := self._row(record):
                yield row

    def _row(self, record: "_Record") -> Row | BadRow | None:
        if record.bad or not record.cells:
            return record.bad
        if len(record.cells) != len(self.header):
            return BadRow("ragged", self._delimiter.join(record.cells))
        return dict(zip(self.header, record.cells, strict=True))

    @override
    def _find(self, going: Going) -> tuple[Any, Any]:
        if not self._has_quotes():
            return super()._find(going)
        import numpy

        size = max(self.path.stat().st_size, 1)
        starts, lines = array("q"), array("q")
        with self._open() as file:
            file.seek(self._begin)
            line = self._first_line
            for number, record in enumerate(self._records(file)):
                if record.cells or record.bad:
                    starts.append(record.start)
                    lines.append(line)
                line = self._first_line + record.line_after - 1
                if number % 10_000 == 0:
                    going(record.start / size)
        return numpy.asarray(starts), numpy.asarray(lines)

    def _has_quotes(self) -> bool:
        """Whether a record may span several lines."""
        with self._open() as file:
            return any(b'"' in chunk for chunk in iter(lambda: file.read(16 << 20), b""))

    def _records(self, file: Any) -> Iterator["_Record"]:
        """Yield the records from the file's position on; their lines are counted from there."""
        csv.field_size_limit(MAX_CELL)
        end = file.tell()
        line_after = 1

        def lines() -> Iterator[str]:
            nonlocal end, line_after
            for raw in file:
                end += len(raw)
                line_after += 1
                yield raw.decode(self._codec)

        records = csv.reader(lines(), delimiter=self._delimiter, strict=True)
        while True:
            start, cells, bad = end, None, None
            try:
                cells = next(records)
            except StopIteration:
                return
            except UnicodeDecodeError as error:
                bad = BadRow("bad_letters", error.object[:200].decode(self._codec, "replace"))
            except csv.Error as error:
                if "end of data" in str(error):  # a quote that is never closed has swallowed the rest
                    raise DataError("data.open_quote", name=self.path.name, line=self._line_at(start)) from error
                bad = BadRow("bad_csv", str(error))
            yield _Record(start, end, line_after, cells, bad)
            if bad:
                records = csv.reader(lines(), delimiter=self._delimiter, strict=True)

    def _line_at(self, byte: int) -> int:
        with open(self.path, "rb") as file:
            return file.read(byte).count(b"\n") + 1


@dataclass(frozen=True)
class _Record:
    """One record of a delimited file."""

    start: int
    end: int
    line_after: int
    cells: list[str] | None
    bad: BadRow | None
