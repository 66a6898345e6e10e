"""The exports that were asked for on the page. One belongs to its run: it goes on when the page is closed, and every
session sees how it stands. What is done lies in the run's directory; here is only what goes on in this process.
"""

import threading
from dataclasses import dataclass, field, replace
from typing import Any

from studio import gpu
from studio.errors import ExportError, StudioError
from studio.export.request import ExportRequest, Kind
from studio.i18n import Message
from studio.job import Job
from studio.ui.failures import unexpected

_STOPPED = "errors.export.stopped"


@dataclass(frozen=True)
class Going:
    """An export of a run, as it stands."""

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
class _Asked:
    job: Job
    going: Going


_lock = threading.Lock()
_last: dict[str, _Asked] = {}
"""The last export of each run, by the run's id."""


def of(run_id: str | None) -> Going | None:
    """Return how the last export of a run stands; None without one since the app was started."""
    with _lock:
        asked = _last.get(run_id or "")
        return asked and asked.going


def start(request: ExportRequest) -> None:
    """Ask for an export; raises ExportError while another one of this run goes on."""
    with _lock:
        before = _last.get(request.run_id)
        if before and not before.going.over:
            raise ExportError("ui.exporting")
        asked = _last[request.run_id] = _Asked(gpu.thread().export(request), Going(request.kind))
    threading.Thread(target=_follow, args=(asked,), name="export", daemon=True).start()


def stop(run_id: str) -> None:
    """End the export of a run that goes on; one that still waits for the device is over at once."""
    with _lock:
        asked = _last.get(run_id)
    if asked is None or asked.going.over:
        return
    asked.job.stop()
    waits = asked.going.phase == "waiting"
    stopped = ExportError("export.stopped", run=run_id).message if waits else None
    _change(asked, stopping=True, over=waits, failure=stopped)


def _follow(asked: _Asked) -> None:
    """Take note of what the job shows, until it ends."""
    try:
        for made in asked.job.updates():
            _change(asked, phase=made.phase, share=made.share, notes=made.notes)
    except StudioError as error:
        _change(asked, over=True, failure=error.message)
    except Exception as error:  # the boundary: whoever waits for it reads a message
        _change(asked, over=True, failure=unexpected(error))
    else:
        _change(asked, over=True)


def _change(asked: _Asked, **changes: Any) -> None:
    with _lock:
        if not asked.going.over:
            asked.going = replace(asked.going, **changes)
