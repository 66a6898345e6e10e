"""A loss curve cut into its phases: where it falls fast, falls slowly, lies flat, swings or rises.

The curve is smoothed once, into medians of stretches that grow by a fifth from the first step on (a curve's early part
goes by fast) up to a fortieth of the run. A phase is a row of stretches whose slope, over a window of them, is alike.
"""

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy

Kind = Literal["fast", "slow", "steady", "plateau", "oscillation", "rise"]
"""`steady` is a fall without a faster or slower part."""

_GROWTH, _SHARE = 0.2, 40
_SHORTEST = 4
"""Stretches of a phase, at least; shorter ones are joined to the one before."""
_SURE = 4.0
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
    edges: Any
    """Indices of the logged losses where the stretches begin, and their number."""
    steps: Any
    losses: Any
    noise: float
    """Standard deviation of a single loss around its neighbours."""

    @property
    def count(self) -> Any:
        """Logged losses in each stretch."""
        return numpy.diff(self.edges)

    def part(self, a: int, b: int) -> Any:
        """Return the single losses of the stretches from `a` to before `b`."""
        return self.losses[self.edges[a] : self.edges[b]]


def smooth(steps: Any, losses: Any) -> Smoothed:
    """Return a curve (two arrays of one length, one point at least) as medians of stretches."""
    widest, edges = max(1, len(losses) // _SHARE), [0]
    while edges[-1] < len(losses):
        edges.append(min(len(losses), edges[-1] + min(widest, max(1, int(edges[-1] * _GROWTH)))))
    level = numpy.array([numpy.median(losses[a:b]) for a, b in itertools.pairwise(edges)])
    at = numpy.array([steps[a:b].mean() for a, b in itertools.pairwise(edges)])
    return Smoothed(at, level, numpy.array(edges), steps, losses, noise_of(losses))


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
    weight = numpy.ones(len(x)) if weight is None else weight.astype(float)
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
    whole = max(1.0, float(curve.steps[-1] - curve.steps[0]))
    mean_pace = (curve.level[:2].mean() - curve.level.min()) / whole
    ways = _joined([_way(curve, place, mean_pace) for place in range(len(curve.level))], 2)
    pieces = _swinging(_pieces(ways), curve)
    ways = [way for way, a, b in pieces for _ in range(b - a)]
    pieces = _pieces(_joined(ways, _SHORTEST))
    pieces = _with_borders_moved(pieces, curve)
    pieces = [(_way_of(curve, a, b, mean_pace) if way == "plateau" else way, a, b) for way, a, b in pieces]
    kinds = [
        "oscillation" if way == "plateau" and jagged(curve.losses, curve.part(a, b)) else way for way, a, b in pieces
    ]
    if "fast" not in kinds:
        kinds = ["steady" if kind == "slow" else kind for kind in kinds]
    return _as_phases(pieces, kinds, curve)


def _way(curve: Smoothed, place: int, mean_pace: float) -> str:
    """Return where a curve goes at one of its stretches, by the slope of the smallest window around it that is sure."""
    for half in range(2, max(3, len(curve.level) // 6 + 1)):
        first = max(0, min(place - half, len(curve.level) - 2 * half - 1))
        way = _way_of(curve, first, first + 2 * half + 1, mean_pace)
        if way != "plateau":
            return way
    return "plateau"


def _way_of(curve: Smoothed, a: int, b: int, mean_pace: float) -> str:
    """Return where a curve goes in a row of its stretches, by the slope of the line through them."""
    at, count = curve.at[a:b], curve.count[a:b]
    rate, _ = slope(at, curve.level[a:b], count)
    spread = float((count * (at - numpy.average(at, weights=count)) ** 2).sum())
    sure_enough = abs(rate) > _SURE * 1.2533 * curve.noise / math.sqrt(max(spread, 1e-9))
    small = abs(rate) * (at[-1] - at[0]) < _FLAT_SHARE * abs(curve.level[a]) or abs(rate) < _FLAT_PACE * abs(mean_pace)
    if small or not sure_enough:
        return "plateau"
    if rate > 0:
        return "rise"
    return "fast" if -rate >= _FAST * mean_pace else "slow"


def _pieces(ways: list[str]) -> list[tuple[str, int, int]]:
    """Return rows of equal ways: the way, its first stretch, and the one after its last."""
    result, place = [], 0
    for way, row in itertools.groupby(ways):
        count = len(list(row))
        result.append((way, place, place + count))
        place += count
    return result


def _joined(ways: list[str], shortest: int) -> list[str]:
    """Return the ways with rows that are too short joined to the longer one of their neighbours, the shortest first."""
    while len(pieces := _pieces(ways)) > 1:
        place = min(range(len(pieces)), key=lambda n: pieces[n][2] - pieces[n][1])
        _, a, b = pieces[place]
        if b - a >= shortest:
            break
        beside = [pieces[n] for n in (place - 1, place + 1) if 0 <= n < len(pieces)]
        ways = [*ways[:a], *[max(beside, key=lambda piece: piece[2] - piece[1])[0]] * (b - a), *ways[b:]]
    return ways


def _with_borders_moved(pieces: list[tuple[str, int, int]], curve: Smoothed) -> list[tuple[str, int, int]]:
    """Return the pieces with each border where a line on each side of it fits best: windows blur it."""

    def misfit(a: int, b: int) -> float:
        _, error = slope(curve.at[a:b], curve.level[a:b], curve.count[a:b])
        return error**2 * float((curve.count[a:b] * (curve.at[a:b] - curve.at[a:b].mean()) ** 2).sum()) * (b - a - 2)

    moved = list(pieces)
    for place in range(len(moved) - 1):
        (way, a, _), (later, _, c) = moved[place], moved[place + 1]
        borders = range(a + _SHORTEST, c - _SHORTEST + 1)
        if borders:
            border = min(borders, key=lambda b: misfit(a, b) + misfit(b, c))
            moved[place : place + 2] = [(way, a, border), (later, border, c)]
    return moved


def _swinging(pieces: list[tuple[str, int, int]], curve: Smoothed) -> list[tuple[str, int, int]]:
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


def _as_phases(pieces: list[tuple[str, int, int]], kinds: list[Any], curve: Smoothed) -> list[Phase]:
    """Return neighbours of one kind as one phase; a phase begins where the one before it has ended."""
    result: list[Phase] = []
    for (_, a, b), kind in zip(pieces, kinds, strict=True):
        first, last = int(curve.steps[curve.edges[a]]), int(curve.steps[curve.edges[b] - 1])
        at, levels, count = curve.at[a:b], curve.level[a:b], curve.count[a:b]
        rate, _ = slope(at, levels, count)
        middle = numpy.average(at, weights=count)
        line = numpy.average(levels, weights=count) + rate * (numpy.array([first, last]) - middle)
        start, end = (float(value) for value in numpy.clip(line, levels.min(), levels.max()))
        if result and result[-1].kind == kind:
            result[-1] = replace(result[-1], last=last, end=end)
            continue
        if result and result[-1].kind != "plateau":
            result[-1] = replace(result[-1], end=start)
        result.append(Phase(kind, result[-1].last + 1 if result else first, last, start, end))
    return result
