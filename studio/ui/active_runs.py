"""Which runs live, for all sessions of this process: a run that is over is read once, not at every tick."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from studio import runs
from studio.remote import record
from studio.runs import Run, State


@dataclass(frozen=True)
class ActiveRuns:
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
class _StatusCache:
    """The runs of one home."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    over: dict[str, int] = field(default_factory=dict)
    """When the status of a run that is over was written, in nanoseconds: until that changes, it stays over."""

    def refresh(self) -> ActiveRuns:
        with self.lock:
            alive = [(run.id, state) for run in reversed(runs.all_runs()) if (state := self._alive(run))]
        elsewhere = tuple(run_id for run_id, _ in alive if (runs.folder() / run_id / record.FILE).is_file())
        here = [(run_id, state) for run_id, state in alive if run_id not in elsewhere]
        waiting = tuple(run_id for run_id, state in here if state is State.QUEUED)
        return ActiveRuns(tuple(run_id for run_id, state in here if state is not State.QUEUED), waiting, elsewhere)

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


_caches: dict[Path, _StatusCache] = {}


def current() -> ActiveRuns:
    """Return which runs live."""
    return _caches.setdefault(runs.folder(), _StatusCache()).refresh()
