"""What a job of the GPU thread works with."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from studio import runs
from studio.errors import DeviceError
from studio.generation.answer_store import check_stop
from studio.model import hardware
from studio.model.adapter import ModelHost
from studio.runs import RunWriter


@dataclass(frozen=True)
class JobContext:
    """The models of the thread, the run that it trains, and the job's way to tell and to be told."""

    host: ModelHost
    training: RunWriter | None
    """The run that trains meanwhile in this process, if one does."""
    show: Callable[[Any], None]
    """Publishes an update."""
    stop: threading.Event
    """Set once the job has to end."""

    def check_stop(self, share: float = 0.0) -> None:
        """Raise Stopped where a stop was requested; serves as `on_progress`."""
        check_stop(self.stop)

    def require_idle(self) -> None:
        """Raise DeviceError while a run is active, in this process or another."""
        if active := self.training or next(iter(runs.alive_runs(hardware.devices())[::-1]), None):
            raise DeviceError("device.busy", run=active.id)
