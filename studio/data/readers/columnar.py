"""Parquet and Arrow, read a batch of rows at a time."""

from collections.abc import Iterator
from typing import Any

from typing_extensions import override

from studio.data.readers.base import BadRow, Going, Reader, Row
from studio.errors import DataError


class Parquet(Reader):
    """A Parquet file, read one row group at a time."""

    @override
    def index(self, going: Going = lambda share: None) -> int:
        with open(self.path, "rb") as file:
            self.count = self._file(file).metadata.num_rows
        return self.count

    @override
    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row | BadRow]:
        with open(self.path, "rb") as file:
            opened = self._file(file)
            first = 0
            for group in range(opened.num_row_groups):
                size = opened.metadata.row_group(group).num_rows
                if first + size > start and (stop is None or first < stop):
                    for batch in opened.iter_batches(1000, row_groups=[group]):
                        yield from _between(batch.to_pylist(), first, start, stop)
                        first += batch.num_rows
                else:
                    first += size

    def _file(self, file: Any) -> Any:
        import pyarrow
        import pyarrow.parquet

        try:
            return pyarrow.parquet.ParquetFile(file)
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise DataError("data.damaged", name=self.path.name, detail=str(error)[:200]) from error


class Arrow(Reader):
    """An Arrow file, or a stream as `datasets` writes it."""

    @override
    def index(self, going: Going = lambda share: None) -> int:
        with open(self.path, "rb") as file:
            self.count = sum(batch.num_rows for batch in self._batches(file))
        return self.count

    @override
    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row | BadRow]:
        with open(self.path, "rb") as file:
            first = 0
            for batch in self._batches(file):
                if stop is not None and first >= stop:
                    return
                if first + batch.num_rows > start:
                    yield from _between(batch.to_pylist(), first, start, stop)
                first += batch.num_rows

    def _batches(self, file: Any) -> Iterator[Any]:
        import pyarrow

        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        try:
            if is_file:
                opened = pyarrow.ipc.open_file(file)
                yield from (opened.get_batch(number) for number in range(opened.num_record_batches))
            else:
                yield from pyarrow.ipc.open_stream(file)
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise DataError("data.damaged", name=self.path.name, detail=str(error)[:200]) from error


def _between(rows: list[Row], first: int, start: int, stop: int | None) -> Iterator[Row]:
    """Yield those of a batch of rows, whose first has number `first`, that lie between `start` and `stop`."""
    yield from rows[max(start - first, 0) : None if stop is None else max(stop - first, 0)]
