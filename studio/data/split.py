"""Keep some rows back for validation."""

import random
from collections.abc import Sequence


def split(groups: Sequence[int], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Return the indices of the training rows and of the validation rows, each in the order of the data.

    `groups` has a number for each row; rows with the same one stay together. At least one group goes to each side when
    there are two or more; the validation side takes whole groups until it has its share of the rows.
    """
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    order = list(members)
    random.Random(seed).shuffle(order)
    held: list[int] = []
    for group in order[:-1]:  # one group at least stays for training
        if held and len(held) + len(members[group]) / 2 > len(groups) * fraction:
            break
        held += members[group]
    chosen = set(held)
    return [row for row in range(len(groups)) if row not in chosen], sorted(chosen)
