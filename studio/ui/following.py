"""Which run a session follows, and what it has shown of it; the run itself is the process's `RunReader`."""

import time
from dataclasses import dataclass, field, replace

from studio import runs
from studio.runs import State, Status, checkpoints
from studio.train import plan
from studio.train.plan import OomAdvice
from studio.ui import active_runs, run_reader
from studio.ui.active_runs import ActiveRuns
from studio.ui.run_reader import RunReader, RunSnapshot

SILENCE = 10.0
"""Seconds without a sign of life after which their number is told; it is told anew every so many seconds."""
REDRAW = 4.0
"""Seconds after which new points are drawn, however near to each other they lie."""
VISIBLE_PARTS = 400
"""New points are drawn at once when they move the curve's end by this part of the chart's width."""
_PENDING = {"stop": "stopping", "pause": "pausing", "cancel": "cancelling"}


@dataclass(frozen=True)
class Rendered:
    """What of the curves a session has drawn, and when."""

    curves: int = -1
    marks: int = -1
    step: int = 0
    at: float = 0.0


@dataclass(frozen=True)
class Following:
    """A run as one session has shown it."""

    run_id: str | None = None
    snapshot: RunSnapshot | None = None
    active: ActiveRuns = field(default_factory=ActiveRuns)
    silent: float = 0.0
    """Seconds since the last sign of life of a run at work, in steps of `SILENCE`."""
    rendered: Rendered = field(default_factory=Rendered)

    @property
    def reader(self) -> RunReader | None:
        """The followed run, as far as this process has read it."""
        return run_reader.reader_of(self.run_id) if self.run_id else None

    @property
    def status(self) -> Status | None:
        """What the run's status says; None without a run."""
        return self.snapshot.status if self.snapshot else None

    @property
    def stopping(self) -> str | None:
        """`stopping`, `pausing` or `cancelling` while the run was asked to and has not yet."""
        return _PENDING.get(self.snapshot.requested or "") if self.snapshot else None

    @property
    def alive(self) -> bool:
        """Whether the followed run is alive."""
        return self.status is not None and self.status.state.alive

    @property
    def total(self) -> int:
        """Number of steps that the run will take; 0 before that is known."""
        return self.status.total if self.status else 0

    @property
    def others_at_work(self) -> bool:
        """Whether another run than the followed one holds the device, or waits for it."""
        return any(run_id != self.run_id for run_id in self.active.here)

    @property
    def is_elsewhere(self) -> bool:
        """Whether the followed run is one of a job of the Hub."""
        return self.snapshot is not None and self.snapshot.place is not None

    @property
    def can_be_tried(self) -> bool:
        """Whether the run has learned something that can be compared now; of one elsewhere, a save has to be here."""
        learned = self.alive and self.status is not None and self.status.step > 0
        return learned and (not self.is_elsewhere or self._has_checkpoint)

    @property
    def can_go_on(self) -> bool:
        """Whether the followed run is over, unfinished, and can go on: from a checkpoint, or from its very start."""
        return bool(self.status and self.run_id) and self.status.can_resume(self._has_checkpoint)

    @property
    def has_nothing_left(self) -> bool:
        """Whether the followed run failed before its first checkpoint."""
        return bool(self.status and self.run_id) and self.status.state is State.FAILED and not self._has_checkpoint

    @property
    def _has_checkpoint(self) -> bool:
        return bool(checkpoints.all_of(runs.folder() / str(self.run_id)))

    @property
    def suggestions(self) -> list[OomAdvice]:
        """What helps when the followed run has run out of memory; empty else."""
        if self.status is None or self.alive or self.run_id is None:
            return []
        run = runs.Run(runs.folder() / self.run_id)
        return plan.oom_advice(run) if plan.is_out_of_memory(run) else []

    @property
    def has_result(self) -> bool:
        """Whether the followed run is over and left an adapter."""
        return not self.alive and self.run_id is not None and runs.Run(runs.folder() / self.run_id).has_adapter

    @property
    def stage(self) -> tuple[str, ...]:
        """What decides which buttons can be pressed, and what is offered; it seldom changes."""
        state = self.status.state.value if self.status else ""
        parts = (self.run_id or "", state, self.stopping or "", str(self.can_be_tried), *self.active.at_work, "|")
        return (*parts, *self.active.waiting, "|", *self.active.elsewhere)

    @property
    def needs_render(self) -> bool:
        """Whether the curves have news that can be seen, or that has waited long enough."""
        if self.snapshot is None or self.snapshot.curves == self.rendered.curves:
            return self.rendered.curves < 0
        if self.rendered.curves < 0 or not self.alive or self.snapshot.marks != self.rendered.marks:
            return True
        moved = self.snapshot.step - self.rendered.step
        return moved * VISIBLE_PARTS >= max(self.total, self.snapshot.step) or time.time() - self.rendered.at >= REDRAW

    def as_rendered(self) -> "Following":
        """Return this with its curves drawn as they are now."""
        snapshot = self.snapshot
        curves, marks, step = (snapshot.curves, snapshot.marks, snapshot.step) if snapshot else (0, 0, 0)
        return replace(self, rendered=Rendered(curves, marks, step, time.time()))


def newest() -> Following:
    """Follow the run at work, else the next one that waits, else the newest run."""
    alive = active_runs.current()
    everything = runs.all_runs()
    first = next(iter(alive.all), None) or (everything[0].id if everything else None)
    return read(Following(run_id=first, active=alive))


def follow(run_id: str) -> Following:
    """Follow the run called `run_id`."""
    return read(Following(run_id=run_id, active=active_runs.current()))


def read(following: Following) -> Following:
    """Look at the followed run; an equal object comes back when there is nothing new.

    When it is over, and another one has come to life since (the next in the queue, one started in another session or
    on the command line), that one is followed from then on.
    """
    alive = active_runs.current()
    now = _refresh(replace(following, active=alive))
    if now.alive:
        return now
    started = [run_id for run_id in alive.all if following.alive or run_id not in following.active.all]
    return _refresh(Following(run_id=started[0], active=alive)) if started and started[0] != now.run_id else now


def _refresh(following: Following) -> Following:
    if following.run_id is None:
        return following
    snapshot = run_reader.reader_of(following.run_id).refresh()
    if snapshot is None:  # the folder is gone, or damaged from outside
        return Following(active=following.active)
    at_work = snapshot.status.state.alive and snapshot.status.state is not State.QUEUED
    silent = time.time() - snapshot.last_heartbeat if at_work else 0.0
    return replace(following, snapshot=snapshot, silent=silent // SILENCE * SILENCE if silent >= SILENCE else 0.0)
