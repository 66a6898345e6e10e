"""A loss curve cut into its phases: where it falls fast, falls slowly, lies flat, swings or rises.

The curve is smoothed once, into medians of stretches that grow by a fifth from the first step on (a curve's early part
goes by fast) up to a fortieth of the run. Lines through the stretches are fitted by least squares, as few as will do; a
phase is one line, or several that go the same way.
"""

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy

Kind = Literal["fast", "slow", "steady", "plateau", "oscillation", "rise"]
"""`steady` is a fall without a faster or slower part."""
Piece = tuple[Kind, int, int]
"""A row of stretches: its kind, its first stretch, and the one after its last."""

_GROWTH, _SHARE = 0.2, 40
_SHORTEST = 4
"""Stretches of a phase, at least."""
_PENALTY = 30.0
"""Times the variance of a single loss, by which one more line must better the sum of squares."""
_SURE = 2.5
"""Standard errors by which a slope must differ from nothing."""
_LAGS = (1, 2, 4, 8)
"""Logged steps over which the noise is measured: batches of like length follow one another, so that neighbours differ
less than the curve scatters."""
_MEASURED = 2000
"""Differences, about, from which the noise of a long curve is measured."""
_JAGGED, _JAGGED_SHORT = 3.0, 4.5
"""Times the noise of the quietest third, from which a curve is called jagged; that of a few losses is known less."""
_FLAT_PACE, _FLAT_SHARE = 0.1, 0.01
"""A fall or rise is none to speak of below this share of the run's mean pace, and below this share of the loss."""
_FAST = 1.5
"""Times the run's mean pace, from which a fall is called fast."""


@dataclass(frozen=True)
class Phase:
    """A stretch of a curve in which it goes one way."""

    kind: Kind
    first: int
    last: int
    """Steps, both included."""
    start: float
    end: float
    """The loss at both ends, without the noise."""

    @property
    def per_100(self) -> float:
        """Change of the loss in a hundred steps."""
        return 100 * (self.end - self.start) / max(1, self.last - self.first)


@dataclass(frozen=True)
class Smoothed:
    """A curve as medians of stretches."""

    at: Any
    """Mean step of each stretch."""
    level: Any
    """Median loss of each stretch."""
    edges: list[int]
    """Indices of the logged losses where the stretches begin, and their number."""
    steps: Any
    losses: Any
    noise: float
    """Standard deviation of a single loss around its neighbours."""
    count: Any
    """Logged losses in each stretch."""


def smooth(steps: Any, losses: Any) -> Smoothed:
    """Return a curve (two arrays of one length, one point at least) as medians of stretches."""
    widest, edges = max(1, len(losses) // _SHARE), [0]
    while edges[-1] < len(losses):
        edges.append(min(len(losses), edges[-1] + min(widest, max(1, int(edges[-1] * _GROWTH)))))
    level = numpy.array([numpy.median(losses[a:b]) for a, b in itertools.pairwise(edges)])
    at = numpy.array([steps[a:b].mean() for a, b in itertools.pairwise(edges)])
    return Smoothed(at, level, edges, steps, losses, noise_of(losses), numpy.diff(edges))


def noise_of(losses: Any, lags: tuple[int, ...] = _LAGS) -> float:
    """Return the standard deviation of single losses around their neighbours, whatever the trend is.

    From the differences of neighbours (von Neumann 1941; Rice 1984), near and less near, by their median absolute
    deviation, which single outliers do not move: 1.4826 makes it a standard deviation (of the normal distribution), and
    the square root of 2 is for a difference of two.
    """
    largest = 0.0
    for lag in (lag for lag in lags if lag == 1 or lag <= len(losses) // 6):
        steps = (losses[lag:] - losses[:-lag])[:: 1 + len(losses) // _MEASURED]
        if len(steps) > 1:
            largest = max(largest, float(numpy.median(numpy.abs(steps - numpy.median(steps)))))
    return 1.4826 * largest / math.sqrt(2)


def slope(x: Any, y: Any, weight: Any = None) -> tuple[float, float]:
    """Return the slope of the least-squares line through some points, and its standard error from their scatter."""
    weight = numpy.ones(len(x)) if weight is None else weight
    across = x - numpy.average(x, weights=weight)
    spread = float((weight * across**2).sum())
    if not spread:
        return 0.0, math.inf
    up = y - numpy.average(y, weights=weight)
    result = float((weight * across * up).sum()) / spread
    scatter = float((weight * (up - result * across) ** 2).sum()) / max(1, len(x) - 2)
    return result, math.sqrt(scatter / spread)


def phases(curve: Smoothed) -> list[Phase]:
    """Return the phases of a curve in order; they cover it without gaps."""
    pieces: list[Piece] = [(_direction(curve, a, b), a, b) for a, b in itertools.pairwise(_borders(curve))]
    pieces = _swinging(pieces, curve)
    slow: Kind = "slow" if any(kind == "fast" for kind, _, _ in pieces) else "steady"
    result: list[Phase] = []
    for kind, a, b in pieces:
        if kind == "plateau" and jagged(curve.losses, curve.losses[curve.edges[a] : curve.edges[b]]):
            kind = "oscillation"
        phase = _phase(slow if kind == "slow" else kind, a, b, curve)
        if result and result[-1].kind == phase.kind:
            result[-1] = replace(result[-1], last=phase.last, end=phase.end)
            continue
        if result and result[-1].kind != "plateau":
            result[-1] = replace(result[-1], end=phase.start)
        result.append(phase)
    return result


def _borders(curve: Smoothed) -> list[int]:
    """Return where lines through the stretches begin and end, by least squares (optimal partitioning, Jackson 2005)."""
    x, y, weight = curve.at - curve.at.mean(), curve.level - curve.level.mean(), curve.count
    sums = numpy.cumsum([weight, weight * x, weight * y, weight * x * x, weight * x * y, weight * y * y], axis=1)
    sums = numpy.pad(sums, ((0, 0), (1, 0)))
    best, before = [0.0], [0]
    for b in range(1, len(x) + 1):
        starts = [0, *range(_SHORTEST, b - _SHORTEST + 1)]
        w, wx, wy, wxx, wxy, wyy = sums[:, b, None] - sums[:, starts]
        spread = numpy.maximum(wxx - wx * wx / w, 1e-12)
        misfit = numpy.maximum(wyy - wy * wy / w - (wxy - wx * wy / w) ** 2 / spread, 0.0)
        totals = numpy.array(best)[starts] + misfit + _PENALTY * curve.noise**2
        before.append(starts[int(totals.argmin())])
        best.append(float(totals.min()))
    borders = [len(x)]
    while borders[0]:
        borders.insert(0, before[borders[0]])
    return borders


def _direction(curve: Smoothed, a: int, b: int) -> Kind:
    """Return where a curve goes in a row of its stretches, by the slope of the line through them."""
    at, count = curve.at[a:b], curve.count[a:b]
    mean_pace = (curve.level[:2].mean() - curve.level.min()) / max(1.0, float(curve.steps[-1] - curve.steps[0]))
    rate, _ = slope(at, curve.level[a:b], count)
    spread = float((count * (at - numpy.average(at, weights=count)) ** 2).sum())
    sure = abs(rate) > _SURE * 1.2533 * curve.noise / math.sqrt(max(spread, 1e-9))
    small = abs(rate) * (at[-1] - at[0]) < _FLAT_SHARE * abs(curve.level[a]) or abs(rate) < _FLAT_PACE * abs(mean_pace)
    if small or not sure:
        return "plateau"
    if rate > 0:
        return "rise"
    return "fast" if -rate >= _FAST * mean_pace else "slow"


def _swinging(pieces: list[Piece], curve: Smoothed) -> list[Piece]:
    """Return the pieces with those joined that go up and down in turn, three at least, and get nowhere."""
    result, place = [], 0
    while place < len(pieces):
        end = place + 1
        while end < len(pieces) and ("rise" in (pieces[end - 1][0], pieces[end][0])):
            end += 1
        heights = [abs(curve.level[b - 1] - curve.level[a]) for _, a, b in pieces[place:end]]
        a, b = pieces[place][1], pieces[end - 1][2]
        if end - place >= 3 and abs(curve.level[b - 1] - curve.level[a]) < max(heights) / 2:
            result.append(("oscillation", a, b))
        else:
            result += pieces[place:end]
        place = end
    return result


def jagged(losses: Any, part: Any) -> bool:
    """Whether the losses of a part of a curve jump about far more than in the curve's quietest third."""
    quietest = min(noise_of(third) for third in numpy.array_split(losses, 3))
    times = _JAGGED if len(losses) >= 120 else _JAGGED_SHORT
    noise = noise_of(part)
    return len(part) >= 12 and noise > times * quietest and noise > 0.1 * abs(float(numpy.median(part)))


def _phase(kind: Kind, a: int, b: int, curve: Smoothed) -> Phase:
    first = int(curve.steps[curve.edges[a] - 1]) + 1 if a else int(curve.steps[0])
    last = int(curve.steps[curve.edges[b] - 1])
    at, levels, count = curve.at[a:b], curve.level[a:b], curve.count[a:b]
    rate, _ = slope(at, levels, count)
    line = numpy.average(levels, weights=count) + rate * (numpy.array([first, last]) - numpy.average(at, weights=count))
    start, end = (float(value) for value in numpy.clip(line, levels.min(), levels.max()))
    return Phase(kind, first, last, start, end)
