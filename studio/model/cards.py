"""Layers spread over several cards: the share of each, and the limits that transformers is told."""

from collections.abc import Sequence

NEARLY_FULL = 0.1
"""Share of the mean free memory of the cards below which one holds nothing: a layer would hardly fit."""


def shares(free: Sequence[float]) -> list[float]:
    """Return the share of the layers that each card is to hold, in proportion to the bytes that are free on it.

    A nearly full card holds none.
    """
    least = NEARLY_FULL * sum(free) / len(free)
    usable = [each if each >= least else 0.0 for each in free]
    return [each / max(1.0, sum(usable)) for each in usable]


def limits(weights: float, embedding: float, layers: int, free: Sequence[float]) -> dict[int, int]:
    """Return how many bytes of weights each card may take, for transformers' `max_memory`.

    Without limits a small card is filled with weights until nothing is left for training. A layer or an embedding is
    never divided, so each limit has room for one more of the larger; on the first card accelerate holds back that size
    once more. The last card that is not nearly full takes what is left over.
    """
    largest = max(embedding, weights / layers)
    parts = shares(free)
    last = max(card for card, share in enumerate(parts) if share or not any(parts))
    held = [weights * share + largest * (2 if card == 0 else 1) for card, share in enumerate(parts)]
    held[last] = free[last]
    return {card: int(min(held[card], free[card])) if share or card == last else 0 for card, share in enumerate(parts)}
