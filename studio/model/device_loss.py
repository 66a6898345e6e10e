"""A CUDA device that a failed kernel has taken from this process: nothing can be computed on it here any more.

After a device-side assert or an illegal memory access, every later CUDA call of the process fails, whatever it is asked
(CUDA's programming guide calls such errors sticky). Only a new process gets a working context.
"""

_STICKY = (
    "device-side assert",
    "illegal memory access",
    "illegal address",
    "illegal instruction",
    "misaligned address",
    "invalid address space",
    "invalid program counter",
    "hardware stack error",
    "unspecified launch failure",
    "launch timed out",
    "uncorrectable",
    "context is destroyed",
    "nvlink",
    "mps client",
    "unknown error",
)
"""What CUDA says of errors after which its context is gone (cudaErrorAssert, cudaErrorIllegalAddress, …)."""

_lost = ""


def record(error: BaseException) -> str:
    """Return what the device says when `error` means that it is lost to this process, and remember it; else empty."""
    global _lost
    said = str(error)
    lowered = said.lower()
    if not isinstance(error, RuntimeError) or ("cuda error" not in lowered and "cuda kernel" not in lowered):
        return ""
    if not any(words in lowered for words in _STICKY):
        return ""
    _lost = next(line for line in said.splitlines() if line.strip())[:200]
    return _lost


def is_lost() -> bool:
    """Whether this process has lost its device."""
    return bool(_lost)
