"""Values that a run may have and that hardly make sense: each is warned of at its control, and none is refused."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from studio.config import RunConfig
from studio.i18n import Message, message
from studio.model import estimate
from studio.model.load import Located
from studio.train import plan
from studio.train.resume import length_setting

MOST_PASSES = 40
"""Passes over the same rows after which another one is worth nothing (Muennighoff et al. 2023, figure 1)."""
MOST_SCALE = 64
"""Alpha over rank, twice of what LoRA Without Regret (Schulman et al. 2025) has at its lowest rank: 32 at rank 1."""
MOST_DROPOUT = 0.5
"""LoRA (Hu et al. 2022) and QLoRA (Dettmers et al. 2023) use at most 0.1."""
MOST_TEMPERATURE = 2.0
LONG_SECONDS = 3 * 86_400
HIGH_TIMES, LOW_TIMES = 10, 100
"""How far from the rate that suits a model is far off: see `rate`."""
LOWEST_RATE, HIGHEST_RATE = 5e-5, 2e-3
"""What is suggested at least and at most."""
_FULL_RATE, _FULL_WIDTH = 5e-5, 2000
_POWERS = {"llama": 0.781, "qwen2": 0.0775, "qwen3": 0.0775}


def find(config: RunConfig, located: Located | None = None, rows: int | None = None) -> Iterator[Message]:
    """Yield what hardly makes sense in a run over so many training rows; less is known without its model or rows."""
    train, lora = config.train, config.lora
    architecture = located.settings.get("text_config") or located.settings if located else {}
    steps = plan.count_steps(train, rows) if rows else train.max_steps
    if located and steps:
        quantized = config.model.quantization != "none"
        suited, _ = suited_rate(architecture, estimate.parameters(located.path), steps=steps, quantized=quantized)
        yield from rate(config, suited, suited)
    else:
        yield from rate(config, LOWEST_RATE, HIGHEST_RATE)
    width = architecture.get("hidden_size")
    if width and lora.r > width:
        yield message("unwise.rank", path="lora.r", rank=lora.r, width=f"{width:,}")
    scale = lora.alpha / (math.sqrt(lora.r) if lora.rslora else lora.r)
    if scale > MOST_SCALE:
        yield message("unwise.scale", path="lora.alpha", times=f"{scale:,.0f}")
    if lora.dropout > MOST_DROPOUT:
        yield message("unwise.dropout", path="lora.dropout", share=f"{lora.dropout:.0%}")
    if config.generation.temperature > MOST_TEMPERATURE:
        yield message("unwise.temperature", path="generation.temperature", value=f"{config.generation.temperature:g}")
    product = train.batch_size * train.gradient_accumulation
    if rows and product > rows:
        path = "train.batch_size" if train.batch_size > rows else "train.gradient_accumulation"
        yield message("unwise.batch", path=path, product=f"{product:,}", rows=f"{rows:,}")
    passes = train.max_steps * min(product, rows) / rows if train.max_steps and rows else train.epochs
    if passes > MOST_PASSES:
        counted = {"rows": f"{rows:,}"} if rows else {}
        key = "unwise.passes" if rows else "unwise.epochs"
        yield message(key, path=length_setting(config), passes=f"{passes:,.0f}", **counted)


def rate(config: RunConfig, lowest: float, highest: float) -> Iterator[Message]:
    """Yield whether the learning rate is far from what suits an adapter, which is between `lowest` and `highest`.

    LoRA trains well at ten times the rate of full training, in a wide basin around it (Schulman et al. 2025, LoRA
    Without Regret). Ten times above that the loss rises; a hundred times below it, at a tenth of what full training
    takes, little is learned, for a step of Adam moves a weight by at most about the rate (Kingma & Ba 2015, section
    2.1). SGD's steps are as long as the gradient, so nothing is said of it; preferences are trained at far lower rates.
    """
    train = config.train
    if train.optimizer == "sgd":
        return
    setting = {"path": "train.learning_rate", "rate": f"{train.learning_rate:g}".replace("e-0", "e-")}
    if train.learning_rate > HIGH_TIMES * highest:
        times = f"{train.learning_rate / highest:,.0f}"
        yield message("unwise.rate_high", times=times, suited=brief(highest), **setting)
    elif train.learning_rate * LOW_TIMES < lowest and train.method == "sft":
        times = f"{lowest / train.learning_rate:,.0f}"
        yield message("unwise.rate_low", times=times, suited=brief(lowest), **setting)


def duration(config: RunConfig, seconds: float) -> Iterator[Message]:
    """Yield whether a run is estimated to take days."""
    if seconds > LONG_SECONDS:
        yield message("unwise.long", path=length_setting(config), days=f"{seconds / 86_400:,.0f}")


def suited_rate(
    architecture: Mapping[str, Any], parameters: float, *, steps: int, quantized: bool
) -> tuple[float, Message]:
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
    rate = float(f"{min(HIGHEST_RATE, max(LOWEST_RATE, fitted)):.0e}")
    words = {"width": f"{width:,}", "steps": f"{steps:,}", "times": times, "rate": brief(rate)}
    return rate, message("suggest.rate.width", **words)


def brief(rate: float) -> str:
    """Return a rate in one digit: `2e-4`."""
    return f"{rate:.0e}".replace("e-0", "e-").replace("e+0", "e+")
