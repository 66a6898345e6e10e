"""The sign of life of a run: once a second, in every phase, its process writes what it takes into `vitals.json`."""

import contextlib
import os
import threading
from collections.abc import Iterator

from pydantic import ValidationError

from studio.model import resource_usage
from studio.model.resource_usage import ResourceUsage
from studio.runs import RESOURCE_USAGE, Run

INTERVAL_SECONDS = 1.0


@contextlib.contextmanager
def writing(run: Run) -> Iterator[None]:
    """Write the signs of life of a run until its work is over."""
    over = threading.Event()
    thread = threading.Thread(target=_beat, args=(run, over), name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def latest(run: Run) -> ResourceUsage | None:
    """Return a run's newest sign of life; None when there is none, or it cannot be read."""
    try:
        return ResourceUsage.model_validate_json((run.path / RESOURCE_USAGE).read_bytes())
    except (OSError, ValidationError):
        return None


def _beat(run: Run, over: threading.Event) -> None:
    path, draft = run.path / RESOURCE_USAGE, run.path / f".{RESOURCE_USAGE}.draft"
    while True:
        with contextlib.suppress(OSError):
            draft.write_text(resource_usage.measure().model_dump_json())
            os.replace(draft, path)
        if over.wait(INTERVAL_SECONDS):
            break
    with contextlib.suppress(OSError):
        draft.unlink(missing_ok=True)
