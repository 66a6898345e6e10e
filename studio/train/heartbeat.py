"""The sign of life of a run: once a second, in every phase, its process writes what it takes into `vitals.json`.

Nothing here imports torch: before it is loaded no GPU is in use.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

import psutil
from pydantic import BaseModel, ConfigDict

from studio.files import atomic_write, read_as
from studio.runs import RESOURCE_USAGE, Run

INTERVAL_SECONDS = 1.0


class GpuUsage(BaseModel):
    """A GPU; unknown values are None."""

    model_config = ConfigDict(frozen=True)

    used: int
    """Bytes that are taken, by whomever."""
    total: int
    temperature: int | None = None
    """Degrees Celsius."""
    utilization: int | None = None
    """Share of the last moments in which it computed, in percent."""


class ResourceUsage(BaseModel):
    """One measurement of a run's process."""

    model_config = ConfigDict(frozen=True)

    at: float
    """Seconds since the epoch."""
    memory: int
    """Resident bytes of the process."""
    machine: int
    """Bytes of memory that the machine has."""
    card: GpuUsage | None = None


def measure() -> ResourceUsage:
    """Measure this process and the first card that torch uses."""
    memory, machine = psutil.Process().memory_info().rss, psutil.virtual_memory().total
    return ResourceUsage(at=time.time(), memory=memory, machine=machine, card=_gpu_usage())


def _gpu_usage() -> GpuUsage | None:
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_available() or not cuda.is_initialized():
        return None
    try:
        free, total = cuda.mem_get_info(0)
    except RuntimeError:  # the device is lost
        return None
    readings = {}
    for name in ("temperature", "utilization"):
        # without NVIDIA's library, and for what a card does not tell (a part of one, say)
        with contextlib.suppress(Exception):
            readings[name] = getattr(cuda, name)(0)
    return GpuUsage(used=total - free, total=total, **readings)


@contextlib.contextmanager
def writing(run: Run) -> Iterator[None]:
    """Write the signs of life of a run until its work is over."""
    over = threading.Event()

    def beat() -> None:
        while True:
            with contextlib.suppress(OSError), atomic_write(run.path / RESOURCE_USAGE) as draft:
                draft.write_text(measure().model_dump_json())
            if over.wait(INTERVAL_SECONDS):
                break

    thread = threading.Thread(target=beat, name="run-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def latest(run: Run) -> ResourceUsage | None:
    """Return a run's newest sign of life; None when there is none, or it cannot be read."""
    return read_as(ResourceUsage, run.path / RESOURCE_USAGE)
