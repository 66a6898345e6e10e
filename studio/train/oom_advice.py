"""What to do when a run has run out of memory: the ways out in the order of their effect."""

import itertools
from dataclasses import dataclass
from typing import Any

from studio.i18n import Message, message
from studio.runs import Run
from studio.train import plan

OUT_OF_MEMORY = "errors.device.memory"


@dataclass(frozen=True)
class OomAdvice:
    """One way to need less memory."""

    settings: dict[str, Any]
    summary: Message
    resumes: bool
    """Whether the run can go on with it; else it is for a new run."""


def is_out_of_memory(run: Run) -> bool:
    """Whether a run ended because the device's memory was full."""
    error = run.status().error
    return error is not None and error.key == OUT_OF_MEMORY


def advice(run: Run) -> list[OomAdvice]:
    """Return what would let a run do with less memory: first what changes nothing in the result."""
    resolved, config = run.resolved(), run.config()
    settings = config.train.model_copy(update=resolved.get("carried_out", {}))
    options: list[OomAdvice] = []
    if smaller := next(itertools.islice(plan.ever_smaller(settings), 1, None), None):
        halved = smaller.batch_size != settings.batch_size
        changed = ("batch_size", "gradient_accumulation") if halved else ("gradient_checkpointing",)
        words = "log.relief.split" if halved else "log.relief.checkpointing"
        summary = message(words, batch=smaller.batch_size, accumulation=smaller.gradient_accumulation)
        options.append(OomAdvice({f"train.{name}": getattr(smaller, name) for name in changed}, summary, resumes=True))
    if config.model.quantization == "none":
        options.append(OomAdvice({"model.quantization": "nf4"}, message("log.relief.nf4"), resumes=False))
    for length, share in resolved.get("cut_at", {}).items():
        summary = message("log.relief.shorter", length=length, share=f"{share:.0%}")
        options.append(OomAdvice({"data.max_length": int(length)}, summary, resumes=False))
    return options
