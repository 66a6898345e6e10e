"""A run's events as curves: the one place that folds them, for charts, summaries, the diagnosis and the live page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy

from studio.events import Best, Evaluated, Resumed, StateChanged, Step, StyleKept, StyleMeasured
from studio.runs.directory import Run

SPEED_STEPS = 64
"""Logged steps over which the speed is taken: enough to hold an evaluation now and then, few enough to follow."""
_STEP = {
    "steps": "step",
    "epochs": "epoch",
    "losses": "loss",
    "rates": "learning_rate",
    "norms": "grad_norm",
    "times": "at",
    "tokens": "tokens",
    "margins": "margin",
    "accuracies": "accuracy",
}
_EVALUATION = {"evaluated_steps": "step", "validation_losses": "loss"}


def _empty() -> Any:
    return numpy.zeros(0)


@dataclass(frozen=True, eq=False)
class Curve:
    """The curves of a run so far, as arrays; `after` gives the curve with later events."""

    steps: Any = field(default_factory=_empty)
    epochs: Any = field(default_factory=_empty)
    losses: Any = field(default_factory=_empty)
    """Mean cross-entropy per trained token, in nats."""
    rates: Any = field(default_factory=_empty)
    norms: Any = field(default_factory=_empty)
    """Norm of the gradient before clipping; NaN where it was not logged."""
    times: Any = field(default_factory=_empty)
    tokens: Any = field(default_factory=_empty)
    """Tokens since the start of the run, padding not counted."""
    margins: Any = field(default_factory=_empty)
    """In a run on preferences, the reward of better answers less that of worse ones; NaN in others."""
    accuracies: Any = field(default_factory=_empty)
    """There, of pairs, the share whose better answer has the higher reward; NaN where it is not known."""
    evaluated_steps: Any = field(default_factory=_empty)
    validation_losses: Any = field(default_factory=_empty)
    total: int = 0
    """Steps that the run will take; 0 before that is known."""
    best_step: int | None = None
    """Step of the adapter that is kept for its validation loss or its style, where the run keeps such a one."""
    styles: tuple[StyleMeasured, ...] = ()
    """What the meter has measured, by step."""
    session: int = 0
    """Index of the first logged step since the run last entered a state."""
    updates: int = 0
    """Number of events that changed a curve."""
    jumps: int = 0
    """Those of them that are not one more step: evaluations, points of the meter and resumes."""

    @property
    def ends(self) -> tuple[float, ...]:
        """What tells the curve from itself with more points."""
        return len(self.steps), len(self.evaluated_steps), *self.losses[-1:], *self.validation_losses[-1:]

    def after(self, events: Iterable[Any]) -> "Curve":
        """Return this curve extended by later events; a resume drops what was logged after its checkpoint."""
        curve, steps, evaluations = self, [], []
        for event in events:
            if isinstance(event, Step):
                steps.append(event)
            elif isinstance(event, Evaluated):
                evaluations.append(event)
            elif isinstance(event, Resumed):
                curve, steps, evaluations = curve._extended(steps, evaluations)._until(event.step), [], []
            elif isinstance(event, StyleMeasured):
                curve = curve._with_style(event)
            elif isinstance(event, Best | StyleKept):
                curve = replace(curve, best_step=event.step)
            elif isinstance(event, StateChanged):
                curve = replace(curve, session=len(curve.steps) + len(steps))
        return curve._extended(steps, evaluations)

    def _extended(self, steps: Sequence[Step], evaluations: Sequence[Evaluated]) -> "Curve":
        if not steps and not evaluations:
            return self
        changes: dict[str, Any] = {}
        for columns, events in ((_STEP, steps), (_EVALUATION, evaluations)):
            for column, name in columns.items() if events else ():
                more = numpy.asarray([getattr(event, name) for event in events], dtype=float)  # None becomes NaN
                changes[column] = numpy.concatenate((getattr(self, column), more))
        return replace(
            self,
            **changes,
            total=steps[-1].total if steps else self.total,
            updates=self.updates + len(steps) + len(evaluations),
            jumps=self.jumps + len(evaluations),
        )

    def _with_style(self, point: StyleMeasured) -> "Curve":
        styles = (*(each for each in self.styles if each.step != point.step), point)
        return replace(self, styles=styles, updates=self.updates + 1, jumps=self.jumps + 1)

    def _until(self, step: int) -> "Curve":
        logged, evaluated = self.steps <= step, self.evaluated_steps <= step
        columns = {column: getattr(self, column)[logged] for column in _STEP}
        columns |= {column: getattr(self, column)[evaluated] for column in _EVALUATION}
        columns["styles"] = tuple(point for point in self.styles if point.step <= step)
        session = min(self.session, int(logged.sum()))
        return replace(self, **columns, session=session, updates=self.updates + 1, jumps=self.jumps + 1)

    def speed(self) -> tuple[float | None, float | None]:
        """Return tokens per second and seconds per step over the last logged steps; None before there are two."""
        recent = slice(max(self.session, len(self.steps) - SPEED_STEPS), None)
        if len(self.steps[recent]) < 2:
            return None, None
        steps, seconds, tokens = (
            float(part[-1] - part[0]) for part in (self.steps[recent], self.times[recent], self.tokens[recent])
        )
        seconds = max(seconds, 1e-9)
        return tokens / seconds, seconds / max(steps, 1.0)


def read_curve(run: Run) -> Curve:
    """Return the curves of a run from its directory."""
    return Curve().after(run.events()[0])
