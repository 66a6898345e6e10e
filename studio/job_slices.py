"""Comparing, and other jobs that answer prompts, on a GPU that is lent for a call at a time (see `gpu_slices`).

The job's folder is what the page's process and that of a slice share: the work, the newest update, a request to stop
and the error. A new Python does the work in a slice, and ends it in order before the time is over. Jobs that keep their
answers as they come (a scoreboard, the meter, pairs) go on in the next slice; a comparison shows what it has.
"""

import contextlib
import contextvars
import json
import pickle
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio import gpu_slices
from studio.compare.comparison import Comparison
from studio.errors import DeviceError, StudioError
from studio.generation.job_context import JobContext
from studio.gpu_slices import RunSlice
from studio.i18n import message
from studio.job import Job, Work
from studio.model.adapter import ModelHost

_WORK, _STARTED, _UPDATE, _STOP, _ERROR = "work", "started", "update", "stop", "error"
"""The files of a job's folder. They are pickled, and both processes are this user's; nothing else gets there."""


def in_slices(work: Work, borrow: Callable[[], RunSlice] = gpu_slices.borrow) -> Work:
    """Return what does `work`, which can be pickled, in slices; GPUs are asked for in the caller's context."""
    context = contextvars.copy_context()

    def run(job: JobContext) -> None:
        with tempfile.TemporaryDirectory(prefix="restyle-job-") as name:
            _JobFolder(Path(name), job).run(work, context, borrow)

    return run


class _JobFolder:
    """A job's folder as the page's process uses it."""

    def __init__(self, folder: Path, job: JobContext):
        self._folder, self._job = folder, job
        self._data = b""
        self._last: Any = None

    def run(self, work: Work, context: contextvars.Context, borrow: Callable[[], RunSlice]) -> None:
        """Do the work in as many slices as it takes; raises DeviceError where one is refused or ended too early."""
        (self._folder / _WORK).write_bytes(pickle.dumps(work))
        arguments = ("-m", "studio.job_slices", str(self._folder), str(gpu_slices.working_seconds()))
        while True:
            before = getattr(self._last, "done", 0)
            (self._folder / _STARTED).unlink(missing_ok=True)
            outcome = gpu_slices.outcome_of_slice(arguments, {}, context, self._poll, borrow)
            self._poll()
            with contextlib.suppress(FileNotFoundError):
                kind, key, values = pickle.loads((self._folder / _ERROR).read_bytes())
                raise kind(key, **values)
            is_over = not outcome.get("time_over") and "error" not in outcome
            if is_over or self._job.stop.is_set():
                break
            if getattr(self._last, "done", 0) > before:
                continue  # what was answered is kept
            if isinstance(self._last, Comparison) and "error" not in outcome and self._last.has_tokens:
                note = message("compare.note.slice_over", seconds=f"{gpu_slices.seconds():.0f}")
                self._last = replace(self._last, notes=(*self._last.notes, note))
                break
            detail = " ".join(str(outcome.get("error") or "–").split())[:300]
            key = "device.slice_ended" if (self._folder / _STARTED).exists() else "device.not_lent"
            raise DeviceError(key, detail=detail, seconds=f"{gpu_slices.seconds():.0f}")
        if self._last is not None:
            self._job.show(self._last)

    def _poll(self) -> None:
        """Pass a request to stop on, and show the newest update, unless it only says that the slice has ended."""
        if self._job.stop.is_set():
            (self._folder / _STOP).touch()
        with contextlib.suppress(FileNotFoundError):
            if (data := (self._folder / _UPDATE).read_bytes()) != self._data:
                self._data, self._last = data, pickle.loads(data)
                if not getattr(self._last, "stopped", False):
                    self._job.show(self._last)


def work_in_slice(folder: Path, seconds: float) -> bool:
    """Do the work of a job's folder in this process; return whether it was stopped since its `seconds` were over."""
    end = time.monotonic() + seconds
    is_time_over = False

    def must_stop() -> bool:
        nonlocal is_time_over
        if (folder / _STOP).exists():
            return True
        is_time_over = is_time_over or time.monotonic() > end
        return is_time_over

    (folder / _STARTED).touch()
    job = Job(pickle.loads((folder / _WORK).read_bytes()))
    threading.Thread(target=job.run, args=(ModelHost(), None, must_stop), name="gpu").start()
    try:
        for update in job.updates():
            _write(folder / _UPDATE, pickle.dumps(update))
    except StudioError as error:
        _write(folder / _ERROR, pickle.dumps((type(error), error.key, error.values)))
    return is_time_over


def _write(path: Path, data: bytes) -> None:
    """Write a file that another process reads: the whole or nothing, and for no longer than both live."""
    draft = path.with_suffix(".draft")
    draft.write_bytes(data)
    draft.replace(path)


if __name__ == "__main__":
    from studio.model.hardware import prepare_process

    prepare_process()
    print(json.dumps({"time_over": work_in_slice(Path(sys.argv[1]), float(sys.argv[2]))}))
