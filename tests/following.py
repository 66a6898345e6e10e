"""Wait for runs and read what they left behind."""

import time

from studio.runs import Run, State


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
