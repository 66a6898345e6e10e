"""The device, and what is chosen for it: every choice with its reason."""

import contextlib
import ctypes
import gc
import logging
import os
import platform
import random
import re
import socket
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import psutil

from studio.i18n import Message, message
from studio.model import processes


@dataclass(frozen=True)
class Choice:
    """A value that the studio chose by itself, and why."""

    name: str
    value: str
    reason: Message


GOMP_SPINS = 2000
"""How often a thread checks for work before it sleeps.

Seconds for 16 steps of 520 tokens through 135 M parameters on two cores, with 0, 1,000, 2,000 and 20,000 checks: 34.9,
29.7, 26.3 and 24.2 on an idle machine; 42, 47, 56 and 127 where another process kept one core busy.
"""


_ENVIRONMENT = {
    "TRANSFORMERS_VERBOSITY": "error",
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": str(GOMP_SPINS),
    "PYTORCH_ALLOC_CONF": "expandable_segments:True",
    "TOKENIZERS_PARALLELISM": "true",
    "TORCHDYNAMO_DISABLE": "1",
}


def prepare_process() -> None:
    """Set what must be set before torch is imported; what the user has set stays. The libraries log errors only.

    OpenMP's threads wait passively, after `GOMP_SPINS` checks: with busy waiting, a second process on the machine can
    stop training altogether.
    Nothing is compiled by torch: bitsandbytes, which PEFT imports, would load its compiler for kernels that are used
    only where its own library is missing. That is 1.2 of the 5.5 seconds that all imports of a training take.
    The C library keeps freed memory for the next passes (glibc only), until `release_memory`: a new mapping takes 12%
    of a step. CUDA's allocator grows its segments, so that fragmentation does not look like a lack of memory.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for library in ("accelerate", "bitsandbytes", "datasets", "huggingface_hub", "peft", "transformers", "trl"):
        logging.getLogger(library).setLevel(logging.ERROR)
        for category in (UserWarning, FutureWarning, DeprecationWarning):
            warnings.filterwarnings("ignore", category=category, module=rf"{library}(\.|$)")
    if not any(name.startswith("MALLOC_") for name in os.environ):
        with contextlib.suppress(AttributeError, OSError, TypeError):
            mallopt, mmap_threshold, trim_threshold = ctypes.CDLL(None).mallopt, -3, -1  # from glibc's `malloc.h`
            for size in (2**25, 2**30):  # older versions take the first at most
                mallopt(mmap_threshold, size)
            mallopt(trim_threshold, 2**31 - 1)


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quick_device() -> str:
    """Name the device without importing torch: what the page shows first."""
    if os.path.exists("/proc/driver/nvidia/version") or os.path.exists("/dev/nvidia0"):
        return "NVIDIA GPU"
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "Apple GPU"
    return f"CPU · {cores()}"


ZERO_GPU = "SPACES_ZERO_GPU"
"""The environment variable by which a Space says that it lends a GPU to processes that are forked for a call."""


def is_lent() -> bool:
    """Whether a GPU is lent to other processes for a call at a time (ZeroGPU), and this one must not use any."""
    return os.environ.get(ZERO_GPU, "").lower() in ("1", "t", "true")


def device() -> str:
    """Return torch's name of the device to use: `cuda`, `mps` or `cpu`."""
    import torch

    if is_lent():  # the package `spaces` lets torch say that there is one
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def devices() -> tuple[str, ...]:
    """Name the devices that this process may use, each as every process calls it that may use it too.

    A card of NVIDIA's has a UUID, whatever place `CUDA_VISIBLE_DEVICES` gives it; a part of one (MIG) has its own.
    A processor is the machine's. All cards that are visible count: a large model is spread over them. The names are
    file names.
    """
    import torch

    kind = device()
    if kind != "cuda":
        return (_file_name(f"{kind}-{socket.gethostname()}"),)
    parts = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    if parts[0].startswith("MIG-"):
        return (_file_name(parts[0]),)  # CUDA lets a process see one part only
    cards = (torch.cuda.get_device_properties(card).uuid for card in range(torch.cuda.device_count()))
    return tuple(dict.fromkeys(_file_name(f"GPU-{uuid}") for uuid in cards))


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def device_name() -> str:
    """Return the device's name as people know it."""
    import torch

    kind = device()
    if kind == "cuda":
        return torch.cuda.get_device_name()
    return "Apple GPU" if kind == "mps" else f"CPU · {cores()}"


FLOAT16_OVERFLOWS = ("gemma3", "gemma4", "glm4_moe", "gpt_oss", "qwen3_5", "qwen3_moe")
"""Architectures whose activations or gradients leave float16's range, as transformers' issue 39972 and those who train
on older cards report (unsloth keeps such a list). Gemma 2, whose logits and attention are capped, is none of them: it
is trained in float16 on a T4. A run that overflows all the same ends, and its words name float32."""


def precision(wanted: str, model_type: str = "") -> Choice:
    """Choose the number format of weights and activations.

    bfloat16 where the device computes in it natively. float32 on processors without it: on AVX2 bfloat16 is four to
    eight times slower than float32. float16 on older GPUs, but not for `FLOAT16_OVERFLOWS` models.
    """
    if wanted != "auto":
        return Choice("precision", wanted, message("choice.precision.asked"))
    import torch

    kind = device()
    if kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        value, reason = "bfloat16", "gpu_bfloat16"
    elif kind == "cuda" and model_type.startswith(FLOAT16_OVERFLOWS):
        return Choice("precision", "float32", message("choice.precision.overflows", model=model_type))
    elif kind == "cuda":
        value, reason = "float16", "gpu_float16"
    elif kind == "mps":
        value, reason = "float32", "mps"
    else:
        value, reason = ("bfloat16", "cpu_bfloat16") if _native_bfloat16() else ("float32", "cpu_float32")
    return Choice("precision", value, message(f"choice.precision.{reason}"))


def _native_bfloat16() -> bool:
    import torch

    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)


def free_memory() -> int:
    """Return the free memory of the device (the first card), in bytes: the share of this process, where many run."""
    if device() == "cuda":
        return free_memory_of_cards()[0]
    return psutil.virtual_memory().available // processes.local_world_size()


def free_memory_each(base_bytes: Mapping[int, float] = MappingProxyType({})) -> tuple[float, ...]:
    """Return the free bytes of each device that a run may use; `base_bytes` of a `ModelHost` count as free."""
    if device() != "cuda":
        return (float(free_memory() + sum(base_bytes.values())),)
    free = free_memory_of_cards()
    return tuple(float(room + base_bytes.get(card, 0)) for card, room in enumerate(free))


def release_memory() -> None:
    """Return the process's free memory to the system, so that later allocations can be measured (glibc only)."""
    collect_garbage()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def collect_garbage() -> None:
    """Free what nothing but itself refers to, such as a model whose training has failed.

    While another thread collects, `gc.collect` returns at once and frees nothing: it is called again then.
    """
    own_thread, is_collected = threading.get_ident(), threading.Event()

    def note(phase: str, about: dict[str, int]) -> None:
        if phase == "stop" and about["generation"] == 2 and threading.get_ident() == own_thread:
            is_collected.set()

    gc.callbacks.append(note)
    try:
        gc.collect()
        while not is_collected.wait(0.01):
            gc.collect()
    finally:
        gc.callbacks.remove(note)


def free_memory_of_cards() -> list[int]:
    """Return the free bytes of each card (its own, where many run), with what torch has freed and keeps."""
    import torch

    def free(card: int) -> int:
        cached = torch.cuda.memory_reserved(card) - torch.cuda.memory_allocated(card)
        return torch.cuda.mem_get_info(card)[0] + cached

    own = [torch.cuda.current_device()] if processes.world_size() > 1 else range(torch.cuda.device_count())
    return [free(card) for card in own]


TRAINING_MEMORY_FACTOR = 1.25
"""Memory for a model in training as a multiple of its weights: adapter, optimizer and the least of activations."""


def single_card(bytes_needed: int, free_per_card: Sequence[float]) -> int | None:
    """Return the card that can hold a model in training: the first one, else the emptiest, or none of several."""
    if len(free_per_card) == 1 or bytes_needed * TRAINING_MEMORY_FACTOR <= free_per_card[0]:
        return 0
    emptiest = max(range(len(free_per_card)), key=free_per_card.__getitem__)
    return emptiest if bytes_needed * TRAINING_MEMORY_FACTOR <= free_per_card[emptiest] else None


def placement(bytes_needed: int, free_per_card: Sequence[float]) -> Choice:
    """Choose between one card (see `single_card`) and layers spread over all (`auto`), which is slower."""
    need, first, everything = bytes_needed * TRAINING_MEMORY_FACTOR, free_per_card[0], sum(free_per_card)
    sizes = {"need": f"{need / 1e9:.1f}", "free": f"{first / 1e9:.1f}"}
    card = single_card(bytes_needed, free_per_card)
    if card is None:
        sizes |= {"cards": len(free_per_card), "all": f"{everything / 1e9:.1f}"}
        reason = "spread" if need <= everything else "too_large"
    elif card:
        sizes |= {"card": card, "room": f"{free_per_card[card] / 1e9:.1f}"}
        reason = "other_card"
    else:
        reason = "fits" if need <= first else "tight"
    value = "auto" if card is None else "one device"
    return Choice("placement", value, message(f"choice.placement.{reason}", **sizes))


NEARLY_FULL = 0.1
"""Share of the mean free memory of the cards below which one holds nothing: a layer would hardly fit."""


def layer_shares(free: Sequence[float]) -> list[float]:
    """Return each card's share of the layers, in proportion to its `free` bytes; a nearly full one holds none."""
    least = NEARLY_FULL * sum(free) / len(free)
    usable = [each if each >= least else 0.0 for each in free]
    return [each / max(1.0, sum(usable)) for each in usable]


def max_memory(weights: float, embedding: float, layers: int, free: Sequence[float]) -> dict[int, int]:
    """Return how many bytes of weights each card may take, for transformers' `max_memory`.

    Without limits a small card is filled with weights until nothing is left for training. A layer or an embedding is
    never divided, so each limit has room for one more of the larger; on the first card accelerate holds back that size
    once more. The last card that is not nearly full takes what is left over.
    """
    largest = max(embedding, weights / layers)
    parts = layer_shares(free)
    last = max(card for card, share in enumerate(parts) if share or not any(parts))
    room = [weights * share + largest * (2 if card == 0 else 1) for card, share in enumerate(parts)]
    room[last] = free[last]
    return {card: int(min(room[card], free[card])) if share or card == last else 0 for card, share in enumerate(parts)}


def describe() -> list[Choice]:
    """Return what is known and chosen for this machine: the device card."""
    return [
        Choice("device", device_name(), message("choice.device." + device())),
        precision("auto"),
        Choice("memory", f"{free_memory() / 1e9:.1f} GB", message("choice.memory")),
    ]


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide a run's result."""
    names = ("torch", "transformers", "trl", "peft", "accelerate", "tokenizers", "datasets")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def random_state() -> dict[str, Any]:
    """Return the state of every random number generator that training uses."""
    import numpy
    import torch

    state = {"python": random.getstate(), "numpy": numpy.random.get_state(), "torch": torch.get_rng_state()}
    if device() == "cuda":
        own = processes.world_size() > 1
        state["cuda"] = [torch.cuda.get_rng_state()] if own else torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Put back what `random_state` returned."""
    import numpy
    import torch

    random.setstate(state["python"])
    numpy.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if "cuda" in state and processes.world_size() > 1:
        torch.cuda.set_rng_state(state["cuda"][0])
    elif "cuda" in state:
        torch.cuda.set_rng_state_all(state["cuda"])


_STICKY = (
    *("device-side assert", "illegal memory access", "illegal address", "illegal instruction", "misaligned address"),
    *("invalid address space", "invalid program counter", "hardware stack error", "unspecified launch failure"),
    *("launch timed out", "uncorrectable", "context is destroyed", "nvlink", "mps client", "unknown error"),
)
"""Parts of the messages of sticky CUDA errors (cudaErrorAssert, …), as CUDA's programming guide calls those after which
every later CUDA call of a process fails: only a new process gets a working context."""

_lost = ""


def record_loss(error: BaseException) -> str:
    """Record that the device is lost if `error` is a sticky one, and return its first line; else an empty text."""
    global _lost
    text = str(error)
    is_cuda = isinstance(error, RuntimeError) and any(part in text.lower() for part in ("cuda error", "cuda kernel"))
    if not is_cuda or not any(words in text.lower() for words in _STICKY):
        return ""
    _lost = next(line for line in text.splitlines() if line.strip())[:200]
    return _lost


def is_device_lost() -> bool:
    """Whether this process has lost its device."""
    return bool(_lost)
