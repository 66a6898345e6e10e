"""Sweeps on the disk: their plan, what their ended runs came to, and who drives them.

What a sweep has done is read from the directories of its runs. `trials.json` keeps what the ended ones came to, so that
they are read once, and stay in the table when they are deleted.
"""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from studio import locks, runs
from studio.errors import RunError, StudioError
from studio.files import home, read_as, replace_file, shared_folder, to_json
from studio.i18n import Message
from studio.owner import Owner
from studio.runs import Run
from studio.runs.trash import deleted_runs
from studio.sweep.plan import SweepPlan
from studio.sweep.trial import Trial, label_of, read_trial

PLAN, TRIALS, DRIVER, ERROR = "plan.json", "trials.json", "driver.json", "error.json"
STOP, DONE = "stop", "done"


class SweepState(StrEnum):
    """Where a sweep is in its life."""

    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    FINISHED = "finished"


class Sweep:
    """A sweep in its directory."""

    def __init__(self, path: Path):
        self.path, self.id = path, path.name

    def plan(self) -> SweepPlan:
        """Return what it tries; raises RunError where that cannot be read."""
        if plan := read_as(SweepPlan, self.path / PLAN):
            return plan
        raise RunError("sweep.damaged", id=self.id, file=PLAN)

    def trials(self) -> list[Trial]:
        """Return all trials by number, each as its run's directory tells it now."""
        plan, known = self.plan(), {trial.run: trial for trial in self._recorded()}
        for run in runs.all_runs():
            if run.id[:15] < self.id[:15]:  # older than the sweep; ids begin with their time
                break
            if run.id not in known and (label := label_of(run)) and label.sweep == self.id:
                with contextlib.suppress(OSError, ValidationError):  # damaged from outside
                    known[run.id] = read_trial(run, label, plan)
        return sorted(known.values(), key=lambda trial: (trial.number, trial.run))

    def _recorded(self) -> list[Trial]:
        return read_as(list[Trial], self.path / TRIALS) or []

    def record(self) -> list[Trial]:
        """Keep what the ended trials, also deleted ones, came to, and return all; only for the sweep's driver."""
        trials = self.trials()
        ended = [trial for trial in trials if not trial.is_open]
        ids = {trial.run for trial in trials}
        for deleted in deleted_runs():
            label = label_of(Run(deleted.path)) if deleted.id not in ids else None
            if label and label.sweep == self.id:
                ended.append(Trial(number=label.number, settings=label.settings, run=deleted.id, state="deleted"))
        if ended != self._recorded():
            replace_file(self.path / TRIALS, to_json(ended))
        return sorted([*ended, *(trial for trial in trials if trial.is_open)], key=lambda trial: trial.number)

    def state(self) -> SweepState:
        """Return where the sweep is now."""
        if self.is_driven:
            return SweepState.RUNNING
        if (self.path / DONE).exists():
            return SweepState.FINISHED
        if self.error():
            return SweepState.FAILED
        return SweepState.STOPPED if self.stop_requested else SweepState.INTERRUPTED

    def mark_done(self) -> None:
        """Record that nothing is left to try; only for the sweep's driver."""
        replace_file(self.path / DONE, "")

    @property
    def is_driven(self) -> bool:
        """Whether a process that lives starts its runs."""
        owner = read_as(Owner, self.path / DRIVER)
        return owner is not None and owner.is_alive([self.path / DRIVER])

    @contextmanager
    def driving(self) -> Iterator[None]:
        """Be the one process that starts its runs, in this block; raises RunError while another is."""
        with locks.acquire(self.path.parent / "driver.lock"):
            if self.is_driven:
                raise RunError("sweep.driven", id=self.id)
            replace_file(self.path / DRIVER, Owner.current().model_dump_json())
        for name in (STOP, ERROR):
            (self.path / name).unlink(missing_ok=True)
        try:
            yield
        finally:
            (self.path / DRIVER).unlink(missing_ok=True)

    def touch_heartbeat(self) -> None:
        """Give a sign of life, for other machines that share the home."""
        with contextlib.suppress(OSError):
            os.utime(self.path / DRIVER)

    def request_stop(self) -> None:
        """Pause the current run and start no other; the sweep can be resumed."""
        replace_file(self.path / STOP, "")

    @property
    def stop_requested(self) -> bool:
        """Whether that was requested."""
        return (self.path / STOP).exists()

    def error(self) -> Message | None:
        """Return why the sweep ended before its last run, if it failed."""
        return read_as(Message, self.path / ERROR)

    def write_error(self, error: StudioError) -> None:
        """Record why the sweep ends before its last run."""
        replace_file(self.path / ERROR, to_json(error.message))

    @property
    def created(self) -> float:
        """When it was created, in seconds since the epoch."""
        return runs.created_at(self.id)


def folder() -> Path:
    """Return the folder of all sweeps; it is created if missing."""
    return shared_folder(home(), "sweeps")


def create(plan: SweepPlan) -> Sweep:
    """Make the directory of a new sweep."""
    final = folder() / runs.new_id(plan.base.name, "sweep")
    draft = final.with_name(f".{final.name}")
    draft.mkdir()
    replace_file(draft / PLAN, plan.model_dump_json(indent=1))
    draft.rename(final)
    return Sweep(final)


def all_sweeps() -> list[Sweep]:
    """Return all sweeps, the newest first."""
    if not (place := home() / "sweeps").is_dir():
        return []
    return [Sweep(place / name) for name in sorted(os.listdir(place), reverse=True) if runs.is_id(name)]


def find(sweep_id: str) -> Sweep:
    """Return the sweep called `sweep_id` (`last` is the newest); raises RunError when there is none."""
    if sweep_id == "last":
        if newest := all_sweeps():
            return newest[0]
        raise RunError("sweep.none")
    if not runs.is_id(sweep_id) or not (path := folder() / sweep_id).is_dir():
        raise RunError("sweep.unknown", id=sweep_id[:80])
    return Sweep(path)
