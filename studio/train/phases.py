"""A loss curve cut into its phases: where it falls fast, falls slowly, lies flat, swings or rises.

Long curves are thinned first, so that the cost grows with the number of points once and stays small after that:
medians of stretches that grow by a fifth from the first step on (a curve's early part goes by fast), until they are as
wide as a fortieth of the run. Straight pieces are then fitted to the medians by least squares; how many there are is
decided by a penalty for each, as in Bai and Perron (2003), "Computation and analysis of multiple structural change
models", with the Bayesian criterion's penalty (Yao 1988) made heavier, because batches of real text are not as
independent as the criterion supposes.
"""

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy

Kind = Literal["fast", "slow", "steady", "plateau", "oscillation", "rise"]
"""`steady` is a fall without a faster or slower part."""

_GROWTH, _SHARE = 0.2, 40
_PIECE_PENALTY = 4.0
"""Times the logarithm of the number of medians, for each piece."""
_SHORTEST = 4
"""Medians that a piece rests on at least; two fix a line, two more say that it is one."""
_SURE = 3.0
"""Standard errors by which a trend must differ from nothing."""
_SURE_OF_NOISE = 5.0
"""The same where the error comes from the noise of the whole curve: a cliff of a few steps is no straight line."""
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
class Thinned:
    """A curve as medians of stretches."""

    at: Any
    """Mean step of each stretch."""
    level: Any
    """Median loss of each stretch."""
    count: Any
    """Points in each stretch."""
    first: Any
    last: Any
    """First and last step of each stretch."""
    losses: Any
    """Every single loss."""
    noise: float
    """Standard deviation of a single loss around its neighbours."""

    @property
    def error(self) -> Any:
        """Standard error of each level; a median's is 1.25 times a mean's (for the normal distribution)."""
        return self.noise * numpy.where(self.count > 2, 1.2533, 1.0) / numpy.sqrt(self.count)


def thin(steps: Any, losses: Any) -> Thinned:
    """Return a curve (two arrays of one length, one point at least) as medians of stretches."""
    edges = _edges(len(losses))
    counts = numpy.diff(edges)
    level = numpy.empty(len(counts))
    for place, (a, b) in enumerate(itertools.pairwise(edges)):
        level[place] = losses[a] if b - a == 1 else numpy.median(losses[a:b])
    at = numpy.add.reduceat(steps.astype(float), edges[:-1]) / counts
    return Thinned(at, level, counts, steps[edges[:-1]], steps[edges[1:] - 1], losses, noise_of(losses))


def _edges(count: int) -> Any:
    widest = max(1, count // _SHARE)
    edges = [0]
    while edges[-1] < count:
        edges.append(min(count, edges[-1] + min(widest, max(1, int(edges[-1] * _GROWTH)))))
    return numpy.array(edges)


def noise_of(losses: Any, lags: tuple[int, ...] = _LAGS) -> float:
    """Return the standard deviation of single losses around their neighbours, whatever the trend is.

    From the differences of neighbours (von Neumann 1941; Rice 1984), near and less near, by their median absolute
    deviation, which single outliers do not move: 1.4826 makes it a standard deviation (of the normal distribution), and
    the square root of 2 is for a difference of two.
    """
    found = 0.0
    for lag in (lag for lag in lags if lag == 1 or lag <= len(losses) // 6):
        steps = (losses[lag:] - losses[:-lag])[:: 1 + len(losses) // _MEASURED]
        if len(steps) > 1:
            found = max(found, float(numpy.median(numpy.abs(steps - numpy.median(steps)))))
    return 1.4826 * found / math.sqrt(2)


@dataclass(frozen=True)
class _Piece:
    a: int
    b: int
    """Stretches from `a` to before `b`."""
    start: float
    end: float
    slope: float
    error: float
    """Standard error of the slope, from what the levels scatter around the line."""
    noise_error: float
    """The same from the noise of the whole curve."""
    swing: float
    """Standard deviation of the levels around the line."""


def phases(thinned: Thinned) -> list[Phase]:
    """Return the phases of a curve in order; they cover it without gaps."""
    pieces = _pieces(thinned)
    whole = _length(thinned.first[0], thinned.last[-1])
    mean_pace = (pieces[0].start - min(piece.end for piece in pieces)) / whole
    ways = [_way(piece, thinned, mean_pace) for piece in pieces]
    ways = _swinging(pieces, ways)
    ways = ["swing" if way == "flat" and _is_jagged(p, thinned) else way for p, way in zip(pieces, ways, strict=True)]
    kinds = [_kind(piece, way, mean_pace) for piece, way in zip(pieces, ways, strict=True)]
    if "fast" not in kinds:
        kinds = ["steady" if kind == "slow" else kind for kind in kinds]
    return _joined(pieces, kinds, thinned)


def _pieces(thinned: Thinned) -> list[_Piece]:
    """Return the straight pieces with the least sum of squares and penalties, by dynamic programming."""
    count = len(thinned.level)
    weights = 1 / numpy.maximum(thinned.error, _floor(thinned)) ** 2
    x, y = thinned.at, thinned.level
    sums = [numpy.concatenate(([0.0], numpy.cumsum(weights * part))) for part in (x**0, x, y, x * x, x * y, y * y)]
    penalty = _PIECE_PENALTY * math.log(max(count, 2))
    shortest = min(_SHORTEST, count)
    best = numpy.full(count + 1, math.inf)
    best[0] = -penalty
    before = numpy.zeros(count + 1, dtype=int)
    for end in range(shortest, count + 1):
        starts = numpy.arange(0, end - shortest + 1)
        w, wx, wy, wxx, wxy, wyy = (part[end] - part[starts] for part in sums)
        spread = numpy.maximum(wxx - wx * wx / w, 1e-12)
        rest = wyy - wy * wy / w - (wxy - wx * wy / w) ** 2 / spread
        costs = best[starts] + numpy.maximum(rest, 0) + penalty
        least = int(numpy.argmin(costs))
        best[end], before[end] = costs[least], least
    ends = [count]
    while ends[-1] > 0:
        ends.append(int(before[ends[-1]]))
    ends.reverse()
    return [_line(a, b, thinned) for a, b in itertools.pairwise(ends)]


def _floor(thinned: Thinned) -> float:
    """Return the standard error below which no level is taken to be known; a curve without noise has bends too."""
    return 1e-3 * max(float(numpy.ptp(thinned.level)), 1e-6)


def _line(a: int, b: int, thinned: Thinned) -> _Piece:
    x, y = thinned.at[a:b], thinned.level[a:b]
    weight = numpy.maximum(thinned.count[a:b], 1).astype(float)
    middle, level = numpy.average(x, weights=weight), numpy.average(y, weights=weight)
    spread = float((weight * (x - middle) ** 2).sum())
    slope = float((weight * (x - middle) * (y - level)).sum()) / spread if spread else 0.0
    rest = y - level - slope * (x - middle)
    freedom = max(1, len(x) - 2)
    scatter = float((weight * rest**2).sum()) / freedom  # variance of a single loss, if its neighbours are independent
    by_noise = thinned.noise / math.sqrt(spread) if spread else math.inf
    error = max(by_noise, math.sqrt(scatter / spread)) if spread else math.inf
    first, last = (float(level + slope * (at - middle)) for at in (thinned.first[a], thinned.last[b - 1]))
    return _Piece(a, b, first, last, slope, error, by_noise, float(numpy.sqrt((rest**2).mean())))


def _swinging(pieces: list[_Piece], ways: list[str]) -> list[str]:
    """Return the ways with `swing` for pieces that go up and down in turn, three at least, and get nowhere."""
    found = list(ways)
    place = 0
    while place < len(pieces):
        end = place + 1
        while end < len(pieces) and {ways[end - 1], ways[end]} == {"rise", "fall"}:
            end += 1
        most = max(abs(piece.end - piece.start) for piece in pieces[place:end])
        if end - place >= 3 and abs(pieces[end - 1].end - pieces[place].start) < most / 2:
            found[place:end] = ["swing"] * (end - place)
        place = end
    return found


def _is_jagged(piece: _Piece, thinned: Thinned) -> bool:
    before = int(thinned.count[: piece.a].sum())
    return jagged(thinned.losses, thinned.losses[before : before + int(thinned.count[piece.a : piece.b].sum())])


def jagged(losses: Any, part: Any) -> bool:
    """Whether the losses of a part of a curve jump about far more than in the curve's quietest third."""
    quietest = min(noise_of(third) for third in numpy.array_split(losses, 3))
    times = _JAGGED if len(losses) >= 120 else _JAGGED_SHORT
    noise = noise_of(part)
    return len(part) >= 12 and noise > times * quietest and noise > 0.1 * abs(float(numpy.median(part)))


def _length(first: float, last: float) -> float:
    return float(max(1, last - first))


def _way(piece: _Piece, thinned: Thinned, mean_pace: float) -> str:
    change = piece.end - piece.start
    small = abs(change) < _FLAT_SHARE * abs(piece.start) or abs(piece.slope) < _FLAT_PACE * abs(mean_pace)
    sure = (
        abs(piece.slope) > _SURE * piece.error
        or abs(piece.slope) > _SURE_OF_NOISE * piece.noise_error
        or abs(trend(thinned.level[piece.a : piece.b])) > _SURE
    )
    if small or not sure:
        return "flat"
    return "fall" if change < 0 else "rise"


def trend(values: Any) -> float:
    """Return how sure it is that values rise (above 0) or fall, in standard deviations.

    The test of Mann (1945) and Kendall: of all pairs, how many rise and how many fall. It needs no line and no scale.
    """
    count = len(values)
    if count < 3:
        return 0.0
    signs = float(numpy.sign(values[None, :] - values[:, None])[numpy.triu_indices(count, 1)].sum())
    spread = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    return (abs(signs) - 1) / spread * math.copysign(1, signs) if signs else 0.0


def _kind(piece: _Piece, way: str, mean_pace: float) -> Any:
    if way == "fall":
        return "fast" if -piece.slope >= _FAST * mean_pace else "slow"
    return {"rise": "rise", "swing": "oscillation", "flat": "plateau"}[way]


def _joined(pieces: list[_Piece], kinds: list[Any], thinned: Thinned) -> list[Phase]:
    """Return neighbours of one kind as one phase; a phase begins where the one before it has ended."""
    found: list[Phase] = []
    for piece, kind in zip(pieces, kinds, strict=True):
        last = int(thinned.last[piece.b - 1])
        levels = thinned.level[piece.a : piece.b]
        start, end = (float(numpy.clip(at, levels.min(), levels.max())) for at in (piece.start, piece.end))
        if found and found[-1].kind == kind:
            found[-1] = replace(found[-1], last=last, end=end)
        else:
            if found and found[-1].kind != "plateau":
                found[-1] = replace(found[-1], end=start)
            first = found[-1].last + 1 if found else int(thinned.first[piece.a])
            found.append(Phase(kind, first, last, start, end))
    return found
