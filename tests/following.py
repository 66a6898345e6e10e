"""Train runs, wait for them and read what they left behind."""

import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio import gpu
from studio.config import RunConfig
from studio.files import home
from studio.runs import Run, State

_known: dict[str, Path] = {}
"""Runs that tests of this process have trained, by their settings."""


def trained(config: RunConfig, **settings: Any) -> Run:
    """Return a run of 20 steps, or as `settings` say: trained by the first test that asks for it, then copied.

    Training on a model of the Hub fetches it, which a copied run would not have done.
    """
    return carried_out(config.with_settings({"train.max_steps": 20, **settings}), _finish)


def _finish(run: Run) -> None:
    assert wait_until_over(run) is State.FINISHED, run.status().error and run.status().error.text()


def carried_out(config: RunConfig, follow: Callable[[Run], None]) -> Run:
    """Return a run that `follow` has waited for, in the first test that asks for it, then copied."""
    data = Path(config.data.source.name)
    rows = hashlib.sha256(data.read_bytes()).hexdigest()
    key = config.with_settings({"data.source.name": rows}).to_yaml()
    known = _known.get(key) if Path(config.model.id).exists() else None
    if known and not (copied := home() / "runs" / known.name).exists():
        shutil.copytree(known, copied)
        before = Run(known).config().data.source.name
        for path in (*copied.glob("*.yaml"), *copied.glob("*.json*")):
            path.write_bytes(path.read_bytes().replace(before.encode(), str(data).encode()))
        return Run(copied)
    run = gpu.thread().start_run(config)
    follow(run)
    kept = home().parent / "trained" / run.path.name
    _known.setdefault(key, Path(shutil.copytree(run.path, kept)))
    return run


def wait_until_over(run: Run, seconds: float = 120) -> State:
    """Wait for a run to end, and return its last state."""
    return wait_for(run, lambda status: not status.state.alive, seconds).state


def wait_for(run: Run, reached, seconds: float = 120):
    """Wait until `reached(status)`, and return that status."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = run.status()
        if reached(status):
            return status
        time.sleep(0.02)
    raise AssertionError(f"not reached in {seconds} s: {run.status()}")


def losses(run: Run) -> list[float]:
    """Return the training losses of all logged steps."""
    return [event.loss for event in run.events()[0] if event.type == "step"]


def loss_by_step(run: Run) -> dict[int, float]:
    """Return the loss of each step as it stands after all resumes; each is logged once but for those done again."""
    losses: dict[int, float] = {}
    for event in run.events()[0]:
        if event.type == "resumed":
            losses = {step: loss for step, loss in losses.items() if step <= event.step}
        elif event.type == "step":
            assert event.step not in losses
            losses[event.step] = event.loss
    return losses


def wait_until_free(seconds: float = 20) -> None:
    """Wait until the GPU thread has put away what it worked on: a run is over a little before."""
    deadline = time.monotonic() + seconds
    while gpu.thread().is_taken and time.monotonic() < deadline:
        time.sleep(0.01)
