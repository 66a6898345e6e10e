"""What a run's events say of its curves: losses, validation losses, learning rates and gradient norms, by step."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from studio.events import Best, Changed, Evaluated, Resumed, Step


@dataclass(frozen=True)
class Curve:
    """The curves of a run so far; `after` gives the curve with later events."""

    steps: tuple[int, ...] = ()
    epochs: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    """Mean cross-entropy per trained token, in nats."""
    rates: tuple[float, ...] = ()
    norms: tuple[float, ...] = ()
    """Norm of the gradient before clipping; NaN where it was not logged."""
    check_steps: tuple[int, ...] = ()
    check_losses: tuple[float, ...] = ()
    """Losses of the validation rows."""
    total: int = 0
    """Steps that the run will take; 0 before that is known."""
    kept: int | None = None
    """Step of the best adapter, where the run keeps that one."""
    changed: tuple[int, ...] = ()
    """Steps at which settings were changed."""

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
            elif isinstance(event, Changed):
                found = replace(found, changed=(*found.changed, event.step))
            elif isinstance(event, Best):
                found = replace(found, kept=event.step)
        return found._with(logged, checks)

    def _with(self, logged: list[Step], checks: list[Evaluated]) -> "Curve":
        if not logged and not checks:
            return self
        return replace(
            self,
            steps=self.steps + tuple(event.step for event in logged),
            epochs=self.epochs + tuple(event.epoch for event in logged),
            losses=self.losses + tuple(event.loss for event in logged),
            rates=self.rates + tuple(event.learning_rate for event in logged),
            norms=self.norms + tuple(math.nan if e.grad_norm is None else e.grad_norm for e in logged),
            check_steps=self.check_steps + tuple(event.step for event in checks),
            check_losses=self.check_losses + tuple(event.loss for event in checks),
            total=logged[-1].total if logged else self.total,
        )

    def _until(self, step: int) -> "Curve":
        keep = sum(at <= step for at in self.steps)
        checks = sum(at <= step for at in self.check_steps)
        return replace(
            self,
            steps=self.steps[:keep],
            epochs=self.epochs[:keep],
            losses=self.losses[:keep],
            rates=self.rates[:keep],
            norms=self.norms[:keep],
            check_steps=self.check_steps[:checks],
            check_losses=self.check_losses[:checks],
        )
