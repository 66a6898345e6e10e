"""Parquet and Arrow, read a batch of rows at a time."""

import contextlib
import datetime
import decimal
import math
from collections.abc import Callable, Iterator
from typing import Any

from typing_extensions import override

from studio.data.readers.base import BadRow, OnProgress, Reader, RepairedRow, Row, require_size, require_unique
from studio.errors import DataError

_BATCH = 1000
MAX_GROUP = 8 << 30
"""Bytes, unpacked, of the largest row group that is read: far above what writers make."""


class Columnar(Reader):
    """A Parquet file, read one row group at a time; or an Arrow file, or a stream as `datasets` writes it."""

    @override
    def index(self, on_progress: OnProgress = lambda share: None) -> int:
        with open(self.path, "rb") as file, self._damage_reported():
            self.count = sum(count for count, _ in self._groups(file))
        return self.count

    @override
    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row | BadRow]:
        first = 0
        with open(self.path, "rb") as file, self._damage_reported():
            for count, batches in self._groups(file):
                if stop is not None and first >= stop:
                    return
                if first + count <= start:
                    first += count
                    continue
                for batch in batches():
                    begin = max(start - first, 0)
                    end = batch.num_rows if stop is None else min(max(stop - first, 0), batch.num_rows)
                    if end > begin:
                        yield from _rows(batch.slice(begin, end - begin))
                    first += batch.num_rows

    def _groups(self, file: Any) -> Iterator[tuple[int, Callable[[], Iterator[Any]]]]:
        """Yield how many rows each group of the file has, and what reads them in batches."""
        import pyarrow
        import pyarrow.parquet

        if self.path.suffix.lower() == ".parquet":
            opened = pyarrow.parquet.ParquetFile(file)
            require_unique(self.path.name, opened.schema_arrow.names)
            for number in range(opened.num_row_groups):
                group = opened.metadata.row_group(number)

                def read(number: int = number, size: int = group.total_byte_size) -> Iterator[Any]:
                    require_size(self.path.name, size, MAX_GROUP)
                    return opened.iter_batches(_BATCH, row_groups=[number])

                yield group.num_rows, read
            return
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        if is_file:
            opened = pyarrow.ipc.open_file(file)
            groups = (opened.get_batch(number) for number in range(opened.num_record_batches))
        else:
            groups = iter(pyarrow.ipc.open_stream(file))
        for group in groups:
            require_unique(self.path.name, group.schema.names)
            yield (
                group.num_rows,
                lambda group=group: (group.slice(place, _BATCH) for place in range(0, group.num_rows, _BATCH)),
            )

    @contextlib.contextmanager
    def _damage_reported(self) -> Iterator[None]:
        import pyarrow

        try:
            yield
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError("data.damaged", name=self.path.name, detail=str(error)[:200]) from error


def _rows(batch: Any) -> list[Row]:
    """Return a batch's rows; what cannot be a Python value, such as a day in the year 300,000, becomes Arrow's text."""
    from pyarrow import types

    plain = (types.is_string, types.is_large_string, types.is_integer, types.is_boolean)
    bad: dict[int, None] = {}
    names, columns = [name.strip() for name in batch.schema.names], []
    for column in batch.columns:
        try:
            cells = column.to_pylist()
        except Exception:  # whichever of a dozen exceptions Arrow and Python have for one cell
            cells = [_cell(value, place, bad) for place, value in enumerate(column)]
        if not any(is_plain(column.type) for is_plain in plain):
            cells = [_plain(cell) for cell in cells]
        columns.append(cells)
    rows = [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]
    for place in bad:
        rows[place] = RepairedRow(rows[place], "unreadable_cell")
    return rows


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
