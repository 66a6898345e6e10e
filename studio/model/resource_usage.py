"""Resource usage of a run's process and its GPU: memory, temperature, utilization.

Nothing here imports torch: before it is loaded no GPU is in use.
"""

import sys
import time
from contextlib import suppress

import psutil
from pydantic import BaseModel, ConfigDict


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
        with suppress(Exception):  # without NVIDIA's library, and for what a card does not tell (a part of one, say)
            readings[name] = getattr(cuda, name)(0)
    return GpuUsage(used=total - free, total=total, **readings)
