"""Curves for `gr.LinePlot`: smoothed, on a log scale, and thinned on the server without losing a peak.

A chart fixes its series, colours and kind of axes by the first data that it gets, so a frame holds every series that
the chart may ever draw, those without points too.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy
import pandas

MOST_POINTS = 500
"""Points of one series that are sent to the page."""
DIGITS = 5
"""Significant digits of a value; more cannot be seen, and cost bytes at every tick."""
DASHES = 50
"""The dash of a single value is one of so many parts of the axis long."""
MOST_SMOOTHING = 0.99
STEP, VALUE, SERIES = "step", "value", "series"
RAW = "_raw"
"""Ends the name of the series that stands faintly behind the smoothed one."""
FAINT = "59"
"""Opacity of a faint line, about a third, as the last two digits of its colour."""


class Series(NamedTuple):
    """One series: its name, and its values by step. Steps rise."""

    series: str
    steps: Sequence[float] | numpy.ndarray
    values: Sequence[float] | numpy.ndarray


def frame(
    curves: Iterable[Series],
    series: Sequence[str],
    *,
    smoothing: float = 0.0,
    log: bool = False,
    most: int = MOST_POINTS,
    until: int = 0,
) -> pandas.DataFrame:
    """Return the data of a chart: columns `step`, `value` and `series`, thinned to `most` points each.

    `series` names all that the chart may draw, in the order of drawing. With smoothing, a series of more than two
    points is drawn smoothed, and as it is in `<name>_raw` behind. On a log scale the values are their logarithms to
    base 10, without those that have none.

    The axis reaches from 0 to the step `until`, by points without a value. Its limits (`x_lim`) would do that too, but
    at each change the browser builds the chart anew, and one that is built twice at once shows no news any more. Such
    a point breaks the line at its place, so the ones at the end come last: before a value of the same step, they
    would cut that off. A line of one point is not seen, so one value is drawn as a dash that ends at its step.
    """
    columns: dict[str, list[numpy.ndarray]] = {STEP: [], VALUE: [], SERIES: []}

    def add(name: str, steps: numpy.ndarray, values: numpy.ndarray) -> None:
        columns[STEP].append(steps)
        columns[VALUE].append(values)
        columns[SERIES].append(numpy.full(len(steps), name, dtype=object))

    names = [name + RAW for name in series] + list(series)
    for name in names:
        add(name, numpy.zeros(1), numpy.full(1, numpy.nan))
    for curve in curves:
        steps, values = _finite(curve.steps, curve.values)
        if smoothing > 0 and len(values) > 2:
            add(curve.series + RAW, *_plotted(steps, values, log, most))
            values = smoothed(values, smoothing)
        if len(values) == 1:
            steps, values = steps[0] - numpy.array([min(max(1, until // DASHES), steps[0]), 0]), values.repeat(2)
        add(curve.series, *_plotted(steps, values, log, most))
    if not any(numpy.isfinite(values).any() for values in columns[VALUE]):
        add(series[0], numpy.zeros(1), numpy.zeros(1))  # not seen, and Vega has its extent
    for name in names:
        add(name, numpy.full(1, until), numpy.full(1, numpy.nan))
    joined = {name: numpy.concatenate(parts) for name, parts in columns.items()}
    if (joined[STEP] == joined[STEP].round()).all():  # ".0" costs bytes at every point
        joined[STEP] = joined[STEP].astype("int64")
    return pandas.DataFrame(joined)


def colour_map(colours: Mapping[str, str]) -> dict[str, str]:
    """Return the colours (`#rrggbb`) of all series of a chart, with the faint ones of those behind."""
    return {name + RAW: colour + FAINT for name, colour in colours.items()} | dict(colours)


def smoothed(values: Sequence[float] | numpy.ndarray, weight: float) -> numpy.ndarray:
    """Return the exponential moving average, where each value before counts `weight` of the one after it.

    Corrected for its start, as Adam's moments are (Kingma and Ba 2015, section 3): the first value is itself.
    """
    weight = min(max(weight, 0.0), MOST_SMOOTHING)
    return pandas.Series(numpy.asarray(values, dtype=float)).ewm(alpha=1 - weight, adjust=True).mean().to_numpy()


def thinned(
    steps: Sequence[float] | numpy.ndarray, values: Sequence[float] | numpy.ndarray, most: int = MOST_POINTS
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return at most `most` of the points: both ends, and the lowest and highest of equal stretches between them.

    Points whose value is no finite number are left out. One pass over the points.
    """
    steps, values = _finite(steps, values)
    if len(values) <= most:
        return steps, values
    inner = values[1:-1]
    stretches = (most - 2) // 2
    width = -(-len(inner) // stretches)
    rows = numpy.full(-(-len(inner) // width) * width, numpy.nan)
    rows[: len(inner)] = inner
    rows = rows.reshape(-1, width)
    starts = numpy.arange(len(rows)) * width + 1
    indices = numpy.concatenate(
        [[0], starts + numpy.nanargmin(rows, axis=1), starts + numpy.nanargmax(rows, axis=1), [len(values) - 1]]
    )
    indices = numpy.unique(indices)
    return steps[indices], values[indices]


def _finite(steps: Any, values: Any) -> tuple[numpy.ndarray, numpy.ndarray]:
    steps, values = numpy.asarray(steps, dtype=float), numpy.asarray(values, dtype=float)
    good = numpy.isfinite(values)
    return steps[good], values[good]


def _plotted(steps: numpy.ndarray, values: numpy.ndarray, log: bool, most: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    if log:
        steps, values = steps[values > 0], numpy.log10(values[values > 0])
    steps, values = thinned(steps, values, most)
    return steps, _rounded(values)


def _rounded(values: numpy.ndarray) -> numpy.ndarray:
    """Round to significant digits; zero stays zero."""
    size = numpy.floor(numpy.log10(numpy.where(values == 0, 1, numpy.abs(values))))
    scale = 10.0 ** (DIGITS - 1 - size)
    return numpy.round(values * scale) / scale
