"""Keep some rows back for validation."""

import random


def split(count: int, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Return the indices of the training rows and of the validation rows, each in the order of the data.

    At least one row goes to each side when `fraction` is above 0 and there are two rows or more.
    """
    held = round(count * fraction)
    if fraction > 0 and count > 1:
        held = min(max(held, 1), count - 1)
    elif count <= 1:
        held = 0
    chosen = set(random.Random(seed).sample(range(count), held))
    return [i for i in range(count) if i not in chosen], sorted(chosen)
