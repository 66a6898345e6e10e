"""Which run a session follows, and what it has shown of it; the run itself is the process's `RunReader`."""

import time
from dataclasses import dataclass, field, replace

from studio import runs
from studio.runs import State, Status, checkpoints
from studio.train import plan
from studio.train.plan import OomAdvice
from studio.ui import living, run_reader
from studio.ui.living import Living
from studio.ui.run_reader import RunReader, RunSnapshot

SILENCE = 10.0
"""Seconds without a sign of life after which their number is told; it is told anew every so many seconds."""
REDRAW = 4.0
"""Seconds after which new points are drawn, however near to each other they lie."""
SEEN = 400
"""New points are drawn at once when they move the curve's end by this part of the chart's width."""
_ASKED = {"stop": "stopping", "pause": "pausing", "cancel": "cancelling"}


@dataclass(frozen=True)
class Drawn:
    """What of the curves a session has drawn, and when."""

    curves: int = -1
    marks: int = -1
    step: int = 0
    at: float = 0.0


@dataclass(frozen=True)
class Following:
    """A run as one session has shown it."""

    run_id: str | None = None
    glance: RunSnapshot | None = None
    living: Living = field(default_factory=Living)
    silent: float = 0.0
    """Seconds since the last sign of life of a run at work, in steps of `SILENCE`."""
    drawn: Drawn = field(default_factory=Drawn)

    @property
    def story(self) -> RunReader | None:
        """The followed run, as far as this process has read it."""
        return run_reader.reader_of(self.run_id) if self.run_id else None

    @property
    def status(self) -> Status | None:
        """What the run's status says; None without a run."""
        return self.glance.status if self.glance else None

    @property
    def stopping(self) -> str | None:
        """`stopping`, `pausing` or `cancelling` while the run was asked to and has not yet."""
        return _ASKED.get(self.glance.requested or "") if self.glance else None

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
        return any(run_id != self.run_id for run_id in self.living.here)

    @property
    def is_elsewhere(self) -> bool:
        """Whether the followed run is one of a job of the Hub."""
        return self.glance is not None and self.glance.place is not None

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
        parts = (self.run_id or "", state, self.stopping or "", str(self.can_be_tried), *self.living.at_work, "|")
        return (*parts, *self.living.waiting, "|", *self.living.elsewhere)

    @property
    def to_be_drawn(self) -> bool:
        """Whether the curves have news that can be seen, or that has waited long enough."""
        if self.glance is None or self.glance.curves == self.drawn.curves:
            return self.drawn.curves < 0
        if self.drawn.curves < 0 or not self.alive or self.glance.marks != self.drawn.marks:
            return True
        moved = self.glance.step - self.drawn.step
        return moved * SEEN >= max(self.total, self.glance.step) or time.time() - self.drawn.at >= REDRAW

    def as_drawn(self) -> "Following":
        """Return this with its curves drawn as they are now."""
        glance = self.glance
        curves, marks, step = (glance.curves, glance.marks, glance.step) if glance else (0, 0, 0)
        return replace(self, drawn=Drawn(curves, marks, step, time.time()))


def newest() -> Following:
    """Follow the run at work, else the next one that waits, else the newest run."""
    alive = living.look()
    everything = runs.all_runs()
    first = next(iter(alive.all), None) or (everything[0].id if everything else None)
    return read(Following(run_id=first, living=alive))


def follow(run_id: str) -> Following:
    """Follow the run called `run_id`."""
    return read(Following(run_id=run_id, living=living.look()))


def read(following: Following) -> Following:
    """Look at the followed run; an equal object comes back when there is nothing new.

    When it is over, and another one has come to life since (the next in the queue, one started in another session or
    on the command line), that one is followed from then on.
    """
    alive = living.look()
    now = _look(replace(following, living=alive))
    if now.alive:
        return now
    come = [run_id for run_id in alive.all if following.alive or run_id not in following.living.all]
    return _look(Following(run_id=come[0], living=alive)) if come and come[0] != now.run_id else now


def _look(following: Following) -> Following:
    if following.run_id is None:
        return following
    glance = run_reader.reader_of(following.run_id).refresh()
    if glance is None:  # the folder is gone, or damaged from outside
        return Following(living=following.living)
    at_work = glance.status.state.alive and glance.status.state is not State.QUEUED
    silent = time.time() - glance.last_heartbeat if at_work else 0.0
    return replace(following, glance=glance, silent=silent // SILENCE * SILENCE if silent >= SILENCE else 0.0)
