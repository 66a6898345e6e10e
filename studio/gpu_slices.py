"""Training on a GPU that is lent for a call at a time (ZeroGPU Spaces), in slices.

The package `spaces` forks a process for each call of a function that `spaces.GPU` decorates, gives it a GPU, and kills
it when its time is over. A slice is such a call. In it, a new Python takes the run over, resumes it from its last
checkpoint, and pauses it before the time is over; the next slice goes on to the same bits. Whatever a slice leaves
behind, be it killed, the run's directory says where the next one begins. The process of the page uses no GPU itself.
"""

import ctypes
import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context
from pathlib import Path
from threading import Thread
from typing import Any

from studio.i18n import message
from studio.model.hardware import ZERO_GPU
from studio.runs import Run, RunWriter, State, checkpoints

SLICE_SECONDS = 120
"""Seconds that each slice asks for, unless RESTYLE_SLICE_SECONDS says otherwise."""
SAVE_SECONDS = 20
"""Seconds of a slice that are kept for the checkpoint at its end; a quarter of shorter slices."""
SLICE_OF = "RESTYLE_SLICE_OF"
"""The environment variable that tells a slice's process which run is handed over to it."""
_POLL_SECONDS = 0.1
_END_SECONDS = 30
"""Seconds until a process whose parent was killed must have ended."""
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG, of Linux' `prctl.h`


def seconds() -> float:
    """Return the seconds of a slice."""
    return float(os.environ.get("RESTYLE_SLICE_SECONDS", SLICE_SECONDS))


def is_handed_over(run: Run) -> bool:
    """Whether this process is a slice of a run that still counts as another process's."""
    return os.environ.get(SLICE_OF) == run.id


@functools.cache
def borrow() -> Callable[[str, str | None], str]:
    """Return what trains a slice on a lent GPU; to be called once before the page is launched, and before torch."""
    import spaces

    return spaces.GPU(duration=round(seconds()))(train_slice)


def train_slice(run_id: str, token: str | None) -> str:
    """Train a run for a slice in a new process, and return what it printed, as JSON, or its last words.

    `token` is for downloading the model.
    """
    given = {name: value for name, value in os.environ.items() if name != ZERO_GPU} | {SLICE_OF: run_id}
    given |= {"HF_TOKEN": token} if token else {}
    pause_after = seconds() - min(SAVE_SECONDS, seconds() / 4)
    command = [sys.executable, "-m", "studio", "resume", run_id, "--pause-after", str(pause_after), "--json"]
    prctl = ctypes.CDLL(None).prctl

    def end_with_parent() -> None:
        prctl(_DIE_WITH_PARENT, signal.SIGKILL)

    done = subprocess.run(
        command,
        cwd=Path(__file__).parent.parent,
        env=given,
        capture_output=True,
        text=True,
        preexec_fn=end_with_parent,  # else it would outlive the process that is killed, with the run in its hands
        check=False,
    )
    return done.stdout or json.dumps({"error": done.stderr[-300:]})


def train(
    run: RunWriter,
    context: Context,
    token: str | None,
    while_waiting: Callable[[], Any],
    borrow: Callable[[], Callable[[str, str | None], str]] = borrow,
) -> None:
    """Train a queued run to its end in slices; its directory says how it ended.

    GPUs are asked for in `context`, that of the request that started the run: its user's time is what is used.
    `while_waiting` is called again and again meanwhile. A slice that brings the run no step further pauses it: to ask
    for more would not help.
    """
    while True:
        before = _last_step(run)
        slice_: Future[str] = Future()

        def work(into: Future[str] = slice_, run_id: str = run.id) -> None:
            try:
                into.set_result(context.run(borrow(), run_id, token))
            except BaseException as error:  # killed, or no GPU was lent
                into.set_exception(error)

        Thread(target=work, name="slice", daemon=True).start()
        while not slice_.done():
            time.sleep(_POLL_SECONDS)
            while_waiting()
        try:
            outcome = json.loads(slice_.result())
        except Exception as error:
            outcome = {"error": str(error)}
        state = _left_in(run)
        was_killed = state is State.INTERRUPTED or state.alive
        if not was_killed and not outcome.get("time_over"):
            return
        is_requested = was_killed and run.requested() is not None
        run = RunWriter.take_over(run, keep_request=is_requested)
        if is_requested or _last_step(run) > before:
            continue  # the next slice carries out the request
        detail = " ".join(str(outcome.get("error") or "–").split())[:300]
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
