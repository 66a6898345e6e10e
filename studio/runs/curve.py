"""What a run's events say of its curves: losses, validation losses, learning rates and gradient norms, by step."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy

from studio.events import Best, Evaluated, Resumed, Step


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
    evaluated_steps: Any = field(default_factory=_empty)
    validation_losses: Any = field(default_factory=_empty)
    """Losses of the validation rows."""
    total: int = 0
    """Steps that the run will take; 0 before that is known."""
    kept: int | None = None
    """Step of the best adapter, where the run keeps that one."""

    def after(self, events: Iterable[Any]) -> "Curve":
        """Return this curve with what some later events add. Where a run was resumed, what came after its checkpoint is
        not part of the curve any more.
        """
        found, logged, checks = self, [], []
        for event in events:
            if isinstance(event, Step):
                logged.append(event)
            elif isinstance(event, Evaluated):
                checks.append(event)
            elif isinstance(event, Resumed):
                found, logged, checks = found._with(logged, checks)._until(event.step), [], []
            elif isinstance(event, Best):
                found = replace(found, kept=event.step)
        return found._with(logged, checks)

    def _with(self, logged: Sequence[Step], checks: Sequence[Evaluated]) -> "Curve":
        if not logged and not checks:
            return self
        return replace(
            self,
            steps=_extended(self.steps, [event.step for event in logged]),
            epochs=_extended(self.epochs, [event.epoch for event in logged]),
            losses=_extended(self.losses, [event.loss for event in logged]),
            rates=_extended(self.rates, [event.learning_rate for event in logged]),
            norms=_extended(self.norms, [math.nan if e.grad_norm is None else e.grad_norm for e in logged]),
            evaluated_steps=_extended(self.evaluated_steps, [event.step for event in checks]),
            validation_losses=_extended(self.validation_losses, [event.loss for event in checks]),
            total=logged[-1].total if logged else self.total,
        )

    def _until(self, step: int) -> "Curve":
        kept, checks = self.steps <= step, self.evaluated_steps <= step
        return replace(
            self,
            steps=self.steps[kept],
            epochs=self.epochs[kept],
            losses=self.losses[kept],
            rates=self.rates[kept],
            norms=self.norms[kept],
            evaluated_steps=self.evaluated_steps[checks],
            validation_losses=self.validation_losses[checks],
        )


def _extended(known: Any, more: Sequence[float]) -> Any:
    return numpy.concatenate((known, numpy.asarray(more, dtype=float))) if more else known
