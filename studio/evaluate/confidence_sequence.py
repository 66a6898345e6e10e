"""When votes decide: a confidence sequence for the mean of values between 0 and 1, valid after every single vote.

For a mean m, somebody bets against it with a stake: their capital after values x is the product of 1 + stake × (x − m),
which on average does not grow where m is the true mean, whoever looks at it and stops whenever they like. It passes
1 / 0.05 with a probability of at most 5 % (Ville 1939). The means whose capital has never passed that are the sequence:
Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting", JRSS B 86, theorem 3. The
stakes are mixed evenly over all that cannot go bankrupt; at m = 1/2 that is the uniform mixture of Robbins 1970, in
which ties neither win nor cost.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy

ERROR = 0.05
"""The probability, at most, that the sequence ever leaves out the true mean."""
_MEANS, _STAKES = 199, 80
_FORECASTS, _MAX_AHEAD, _PROBABLY = 400, 400, 0.75

_VALUES: dict[str, int] = {"after": 0, "before": 1, "tie": 2}


@cache
def _means() -> Any:
    return numpy.linspace(0, 1, _MEANS + 2)[1:-1]


@cache
def _log_factors(mean: float | None = None) -> Any:
    """Return the logarithms of what a win, a loss and a tie do to the capital: (3, means × stakes)."""
    means = _means() if mean is None else numpy.array([mean])
    share = (numpy.arange(_STAKES) + 0.5) / _STAKES * 2 - 1
    stakes = numpy.where(share < 0, share / (1 - means[:, None]), share / means[:, None])
    return numpy.stack([numpy.log1p(stakes * (value - means[:, None])).ravel() for value in (1.0, 0.0, 0.5)])


def log_capital(counts: Any, mean: float | None = None) -> Any:
    """Return the logarithm of the capital against each mean, or one, after `counts` (…, 3) wins, losses and ties."""
    from scipy.special import logsumexp

    logs = numpy.asarray(counts, dtype=float) @ _log_factors(mean)
    return logsumexp(logs.reshape(*logs.shape[:-1], -1, _STAKES), axis=-1) - math.log(_STAKES)


def counts_over_time(outcomes: Sequence[str]) -> Any:
    """Return the wins, losses and ties after each outcome: (votes, 3)."""
    each = numpy.zeros((len(outcomes), 3), dtype=int)
    each[numpy.arange(len(outcomes)), [_VALUES[outcome] for outcome in outcomes]] = 1
    return each.cumsum(axis=0)


def interval(outcomes: Sequence[str]) -> tuple[float, float]:
    """Return the means that no vote so far has ruled out, from the lowest to the highest."""
    if not outcomes:
        return 0.0, 1.0
    ever = log_capital(counts_over_time(outcomes)).max(axis=0)
    left = numpy.flatnonzero(ever < -math.log(ERROR))
    if not len(left):  # at most one sequence in twenty comes to this
        left = numpy.array([int(ever.argmin())])
    step = 1 / (_MEANS + 1)
    means = _means()
    return max(0.0, float(means[left[0]]) - step), min(1.0, float(means[left[-1]]) + step)


def passes(counts: Any) -> Any:
    """Whether the capital against "as good" passes its bound after each vote, in `counts` (…, votes, 3) over time."""
    return log_capital(counts, 0.5)[..., 0] >= -math.log(ERROR)


@dataclass(frozen=True)
class VoteStanding:
    """Where a vote stands."""

    winner: Literal["after", "before"] | None
    """The side that people prefer, once that is decided."""
    interval: tuple[float, float]
    """Share of wins of the later side, ties counting half, from 0 to 1; valid however often it was looked at."""
    more: int | None
    """Votes on further pairs that would probably decide; None where it is decided, or not even `_MAX_AHEAD` would."""
    left: int
    """Pairs that nobody has voted on."""
    votes: int = 0
    """Pairs that somebody has voted on."""


def standing(outcomes: Sequence[str], left: int) -> VoteStanding:
    """Return where a vote stands after the outcomes of its pairs, in the order of their first votes."""
    low, high = interval(outcomes)
    counts = counts_over_time(outcomes)
    if outcomes and (decided := numpy.flatnonzero(passes(counts))).size:
        leads = counts[decided[0]]
        return VoteStanding("after" if leads[0] > leads[1] else "before", (low, high), None, left, len(outcomes))
    more = votes_needed(counts[-1] if outcomes else numpy.zeros(3))
    return VoteStanding(None, (low, high), more, left, len(outcomes))


def votes_needed(counts: Any) -> int | None:
    """Return after how many more votes three of four continuations are decided; None where `_MAX_AHEAD` are too few.

    Each continuation draws the shares of wins, losses and ties that it goes on with from what the votes so far leave
    open (a Dirichlet distribution, each outcome counted half a vote beforehand).
    """
    random = numpy.random.default_rng(0)
    wins, losses, ties = (float(count) for count in counts)
    shares = random.dirichlet([wins + 0.5, losses + 0.5, ties + 0.5], _FORECASTS)
    draws = random.random((_FORECASTS, _MAX_AHEAD))
    steps = numpy.stack(
        [draws < shares[:, :1], (draws >= shares[:, :1]) & (draws < shares[:, :2].sum(1, keepdims=True))]
    )
    ahead = steps.cumsum(axis=-1) + numpy.array([wins, losses])[:, None, None]
    decided = numpy.maximum.accumulate(_log_uniform(ahead[0], ahead[1]) >= -math.log(ERROR), axis=-1)
    enough = numpy.flatnonzero(decided.mean(axis=0) >= _PROBABLY)
    return int(enough[0]) + 1 if len(enough) else None


def _log_uniform(wins: Any, losses: Any) -> Any:
    """Return the logarithm of the capital against one half, in closed form: 2^n B(wins + 1, losses + 1)."""
    from scipy.special import betaln

    return (wins + losses) * math.log(2) + betaln(wins + 1, losses + 1)


@dataclass(frozen=True)
class Agreement:
    """How far voters agree where several have voted on the same pair."""

    pairs: int
    """Pairs with two voters or more."""
    share: float
    """Share of any two voters of a pair who said the same, from 0 to 1."""
    kappa: float | None
    """Fleiss' kappa: 0 is what chance gives, 1 full agreement; None where all said the same of everything."""


def agreement(by_pair: Sequence[Mapping[str, int]]) -> Agreement | None:
    """Return how far voters agree, from the outcomes counted on each pair; None where no pair has two voters.

    Fleiss 1971, "Measuring nominal scale agreement among many raters", with as many raters as each pair has.
    """
    several = [Counter(counts) for counts in by_pair if sum(counts.values()) > 1]
    if not several:
        return None
    shares = [sum(n * (n - 1) for n in counts.values()) / (counts.total() * (counts.total() - 1)) for counts in several]
    share, totals = sum(shares) / len(shares), sum(several, Counter())
    by_chance = sum((count / totals.total()) ** 2 for count in totals.values())
    return Agreement(len(several), share, None if by_chance >= 1 else (share - by_chance) / (1 - by_chance))
