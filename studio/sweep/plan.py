"""What a sweep tries: its settings, its combinations, and which of them cannot be."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from studio.command import format_value
from studio.config import RunConfig
from studio.errors import ConfigError
from studio.i18n import Message, message
from studio.sweep import axes
from studio.sweep.axes import Axis

By = Literal["loss", "style"]
Prune = Literal["median", "halving", "none"]
MAX_COMBINATIONS = 1000
DEFAULT_TRIALS = 12
"""Runs of a sweep with a range, where no number is set."""
_NAMED = 50  # letters of the name that stand before a trial's number


class SweepPlan(BaseModel):
    """What a sweep varies, how its runs are compared, and when a run is ended early."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: RunConfig
    over: tuple[Axis, ...] = Field(min_length=1)
    by: By = "loss"
    """By the validation loss, or by the meter: how far the style is from the author's."""
    prune: Prune = "median"
    trials: int | None = Field(None, ge=1, le=MAX_COMBINATIONS)
    """Runs at most; None for all combinations of lists, and `DEFAULT_TRIALS` where there is a range."""
    seed: int = Field(0, ge=0, lt=2**32)

    @property
    def is_grid(self) -> bool:
        """Whether all combinations are known beforehand: every setting has a list."""
        return not any(axis.is_range for axis in self.over)

    @property
    def count(self) -> int:
        """How many runs there will be at most."""
        if self.is_grid:
            return min(axes.size(self.over), self.trials or MAX_COMBINATIONS)
        return self.trials or DEFAULT_TRIALS

    def grid(self) -> list[dict[str, Any]]:
        """Return the combinations of lists in order; where fewer are to be tried, the same random ones every time."""
        combinations = axes.product(self.over)
        if self.count < len(combinations):
            chosen = random.Random(self.seed).sample(range(len(combinations)), self.count)
            combinations = [combinations[at] for at in sorted(chosen)]
        return combinations

    def config(self, settings: Mapping[str, Any], number: int = 0) -> RunConfig:
        """Return the settings of one run, the trial `number` from 0; raises ConfigError where they cannot be."""
        named = f"{self.base.name[:_NAMED].rstrip()} {number + 1}"
        measured = {"samples.meter": "on"} if self.by == "style" else {}  # the cost would decide otherwise
        return self.base.with_settings({**measured, **settings, "name": named})


def make(
    base: RunConfig,
    over: Sequence[Axis],
    *,
    by: By | None = None,
    prune: Prune = "median",
    trials: int | None = None,
    seed: int = 0,
) -> SweepPlan:
    """Return the plan of a sweep, by loss where rows are held out, else style; raises ConfigError with all problems."""
    if not over:
        raise ConfigError("sweep.nothing")
    paths = [axis.path for axis in over]
    if twice := [path for at, path in enumerate(paths) if path in paths[:at]]:
        raise ConfigError("sweep.axis_twice", path=twice[0])
    if (count := axes.size(over)) > MAX_COMBINATIONS:
        raise ConfigError("sweep.too_many", count=count, most=MAX_COMBINATIONS)
    by = by or ("loss" if base.data.validation.kind != "none" or "data.validation.kind" in paths else "style")
    plan = SweepPlan(base=base, over=tuple(over), by=by, prune=prune, trials=trials, seed=seed)
    combinations = plan.grid() if plan.is_grid else axes.product(plan.over)
    problems = conflicts(plan, combinations)
    if problems:
        common = {error.key for _, error in problems if error.key.startswith("sweep.")}
        if len(problems) == len(combinations) and len(common) == 1:  # the settings of all lack what is compared
            raise problems[0][1]
        messages = [message("cli.sweep.conflict", settings=label(each), reason=_reason(why)) for each, why in problems]
        error = ConfigError("sweep.invalid", count=len(problems), all=len(combinations), first=messages[0])
        error.problems = tuple(messages)
        raise error
    return plan


def conflicts(
    plan: SweepPlan, combinations: Sequence[Mapping[str, Any]]
) -> list[tuple[Mapping[str, Any], ConfigError]]:
    """Return the combinations that cannot be, or lack what the sweep compares, each with its error."""
    problems: list[tuple[Mapping[str, Any], ConfigError]] = []
    for settings in combinations:
        try:
            config = plan.config(settings)
            if plan.by == "loss" and config.data.validation.kind == "none":
                raise ConfigError("sweep.no_validation")
            if plan.by == "style" and "off" in (config.samples.mode, config.samples.meter):
                raise ConfigError("sweep.no_meter")
        except ConfigError as error:
            problems.append((settings, error))
    return problems


def _reason(error: ConfigError) -> Message:
    if "detail" in error.values:
        return error.values["detail"]
    if "allowed" in error.values:
        return message("cli.sweep.allowed", path=error.values["path"], allowed=error.values["allowed"])
    return error.message


def label(settings: Mapping[str, Any]) -> str:
    """Return settings as text: `lora.r=8 train.learning_rate=0.001`."""
    return " ".join(f"{path}={format_value(value)}" for path, value in settings.items())
