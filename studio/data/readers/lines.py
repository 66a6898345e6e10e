"""Formats whose rows begin at line starts: JSON lines and plain text. The file itself stays on the disk."""

import ast
import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from typing_extensions import override

from studio.data.readers.base import MAX_ROW_BYTES, BadRow, OnProgress, Reader, Row, as_row

MAX_LITERAL = 1_000_000
"""Longest line of Python's literals, in characters: a syntax tree takes some hundred bytes for each."""
_BATCH = 1 << 20
_SHORT_LINE_BYTES = 64
"""Lines of fewer bytes are read to see whether they are empty."""


class LineReader(Reader):
    """A reader of a format whose rows begin at line starts. It keeps the byte at which each row starts."""

    def __init__(self, path: Path, encoding: str):
        super().__init__(path)
        self.encoding = encoding
        self._codec = encoding.removesuffix("-sig")
        self._begin = 3 if encoding == "utf-8-sig" else 0
        """Byte at which the first row can start."""
        self._starts: Any = None

    def _parse(self, file: Any) -> Iterator[Row | BadRow]:
        """Yield the rows from the file's position on."""
        raise NotImplementedError

    def _skip(self, file: Any, rows: int) -> None:
        """Go past some rows, without reading what they hold where that can be done."""
        next(islice(self._parse(file), rows, rows), None)

    @override
    def index(self, on_progress: OnProgress = lambda share: None) -> int:
        if self.count is None:
            self._starts = self._find(on_progress)
            self.count = len(self._starts)
        return self.count

    def _find(self, on_progress: OnProgress) -> Any:
        """Return the byte at which each row starts: here, each line that is not empty."""
        import numpy

        size = max(self.path.stat().st_size, 1)
        ends = [numpy.zeros(0, dtype=numpy.int64)]
        with self._open() as file:
            file.seek(self._begin)
            done = self._begin
            while chunk := file.read(16 << 20):
                ends.append(numpy.flatnonzero(numpy.frombuffer(chunk, dtype=numpy.uint8) == ord("\n")) + done + 1)
                done += len(chunk)
                on_progress(done / size)
            starts = numpy.concatenate(([self._begin], *ends))
            lengths = numpy.diff(numpy.concatenate((starts, [done])))
            is_filled = lengths > 0
            for line in numpy.flatnonzero(is_filled & (lengths < _SHORT_LINE_BYTES)):
                file.seek(starts[line])
                is_filled[line] = bool(file.read(lengths[line]).strip())
        return starts[is_filled]

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
        return self._line_at(int(self._starts[row]))

    def _line_at(self, byte: int) -> int:
        lines = 1
        with open(self.path, "rb") as file:
            while byte > 0 and (chunk := file.read(min(byte, 16 << 20))):
                lines += chunk.count(b"\n")
                byte -= len(chunk)
        return lines

    def _open(self) -> Any:
        return open(self.path, "rb", buffering=_BATCH)


class RowPerLine(LineReader):
    """A reader of a format with a row a line, which `read` makes of it; empty lines are none."""

    def __init__(self, path: Path, encoding: str, read: Callable[[str], Row | BadRow]):
        super().__init__(path, encoding)
        self._read = read

    @override
    def _parse(self, file: Any) -> Iterator[Row | BadRow]:
        for line in read_lines(file):
            if len(line) > MAX_ROW_BYTES:
                yield BadRow("too_long", line[:500].decode(self._codec, "replace"))
            elif line.strip():
                try:
                    text = line.decode(self._codec)
                    yield BadRow("nul", text.replace("\0", "")) if "\0" in text else self._read(text)
                except UnicodeDecodeError:
                    yield BadRow("bad_letters", line.decode(self._codec, "replace"))

    @override
    def _skip(self, file: Any, rows: int) -> None:
        lines = read_lines(file)
        while rows and (line := next(lines, b"")):
            rows -= bool(line.strip())


def read_lines(file: Any) -> Iterator[bytes]:
    """Yield the lines of a binary file from its position on; of one longer than MAX_ROW_BYTES, only one byte more."""
    for line in iter(partial(file.readline, MAX_ROW_BYTES + 1), b""):
        if len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):
            while (rest := file.readline(_BATCH)) and not rest.endswith(b"\n"):
                pass
        yield line


def json_row(line: str, python: bool = False) -> Row | BadRow:
    """Read an object; or a list of turns, as a row with the column `messages`. A comma behind it is passed over.

    With `python`, it may be Python's literal, as `print` writes a dictionary.
    """
    try:
        value = parsed_line(line, python)
    except ValueError as error:
        return BadRow("bad_json", line, getattr(error, "msg", str(error)))
    except RecursionError:
        return BadRow("too_deep", line)
    return as_row(value)


def parsed_line(line: str, python: bool = False) -> Any:
    """Return the value in a line of JSON, or of Python's literals; raises ValueError and RecursionError."""
    try:
        return json.loads(line)
    except ValueError:
        if line.rstrip().endswith("},"):
            return parsed_line(line.rstrip()[:-1], python)
        if not python or len(line) > MAX_LITERAL:
            raise
    try:
        value = ast.literal_eval(line.strip())
        json.dumps(value)  # sets, bytes and complex numbers are no data
    except (SyntaxError, TypeError, MemoryError) as error:
        raise ValueError("neither JSON nor a literal of Python") from error
    return value
