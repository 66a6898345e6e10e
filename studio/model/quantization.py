"""Weights in 4 or 8 bits: what a repository already is, what is chosen, and the settings of bitsandbytes."""

from typing import Any

from studio.errors import ModelError
from studio.i18n import message
from studio.model.hardware import Choice, device

BITSANDBYTES = ("nf4", "fp4", "int8")


def saved_quantization(settings: dict[str, Any]) -> str | None:
    """Return how a repository is quantized, from its config.json (`nf4`, `int8`, `gptq`); None if it is not."""
    quantized = settings.get("quantization_config")
    if not quantized:
        return None
    if quantized.get("load_in_8bit"):
        return "int8"
    if quantized.get("load_in_4bit"):
        return str(quantized.get("bnb_4bit_quant_type") or "fp4")  # fp4 is bitsandbytes' own default
    return str(quantized.get("quant_method") or "unknown")


def choose(wanted: str, settings: dict[str, Any], model_id: str) -> Choice:
    """Choose the repository's own quantization, else that of the settings; raises ModelError where it cannot be."""
    own = saved_quantization(settings)
    if own is not None and own not in BITSANDBYTES:
        raise ModelError("model.other_quantization", id=model_id, method=own)
    value = own or wanted
    if value != "none" and device() == "mps":
        raise ModelError("model.no_quantization", wanted=value, device="MPS")
    if own is None:
        reason = message("choice.quantization.none" if wanted == "none" else "choice.quantization.asked")
    elif wanted in ("none", own):
        reason = message("choice.quantization.repository", own=own)
    else:
        reason = message("choice.quantization.instead", own=own, wanted=wanted)
    return Choice("quantization", value, reason)


def quantization_config(value: str, dtype: Any) -> Any:
    """Return the quantization settings for transformers while it loads, or None.

    NF4 with double quantization, computed in the chosen precision (Dettmers et al. 2023, QLoRA); or 8-bit weights
    (Dettmers et al. 2022, LLM.int8()).
    """
    if value == "none":
        return None
    from transformers import BitsAndBytesConfig

    if value == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    nf4 = {"bnb_4bit_quant_type": value, "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": dtype}
    return BitsAndBytesConfig(load_in_4bit=True, **nf4)


def couples_rows(model: Any) -> bool:
    """Whether a row's numbers depend on the rows beside it in a batch.

    LLM.int8 computes the columns that hold an outlier in 16 bits, and one row with an outlier chooses that column for
    all rows (Dettmers et al. 2022, section 3.2).
    """
    states = (getattr(part, "state", None) for part in model.modules())
    return any(getattr(state, "threshold", 0) > 0 for state in states)
