"""Parquet and Arrow, read in a process of its own with little memory."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from studio.data.readers.base import MAX_ROW_BYTES, BadRow, OnProgress, Reader, RepairedRow, Row
from studio.errors import DataError
from studio.model.subprocess_worker import environment

MEMORY = 1 << 30
"""Bytes that it may take to unpack a part of a file: far more than the row groups that writers make."""
_PROGRAM = Path(__file__).with_name("columnar_process.py")


class Columnar(Reader):
    """A Parquet file, an Arrow file, or an Arrow stream as `datasets` writes it."""

    @override
    def index(self, on_progress: OnProgress = lambda share: None) -> int:
        self.count = next(self._read([]))
        return self.count

    @override
    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row | BadRow]:
        yield from self._read([(start, stop)])

    @override
    def rows_at(self, numbers: Sequence[int]) -> list[Row | BadRow]:
        ordered = sorted(set(numbers))
        rows = dict(zip(ordered, self._read([(number, number + 1) for number in ordered] or [(0, 0)]), strict=False))
        return [rows[number] for number in numbers if number in rows]

    def _read(self, spans: list[tuple[int, int | None]]) -> Iterator[Any]:
        """Yield the rows of the spans, or the number of all rows if there are no spans."""
        request = {"path": str(self.path), "most": MAX_ROW_BYTES, "memory": MEMORY, "spans": spans}
        child = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**environment(), "ARROW_DEFAULT_MEMORY_POOL": "system"},
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            with child.stdin, child.stdout:
                child.stdin.write(json.dumps(request).encode() + b"\n")
                child.stdin.close()
                for line in child.stdout:
                    yield from self._values(*json.loads(line.decode("utf-8", "surrogatepass")))
                if child.wait():
                    raise DataError("data.unpacks", name=self.path.name, most=MEMORY >> 20)
        finally:
            child.kill()
            child.wait()

    def _values(self, kind: str, packed: int, value: Any) -> Iterator[Any]:
        if kind == "error":
            key, values = value
            raise DataError(key, name=self.path.name, **values)
        if kind == "count":
            yield value
        elif kind == "too_long":
            yield BadRow(kind, "")
        else:
            noted, rows = value
            for place, row in enumerate(_unpacked(rows) if packed else rows):
                yield RepairedRow(row, "unreadable_cell") if place in noted else row


def _unpacked(cell: Any) -> Any:
    if isinstance(cell, list):
        return [_unpacked(inner) for inner in cell]
    if not isinstance(cell, dict):
        return cell
    if cell.keys() == {"base64"} and isinstance(cell["base64"], str):
        return base64.b64decode(cell["base64"])
    return {name: _unpacked(inner) for name, inner in cell.items()}
