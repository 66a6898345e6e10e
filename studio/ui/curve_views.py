"""The curves of a run in the chart of the Train tab, and the words beside them.

Pure functions without Gradio.
"""

import html
import re
from collections.abc import Sequence
from typing import Any

import numpy
import pandas

from studio.i18n import text
from studio.ui import charts
from studio.ui.charts import Curve
from studio.ui.story import GRADIENT, RATE, TRAIN, VALIDATION

COLOURS = {RATE: "#0d9488", GRADIENT: "#0d9488", TRAIN: "#0d9488", VALIDATION: "#d97706"}
"""The training loss is drawn over, the validation loss over it."""
KINDS = {"loss": (TRAIN, VALIDATION), "rate": (RATE,), "gradient": (GRADIENT,)}
"""What the chart can show, and its series."""
POINTS = 300
"""Points of one series: the chart is less than 800 pixels wide, and all of its series have to fit into one tick."""


def frame(curves: Sequence[Curve], smoothing: float = 0.0, log: bool = False) -> pandas.DataFrame:
    """Return the data of the chart. The learning rate is drawn as it is: it has no noise to be smoothed."""
    weight = 0.0 if any(curve.series == RATE for curve in curves) else smoothing
    return charts.frame(curves, list(COLOURS), smoothing=weight, log=log, most=POINTS)


def legend(curves: Sequence[Curve], language: str, smoothing: float = 0.0) -> str:
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


def _note(curves: Sequence[Curve], language: str) -> str:
    """Say in words what the chart of the learning rate or the gradient shows; of the loss, its own sentence does."""
    found = next((curve for curve in curves if curve.series in (RATE, GRADIENT) and len(curve.steps)), None)
    if found is None:
        return ""
    top = int(numpy.nanargmax(found.values))
    told = text(
        f"ui.curves.told.{found.series}",
        language,
        value=short(float(found.values[-1])),
        step=int(found.steps[-1]),
        most=short(float(found.values[top])),
        at=int(found.steps[top]),
    )
    return f"<span>{html.escape(told)}</span>"


def short(value: float) -> str:
    """Return a figure in three digits, as `1.42`, `0.0002` or `3.2e-5`."""
    return re.sub(r"e([+-])0*", lambda found: "e-" if found[1] == "-" else "e", f"{value:.3g}")


def loss_sentence(train: Curve, validation: Curve, total: int, language: str) -> str:
    """Say in words what the loss chart shows."""
    if not len(train.steps):
        return text("ui.loss.none", language)
    first, last, step = float(train.values[0]), float(train.values[-1]), int(train.steps[-1])
    values: dict[str, Any] = {"step": step, "total": max(total, step), "loss": f"{last:.2f}"}
    if len(train.steps) == 1:
        sentence = text("ui.loss.first", language, **values)
    else:
        key = "ui.loss.down" if last <= first else "ui.loss.up"
        sentence = text(key, language, **values, first=f"{first:.2f}")
    if len(validation.steps):
        seen = {"loss": f"{validation.values[-1]:.2f}", "step": int(validation.steps[-1])}
        sentence += " " + text("ui.loss.validation", language, **seen)
    return sentence
