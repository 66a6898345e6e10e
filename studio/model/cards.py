"""Layers spread over several cards: the share of each, and the limits that transformers is told."""

from collections.abc import Sequence


def shares(free: Sequence[float]) -> list[float]:
    """Return the share of the layers that each card is to hold, given the bytes that are free on each.

    A card holds by what it has free, but none except the last holds more than an even part: so transformers' `auto`
    map balances them.
    """
    even = 1 / len(free)
    held = [min(even, each / max(1.0, sum(free))) for each in free[:-1]]
    return [*held, 1 - sum(held)]


def limits(weights: float, embedding: float, layers: int, free: Sequence[float]) -> dict[int, int]:
    """Return how many bytes of weights each card may take, for transformers' `max_memory`.

    Without limits a small card is filled with weights until nothing is left for training. A layer or an embedding is
    never divided, so each limit has room for one more of the larger; on the first card accelerate holds back that size
    once more. The last card takes what is left over.
    """
    largest = max(embedding, weights / layers)
    held = [weights * share + largest for share in shares(free)[:-1]]
    held[0] += largest
    return {card: int(min(size, free[card])) for card, size in enumerate([*held, free[-1]])}
