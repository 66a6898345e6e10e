"""CSV and its like, read a record at a time. The file itself stays on the disk."""

import csv
import re
from array import array
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from typing_extensions import override

from studio.data.readers import dialect
from studio.data.readers.base import MAX_COLUMNS, MAX_ROW_BYTES, BadRow, OnProgress, RepairedRow, Row, require_unique
from studio.data.readers.lines import LineReader, read_lines
from studio.errors import DataError
from studio.i18n import message

_RETRIED = 64 << 20
"""Bytes that are read again behind quotes that swallow lines, before the file is refused."""
_MOST_BAD = 50_000
"""Records with a misplaced quote, one after another, before the file is refused."""
_SAMPLED = 200
"""Records that tell whether a column without a name holds anything."""


class _LongLine(csv.Error):
    """A line is longer than a record may be."""


class _Record(NamedTuple):
    start: int
    end: int
    cells: list[str] | None
    bad: BadRow | None


class Delimited(LineReader):
    """CSV and its like. The first record is the header; a column without a name gets one, or goes where it is empty."""

    def __init__(self, path: Path, encoding: str, tabs: bool):
        super().__init__(path, encoding)
        self._dialect = dialect.detect(path, self._codec, self._begin, tabs)
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
        taken: list[bytes] = []
        damage = ""
        raws = read_lines(file)
        pending: deque[bytes] = deque()
        """Lines that were read from the file and belong to no record yet."""

        def lines() -> Iterator[str]:
            nonlocal end, damage
            while pending or (raw := next(raws, b"")):
                if not pending:
                    pending.extend([raw] if len(raw) > MAX_ROW_BYTES else dialect.pieces(raw))
                if taken and end - start + len(pending[0]) > MAX_ROW_BYTES:
                    raise csv.Error("the record is too long")
                piece = pending.popleft()
                taken.append(piece)
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
            taken.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                kind = "too_long" if isinstance(error, _LongLine) else "bad_csv"
                bad = BadRow(kind, taken[0][:500].decode(self._codec, "replace"), str(error))
            if cells and damage:
                bad = BadRow(damage, self._dialect.delimiter.join(cells).replace("\0", ""))
            if cells and len(taken) == 1 and not taken[0].strip():
                cells = []
            if cells is not None:
                bad_in_a_row = 0
            else:  # the lines behind the one in which the record began are read again
                bad_in_a_row += 1
                retried += end - start if len(taken) > 1 else 0
                if retried > _RETRIED or bad_in_a_row > _MOST_BAD:
                    raise DataError("data.open_quote", name=self.path.name, line=self._line_at(start))
                if len(taken) > 1:
                    end = start + len(taken[0])
                    pending.extendleft(reversed(taken[1:]))
                reader = self._dialect.reader(lines())
            yield _Record(start, end, cells, bad)
