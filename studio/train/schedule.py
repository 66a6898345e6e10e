"""What depends on the number of steps: the warmup, and how often a run logs, evaluates and saves.

A run may be shorter than its settings suppose: few rows, large batches, a resume. What could not take effect then is
shortened, with a reason, or is told as a warning.
"""

import math
from collections.abc import Iterator
from typing import Any

from studio.config import TrainConfig
from studio.i18n import Message, message
from studio.model.hardware import Choice

WARMUP_PARTS = 10
"""A warmup that does not fit takes one of so many parts of the run, rounded down."""
SHORTENED = ("warmup_steps", "warmup_ratio", "logging_steps")
"""Settings that `shorten` decides."""


def shorten(settings: TrainConfig, steps: int) -> tuple[dict[str, Any], tuple[Choice, ...]]:
    """Return those of `SHORTENED` that a run of `steps` optimizer steps needs otherwise, and why."""
    changes: dict[str, Any] = {}
    choices: list[Choice] = []
    warmup, shorter = warmup_steps(settings, steps), steps // WARMUP_PARTS
    if warmup >= steps:
        changes |= {"warmup_steps": shorter, "warmup_ratio": 0.0}
        reason = message("choice.warmup.shortened", warmup=warmup, steps=steps, shorter=shorter)
        choices.append(Choice("warmup_steps", str(shorter), reason))
    if settings.logging_steps > steps:
        changes["logging_steps"] = steps
        reason = message("choice.logging.shortened", every=settings.logging_steps, steps=steps)
        choices.append(Choice("logging_steps", str(steps), reason))
    return changes, tuple(choices)


def warmup_steps(settings: TrainConfig, steps: int) -> int:
    """Return the steps of the warmup, counted as transformers does: a ratio is rounded up."""
    return settings.warmup_steps or math.ceil(settings.warmup_ratio * steps)


def warnings(settings: TrainConfig, steps: int, *, validates: bool) -> Iterator[Message]:
    """Yield what of `settings`, which were fitted, has little or no effect in a run of `steps` optimizer steps.

    transformers evaluates and saves after the last step too; early stopping needs one evaluation more than its patience
    before that.
    """
    warmup = warmup_steps(settings, steps)
    if 2 * warmup > steps:
        yield message("log.schedule.long_warmup", warmup=warmup, steps=steps, share=f"{warmup / steps:.0%}")
    before_the_end = (steps - 1) // settings.eval_steps
    sums = {"every": settings.eval_steps, "steps": steps}
    if validates and not before_the_end:
        best = settings.keep == "best" or settings.early_stopping
        yield message("log.schedule.one_evaluation_best" if best else "log.schedule.one_evaluation", **sums)
    elif validates and settings.early_stopping and before_the_end <= settings.early_stopping:
        needed = settings.early_stopping + 1
        yield message("log.schedule.no_early_stop", needed=needed, evaluations=before_the_end, **sums)
    if settings.save == "steps" and settings.save_steps >= steps:
        yield message("log.schedule.no_checkpoint", every=settings.save_steps, steps=steps)
