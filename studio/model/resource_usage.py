"""Resource usage of a run's process and its GPU: memory, temperature, utilization.

Nothing here imports torch: before it is loaded no GPU is in use.
"""

import functools
import sys
import time
from typing import Any

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
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is None or not cuda.is_available() or not cuda.is_initialized():
        return None
    if (usage := _query_nvml(str(cuda.get_device_properties(0).uuid))) is not None:
        return usage
    free, total = cuda.mem_get_info(0)
    return GpuUsage(used=total - free, total=total)


def _query_nvml(uuid: str) -> GpuUsage | None:
    """Query NVIDIA's management library; None without it, or where it does not know the card (a part of one, say)."""
    if (library := _nvml()) is None:
        return None
    try:
        handle = library.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}".encode())
        memory = library.nvmlDeviceGetMemoryInfo(handle)
    except library.NVMLError:
        return None
    temperature = _query(library, library.nvmlDeviceGetTemperature, handle, library.NVML_TEMPERATURE_GPU)
    rates = _query(library, library.nvmlDeviceGetUtilizationRates, handle)
    return GpuUsage(
        used=memory.used,
        total=memory.total,
        temperature=temperature,
        utilization=rates.gpu if rates is not None else None,
    )


def _query(library: Any, question: Any, *arguments: Any) -> Any:
    try:
        return question(*arguments)
    except library.NVMLError:  # not every card answers every question
        return None


@functools.cache
def _nvml() -> Any:
    """Return the management library, started; None without the package or the driver. Looked for once."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml
