"""Parquet and Arrow, read a batch of rows at a time."""

import datetime
import decimal
import math
from collections.abc import Iterator
from typing import Any

from typing_extensions import override

from studio.data.readers.base import BadRow, OnProgress, Reader, RepairedRow, Row, require_size, require_unique
from studio.errors import DataError

_BATCH = 1000
MAX_GROUP = 8 << 30
"""Bytes, unpacked, of the largest row group that is read: far above what writers make."""
MAX_DECODED = 128 << 20
"""Bytes of nested texts that are decoded from a dictionary at a time: a kilobyte may stand for gigabytes."""


class Parquet(Reader):
    """A Parquet file, read one row group at a time."""

    @override
    def index(self, on_progress: OnProgress = lambda share: None) -> int:
        with open(self.path, "rb") as file:
            self.count = self._file(file).metadata.num_rows
        return self.count

    @override
    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row | BadRow]:
        with open(self.path, "rb") as file:
            opened = self._file(file)
            first = 0
            for group in range(opened.num_row_groups):
                about = opened.metadata.row_group(group)
                if first + about.num_rows > start and (stop is None or first < stop):
                    require_size(self.path.name, about.total_byte_size, MAX_GROUP)
                    values = max((about.column(place).num_values for place in range(about.num_columns)), default=0)
                    require_size(self.path.name, values * 8, MAX_GROUP)
                    for batch in _read(self.path.name, self._batches(file, opened, group)):
                        yield from _between(self.path.name, batch, first, start, stop)
                        first += batch.num_rows
                else:
                    first += about.num_rows

    def _batches(self, file: Any, opened: Any, group: int) -> Iterator[Any]:
        """Yield a row group's batches, with texts left in their dictionaries where these could stand for too much."""
        from pyarrow.parquet import ParquetFile

        about = opened.metadata.row_group(group)
        columns = [about.column(place) for place in range(about.num_columns)]
        packed = [
            column.path_in_schema
            for column in columns
            if column.physical_type == "BYTE_ARRAY"
            and any("DICTIONARY" in encoding for encoding in column.encodings)
            and column.total_uncompressed_size * column.num_values > MAX_DECODED
        ]
        if packed:
            opened = ParquetFile(file, read_dictionary=packed)
        yield from opened.iter_batches(_BATCH, row_groups=[group])

    def _file(self, file: Any) -> Any:
        import pyarrow
        import pyarrow.parquet

        try:
            opened = pyarrow.parquet.ParquetFile(file)
            require_unique(self.path.name, opened.schema_arrow.names)
            return opened
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError("data.damaged", name=self.path.name, detail=str(error)[:200]) from error


class Arrow(Reader):
    """An Arrow file, or a stream as `datasets` writes it."""

    @override
    def index(self, on_progress: OnProgress = lambda share: None) -> int:
        with open(self.path, "rb") as file:
            self.count = sum(batch.num_rows for batch in self._batches(file))
        return self.count

    @override
    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row | BadRow]:
        with open(self.path, "rb") as file:
            first = 0
            for whole in self._batches(file):
                if stop is not None and first >= stop:
                    return
                if first + whole.num_rows > start:
                    require_unique(self.path.name, whole.schema.names)
                    for place in range(0, whole.num_rows, _BATCH):
                        yield from _between(self.path.name, whole.slice(place, _BATCH), first + place, start, stop)
                first += whole.num_rows

    def _batches(self, file: Any) -> Iterator[Any]:
        import pyarrow

        is_file = file.read(6) == b"ARROW1"
        file.seek(0)

        def batches() -> Iterator[Any]:
            if is_file:
                opened = pyarrow.ipc.open_file(file)
                yield from (opened.get_batch(number) for number in range(opened.num_record_batches))
            else:
                yield from pyarrow.ipc.open_stream(file)

        yield from _read(self.path.name, batches())


def _read(name: str, batches: Iterator[Any]) -> Iterator[Any]:
    """Yield the batches of a file; raises DataError where it is damaged."""
    import pyarrow

    try:
        yield from batches
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError("data.damaged", name=name, detail=str(error)[:200]) from error


def _between(name: str, batch: Any, first: int, start: int, stop: int | None) -> Iterator[Row]:
    """Yield those of a batch's rows, whose first has number `first`, that lie between `start` and `stop`."""
    begin = max(start - first, 0)
    end = batch.num_rows if stop is None else min(max(stop - first, 0), batch.num_rows)
    if end > begin:
        for part in _parts(name, batch.slice(begin, end - begin)):
            yield from _rows(part)


def _parts(name: str, batch: Any) -> Iterator[Any]:
    """Yield a batch in parts whose texts can be decoded; raises DataError for a row that is too large by itself."""
    from pyarrow import types

    nested = [column for column in batch.columns if not types.is_dictionary(column.type)]  # the others share values
    size = sum(map(_decoded_size, nested))
    if size > MAX_DECODED and batch.num_rows > 1:
        half = batch.num_rows // 2
        yield from _parts(name, batch.slice(0, half))
        yield from _parts(name, batch.slice(half))
    else:
        require_size(name, size, MAX_DECODED)
        yield batch


def _decoded_size(column: Any) -> int:
    """Return the bytes of the texts that a column holds by dictionaries, each counted as often as it is there."""
    from pyarrow import compute, types

    kind = column.type
    if types.is_dictionary(kind):
        texts = column.dictionary
        if not (types.is_string(texts.type) or types.is_large_string(texts.type) or types.is_binary(texts.type)):
            return 0
        return compute.sum(compute.binary_length(texts).take(column.indices).cast("int64")).as_py() or 0
    if types.is_struct(kind):
        return sum(map(_decoded_size, column.flatten()))
    if types.is_map(kind):
        return _decoded_size(column.keys) + _decoded_size(column.items)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _decoded_size(column.flatten())
    return 0


def _rows(batch: Any) -> list[Row]:
    """Return a batch's rows with cells of JSON's types, as far as there are such.

    Moments, decimals and bytes that are text become text. What cannot be a Python value, such as a day in the year
    300,000, becomes the text that Arrow has for it, and its row is noted.
    """
    bad: dict[int, None] = {}
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            cells = _values(column)
        except Exception:  # whichever of a dozen exceptions Arrow and Python have for one cell
            cells = [_cell(value, place, bad) for place, value in enumerate(column)]
        if not _is_plain(column.type):
            cells = [_plain(cell) for cell in cells]
        columns.append((name.strip(), cells))
    rows = [
        dict(zip((name for name, _ in columns), cells, strict=True))
        for cells in zip(*(cells for _, cells in columns), strict=True)
    ]
    for place in bad:
        rows[place] = RepairedRow(rows[place], "unreadable_cell")
    return rows


def _values(column: Any) -> list[Any]:
    """Return a column's cells; those of a dictionary share their values."""
    from pyarrow import compute, types

    if not types.is_dictionary(column.type):
        return column.to_pylist()
    used = compute.unique(column.indices)
    values = dict(zip(used.to_pylist(), column.dictionary.take(used).to_pylist(), strict=True))
    return [values[index] for index in column.indices.to_pylist()]


def _cell(value: Any, place: int, bad: dict[int, None]) -> Any:
    import pyarrow

    try:
        return value.as_py()
    except Exception:  # see above
        bad[place] = None
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
    from pyarrow import types

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
