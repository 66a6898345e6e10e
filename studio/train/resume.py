"""What a resumed run rests on, and what may be different from the run that was begun.

It must end where the same run would have ended without a break: data, base and settings are those it began with, but
for the few that change how the same sum is computed, how often something is measured, or how long the run goes on.
"""

from collections.abc import Mapping
from typing import Any

from studio.config import RunConfig, differing, value_of
from studio.errors import RunError
from studio.runs import Run, State

LONGER = ("train.epochs", "train.max_steps")
"""May grow: the run is then a continuation, and its learning rate schedule is stretched over all steps."""

MAY_CHANGE = (
    "train.batch_size",  # at an equal product with the accumulation: the sum over the batch is the same
    "train.gradient_accumulation",
    *LONGER,
    "train.batch_split",
    "train.gradient_checkpointing",
    "train.logging_steps",
    "train.eval_steps",
    "train.save",
    "train.save_steps",
    "train.keep_checkpoints",
    "samples.mode",
    "samples.meter",
    "samples.every",
)


def checked_changes(run: Run, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `settings` (by dotted path) that change something; raises ConfigError and RunError."""
    before = run.config()
    after = before.with_settings(settings)
    rows_before, rows = (each.train.batch_size * each.train.gradient_accumulation for each in (before, after))
    changes = {path: value for path, (_, value) in differing([before, after]).items()}
    refused = [path for path in changes if path not in MAY_CHANGE]
    if refused:
        raise RunError("run.may_not_change", run=run.id, what=", ".join(refused), may=", ".join(MAY_CHANGE))
    if rows_before != rows:
        raise RunError("run.other_batch", run=run.id, before=rows_before, after=rows)
    steps = run.status().total
    shorter = after.train.max_steps is None or after.train.max_steps < steps
    if after.train.epochs < before.train.epochs or ("train.max_steps" in changes and shorter):
        epochs = f"{before.train.epochs:g}"
        raise RunError("run.shorter", run=run.id, steps=steps, epochs=epochs, setting=length_setting(before))
    if "train.epochs" in changes and after.train.max_steps:
        raise RunError("run.counts_steps", run=run.id, steps=after.train.max_steps)
    if run.status().state is State.FINISHED and not any(path in changes for path in LONGER):
        setting = length_setting(before)
        raise RunError("run.finished", run=run.id, setting=setting, now=f"{setting}={value_of(before, setting):g}")
    return changes


def length_setting(config: RunConfig) -> str:
    """Return the setting that says how long a run is."""
    return "train.max_steps" if config.train.max_steps else "train.epochs"


def require_same(run: Run, fingerprints: Mapping[str, Any]) -> None:
    """Raise RunError that names what has changed since the run began: settings in its file, its data, its base."""
    known = run.resolved()
    what = list(differing([RunConfig.from_mapping(known["config"]), run.started_config()]))
    what += [name for name, value in fingerprints.items() if known.get(name) != value]
    if what:
        raise RunError("run.changed", run=run.id, what=", ".join(what))
