"""What there is to compare: runs with an adapter, what a column can be, and what a run brings to it."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from studio import runs
from studio.compare import comparison_history
from studio.compare import external_adapters as arrived
from studio.compare.columns import NOW, Column
from studio.config import BUILTIN_MODEL, RunConfig
from studio.errors import StudioError
from studio.i18n import text
from studio.runs import Run, State, checkpoints
from studio.train import samples
from studio.ui import views

MIX = "mix"
"""What an added column is called that is the mix."""
MOST_RUNS = 50
MOST_CHECKPOINTS = 40


def comparable() -> list[tuple[Run, runs.Status]]:
    """Return the runs that have an adapter to compare, the newest first: finished ones, and one that trains."""
    comparable_runs = []
    for run in runs.all_runs()[:MOST_RUNS]:
        status = runs.try_status(run)
        if status and (
            run.has_adapter or checkpoints.all_of(run.path) or (status.state is State.TRAINING and status.step)
        ):
            comparable_runs.append((run, status))
    return comparable_runs


def who(run_id: str | None, comparable_runs: Sequence[tuple[Run, runs.Status]], language: str) -> list[tuple[str, str]]:
    """Return what an added column can be: an adapter of this run, another one, or the base that is told more."""
    others = [
        (text("compare.column.other", language, name=views.run_name(run.id)), run.id)
        for run in _other_runs(run_id, comparable_runs)
    ]
    external = arrived.available_columns(runs.Run(runs.folder() / run_id)) if run_id else []
    bases = [(text(f"ui.compare.who.{kind}", language), f"base+{kind}") for kind in ("prompted", "system", "shots")]
    outside = ((views.column_label(Column(adapter=each), language), each) for each in external)
    adapters = [*own_adapters(run_id, language), *others, *outside]
    mix = [(text("ui.compare.who.mix", language), MIX)] if len(adapters) > 1 else []
    return [*adapters, *mix, *bases]


def own_adapters(run_id: str | None, language: str) -> list[tuple[str, str]]:
    """Return the adapters of a run: its own, and its checkpoints."""
    return [(text("compare.column.now", language), NOW), *_steps(run_id, language)] if run_id else []


def _steps(run_id: str, language: str) -> list[tuple[str, str]]:
    steps = [checkpoints.step_of(path) for path in checkpoints.all_of(runs.folder() / run_id)[:MOST_CHECKPOINTS]]
    return [(text("compare.column.step", language, step=step), f"step-{step:06}") for step in steps]


def _other_runs(run_id: str | None, comparable_runs: Sequence[tuple[Run, runs.Status]]) -> list[Run]:
    """Return the other runs whose adapters were made for the same base."""
    bases = {run.id: run.resolved().get("base", {}).get("weights") for run, _ in comparable_runs if run.has_adapter}
    mine = run_id and runs.Run(runs.folder() / run_id).resolved().get("base", {}).get("weights")
    return [run for run, _ in comparable_runs if mine and run.id != run_id and bases.get(run.id) == mine]


def names(run_id: str | None, language: str) -> tuple[str, str]:
    """Return what a run's base and the run itself are called."""
    config = config_of(run_id)
    if run_id is None or config is None:
        return "", ""
    model = config.model.id
    named = Path(model).name if Path(model).is_absolute() else model  # guests and audiences read it: no folders
    return text("ui.model.builtin", language) if model == BUILTIN_MODEL else named, views.run_name(run_id)


def config_of(run_id: str | None) -> RunConfig | None:
    """Return a run's settings; None without a run, or when its folder was damaged from outside."""
    try:
        return runs.find(run_id).config() if run_id else None
    except (StudioError, OSError):
        return None


def held_out(run_id: str | None) -> list[str]:
    """Return prompts that a run was not trained on, for answers to be compared by: its list, else its pinned ones.

    A pinned prompt of several turns, between which there are empty lines, is left out: it cannot be asked at once.
    """
    from studio.data import prepare

    run = runs.try_find(run_id)
    if run is None:
        return []
    with contextlib.suppress(StudioError, OSError):  # the data set of an old run may be gone
        if listed := prepare.held_out(run.config().evaluation.prompts):
            return listed
    return [prompt for prompt in samples.read(run).prompts if "\n\n" not in prompt]


def saved_of(run_id: str | None) -> list[comparison_history.SavedComparison]:
    """Return the comparisons that a run has kept, the newest first."""
    run = runs.try_find(run_id)
    return comparison_history.load_all(run) if run else []
