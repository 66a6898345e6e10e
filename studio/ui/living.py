"""Which runs live, for all sessions of this process: a run that is over is read once, not at every tick."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from studio import runs
from studio.remote import record
from studio.runs import Run, State


@dataclass(frozen=True)
class Living:
    """The runs that live, in the order in which they were made."""

    at_work: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    """Those that a job of the Hub carries out, or will: they keep no device of this machine."""

    @property
    def here(self) -> tuple[str, ...]:
        """Those of this machine: at work, then those that wait."""
        return self.at_work + self.waiting

    @property
    def all(self) -> tuple[str, ...]:
        """Those of this machine, then those elsewhere."""
        return self.here + self.elsewhere


@dataclass
class _Shelf:
    """The runs of one home."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    over: dict[str, int] = field(default_factory=dict)
    """When the status of a run that is over was written, in nanoseconds: until that changes, it stays over."""

    def look(self) -> Living:
        with self.lock:
            found = [(run.id, state) for run in reversed(runs.all_runs()) if (state := self._alive(run))]
        elsewhere = tuple(run_id for run_id, _ in found if (runs.folder() / run_id / record.FILE).is_file())
        here = [(run_id, state) for run_id, state in found if run_id not in elsewhere]
        waiting = tuple(run_id for run_id, state in here if state is State.QUEUED)
        return Living(tuple(run_id for run_id, state in here if state is not State.QUEUED), waiting, elsewhere)

    def _alive(self, run: Run) -> State | None:
        try:
            written = (run.path / "status.json").stat().st_mtime_ns
        except OSError:
            return None
        if self.over.get(run.id) == written:
            return None
        status = runs.try_status(run)
        if status and status.state.alive:
            return status.state
        self.over[run.id] = written
        return None


_shelves: dict[Path, _Shelf] = {}


def look() -> Living:
    """Return which runs live."""
    return _shelves.setdefault(runs.folder(), _Shelf()).look()
