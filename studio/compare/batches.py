"""Batches of like length: many prompts are answered together, and little of a batch is padding."""

from collections.abc import Iterator, Sequence

from studio.model.hardware import device

ROWS_AT_ONCE = {"cpu": 8, "mps": 8, "cuda": 32}
"""Prompts in a batch: eight times two gave five times the token rate of one times two on two processor cores."""
TOKENS_AT_ONCE = 16384
"""Tokens of a batch's prompts and answers, padding included."""


def batches(lengths: Sequence[int], answer: int) -> Iterator[list[int]]:
    """Yield the rows in batches of like length (numbers from 0), given the lengths of prompts and longest answer."""
    most = ROWS_AT_ONCE[device()]
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda number: (lengths[number], number)):
        if batch and (len(batch) == most or (len(batch) + 1) * (lengths[number] + answer) * 2 > TOKENS_AT_ONCE):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
