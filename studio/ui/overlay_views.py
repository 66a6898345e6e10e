"""Several runs in one chart, and the settings in which they differ. Pure functions without Gradio.

A curve has its letter, colour and pattern of dashes by its place among the chosen runs, so it is told from the others
without colour too.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy
import pandas

from studio.config import RunConfig
from studio.i18n import has, text
from studio.runs.curve import Curve
from studio.ui import charts
from studio.ui.charts import Series
from studio.ui.curve_views import TRAIN
from studio.ui.runs_views import number

LETTERS = ("A", "B", "C", "D", "E", "F")
COLOURS = dict(zip(LETTERS, ("#0d9488", "#d97706", "#3b82f6", "#db2777", "#8b5cf6", "#64748b"), strict=True))
DASHES = dict(zip(LETTERS, ("none", "8 4", "2 3", "10 3 2 3", "5 2", "14 5"), strict=True))
"""The pattern of each line; the chart's lines get it by their colour, in the page's style sheet."""
MOST_POINTS = 240
"""Points of each curve: up to six are drawn."""
_LONGEST = 80


class Laid(NamedTuple):
    """A chosen run: its letter, what it is called, its curve and its settings."""

    letter: str
    name: str
    curve: Curve
    config: RunConfig | None


def frame(laid: Sequence[Laid], kind: str = TRAIN) -> pandas.DataFrame:
    """Return the data of the chart (nats a token), of the training or the validation loss."""
    return charts.frame([Series(run.letter, *own(run, kind)) for run in laid], LETTERS, most=MOST_POINTS)


def own(run: Laid, kind: str) -> tuple[Any, Any]:
    """Return steps and losses of a run's training or validation."""
    curve = run.curve
    return (curve.steps, curve.losses) if kind == TRAIN else (curve.evaluated_steps, curve.validation_losses)


def _end(run: Laid, kind: str) -> tuple[float, int] | None:
    """Return the last loss that is a number, and its step."""
    steps, losses = own(run, kind)
    finite = numpy.flatnonzero(numpy.isfinite(losses))
    return (float(losses[finite[-1]]), int(steps[finite[-1]])) if len(finite) else None


def legend(laid: Sequence[Laid], kind: str, language: str) -> str:
    """Return the names of the curves, each beside its line as it is drawn."""
    items = []
    for run in laid:
        end = _end(run, kind)
        end_text = number(end[0]) if end else html.escape(text("ui.runs.no_points", language))
        items.append(
            f'<li>{_line(run.letter)}<b>{run.letter}</b> <span class="what">{html.escape(run.name)}</span>'
            f' <span class="effect">{end_text}</span></li>'
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
    ends = [(*end, run) for run in laid if (end := _end(run, kind))]
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


def value(path: str, raw: Any, language: str) -> str:
    """Return a setting's value: an option in its words, nothing as a dash, a long text cut."""
    if raw is None or raw == "" or raw == ():
        return "–"
    if isinstance(raw, bool):
        return text(f"ui.runs.{'yes' if raw else 'no'}", language)
    if isinstance(raw, str) and has(f"config.{path}.options.{raw}"):
        return html.escape(text(f"config.{path}.options.{raw}", language))
    if isinstance(raw, float):
        return f"{raw:g}"
    words = ", ".join(map(str, raw)) if isinstance(raw, tuple) else str(raw)
    if len(words) <= _LONGEST:
        return html.escape(words)
    return f'<span title="{html.escape(words, quote=True)}">{html.escape(words[:_LONGEST])} …</span>'
