"""One run in several processes: what the first one tells the others, and how the others train along.

Rows, settings and checkpoints come to the others from the run's directory, so all of them must see it.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from typing_extensions import override

from studio.errors import RunError, StudioError
from studio.files import replace_file
from studio.model import load, processes
from studio.model.adapter import ModelHost
from studio.runs import Action, Run, RunWriter, State
from studio.train import recorded_rows
from studio.train.best_adapter import BestAdapter
from studio.train.interrupts import NonFiniteLoss, StopRequested
from studio.train.plan import Plan

LINGER_SECONDS = 3.0
"""Seconds in which a process that ends with an error has written why."""
_FAILURES = "process-*.json"


@dataclass(frozen=True)
class Start:
    """What the other processes need to know for training along."""

    plan: Plan
    resume_from: Path | None
    """The checkpoint that a resumed run goes on from."""
    resumed: bool


class NullRunWriter(RunWriter):
    """Takes the place of a run's writer where another process is that: what would be written is left out."""

    @override
    def append(self, name: str, content: str) -> None:
        pass

    @override
    def advance(self, **changes: Any) -> None:
        pass

    @override
    def update(self, **changes: Any) -> None:
        pass

    @override
    def enter(self, state: State, **changes: Any) -> None:
        pass

    @override
    def resolve(self, facts: dict[str, Any]) -> None:
        pass

    @override
    def requested(self) -> Action | None:
        return None


_ACTIONS: tuple[Action, ...] = get_args(Action)


def raise_if_requested(run: Run) -> None:
    """Raise Asked in all processes when something was asked of the run; each waits until all have come here."""
    action = run.requested()
    if code := processes.all_reduce_max(_ACTIONS.index(action) + 1 if action else 0):
        raise StopRequested(_ACTIONS[code - 1])


@contextmanager
def broadcast_on_failure() -> Iterator[None]:
    """Let the other processes know when the first one ends before there is something to train."""
    try:
        yield
    except BaseException:
        processes.broadcast(None)
        raise


def train_worker(run: NullRunWriter, host: ModelHost) -> None:
    """Carry out a run in a process that is not the first, from its directory and what the first one tells.

    Raises StudioError as the first process does, and RunError where this machine does not see the run's directory.
    """
    if not (run.path / "run.yaml").exists():
        raise RunError("run.not_seen", folder=str(run.path), number=processes.rank() + 1)
    from studio.train.trainer import build_trainer

    config = run.config()
    if processes.broadcast() is None:
        return
    located = load.fetch(config.model)
    host.base(config.model, located)
    start = processes.broadcast()
    if start is None:
        return
    rows = recorded_rows.read_rows(run.path)
    best = BestAdapter(run, False, None, lambda folder: None)  # the first one knows the best
    trainer = build_trainer(
        run, config, start.plan, host, *rows, lambda: raise_if_requested(run), best, resumed=start.resumed
    )
    with suppress(StopRequested):
        raise_if_requested(run)
        _fit_worker(trainer, start.resume_from, host)


def _fit_worker(trainer: Any, resume_from: Path | None, host: ModelHost) -> None:
    """Train, and take part in what the first process saves at the end."""
    try:
        trainer.fit(resume_from)
        host.gather()
    except StopRequested as stop:
        if stop.action == "pause":
            trainer.save_last_checkpoint()
        elif stop.action == "stop":
            host.gather()
    except NonFiniteLoss:  # the first one tells it
        trainer.restore_last_finite()
        host.gather()


def require_same_sharding(run: Run, resume_from: Path) -> None:
    """Raise RunError for a checkpoint whose optimizer's state would not be found, since it was spread or is to be."""
    if processes.sharded() and not (resume_from / "optimizer.bin").exists():
        raise RunError("run.was_whole", run=run.id)
    if not processes.sharded() and not (resume_from / "optimizer.pt").exists():
        raise RunError("run.was_sharded", run=run.id)


def write_failure(run: Run, error: StudioError) -> None:
    """Leave the error that ends this process where the first one finds it."""
    content = {"key": error.key, "values": {name: str(value) for name, value in error.values.items()}}
    replace_file(run.path / f"process-{processes.rank()}.json", json.dumps(content, ensure_ascii=False))


def clear_failures(run: Run) -> None:
    """Remove what processes of an earlier start have left."""
    for path in run.path.glob(_FAILURES):
        path.unlink()


def failure_cause(run: Run, error: StudioError) -> StudioError:
    """Return why a run has failed: where another process is gone, what that one has said, if it could."""
    if error.key != processes.LOST_PEER:
        return error
    end = time.monotonic() + LINGER_SECONDS
    while time.monotonic() < end:
        for path in sorted(run.path.glob(_FAILURES)):
            known = json.loads(path.read_bytes())
            return StudioError(known["key"], **known["values"])
        time.sleep(0.1)
    return error
