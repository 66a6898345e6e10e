"""Work for the GPU thread that somebody waits for: what it shows on the way, its end, and what went wrong, in words."""

import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from typing_extensions import override

from studio.errors import DeviceError, StudioError
from studio.files import denied
from studio.model import device_loss
from studio.model.adapter import ModelHost
from studio.runs import Run

log = logging.getLogger(__name__)


class _Stop(threading.Event):
    """Says when a job is to end. Its asking, between two forward passes, is when the thread looks at what runs want."""

    def __init__(self) -> None:
        super().__init__()
        self.between: Callable[[], bool] = lambda: False
        """Answers what was asked of runs; returns whether the job has to make way for it."""

    @override
    def is_set(self) -> bool:
        return self.between() or super().is_set()


class Job:
    """Interactive work that was asked for, and what it shows on the way; safe to use from any thread.

    `work` is given the model host, the run that trains if one does, a function to show the newest state with, and an
    event that says when to end.
    """

    def __init__(self, work: Callable[[ModelHost, Run | None, Callable[[Any], None], threading.Event], None]):
        self._work = work
        self._stop = _Stop()
        self._shown: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.done = threading.Event()
        """Set when the work has ended, however it did."""

    def updates(self) -> Iterator[Any]:
        """Yield what the work shows, the newest state each time; raises StudioError when the job failed."""
        over = False
        while not over:
            newest = self._shown.get()
            while newest is not None and not isinstance(newest, BaseException):
                try:
                    later = self._shown.get_nowait()
                except queue.Empty:
                    break
                if later is None or isinstance(later, BaseException):
                    yield newest
                newest = later
            if isinstance(newest, BaseException):
                raise newest
            if newest is None:
                over = True
            else:
                yield newest

    def result(self) -> Any:
        """Wait for the end and return what was shown last; raises StudioError when the job failed."""
        *_, last = self.updates()
        return last

    def stop(self) -> None:
        """End the work where it is."""
        self._stop.set()

    def refuse(self, error: StudioError) -> None:
        """End a job that will not be begun."""
        self._shown.put(error)
        self.done.set()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._stop.is_set()

    def run(self, host: ModelHost, training: Run | None, between: Callable[[], bool]) -> None:
        """Carry the work out on the GPU thread; `between` answers what runs are asked, and says whether to make way."""
        self._stop.between = between
        try:
            self._work(host, training, self._shown.put, self._stop)
            self._shown.put(None)
        except Exception as error:
            foreseen = isinstance(error, StudioError)  # and told to the one who asked
            log.log(logging.INFO if foreseen else logging.WARNING, "a job failed", exc_info=True)
            self._shown.put(readable(error))
        finally:
            self.done.set()


def readable(error: BaseException) -> StudioError:
    """Return an error that a user can read; what we did not foresee points to the log."""
    if isinstance(error, StudioError):
        return error
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower() or "can't allocate" in str(error):
        return DeviceError("device.memory")
    if isinstance(error, PermissionError) and error.filename:
        return denied(Path(os.fsdecode(error.filename)), error)
    if detail := device_loss.record(error):
        return DeviceError("device.lost", detail=detail)
    return StudioError("unexpected", kind=type(error).__name__, detail=str(error)[:300])
