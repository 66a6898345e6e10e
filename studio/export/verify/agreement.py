"""How far two models agree: their greedy answers side by side, and what they make of the references."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from studio.export.questions import Question

NEAR = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.2}
"""By how much less likely (in nats) another token may be where two answers part, for that to be rounding alone.

bfloat16 keeps 8 bits: a logit of 16 to 32 is right to 0.06 to 0.13.
"""


@dataclass(frozen=True)
class Answer:
    """A greedy answer: its tokens, and at each the runner-up and by how much it is less likely (in nats)."""

    ids: tuple[int, ...]
    second: tuple[int, ...] = ()
    gap: tuple[float, ...] = ()


@dataclass(frozen=True)
class Said:
    """What a model said to all questions, and how likely it found the references."""

    answers: tuple[Answer, ...]
    nll: tuple[float, ...] = ()
    """Of each reference, summed over its tokens."""


@dataclass(frozen=True)
class Agreement:
    """How far two models agree."""

    questions: int
    equal: int
    """Answers that are the same, token for token."""
    near: int
    """Answers that part where two tokens were as good as equally likely: by rounding alone."""
    tokens: float
    """Share of the tokens up to the first one that differs."""
    gap: float | None
    """The most by which a token was less likely where two answers parted, as far as that is known, in nats."""
    perplexity: tuple[float, float] | None
    """Of the first model and the second on the references."""

    @property
    def holds(self) -> bool:
        """Whether the answers are the same but for rounding."""
        return self.equal + self.near == self.questions


def agreement(first: Said, second: Said, rows: Sequence[Question], near: float) -> Agreement:
    """Lay two models' answers side by side; a token that is less likely by at most `near` is as good as equal."""
    pairs = list(zip(first.answers, second.answers, strict=True))
    equal, close, agreed, length = 0, 0, 0, 0
    gaps: list[float] = []
    for one, other in pairs:
        at = _parting(one.ids, other.ids)
        agreed += at
        length += max(len(one.ids), len(other.ids))
        if one.ids == other.ids:
            equal += 1
            continue
        gap = _gap(one, other, at)
        if gap is not None and gap <= near:
            close += 1
        if gap is not None:
            gaps.append(gap)
    count = sum(len(row.answer) for row in rows)
    perplexity = None
    if count:
        perplexity = (math.exp(sum(first.nll) / count), math.exp(sum(second.nll) / count))
    return Agreement(len(pairs), equal, close, agreed / max(length, 1), max(gaps, default=None), perplexity)


def _parting(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the place of the first token that differs."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _gap(one: Answer, other: Answer, at: int) -> float | None:
    """Return by how much less likely a model found the other's token where they parted; None where it is not known."""
    known = []
    for own, theirs in ((one, other), (other, one)):
        if at < len(own.second) and at < len(theirs.ids) and own.second[at] == theirs.ids[at]:
            known.append(own.gap[at])
    return min(known, default=None)
