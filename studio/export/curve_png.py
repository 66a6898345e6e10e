"""The loss curves of a run as a PNG: training and validation loss by step."""

import math
from typing import Any

from studio.data.language import is_hangul
from studio.errors import CompareError
from studio.i18n import DEFAULT_LANGUAGE, text
from studio.reports import fonts
from studio.reports.canvas import ACCENT, LINE, MUTED, WARN, Canvas
from studio.reports.fonts import Faces
from studio.runs.curve import Curve

SIZE = (1000, 480)
_LEFT, _RIGHT, _TOP, _BOTTOM = 96, 32, 64, 64
_MAX_GRID_LINES = 5
_MAX_POINTS = 600  # points of the training loss: more would share a pixel


def to_png(curve: Curve, language: str = DEFAULT_LANGUAGE) -> bytes | None:
    """Return the picture; None for a curve without a point. Losses are in nats per trained token."""
    losses, checks = _finite(curve.steps, curve.losses), _finite(curve.evaluated_steps, curve.validation_losses)
    if not losses:
        return None
    names, faces = _words(language)
    canvas = Canvas(*SIZE, faces)
    values = [value for _, value in (*losses, *checks)]
    rough = ((max(values) - min(values)) or abs(values[0]) or 1.0) / (_MAX_GRID_LINES - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough * (1 - 1e-9))
    low, high = math.floor(min(values) / step) * step, math.ceil(max(values) / step) * step
    high = high if high > low else low + step
    first, last = losses[0][0], max(losses[-1][0], losses[0][0] + 1)

    def place(point: tuple[float, float]) -> tuple[float, float]:
        across = (point[0] - first) / (last - first)
        up = (point[1] - low) / (high - low)
        return _LEFT + across * (SIZE[0] - _LEFT - _RIGHT), SIZE[1] - _BOTTOM - up * (SIZE[1] - _TOP - _BOTTOM)

    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        _, y = place((first, value))
        canvas.line([(_LEFT, y), (SIZE[0] - _RIGHT, y)], LINE, 1)
        words = f"{value:.{max(0, -math.floor(math.log10(step)))}f}"
        canvas.text(_LEFT - 12 - canvas.measure(words, 18), y - 14, words, 18, MUTED)
    words = f"{names[2]} {losses[-1][0]:.0f}"
    canvas.text(_LEFT, SIZE[1] - _BOTTOM + 10, f"{first:.0f}", 18, MUTED)
    canvas.text(SIZE[0] - _RIGHT - canvas.measure(words, 18), SIZE[1] - _BOTTOM + 10, words, 18, MUTED)
    canvas.line([place(point) for point in _downsample(losses)], ACCENT, 3)
    right = canvas.text(_LEFT, 16, names[0], 20, ACCENT, bold=True)
    if checks:
        canvas.line([place(point) for point in checks], WARN, 2)
        for point in checks:
            canvas.dot(*place(point), 5, WARN)
        canvas.text(right + 32, 16, f"● {names[1]}" if canvas.has("●") else names[1], 20, WARN, bold=True)
    return canvas.to_png()


def _words(language: str) -> tuple[list[str], Faces]:
    """Return the labels and fonts for them; English labels where no installed font has Hangul."""
    names = [text(f"export.card.axes.{name}", language) for name in ("training", "validation", "step")]
    try:
        return names, fonts.find(any(map(is_hangul, "".join(names))))
    except CompareError:
        return _words(DEFAULT_LANGUAGE)


def _finite(steps: Any, values: Any) -> list[tuple[float, float]]:
    pairs = ((float(step), float(value)) for step, value in zip(steps, values, strict=True))
    return [pair for pair in pairs if math.isfinite(pair[1])]


def _downsample(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most `_MAX_POINTS` points: the first, the last, and the extremes of each interval."""
    if len(points) <= _MAX_POINTS:
        return points
    width = -(-2 * len(points) // _MAX_POINTS)
    extremes = {points[0], points[-1]}
    for start in range(0, len(points), width):
        stretch = sorted(points[start : start + width], key=lambda point: point[1])
        extremes |= {stretch[0], stretch[-1]}
    return sorted(extremes)
