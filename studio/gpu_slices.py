"""Work on a GPU that is lent for a call at a time (ZeroGPU Spaces), in slices.

The package `spaces` forks a process for each call of a function that `spaces.GPU` decorates, gives it a GPU, and kills
it when its time is over. A slice is such a call. In it, a new Python works. For training it takes the run over, resumes
it from its last checkpoint, and pauses it before the time is over; the next slice goes on to the same bits. Whatever a
slice leaves behind, be it killed, the run's directory says where the next one begins. Other jobs are in `job_slices`.
The process of the page uses no GPU itself.
"""

import ctypes
import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextvars import Context
from pathlib import Path
from threading import Thread
from typing import Any

from studio.errors import one_line
from studio.i18n import message
from studio.model.hardware import ZERO_GPU
from studio.runs import Run, RunWriter, State, checkpoints

SLICE_SECONDS = 120
"""Seconds that each slice asks for, unless RESTYLE_SLICE_SECONDS says otherwise."""
SAVE_SECONDS = 20
"""Seconds of a slice that are kept for its end, as for a checkpoint; a quarter of shorter slices."""
SLICE_OF = "RESTYLE_SLICE_OF"
"""The environment variable that tells a slice's process which run is handed over to it."""
_POLL_SECONDS = 0.1
_END_SECONDS = 30
"""Seconds until a process whose parent was killed must have ended."""
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG, of Linux' `prctl.h`


def seconds() -> float:
    """Return the seconds of a slice."""
    return float(os.environ.get("RESTYLE_SLICE_SECONDS", SLICE_SECONDS))


def working_seconds() -> float:
    """Return the seconds after which the work in a slice has to end by itself."""
    return seconds() - min(SAVE_SECONDS, seconds() / 4)


def is_handed_over(run: Run) -> bool:
    """Whether this process is a slice of a run that still counts as another process's."""
    return os.environ.get(SLICE_OF) == run.id


@functools.cache
def borrow() -> Callable[[Sequence[str], Mapping[str, str]], str]:
    """Return `run_slice` on a lent GPU; to be called once before the page is launched, and before torch."""
    import spaces

    return spaces.GPU(duration=round(seconds()))(run_slice)


def run_slice(arguments: Sequence[str], variables: Mapping[str, str]) -> str:
    """Run `python ARGUMENTS` with more environment variables; return what it printed, as JSON, or its last words."""
    environment = {name: value for name, value in os.environ.items() if name != ZERO_GPU} | dict(variables)
    prctl = ctypes.CDLL(None).prctl

    def end_with_parent() -> None:
        prctl(_DIE_WITH_PARENT, signal.SIGKILL)

    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=Path(__file__).parent.parent,
        env=environment,
        capture_output=True,
        text=True,
        preexec_fn=end_with_parent,  # else it would outlive the process that is killed, with the work in its hands
        check=False,
    )
    return done.stdout or json.dumps({"error": done.stderr[-300:]})


def outcome_of_slice(
    arguments: Sequence[str], variables: Mapping[str, str], context: Context, while_waiting: Callable[[], Any]
) -> dict[str, Any]:
    """Run a slice and return what it printed, or an `error`; the GPU is asked for in `context`, on its user's time."""
    slice_: Future[str] = Future()

    def work() -> None:
        try:
            slice_.set_result(context.run(borrow(), arguments, variables))
        except BaseException as error:
            slice_.set_exception(error)

    Thread(target=work, name="slice", daemon=True).start()
    while not slice_.done():
        time.sleep(_POLL_SECONDS)
        while_waiting()
    try:
        return dict(json.loads(slice_.result()))
    except Exception as error:
        return {"error": str(error)}


def train(run: RunWriter, context: Context, token: str | None, while_waiting: Callable[[], Any]) -> None:
    """Train a queued run to its end in slices; a slice that brings it no step further pauses it."""
    arguments = ("-m", "studio", "resume", run.id, "--pause-after", str(working_seconds()), "--json")
    variables = {SLICE_OF: run.id} | ({"HF_TOKEN": token} if token else {})
    while True:
        before = _last_step(run)
        outcome = outcome_of_slice(arguments, variables, context, while_waiting)
        state = _left_in(run)
        was_killed = state is State.INTERRUPTED or state.alive
        if not was_killed and not outcome.get("time_over"):
            return
        is_requested = was_killed and run.requested() is not None
        run = RunWriter.take_over(run, keep_request=is_requested)
        if is_requested or _last_step(run) > before:
            continue  # the next slice carries out the request
        detail = one_line(outcome.get("error") or "–", 300)
        run.note(message("log.slice", seconds=f"{seconds():.0f}", detail=detail), "warning")
        run.enter(State.PAUSED)
        return


def _left_in(run: RunWriter) -> State:
    """Return the state that a slice has left a run in, once its process has ended; this one's where it never began."""
    end = time.monotonic() + _END_SECONDS
    while time.monotonic() < end:
        status = Run(run.path).status()
        if not status.state.alive or (status.owner and status.owner.pid == os.getpid()):
            break
        time.sleep(_POLL_SECONDS)
    return status.state


def _last_step(run: Run) -> int:
    """Return the step of a run's newest checkpoint; 0 without any."""
    saved = checkpoints.all_of(run.path)
    return checkpoints.step_of(saved[0]) if saved else 0
