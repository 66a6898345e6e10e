"""Follow one run by reading its directory: what a session knows of a run, and it can be read again at any time."""

from dataclasses import dataclass, field

from studio import runs
from studio.runs import State, Status
from studio.train import checkpoint, relief, samples
from studio.train.relief import Relief
from studio.train.samples import Strip
from studio.ui.views import Line, Point, log_lines, points

_ASKED = {"stop": "stopping", "pause": "pausing", "cancel": "cancelling"}


@dataclass
class Following:
    """A run as one session has read it so far."""

    run_id: str | None = None
    offset: int = 0
    points: list[Point] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    strip: Strip = field(default_factory=Strip)
    status: Status | None = None
    newest: str | None = None
    """The newest run there was at the last look, followed or not."""
    stopping: str | None = None
    """`stopping`, `pausing` or `cancelling` while the run was asked to and has not yet."""

    @property
    def alive(self) -> bool:
        """Whether the followed run is alive."""
        return self.status is not None and self.status.state.alive

    @property
    def total(self) -> int:
        """Number of steps that the run will take; 0 before that is known."""
        return self.status.total if self.status else 0

    @property
    def can_go_on(self) -> bool:
        """Whether the followed run is over, unfinished, and can go on: from a checkpoint, or from its very start."""
        if self.status is None or self.run_id is None or self.alive or self.status.state is State.FINISHED:
            return False
        return bool(checkpoint.all_of(runs.folder() / self.run_id)) or not self.status.step

    @property
    def ways_out(self) -> list[Relief]:
        """What helps when the followed run has run out of memory; empty else."""
        if self.status is None or self.alive or self.run_id is None:
            return []
        run = runs.Run(runs.folder() / self.run_id)
        return relief.reliefs(run) if relief.out_of_memory(run) else []

    @property
    def has_result(self) -> bool:
        """Whether the followed run is over and left an adapter."""
        return not self.alive and self.run_id is not None and runs.Run(runs.folder() / self.run_id).has_adapter


def newest() -> Following:
    """Follow the newest run that is alive, else the newest run."""
    everything = runs.all_runs()
    first = next(iter(runs.alive_runs()), None) or (everything[0] if everything else None)
    following = Following(run_id=first.id if first else None, newest=everything[0].id if everything else None)
    return read(following)


def read(following: Following) -> Following:
    """Read what is new; the same object comes back when nothing is.

    When the followed run is over and a newer one is alive (started in another session, or on the command line), that
    one is followed from then on.
    """
    first = next(iter(runs.all_runs()), None)
    if first and first.id != following.newest:
        status = runs.readable_status(first)
        if status and status.state.alive and not following.alive:
            return read(Following(run_id=first.id, newest=first.id))
    if following.run_id is None:
        return following
    run = runs.Run(runs.folder() / following.run_id)
    status = runs.readable_status(run)
    if status is None:  # the folder is gone, or damaged from outside
        return Following(newest=first.id if first else None)
    events, offset = run.events(following.offset)
    asked = run.requested() if status.state.alive else None
    stopping = _ASKED.get(asked or "")
    strip = samples.read(run, following.strip)
    if not events and (status, stopping, strip) == (following.status, following.stopping, following.strip):
        return following
    return Following(
        run_id=run.id,
        offset=offset,
        points=points(events, following.points),
        lines=following.lines + log_lines(events),
        strip=strip,
        status=status,
        newest=first.id if first else None,
        stopping=stopping,
    )


def follow(run_id: str) -> Following:
    """Follow the run called `run_id` from its first event."""
    return read(Following(run_id=run_id, newest=run_id))
