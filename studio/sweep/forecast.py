"""What a sweep will take: its runs and their time, before it starts and while it goes on."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from studio.data.rows import evenly_spaced
from studio.i18n import Message, message
from studio.sweep import axes
from studio.sweep.plan import SweepPlan, label
from studio.sweep.trial import Trial
from studio.train import preflight

SAME_COST = frozenset(
    [f"train.{name}" for name in ("learning_rate", "schedule", "warmup_steps", "warmup_ratio", "weight_decay")]
    + ["train.max_grad_norm", "train.seed", *(f"lora.{name}" for name in ("alpha", "dropout", "init", "rslora"))]
)
"""Settings that change nothing in what a run takes."""
MAX_CHECKS = 12
"""Combinations that are checked one by one; of more, as many as that, spread evenly."""


@dataclass(frozen=True)
class Forecast:
    """What is known of a sweep that has not started."""

    runs: int
    seconds: float | None
    """Of all runs, if none is ended early; None where it is unknown."""
    blocks: tuple[Message, ...] = ()
    """What stands in the way of a run, each with its settings."""
    warnings: tuple[Message, ...] = ()
    first_seconds: float | None = None
    """Of the first combination alone, by the estimate."""

    def measured(self, seconds: float) -> "Forecast":
        """Return the forecast with the estimate put right by the first combination's time as two steps tell it."""
        if not self.seconds or not self.first_seconds:
            return self
        return replace(self, seconds=self.seconds * seconds / self.first_seconds, first_seconds=seconds)


def forecast(
    plan: SweepPlan, free: float | Sequence[float], on_progress: Callable[[float], None] = lambda share: None
) -> Forecast:
    """Check the combinations of a sweep, one of each cost, a range by its ends; `free` as in `preflight.check`."""
    combinations = plan.grid() if plan.is_grid else axes.product(plan.over)
    kinds: dict[str, list[dict[str, Any]]] = {}
    for settings in combinations:
        cost = {path: value for path, value in settings.items() if path not in SAME_COST}
        kinds.setdefault(json.dumps(cost, sort_keys=True), []).append(settings)
    chosen = evenly_spaced(list(kinds.values()), MAX_CHECKS)
    blocks: list[Message] = []
    warnings: dict[str, Message] = {}
    times: list[tuple[int, float | None]] = []
    for at, group in enumerate(chosen):
        checked = preflight.check(plan.config(group[0]), free)
        on_progress((at + 1) / len(chosen))
        blocks += [message("cli.sweep.conflict", settings=label(group[0]), reason=block) for block in checked.blocks]
        warnings |= {warning.text(): warning for warning in checked.warnings}
        times.append((len(group), checked.seconds))
    total = None
    if times and all(seconds is not None for _, seconds in times):
        total = plan.count * sum(count * seconds for count, seconds in times) / sum(count for count, _ in times)
    return Forecast(plan.count, total, tuple(blocks), tuple(warnings.values()), times[0][1] if times else None)


def seconds_left(plan: SweepPlan, trials: Sequence[Trial]) -> float | None:
    """Return the seconds that the runs to come will take, by the mean of those that have ended; None before one has."""
    seconds = [trial.seconds for trial in trials if trial.state in ("finished", "pruned", "stopped") and trial.seconds]
    if not seconds:
        return None
    ended = sum(not trial.is_open for trial in trials)
    return sum(seconds) / len(seconds) * max(0, plan.count - ended)
