"""One run of a sweep, as its directory tells it: the settings it tries, its points so far, and its score."""

import math
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from studio.events import StyleMeasured
from studio.files import read_as, replace_file
from studio.runs import Run, State
from studio.runs.curve import Curve, read_curve
from studio.sweep.plan import SweepPlan

FILE = "sweep.json"
"""In a run's directory: the sweep that it belongs to, its number in it, what it tries, and whether it was pruned."""
SHARES = 1000
"""Points are placed by how much of its run is done, in thousandths: runs of different lengths compare so."""
UNSOUND = 1000.0
"""Added to the score of a style that is not sound: it comes after every sound one."""

TrialState = Literal["open", "finished", "stopped", "pruned", "failed", "deleted"]


class TrialLabel(BaseModel):
    """What a run's directory says of its place in a sweep."""

    model_config = ConfigDict(frozen=True)

    sweep: str
    number: int
    settings: dict[str, Any]
    pruned: bool = False


class Trial(BaseModel):
    """A run of a sweep: lower scores are better."""

    model_config = ConfigDict(frozen=True)

    number: int
    settings: dict[str, Any]
    run: str
    state: TrialState = "open"
    run_state: str = ""
    """The state of the run itself."""
    points: tuple[tuple[int, float], ...] = ()
    """(share of the run in thousandths, score there), by share."""
    score: float | None = None
    """The score of the adapter that the run keeps."""
    step: int | None = None
    """The step of that adapter."""
    strength: float | None = None
    """The style strength there in percent, where runs are compared by style."""
    seconds: float | None = None
    error: str = ""
    """The key of the error that a failed run ended with."""

    @property
    def is_open(self) -> bool:
        """Whether its run may still go on."""
        return self.state == "open"

    @property
    def is_ranked(self) -> bool:
        """Whether it can win: its adapter has a score, and its style is sound."""
        return self.score is not None and self.score < UNSOUND


def label_of(run: Run) -> TrialLabel | None:
    """Return a run's place in a sweep; None for a run that belongs to none."""
    return read_as(TrialLabel, run.path / FILE)


def mark_pruned(run: Run) -> None:
    """Record that a run is ended for its score, before that is requested: also a kill in between is then understood."""
    if label := label_of(run):
        replace_file(run.path / FILE, label.model_copy(update={"pruned": True}).model_dump_json())


def style_score(point: StyleMeasured) -> float:
    """Return how far a style is from the author's, in percent points; an unsound one comes after all sound ones."""
    return abs(100.0 - point.strength.value) + (0.0 if point.sound else UNSOUND)


def read_trial(run: Run, label: TrialLabel, plan: SweepPlan) -> Trial:
    """Return a trial as its run's directory tells it now."""
    status, curve = run.status(), read_curve(run)
    state: TrialState
    if status.state is State.FINISHED:
        state = "finished"
    elif status.state is State.FAILED:
        state = "failed"
    elif label.pruned and not status.state.alive:
        state = "pruned"
    else:
        state = "stopped" if status.state is State.STOPPED else "open"
    measured = _measured(curve, plan)
    total = curve.total or status.total
    final = _final_point(measured, plan)
    seconds = (status.ended or status.heartbeat) - status.started if status.started else None
    return Trial(
        number=label.number,
        settings=label.settings,
        run=run.id,
        state=state,
        run_state=status.state.value,
        points=points(measured, total),
        score=final and final[1],
        step=final and final[0],
        strength=next((p.strength.value for p in curve.styles if final and p.step == final[0]), None)
        if plan.by == "style"
        else None,
        seconds=None if seconds is None else max(0.0, seconds),
        error=status.error.key if status.error else "",
    )


def _measured(curve: Curve, plan: SweepPlan) -> list[tuple[int, float]]:
    """Return (step, score) of everything that was measured after the start."""
    if plan.by == "style":
        return [(point.step, style_score(point)) for point in curve.styles if point.step]
    pairs = zip(curve.evaluated_steps.tolist(), curve.validation_losses.tolist(), strict=True)
    return [(int(step), loss) for step, loss in pairs if math.isfinite(loss)]


def points(measured: Sequence[tuple[int, float]], total: int) -> tuple[tuple[int, float], ...]:
    """Return what was measured by the share of the run that was done then."""
    shares = {min(SHARES, round(SHARES * step / max(total, 1))): score for step, score in sorted(measured)}
    return tuple(sorted(shares.items()))


def _final_point(measured: Sequence[tuple[int, float]], plan: SweepPlan) -> tuple[int, float] | None:
    """Return step and score of the adapter that a run keeps: the best, where it keeps the best by this measure."""
    if not measured:
        return None
    if plan.base.train.keep == {"loss": "best", "style": "style"}[plan.by]:
        return min(measured, key=lambda each: each[1])
    return max(measured)


def winner(trials: Sequence[Trial]) -> Trial | None:
    """Return the trial with the best score; the first of equal ones; None while none has one."""
    ended = [trial for trial in trials if trial.is_ranked and trial.state in ("finished", "stopped", "pruned")]
    whole = [trial for trial in ended if trial.state == "finished"]
    return min(whole or ended, key=lambda trial: (trial.score, trial.number), default=None)
