"""What a run was shown: its rows and the order of each epoch, kept in the run's folder for whoever repeats the run."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from studio.files import replace_file, replace_folder
from studio.model import processes

ROWS_PER_BATCH = 1_000


def folder_of(run: Path) -> Path:
    """Return the folder of a run's rows: `train.parquet`, `validation.parquet` if there is one, and `order.npy`."""
    return run / "data"


def write_rows(run: Path, train: Any, validation: Any | None) -> None:
    """Keep the rows as they go into the training. What a resumed run has kept already stays."""
    import pyarrow
    from pyarrow import parquet

    numbers = pyarrow.list_(pyarrow.int32())
    kinds = {"good": pyarrow.bool_()}
    schema = pyarrow.schema([(name, kinds.get(name, numbers)) for name in train.column_names])

    def fill(draft: Path) -> None:
        for name, rows in (("train", train), ("validation", validation)):
            if rows is None:
                continue
            with parquet.ParquetWriter(draft / f"{name}.parquet", schema, compression="zstd") as file:
                for batch in rows.with_format("arrow").iter(ROWS_PER_BATCH):
                    file.write_table(batch.select(schema.names).cast(schema))

    if not folder_of(run).exists():
        replace_folder(folder_of(run), fill)


def read_rows(run: Path) -> tuple[Any, Any | None]:
    """Return the rows that a run has kept, for training and for validation, as data sets."""
    from datasets import Dataset
    from pyarrow import parquet

    paths = (folder_of(run) / f"{name}.parquet" for name in ("train", "validation"))
    train, validation = (Dataset(parquet.read_table(path)) if path.exists() else None for path in paths)
    return train, validation


def first_epoch(run: Path) -> list[int]:
    """Return the row numbers of the first epoch, in order; none where it has not begun."""
    import numpy

    path = folder_of(run) / "order.npy"
    return numpy.load(path, allow_pickle=False)[0].tolist() if path.exists() else []


def keep_reference(run: Path, rows: str, compute: Callable[[], Any]) -> Any:
    """Return what a run's reference makes of its `train` or `validation` rows; it is computed once, and kept."""
    import numpy

    path = folder_of(run) / f"reference-{rows}.npy"
    if not path.exists():
        _write_array(path, compute())
    return numpy.load(path, allow_pickle=False)


def _write_array(path: Path, array: Any) -> None:
    """Write a NumPy array whole or not at all."""
    import numpy

    written = io.BytesIO()
    numpy.save(written, array, allow_pickle=False)
    replace_file(path, written.getvalue())


def row_lengths(rows: Any) -> list[int]:
    """Return the tokens of each row: of both answers, where it has two."""
    lengths = [len(ids) for ids in rows["input_ids"]]
    if "rejected_ids" not in rows.column_names:
        return lengths
    return [length + len(ids) for length, ids in zip(lengths, rows["rejected_ids"], strict=True)]


class LengthGroupedSampler:
    """Rows of like length together, in an order that depends on the seed and the epoch alone.

    transformers' own sampler draws from the global random state, which a resumed run no longer has.
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int):
        self._lengths, self._batch_size, self._seed, self._epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        import torch
        from transformers.trainer_pt_utils import get_length_grouped_indices

        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        return iter(get_length_grouped_indices(self._lengths, self._batch_size, generator=generator))


class RecordedSampler:
    """Gives the rows in the order of another sampler, and keeps the order of each epoch before it begins."""

    def __init__(self, sampler: Any, run: Path):
        self._sampler, self._path, self._epoch = sampler, folder_of(run) / "order.npy", 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self._epoch = epoch
        if hasattr(self._sampler, "set_epoch"):
            self._sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[int]:
        import numpy

        order = list(self._sampler)
        if self._path.parent.exists():  # a trial keeps nothing
            line = numpy.array([order], dtype=numpy.int32)
            before = numpy.load(self._path, allow_pickle=False)[: self._epoch] if self._path.exists() else line[:0]
            if len(before) == self._epoch:  # else begun by a version that kept no order
                _write_array(self._path, numpy.concatenate([before, line]))
        return iter(order)


class DistributedBatchSampler:
    """The micro-batches of this process, `size` rows each, dealt out in order to the processes in turn.

    At the end of an epoch, where rows are missing, the number after the last row stands for one that only fills up: all
    processes take equally many steps, and no row is trained twice.
    """

    def __init__(self, rows: Any, size: int):
        self._rows, self._size, self._together = rows, size, size * processes.world_size()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        if hasattr(self._rows, "set_epoch"):
            self._rows.set_epoch(epoch)

    def __len__(self) -> int:
        return -(-len(self._rows) // self._together)

    def __iter__(self) -> Iterator[list[int]]:
        rows = list(self._rows)
        own = processes.rank() * self._size
        for begin in range(0, len(rows), self._together):
            dealt = rows[begin : begin + self._together]
            dealt += [len(rows)] * (self._together - len(dealt))
            yield dealt[own : own + self._size]
