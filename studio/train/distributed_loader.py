"""How several processes share the rows of a step, so that together they take what one process would take."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler

from studio.model import processes

FILLER_TOKENS = 2
"""Tokens of a row that only fills up: the loss needs one that another follows."""


def share(whole: DataLoader[Any], rows: Sequence[int] | Sampler[int], size: int, padding: int) -> DataLoader[Any]:
    """Return the loader of this process's micro-batches, `size` rows each, in place of a loader of all `rows`."""
    if processes.world_size() == 1:
        return whole
    sampler = DistributedBatchSampler(rows, size)
    loader = DataLoader(
        DatasetWithFiller(whole.dataset, padding),
        batch_sampler=sampler,
        collate_fn=whole.collate_fn,
        pin_memory=whole.pin_memory,
    )
    loader.set_epoch = sampler.set_epoch
    return loader


class DistributedBatchSampler(Sampler[list[int]]):
    """The micro-batches of this process.

    The rows are dealt out in order, a micro-batch to each process in turn. At the end of an epoch, where rows are
    missing, the number after the last row stands for one that only fills up: all processes take equally many steps,
    and no row is trained twice.
    """

    def __init__(self, rows: Sequence[int] | Sampler[int], size: int):
        self._rows, self._size = rows, size
        self._together = size * processes.world_size()

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


class DatasetWithFiller(Dataset[dict[str, list[int]]]):
    """Rows, and after the last one a row that trains nothing."""

    def __init__(self, rows: Any, padding: int):
        self._rows = rows
        self._filler = {"input_ids": [padding] * FILLER_TOKENS, "labels": [-100] * FILLER_TOKENS}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> dict[str, list[int]]:
        return self._filler if number == len(self._rows) else self._rows[number]
