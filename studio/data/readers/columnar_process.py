"""Read Parquet and Arrow in a process with little memory: a kilobyte may stand for gigabytes. Run as a file.

Reads one JSON request from standard input, `{"path", "most", "memory", "spans": [[start, stop], …]}`, and prints lines
of JSON, `[kind, packed, value]`, in which `packed` is how many cells are bytes, as `{"base64": …}`:

- `rows`: `[numbers, rows]`, with the numbers (from 0) of those rows in which a cell was replaced by its text
- `too_long`: nothing, for a row of more than `most` bytes
- `count`: the number of rows, where there are no spans
- `error`: `[key, values]` of a message, after which nothing comes
"""

import base64
import datetime
import decimal
import json
import math
import runpy
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import compute, types
from pyarrow.parquet import ParquetFile

BATCH, DECODED, PRINTED = 1000, 32 << 20, 1 << 20
"""Rows, and bytes as far as a file tells them, that are decoded at a time; and bytes that are printed at a time."""
SUFFIX = ".parquet"

Row = dict[str, Any]


class Refused(Exception):
    """The file is refused; the arguments are the key of a message and its values."""


def main() -> int:
    """Answer the request."""
    request = json.loads(sys.stdin.buffer.readline())
    pyarrow.set_cpu_count(1)
    pyarrow.set_io_thread_count(1)
    limits = runpy.run_path(str(Path(__file__).parents[2] / "process_limits.py"))
    try:
        with limits["limiter"]("RLIMIT_DATA")(request["memory"]):
            opened = (Parquet if request["path"].lower().endswith(SUFFIX) else Arrow)(request["path"])
            if not request["spans"]:
                emit("count", opened.count())
            else:
                _emit_spans(opened, request["spans"], request["most"])
    except Refused as error:
        emit("error", error.args)
    except MemoryError:
        return limits["TOO_MUCH"]
    except (pyarrow.ArrowException, OSError) as error:
        emit("error", ("data.damaged", {"detail": str(error)[:200]}))
    return 0


def _emit_spans(opened: "Parquet | Arrow", spans: list[list[Any]], most: int) -> None:
    """Print the rows of spans in ascending order, in one pass."""
    for first, batch in opened.batches(spans[0][0], spans[-1][1]):
        last = first + batch.num_rows
        for start, stop in spans:
            begin, end = max(start, first), last if stop is None else min(stop, last)
            for part in _parts(batch.slice(begin - first, end - begin), most) if begin < end else ():
                _emit_part(part, most)


def emit(kind: str, value: Any, most: int | None = None) -> bool:
    """Print one line, unless it is far longer than `most`; returns whether it is printed."""
    packed = []

    def pack(cell: Any) -> Any:
        if not isinstance(cell, bytes):
            return str(cell)
        packed.append(cell)
        return {"base64": base64.b64encode(cell).decode()}

    text = json.dumps(value, ensure_ascii=False, default=pack)
    if most is not None and len(text) > 2 * most:
        return False
    sys.stdout.buffer.write(f'["{kind}", {len(packed)}, {text}]\n'.encode("utf-8", "surrogatepass"))
    return True


class Parquet:
    """A Parquet file, read one row group at a time."""

    def __init__(self, path: str):
        self._path, self._file = path, ParquetFile(path, buffer_size=1 << 20)
        _require_unique(self._file.schema_arrow.names)

    def count(self) -> int:
        """Return the number of rows."""
        return self._file.metadata.num_rows

    def batches(self, start: int, stop: int | None) -> Iterator[tuple[int, Any]]:
        """Yield the batches with rows between two numbers, each with the number of its first row."""
        first = 0
        for group in range(self._file.num_row_groups):
            about = self._file.metadata.row_group(group)
            if first + about.num_rows > start and (stop is None or first < stop):
                place = first
                for batch in self._of_group(group):
                    if stop is not None and place >= stop:
                        return
                    if place + batch.num_rows > start:
                        yield place, batch
                    place += batch.num_rows
            first += about.num_rows

    def _of_group(self, group: int) -> Iterator[Any]:
        """Yield a row group's batches; texts are left in their dictionaries where they take too much: that is slow."""
        about = self._file.metadata.row_group(group)
        rows = max(1, min(BATCH, about.num_rows * DECODED // max(1, about.total_byte_size)))
        columns = [about.column(place) for place in range(about.num_columns)]
        texts = [column.path_in_schema for column in columns if column.physical_type == "BYTE_ARRAY"]
        done = 0
        for names in ([], texts):
            file = ParquetFile(self._path, read_dictionary=names, buffer_size=1 << 20) if names else self._file
            try:
                for number, batch in enumerate(file.iter_batches(rows, row_groups=[group], use_threads=False)):
                    if number >= done:
                        done += 1
                        yield batch
                return
            except MemoryError:
                if names == texts:
                    raise


class Arrow:
    """An Arrow file, or a stream as `datasets` writes it."""

    def __init__(self, path: str):
        self._path = path
        _require_unique(self._opened().schema.names)

    def _opened(self) -> Any:
        file = pyarrow.memory_map(self._path)
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        return pyarrow.ipc.open_file(file) if is_file else pyarrow.ipc.open_stream(file)

    def _all(self) -> Iterator[Any]:
        opened = self._opened()
        if hasattr(opened, "num_record_batches"):
            return (opened.get_batch(number) for number in range(opened.num_record_batches))
        return iter(opened)

    def count(self) -> int:
        """Return the number of rows."""
        return sum(batch.num_rows for batch in self._all())

    def batches(self, start: int, stop: int | None) -> Iterator[tuple[int, Any]]:
        """Yield the batches with rows between two numbers, each with the number of its first row."""
        first = 0
        for whole in self._all():
            if stop is not None and first >= stop:
                return
            for place in range(max(start - first, 0) // BATCH * BATCH, whole.num_rows, BATCH):
                if stop is None or first + place < stop:
                    yield first + place, whole.slice(place, BATCH)
            first += whole.num_rows


def _require_unique(names: list[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise Refused("data.column_twice", {"column": twice[0]})


def _parts(batch: Any, most: int) -> Iterator[Any]:
    """Yield a batch in parts of a row or PRINTED bytes; None stands for a row of more than `most` bytes."""
    size = sum(map(_size, batch.columns))
    if size > PRINTED and batch.num_rows > 1:
        half = batch.num_rows // 2
        yield from _parts(batch.slice(0, half), most)
        yield from _parts(batch.slice(half), most)
    else:
        yield batch if size <= most else None


def _size(column: Any) -> int:
    """Return about how many bytes a column's cells take, each counted as often as it is there."""
    kind, size = column.type, 8 * len(column)
    if isinstance(kind, pyarrow.BaseExtensionType):
        return _size(column.storage)
    if types.is_dictionary(kind):
        if not _is_text(kind.value_type):
            return size + len(column) * _size(column.dictionary)
        lengths = compute.binary_length(column.dictionary).take(column.indices)
        return size + (compute.sum(lengths.cast("int64")).as_py() or 0)
    if _is_text(kind):
        return size + (compute.sum(compute.binary_length(column)).as_py() or 0)
    if types.is_fixed_size_binary(kind):
        return size + kind.byte_width * len(column)
    if types.is_struct(kind):
        return size + sum(map(_size, column.flatten()))
    if types.is_map(kind) or types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return size + _size(column.flatten())
    if not (types.is_primitive(kind) or types.is_null(kind) or types.is_decimal(kind)):  # a view may name a cell often
        raise Refused("data.damaged", {"detail": f"Cells of the type {kind} cannot be read."})
    return size


def _is_text(kind: Any) -> bool:
    return types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)


def _emit_part(batch: Any, most: int) -> None:
    """Print a batch's rows with cells of JSON's types, as far as there are such.

    Moments, decimals and bytes that are text become text. What cannot be a Python value, such as a day in the year
    300,000, becomes the text that Arrow has for it, and its row is noted.
    """
    if batch is None:
        emit("too_long", None)
        return
    noted: dict[int, None] = {}
    columns = []
    for column in batch.columns:
        kind = column.type
        try:
            cells = column.to_pylist()
        except Exception:  # whichever of a dozen exceptions Arrow and Python have for one cell
            cells = [_cell(value, place, noted) for place, value in enumerate(column)]
        is_plain = _is_plain(kind.value_type if types.is_dictionary(kind) else kind)
        columns.append(cells if is_plain else [_plain(cell) for cell in cells])
    names = [name.strip() for name in batch.schema.names]
    rows = [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]
    if emit("rows", (list(noted), rows), most):
        return
    for place in range(batch.num_rows):  # letters that JSON writes as six
        _emit_part(batch.slice(place, 1) if batch.num_rows > 1 else None, most)


def _cell(value: Any, place: int, noted: dict[int, None]) -> Any:
    try:
        return value.as_py()
    except Exception:  # see above
        noted[place] = None
    for text in (
        lambda: value.cast(pyarrow.string()).as_py(),
        lambda: value.as_buffer().to_pybytes().decode("utf-8", "replace"),
    ):
        try:
            return text()
        except Exception:  # the next way may do
            continue
    return None


def _is_plain(kind: Any) -> bool:
    """Whether all cells of a type are JSON's already."""
    return types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind) or types.is_boolean(kind)


def _plain(cell: Any) -> Any:
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None
    if isinstance(cell, bytes):
        try:
            return cell.decode("utf-8")
        except UnicodeDecodeError:
            return cell
    if isinstance(cell, datetime.datetime | datetime.date | datetime.time):
        return cell.isoformat(" ") if isinstance(cell, datetime.datetime) else cell.isoformat()
    if isinstance(cell, decimal.Decimal | datetime.timedelta):
        return str(cell)
    if isinstance(cell, list | tuple):
        return [_plain(inner) for inner in cell]
    if isinstance(cell, dict):
        return {name: _plain(inner) for name, inner in cell.items()}
    return cell


if __name__ == "__main__":
    sys.exit(main())
