"""How long training will take on this device, before it starts."""

import math
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.model.hardware import device
from studio.model.weight_files import headers

FORWARD, BACKWARD = 2, 2
"""Operations per parameter and token: a multiplication and an addition each. LoRA needs the gradient with respect to
the inputs only, not to the frozen weights, so its backward pass costs as much as the forward one (Kaplan et al. 2020,
section 2.1, counts 2 forward and 4 backward for training all weights)."""
_SCALES = (".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", ".SCB", ".weight_format")
"""Ends of names that bitsandbytes gives to what it needs to read quantized weights."""
OTHER_SECONDS = 1.2e-11
"""Seconds per parameter and token outside of matrix products; measured with 135 M parameters on two processor cores,
where they were 26 % of a float32 step."""

LAYER_SECONDS = {"cpu": 2e-3, "cuda": 1e-3, "mps": 2e-3}
READ_BYTES = {"cpu": 2e10, "cuda": 5e11, "mps": 1e11}
"""Seconds per layer, and bytes of weights read a second, for each token of an answer. The processor's are measured with
30 layers and 135 M parameters on two cores (12 tokens a second in float32); the others are rough, and only for the
forecast: what is done follows from what is measured."""


def parameters(folder: Path) -> int:
    """Return the number of a model's weights, quantized or not, from the heads of its files; raises ModelError."""
    table, total = headers(folder), 0
    for name, entry in table.items():
        if name.endswith(_SCALES) or ".quant_state." in name:
            continue
        if f"{name}.quant_map" in table:  # two weights of bitsandbytes' 4 bits share a byte
            begin, end = entry["data_offsets"]
            total += 2 * (end - begin)
        else:
            total += math.prod(entry["shape"])
    return total


device_in_use = threading.RLock()
"""Held by the thread that computes on the device, and while its speed is measured."""
_measuring = threading.Lock()
_known: dict[str, tuple[float, float]] = {}
"""Operations a second by precision, and until when that holds (`time.monotonic`)."""
STEADY = 0.8
"""Share of the best speed that the second best has at least, and of the time that the cores were ours, if nothing else
has disturbed a measurement."""
DISTURBED_SECONDS = 60.0
"""How long a measurement that was disturbed is used before the device is measured again."""


def matmul_speed(precision: str) -> float | None:
    """Return the device's speed in matrix products of the size that small models have, in operations a second.

    It is measured once, by whichever thread asks first, but never beside a training or an answer: None while another
    thread uses the device. A measurement that something has disturbed is not kept.
    """
    with _measuring:
        speed, until = _known.get(precision, (0.0, 0.0))
        if time.monotonic() < until:
            return speed
        if not device_in_use.acquire(blocking=False):
            return None
        try:
            speed, steady = _measure_matmul(precision)
        finally:
            device_in_use.release()
        _known[precision] = speed, math.inf if steady else time.monotonic() + DISTURBED_SECONDS
        return speed


def _measure_matmul(precision: str) -> tuple[float, bool]:
    """Measure the speed; says too whether nothing has disturbed that."""
    import torch

    where, kind = torch.device(device()), getattr(torch, precision)
    own = torch.Generator(where).manual_seed(0)  # the run's own random numbers stay as they are
    left, right = (torch.randn(1024, 1024, dtype=kind, device=where, generator=own) for _ in range(2))

    def once() -> float:
        began = time.perf_counter()
        for _ in range(5):
            product = left @ right
        product.sum().item()  # waits for the device
        return 5 * 2 * 1024**3 / (time.perf_counter() - began)

    once()
    began, busy = time.perf_counter(), time.process_time()
    *_, second, best = sorted(once() for _ in range(3))
    ours = (time.process_time() - busy) / ((time.perf_counter() - began) * torch.get_num_threads())
    return best, second >= STEADY * best and (where.type != "cpu" or ours >= STEADY)


def operations(*, upper_half: bool, checkpointing: bool, saving: float = 0.0) -> float:
    """Return the operations of a step per parameter and token.

    With adapters in the upper half of the layers only, no backward pass goes through the lower half; recomputed
    activations cost a second forward pass. `saving` is the share of the first one that is not computed.
    """
    return FORWARD * (1 - saving) + BACKWARD * (0.5 if upper_half else 1.0) + (FORWARD if checkpointing else 0)


def epoch_seconds(tokens: int, folder: Path, precision: str, passes: float) -> float | None:
    """Estimate the seconds of `tokens` tokens, at `passes` `operations` a parameter; None while unknown."""
    if (speed := matmul_speed(precision)) is None:
        return None
    other = OTHER_SECONDS if device() == "cpu" else 0.0
    return tokens * parameters(folder) * (passes / speed + other * passes / (FORWARD + BACKWARD))


def token_seconds(folder: Path, settings: Mapping[str, Any], precision: str) -> float:
    """Estimate the seconds of one more token of a few answers: all weights are read once, whatever their number."""
    layers = settings.get("num_hidden_layers") or settings.get("text_config", {}).get("num_hidden_layers", 24)
    size = parameters(folder) * (4 if precision == "float32" else 2)
    return layers * LAYER_SECONDS[device()] + size / READ_BYTES[device()]
