"""The untouched base's logits of fixed prompts, recorded to prove later that nothing has changed it.

Padding and the shape of the batch alone move a model's logits in 16 bit, so the base answers again in the very same
batch: each prompt in two rows, of which the second is later an adapter's.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PROMPTS = ("The capital of France is", "바다는", "def add(a, b):\n    return")
MAX_TOKENS = 16
MIN_TOLERANCE = 1e-5
"""Differences of logits below this are rounding, also in float32."""


@dataclass(frozen=True)
class Probe:
    """The prompts as one left-padded batch, and the logits of the untouched base."""

    ids: Any
    mask: Any
    tokens: Any
    """The likeliest token after each token (rows × length)."""
    last: Any
    """The logits after the last token (rows × vocabulary), in float32."""
    tolerance: float
    """Largest difference of two logits that should be equal: of the two rows of a prompt, of two passes, one unit of
    the last place that the model's numbers have, and `MIN_TOLERANCE`."""
    chance: float
    """Largest difference of two probabilities that should be equal."""


def record(model: Any, tokenizer: Any) -> Probe:
    """Record the probe of a model without any adapter."""
    import torch

    each = [tokenizer(text, add_special_tokens=False)["input_ids"][:MAX_TOKENS] for text in PROMPTS]
    ids, mask = padded([row for row in each for _ in range(2)], tokenizer.pad_token_id or 0)
    with torch.no_grad():
        first, second = (logits(model, ids, mask) for _ in range(2))
    last = first[:, -1]
    chances = last.softmax(-1)
    spread = max((first[:, -1] - second[:, -1]).abs().max().item(), (last[0::2] - last[1::2]).abs().max().item())
    place = torch.finfo(model.dtype).eps * last.abs().max().item()
    chance = (chances[0::2] - chances[1::2]).abs().max().item()
    return Probe(ids, mask, first.argmax(-1), last, max(spread, place, MIN_TOLERANCE), chance)


def padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[Any, Any]:
    """Return rows of token ids as one batch, filled up on the left, and the mask of what is real."""
    import torch

    longest = max(map(len, rows))
    ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def forward(model: Any, ids: Any, mask: Any, **settings: Any) -> Any:
    """Return the logits of one forward pass over a left-padded batch, as they are and where they are."""
    import torch

    device = model.device
    if accepts(model, "position_ids"):
        settings["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0).to(device)
    last = settings.pop("logits_to_keep", 0)
    if last and accepts(model, "logits_to_keep"):
        # numbers, not a count: they make a copy, and a slice is multiplied row by row, each time with a copied head
        settings["logits_to_keep"] = torch.arange(ids.shape[1] - last, ids.shape[1], device=device)
    output = model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False, **settings)
    return output.logits[:, -last:] if last else output.logits


def accepts(model: Any, argument: str) -> bool:
    """Whether a model's forward pass has an argument; an adapter around the model hands all on."""
    base = model.get_base_model() if hasattr(model, "peft_config") else model
    return argument in inspect.signature(type(base).forward).parameters


def logits(model: Any, ids: Any, mask: Any, **settings: Any) -> Any:
    """Return the logits of `forward` in float32 on the processor."""
    return forward(model, ids, mask, **settings).float().cpu()
