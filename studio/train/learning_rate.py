"""The learning rate that suits an adapter, by its base model and the length of the run."""

from collections.abc import Mapping
from typing import Any

from studio.i18n import Message, message

LOWEST, HIGHEST = 5e-5, 2e-3
"""What is suggested at least and at most."""
_FULL_RATE, _FULL_WIDTH = 5e-5, 2000
_POWERS = {"llama": 0.781, "qwen2": 0.0775, "qwen3": 0.0775}


def suited(architecture: Mapping[str, Any], parameters: float, *, steps: int, quantized: bool) -> tuple[float, Message]:
    """Return the rate that suits a base model of so many parameters, and why; `architecture` is its `config.json`.

    Ten times what full training takes, by the model's width; fifteen times for runs of under a hundred steps. LoRA
    Without Regret (Schulman et al. 2025) fits 5e-5 × 10 × (2000 / hidden size) ^ 0.78 for Llama and ^ 0.08 for Qwen, at
    every rank; its 15 for short runs. Quantized models of 7B and more keep to QLoRA's 2e-4, and 1e-4 above 13B
    (Dettmers et al. 2023, table 9).
    """
    if quantized and parameters >= 6.5e9:
        rate = 2e-4 if parameters < 20e9 else 1e-4
        return rate, message("suggest.rate.qlora", billions=f"{parameters / 1e9:.0f}", rate=brief(rate))
    width, family = architecture.get("hidden_size") or _FULL_WIDTH, architecture.get("model_type", "")
    times = 15 if steps < 100 else 10
    powers = [_POWERS[family]] if family in _POWERS else _POWERS.values()
    fitted = _FULL_RATE * times * min((_FULL_WIDTH / width) ** power for power in powers)
    rate = float(f"{min(HIGHEST, max(LOWEST, fitted)):.0e}")
    words = {"width": f"{width:,}", "steps": f"{steps:,}", "times": times, "rate": brief(rate)}
    return rate, message("suggest.rate.width", **words)


def brief(rate: float) -> str:
    """Return a rate in one digit: `2e-4`."""
    return f"{rate:.0e}".replace("e-0", "e-").replace("e+0", "e+")
