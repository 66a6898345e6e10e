"""The sign of life of a run: once a second, in every phase, its process writes what it takes into `vitals.json`."""

import contextlib
import os
import threading
from collections.abc import Iterator

from studio.files import read_as
from studio.model import resource_usage
from studio.model.resource_usage import ResourceUsage
from studio.runs import RESOURCE_USAGE, Run

INTERVAL_SECONDS = 1.0


@contextlib.contextmanager
def writing(run: Run) -> Iterator[None]:
    """Write the signs of life of a run until its work is over."""
    over = threading.Event()
    path, draft = run.path / RESOURCE_USAGE, run.path / f".{RESOURCE_USAGE}.draft"

    def beat() -> None:
        while True:
            with contextlib.suppress(OSError):
                draft.write_text(resource_usage.measure().model_dump_json())
                os.replace(draft, path)
            if over.wait(INTERVAL_SECONDS):
                break
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)

    thread = threading.Thread(target=beat, name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def latest(run: Run) -> ResourceUsage | None:
    """Return a run's newest sign of life; None when there is none, or it cannot be read."""
    return read_as(ResourceUsage, run.path / RESOURCE_USAGE)
