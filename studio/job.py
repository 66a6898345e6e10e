"""Jobs of the GPU thread: their updates, their end, and their errors."""

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from typing_extensions import override

from studio import runs
from studio.errors import DeviceError, StudioError
from studio.files import access_error
from studio.generation.job_context import JobContext
from studio.model import device_loss
from studio.model.adapter import ModelHost
from studio.runs import Run, RunWriter

log = logging.getLogger(__name__)
_WAIT_SECONDS = 0.3


class _StopEvent(threading.Event):
    """Tells a job to end. It is read between two forward passes, when the thread also polls the requests to runs."""

    def __init__(self) -> None:
        super().__init__()
        self.poll: Callable[[], bool] = lambda: False
        """Runs the requests to runs; returns whether the job has to end for them."""

    @override
    def is_set(self) -> bool:
        return self.poll() or super().is_set()


Work = Callable[[JobContext], None]
"""What a job does."""


class Job:
    """Work for the GPU thread, and its updates; safe to use from any thread."""

    def __init__(self, work: Work):
        self._work = work
        self.stopping = _StopEvent()
        self._updates: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.done = threading.Event()  # set when the work has ended, however it did

    def updates(self, on_wait: Callable[[], None] | None = None) -> Iterator[Any]:
        """Yield the newest update each time; raises StudioError when the job failed.

        `on_wait` is called now and then while there is none, and may raise.
        """
        while True:
            try:
                updates = [self._updates.get(timeout=on_wait and _WAIT_SECONDS)]
            except queue.Empty:
                on_wait()
                continue
            with contextlib.suppress(queue.Empty):
                while True:
                    updates.append(self._updates.get_nowait())
            has_ended = updates[-1] is None or isinstance(updates[-1], StudioError)
            yield from updates[:-1][-1:] if has_ended else updates[-1:]
            if isinstance(updates[-1], StudioError):
                raise updates[-1]
            if has_ended:
                return

    def result(self) -> Any:
        """Wait for the end and return the last update; raises StudioError when the job failed."""
        *_, last = self.updates()
        return last

    def stop(self) -> None:
        """Tell the work to end."""
        self.stopping.set()

    def refuse(self, error: StudioError) -> None:
        """End a job that does not start."""
        self._updates.put(error)
        self.done.set()

    def run(self, host: ModelHost, training: RunWriter | None, poll: Callable[[], bool]) -> None:
        """Run the work on the GPU thread; `poll` runs the requests to runs, and returns whether to end."""
        self.stopping.poll = poll
        try:
            self._work(JobContext(host, training, self._updates.put, self.stopping))
            self._updates.put(None)
        except BaseException as error:  # a panic in a tokenizer's native code is no Exception
            expected = isinstance(error, StudioError)  # and shown to the user
            log.log(logging.INFO if expected else logging.WARNING, "a job failed", exc_info=True)
            self._updates.put(as_studio_error(error))
        finally:
            self.done.set()


def as_studio_error(error: BaseException) -> StudioError:
    """Return an error that a user can read; an unexpected one points to the log."""
    if isinstance(error, StudioError):
        return error
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower() or "can't allocate" in str(error):
        return DeviceError("device.memory")
    if isinstance(error, PermissionError) and error.filename:
        return access_error(Path(os.fsdecode(error.filename)), error)
    if detail := device_loss.record(error):
        return DeviceError("device.lost", detail=detail)
    return StudioError("unexpected", kind=type(error).__name__, detail=str(error)[:300])


def busy_error(run: Run) -> DeviceError:
    """Return the error that names an active run, and its machine where that is another."""
    there = runs.remote_owner(run)
    return DeviceError("device.elsewhere", run=run.id, **there) if there else DeviceError("device.busy", run=run.id)


@contextlib.contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Write what this thread logs to a file too."""
    me = threading.get_ident()
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(lambda record: record.thread == me)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        with contextlib.suppress(OSError):  # on a full disk, what could not be written is tried again here
            handler.close()
