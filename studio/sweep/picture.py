"""A sweep as a picture: parallel coordinates, one line for each run, the winner's drawn last and strongest.

Parallel coordinates: Inselberg 1985, doi:10.1007/BF01898350. The picture is SVG without scripts; its colours are those
of the text around it where it stands in a page.
"""

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from studio.command import format_value
from studio.sweep.axes import Axis
from studio.sweep.plan import SweepPlan
from studio.sweep.trial import Trial, winner

WIDTH, HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 80, 44, 24
_TICKS, _MOST_MARKS = 3, 6


def draw(
    plan: SweepPlan,
    trials: Sequence[Trial],
    *,
    title: str,
    score: str,
    name_of: Callable[[str], str] = lambda path: path,
) -> str:
    """Return the picture of all trials with a score, as SVG; empty while fewer than two have one.

    `title` says in words what it shows, for those who do not see it, `score` is the name of the last axis, where the
    best is on top, and `name_of` gives the names of the settings.
    """
    ranked = [trial for trial in trials if trial.is_ranked and all(axis.path in trial.settings for axis in plan.over)]
    if len(ranked) < 2:
        return ""
    best = winner(trials)
    scores = [trial.score or 0.0 for trial in ranked]
    columns = [_Column.of_axis(axis, ranked) for axis in plan.over] + [_Column(min(scores), max(scores), inverted=True)]
    names = [*(name_of(axis.path) for axis in plan.over), score]
    gap = (WIDTH - _LEFT - _RIGHT) / (len(columns) - 1)
    places = [_LEFT + gap * at for at in range(len(columns))]
    parts = [_axis(x, name) for x, name in zip(places, names, strict=True)]
    for trial in sorted(ranked, key=lambda each: each is best):
        values = [*(trial.settings[axis.path] for axis in plan.over), trial.score]
        line = " ".join(f"{x:.1f},{col.y(value):.1f}" for x, col, value in zip(places, columns, values, strict=True))
        is_best = best is not None and trial.run == best.run
        settings = (f"{axis.path.rsplit('.', 1)[-1]} {format_value(trial.settings[axis.path])}" for axis in plan.over)
        tooltip = html.escape(f"{trial.number + 1}: {', '.join(settings)} → {trial.score:.4g}")
        style = 'stroke="#0d9488" stroke-width="3.5"' if is_best else 'stroke="currentColor" stroke-opacity="0.35"'
        dashes = ' stroke-dasharray="4 3"' if trial.state != "finished" else ""
        kind = "winner" if is_best else trial.state
        parts.append(
            f'<polyline class="{kind}" fill="none" {style}{dashes} points="{line}"><title>{tooltip}</title></polyline>'
        )
        if is_best:
            x, y = places[-1], columns[-1].y(trial.score)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="#0d9488"/>')
            parts.append(_text(x + 9, y + 4, f"★ {trial.number + 1}", anchor="start", weight="bold"))
    parts += [
        _text(x - 10, y + 4, words, anchor="end")
        for x, col in zip(places, columns, strict=True)
        for y, words in col.ticks()
    ]
    label = html.escape(title, quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' style="font-family: inherit" font-size="12"><title>{html.escape(title)}</title>{"".join(parts)}</svg>'
    )


@dataclass(frozen=True)
class _Column:
    """Where the values of one axis lie: numbers by their size, on a log scale if they span it, others side by side."""

    low: float
    high: float
    log: bool = False
    inverted: bool = False
    names: Sequence[str] = ()
    """Values that are no numbers."""
    marks: Sequence[float] = ()
    """The numbers of a list."""

    @classmethod
    def of_axis(cls, axis: Axis, trials: Sequence[Trial]) -> "_Column":
        """Return the column of a setting."""
        values = [trial.settings[axis.path] for trial in trials] if axis.is_range else list(axis.values)
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            return cls(min(values), max(values), log=axis.is_log, marks=axis.values)
        return cls(0, 0, names=[format_value(value) for value in values])

    def share(self, value: Any) -> float:
        """Return the height of a value, from 0 at the foot to 1."""
        if self.names:
            name = format_value(value)
            return self.names.index(name) / max(1, len(self.names) - 1) if name in self.names else 0.0
        low, high, at = (self._scaled(each) for each in (self.low, self.high, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return 1 - share if self.inverted else share

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else float(value)

    def y(self, value: Any) -> float:
        return HEIGHT - _BOTTOM - self.share(value) * (HEIGHT - _TOP - _BOTTOM)

    def ticks(self) -> list[tuple[float, str]]:
        """Return heights on the picture, and the values there."""
        if self.names:
            return [(self.y(name), name if len(name) <= 16 else f"{name[:15]}…") for name in self.names]
        if self.marks and len(self.marks) <= _MOST_MARKS:
            return [(self.y(value), f"{value:.4g}") for value in self.marks]
        low, high = self._scaled(self.low), self._scaled(self.high)
        if high <= low:
            return [(self.y(self.low), f"{self.low:.4g}")]
        marks = [low + (high - low) * at / (_TICKS - 1) for at in range(_TICKS)]
        values = [10**mark if self.log else mark for mark in marks]
        return [(self.y(value), f"{value:.3g}") for value in values]


def _axis(x: float, name: str) -> str:
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}" stroke="currentColor"/>'
    short = name if len(name) <= 22 else f"{name[:21]}…"
    return line + _text(x, _TOP - 20, short, anchor="middle", weight="bold")


def _text(x: float, y: float, words: str, *, anchor: str, weight: str = "normal") -> str:
    """Return a text with a rim of the ground's colour, so that no line strikes it out."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="currentColor"'
        f' stroke="var(--card, #fff)" stroke-width="4" paint-order="stroke">{html.escape(words)}</text>'
    )
