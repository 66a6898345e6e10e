"""One run in several processes: what the main process sends to the others, and how these train along.

Rows, settings and checkpoints come to the others from the run's directory, so all of them must see it.
"""

import json
import time
from typing import Any, get_args

from typing_extensions import override

from studio.errors import RunError, StudioError
from studio.files import replace_file
from studio.model import load, processes
from studio.model.adapter import ModelHost
from studio.runs import Action, Run, RunWriter
from studio.train import recorded_rows
from studio.train.best_adapter import BestAdapter
from studio.train.interrupts import NonFiniteLoss, StopRequested

LINGER_SECONDS = 3.0
"""Seconds in which a process that ends with an error has written why."""
_FAILURES = "process-*.json"


class NullRunWriter(RunWriter):
    """Takes the place of a run's writer in the other processes: nothing is written."""

    @override
    def append(self, *args: Any, **changes: Any) -> None:
        pass

    advance = update = enter = resolve = append

    @override
    def requested(self) -> Action | None:
        return None


_ACTIONS: tuple[Action, ...] = get_args(Action)


def raise_if_requested(run: Run) -> None:
    """Raise StopRequested in all processes when something is requested of the run; each waits for all others."""
    action = run.requested()
    if code := processes.all_reduce_max(_ACTIONS.index(action) + 1 if action else 0):
        raise StopRequested(_ACTIONS[code - 1])


def train_worker(run: NullRunWriter, host: ModelHost) -> None:
    """Carry out a run in another process than the main one, from its directory and what that one broadcasts."""
    if not (run.path / "run.yaml").exists():
        raise RunError("run.not_seen", folder=str(run.path), number=processes.rank() + 1)
    from studio.train.trainer import build_trainer

    config = run.config()
    if processes.broadcast() is None:
        return
    located = load.fetch(config.model)
    host.base(config.model, located, probed=False)
    start = processes.broadcast()
    if start is None:
        return
    plan, resume_from, resumed = start
    rows = recorded_rows.read_rows(run.path)
    trainer = build_trainer(
        run, config, plan, host, *rows, lambda: raise_if_requested(run), BestAdapter(run), resumed=resumed
    )
    try:
        raise_if_requested(run)
        trainer.fit(resume_from)
        host.gather()
    except StopRequested as stop:
        if stop.action == "pause":
            trainer.save_last_checkpoint()
        elif stop.action == "stop":
            host.gather()
    except NonFiniteLoss:  # the main process reports it
        trainer.restore_last_finite()
        host.gather()


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
