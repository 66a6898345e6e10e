"""Several runs in one chart, and the settings in which they differ. Pure functions without Gradio.

A curve has its letter, colour and pattern of dashes by its place among the chosen runs, so it is told from the others
without colour too.
"""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas

from studio.config import RunConfig
from studio.i18n import has, text
from studio.ui.runs_views import number
from studio.ui.views import SERIES_COLOURS, TRAIN, Point

LETTERS = ("A", "B", "C", "D", "E", "F")
COLOURS = dict(zip(LETTERS, ("#0d9488", "#d97706", "#3b82f6", "#db2777", "#8b5cf6", "#64748b"), strict=True))
DASHES = dict(zip(LETTERS, ("none", "8 4", "2 3", "10 3 2 3", "5 2", "14 5"), strict=True))
"""The pattern of each line; the chart's lines get it by their colour, in the page's style sheet."""
COLUMNS = ("step", "loss", "series")
MOST_POINTS = 240
_LONGEST = 80


class Laid(NamedTuple):
    """A chosen run: its letter, what it is called, its curve and its settings."""

    letter: str
    name: str
    points: Sequence[Point]
    config: RunConfig | None


def frame(laid: Sequence[Laid], kind: str = TRAIN) -> pandas.DataFrame:
    """Return the data of the chart (nats a token), of the training or the validation loss.

    Each letter has a row without a loss: the chart fixes its colours and the kind of its axes by its first data.
    """
    rows: list[tuple[int, float, str]] = [(0, math.nan, letter) for letter in LETTERS]
    for run in laid:
        rows += [(point.step, point.loss, run.letter) for point in thinned(own(run.points, kind))]
    return pandas.DataFrame(rows, columns=list(COLUMNS))


def frame_of(points: Sequence[Point]) -> pandas.DataFrame:
    """Return the data of one run's chart: its training and its validation loss."""
    rows: list[tuple[int, float, str]] = [(0, math.nan, series) for series in SERIES_COLOURS]
    for series in SERIES_COLOURS:
        rows += [(point.step, point.loss, series) for point in thinned(own(points, series))]
    return pandas.DataFrame(rows, columns=list(COLUMNS))


def own(points: Sequence[Point], kind: str) -> list[Point]:
    """Return the points of one series that can be drawn."""
    return [point for point in points if point.series == kind and math.isfinite(point.loss)]


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """Return at most `most` points of a curve: both ends, and the lowest and highest of equal stretches between."""
    if len(points) <= most:
        return list(points)
    inner = points[1:-1]
    stretch = -(-len(inner) // ((most - 2) // 2))
    kept = [points[0]]
    for start in range(0, len(inner), stretch):
        group = inner[start : start + stretch]
        ends = {min(group, key=lambda point: point.loss), max(group, key=lambda point: point.loss)}
        kept += sorted(ends, key=lambda point: point.step)
    return [*kept, points[-1]]


def legend(laid: Sequence[Laid], kind: str, language: str) -> str:
    """Return the names of the curves, each beside its line as it is drawn."""
    items = []
    for run in laid:
        last = own(run.points, kind)
        there = number(last[-1].loss) if last else html.escape(text("ui.runs.no_points", language))
        items.append(
            f'<li>{_line(run.letter)}<b>{run.letter}</b> <span class="what">{html.escape(run.name)}</span>'
            f' <span class="effect">{there}</span></li>'
        )
    return f'<ul class="overlay-legend">{"".join(items)}</ul>'


def _line(letter: str) -> str:
    dashes = "" if DASHES[letter] == "none" else f' stroke-dasharray="{DASHES[letter]}"'
    return (
        '<svg width="42" height="10" aria-hidden="true"><line x1="0" x2="42" y1="5" y2="5"'
        f' stroke="{COLOURS[letter]}" stroke-width="2.5"{dashes}/></svg>'
    )


def sentence(laid: Sequence[Laid], kind: str, language: str) -> str:
    """Say in words how the curves stand at their ends, the lowest first."""
    series = text(f"ui.series.{kind}", language)
    ends = [(curve[-1].loss, curve[-1].step, run) for run in laid if (curve := own(run.points, kind))]
    if len(ends) < 2:
        return text("ui.runs.overlay_few", language, series=series)
    ends.sort(key=lambda end: end[0])
    order = ", ".join(
        text("ui.runs.overlay_end", language, letter=run.letter, loss=number(loss), step=step)
        for loss, step, run in ends
    )
    apart = number(ends[-1][0] - ends[0][0])
    return text("ui.runs.overlay_order", language, series=series, order=order, apart=apart)


def differences(laid: Sequence[Laid], rows: Mapping[str, Sequence[Any]], language: str) -> str:
    """Return the settings in which the runs differ as a table; a sentence when there are none.

    `rows` holds the values by the setting's dotted path, in the order of the runs.
    """
    if not rows:
        return f'<p class="caption">{html.escape(text("ui.runs.no_differences", language))}</p>'
    heads = "".join(f'<th scope="col">{_line(run.letter)} {run.letter}</th>' for run in laid)
    lines = []
    for path, row in rows.items():
        cells = "".join(f"<td>{value(path, each, language)}</td>" for each in row)
        lines.append(f'<tr><th scope="row">{setting(path, language)}</th>{cells}</tr>')
    first = html.escape(text("ui.runs.setting", language))
    return (
        f'<div class="scrolls" tabindex="0"><table class="differences"><thead><tr><th scope="col">{first}</th>{heads}'
        f"</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def setting(path: str, language: str) -> str:
    """Return a setting's title with its path."""
    title = text(f"config.{path}.title", language) if has(f"config.{path}.title") else path
    return f'<span title="{html.escape(path, quote=True)}">{html.escape(title)}</span>'


def value(path: str, given: Any, language: str) -> str:
    """Return a setting's value: an option in its words, nothing as a dash, a long text cut."""
    if given is None or given == "" or given == ():
        return "–"
    if isinstance(given, bool):
        return text(f"ui.runs.{'yes' if given else 'no'}", language)
    if isinstance(given, str) and has(f"config.{path}.options.{given}"):
        return html.escape(text(f"config.{path}.options.{given}", language))
    if isinstance(given, float):
        return f"{given:g}"
    words = ", ".join(map(str, given)) if isinstance(given, tuple) else str(given)
    if len(words) <= _LONGEST:
        return html.escape(words)
    return f'<span title="{html.escape(words, quote=True)}">{html.escape(words[:_LONGEST])} …</span>'
