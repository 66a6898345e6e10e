"""The exports and pushes that were asked for on the page.

One belongs to its run: it goes on when the page is closed, and every session sees how it stands. What is done lies in
the run's directory; here is only what goes on in this process.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from studio import gpu
from studio.errors import ExportError, StudioError, panics_as_errors
from studio.export import hub_push
from studio.export.hub_push import PushTarget
from studio.export.inventory import SavedExport
from studio.export.request import ExportRequest, Kind
from studio.i18n import Message
from studio.job import Job
from studio.ui.failures import unexpected

_STOPPED = "errors.export.stopped"


@dataclass(frozen=True)
class ExportState:
    """An export of a run, or its push to the Hub, as it stands."""

    kind: Kind
    phase: str = "waiting"
    """Name of its words in the catalogues, under `phase.`."""
    share: float | None = None
    """Share of the phase that is done (0 to 1), where that is known."""
    notes: tuple[Message, ...] = field(default=(), hash=False)
    """What was chosen, and what is to be known about the export; shown when it is over."""
    failure: Message | None = field(default=None, hash=False)
    """Why it failed, once it is over."""
    stopping: bool = False
    over: bool = False

    @property
    def was_stopped(self) -> bool:
        """Whether it was ended by the user."""
        return self.failure is not None and self.failure.key == _STOPPED


@dataclass
class _RunningExport:
    end: Callable[[], Any]
    state: ExportState


_lock = threading.Lock()
_last: dict[str, _RunningExport] = {}
"""The last export of each run, by the run's id."""


def of(run_id: str | None) -> ExportState | None:
    """Return how the last export of a run stands; None without one since the app was started."""
    with _lock:
        running = _last.get(run_id or "")
        return running and running.state


def start(request: ExportRequest) -> None:
    """Ask for an export; raises ExportError while another one of this run, or a push, goes on."""
    with _beginning(request.run_id):
        job = gpu.thread().export(request)
        running = _last[request.run_id] = _RunningExport(job.stop, ExportState(request.kind))
    threading.Thread(target=_follow, args=(running, job), name="export", daemon=True).start()


def push(run_id: str, export: SavedExport, target: PushTarget) -> None:
    """Begin to send an export to the Hub; raises ExportError while another push of this run, or an export, goes on.

    It takes no device, so it is done beside the runs.
    """
    ended = threading.Event()
    with _beginning(run_id):
        running = _last[run_id] = _RunningExport(ended.set, ExportState(export.kind, "pushing"))
    threading.Thread(target=_push, args=(running, run_id, export, target, ended), name="push", daemon=True).start()


@contextlib.contextmanager
def _beginning(run_id: str) -> Iterator[None]:
    with _lock:
        before = _last.get(run_id)
        if before and not before.state.over:
            raise ExportError("ui.exporting")
        yield


def stop(run_id: str) -> None:
    """End the export of a run that goes on; one that still waits for the device is over at once."""
    with _lock:
        running = _last.get(run_id)
    if running is None or running.state.over:
        return
    running.end()
    waits = running.state.phase == "waiting"
    stopped = ExportError("export.stopped", run=run_id).message if waits else None
    _change(running, stopping=True, over=waits, failure=stopped)


def _follow(running: _RunningExport, job: Job) -> None:
    """Take note of what the job shows, until it ends."""
    with _record_end(running):
        for state in job.updates():
            _change(running, phase=state.phase, share=state.share, notes=state.notes)


def _push(
    running: _RunningExport, run_id: str, export: SavedExport, target: PushTarget, ended: threading.Event
) -> None:
    def on_progress(phase: str, share: float | None) -> None:
        if ended.is_set():
            raise ExportError("export.stopped", run=run_id)
        _change(running, phase=phase, share=share)

    with _record_end(running):
        hub_push.push(export.folder, target, on_progress)
        _change(running, notes=tuple(target.push_notes))


@contextlib.contextmanager
def _record_end(running: _RunningExport) -> Iterator[None]:
    try:
        with panics_as_errors():
            yield
    except StudioError as error:
        _change(running, over=True, failure=error.message)
    except Exception as error:  # the boundary: whoever waits for it reads a message
        _change(running, over=True, failure=unexpected(error))
    else:
        _change(running, over=True)


def _change(running: _RunningExport, **changes: Any) -> None:
    with _lock:
        if not running.state.over:
            running.state = replace(running.state, **changes)
