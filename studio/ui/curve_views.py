"""The curves of a run in the chart of the Train tab, and the words beside them.

Pure functions without Gradio.
"""

import html
import re
from collections.abc import Sequence

import numpy
import pandas

from studio.i18n import text
from studio.runs.curve import Curve
from studio.ui import charts
from studio.ui.charts import Series

TRAIN, VALIDATION, RATE, GRADIENT, MARGIN = "train", "validation", "rate", "gradient", "margin"
COLOURS = {RATE: "#0d9488", GRADIENT: "#0d9488", MARGIN: "#0d9488", TRAIN: "#0d9488", VALIDATION: "#d97706"}
"""The training loss is drawn over, the validation loss over it."""
KINDS = {"loss": (TRAIN, VALIDATION), "rate": (RATE,), "gradient": (GRADIENT,), "margin": (MARGIN,)}
"""What the chart can show, and its series."""
POINTS = 300
"""Points of one series: the chart is less than 800 pixels wide, and all of its series have to fit into one tick."""


def series(curve: Curve, kind: str) -> list[Series]:
    """Return the series of a run's curves that a chart of this kind shows."""
    known = numpy.isfinite(curve.margins)
    of = {
        TRAIN: (curve.steps, curve.losses),
        VALIDATION: (curve.evaluated_steps, curve.validation_losses),
        RATE: (curve.steps, curve.rates),
        GRADIENT: (curve.steps, curve.norms),
        MARGIN: (curve.steps[known], curve.margins[known]),
    }
    return [Series(name, *of[name]) for name in KINDS[kind]]


def frame(curves: Sequence[Series], smoothing: float = 0.0, log: bool = False, until: int = 0) -> pandas.DataFrame:
    """Return the data of the chart, whose axis reaches to the step `until`.

    The learning rate is drawn as it is: it has no noise to be smoothed.
    """
    weight = 0.0 if any(curve.series == RATE for curve in curves) else smoothing
    return charts.frame(curves, list(COLOURS), smoothing=weight, log=log, most=POINTS, until=until)


def legend(curves: Sequence[Series], language: str, smoothing: float = 0.0) -> str:
    """Return the names of the chart's series beside their colours; a series without points is left out."""
    keys = []
    for curve in curves:
        if len(curve.steps):
            keys.append(_key(curve.series, text(f"ui.series.{curve.series}", language)))
    if smoothing and keys and not any(curve.series == RATE for curve in curves):
        keys.append(_key("unsmoothed", text("ui.series.raw", language)))
    return f'<p class="legend">{"".join(keys)}{_note(curves, language)}</p>'


def _key(kind: str, words: str) -> str:
    return f'<span class="key {kind}">{html.escape(words)}</span>'


def _note(curves: Sequence[Series], language: str) -> str:
    """Say in words what the chart of the learning rate or the gradient shows; of the loss, its own sentence does."""
    noted = next((curve for curve in curves if curve.series in (RATE, GRADIENT, MARGIN) and len(curve.steps)), None)
    if noted is None:
        return ""
    top = int(numpy.nanargmax(noted.values))
    note = text(
        f"ui.curves.told.{noted.series}",
        language,
        value=short(float(noted.values[-1])),
        step=int(noted.steps[-1]),
        most=short(float(noted.values[top])),
        at=int(noted.steps[top]),
    )
    return f"<span>{html.escape(note)}</span>"


def short(value: float) -> str:
    """Return a figure in three digits, as `1.42`, `0.0002` or `3.2e-5`."""
    return re.sub(r"e([+-])0*", lambda match: "e-" if match[1] == "-" else "e", f"{value:.3g}")
