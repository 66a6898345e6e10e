"""Sticky CUDA errors, after which this process can no longer use its device.

After a device-side assert or an illegal memory access, every later CUDA call of the process fails (CUDA's programming
guide calls such errors sticky). Only a new process gets a working context.
"""

_STICKY = (
    *("device-side assert", "illegal memory access", "illegal address", "illegal instruction", "misaligned address"),
    *("invalid address space", "invalid program counter", "hardware stack error", "unspecified launch failure"),
    *("launch timed out", "uncorrectable", "context is destroyed", "nvlink", "mps client", "unknown error"),
)
"""Parts of the messages of sticky errors (cudaErrorAssert, cudaErrorIllegalAddress, …)."""

_lost = ""


def record(error: BaseException) -> str:
    """Record that the device is lost if `error` is a sticky one, and return its first line; else an empty text."""
    global _lost
    text = str(error)
    is_cuda = isinstance(error, RuntimeError) and any(part in text.lower() for part in ("cuda error", "cuda kernel"))
    if not is_cuda or not any(words in text.lower() for words in _STICKY):
        return ""
    _lost = next(line for line in text.splitlines() if line.strip())[:200]
    return _lost


def is_lost() -> bool:
    """Whether this process has lost its device."""
    return bool(_lost)
