"""Ways to compute the same, timed against each other on the device at hand.

Rows without padding. On a card they need flash attention today, since transformers gives `sdpa` a mask over all packed
tokens: rows × length squared scores, nearly all of them masked. torch has three ways that would not need its package:

* `torch.nn.attention.varlen.varlen_attn` takes `cu_seq_lens` as flash attention does, and calls the kernel that torch
  is built with: the same speed, without a soft cap of scores (Gemma 2).
* `scaled_dot_product_attention` on nested (jagged) tensors calls that kernel too, but every other module would have to
  take nested tensors, or each layer convert twice.
* `flex_attention` with a block mask of the rows has the soft cap and sliding windows, in a kernel that is compiled for
  each model; with TORCHDYNAMO_DISABLE, as here, it would be computed in full.

So the first is what to try where flash attention is not installed; `packed` below says what there is to gain.
"""

import time
from collections.abc import Callable
from typing import Any


def seconds(work: Callable[[], Any], times: int = 5) -> float:
    """Return the least time of some calls, after one that is not counted."""
    import torch

    def once() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - began

    once()
    return min(once() for _ in range(times))


def head(device: str, dtype: Any, tokens: int, hidden: int, vocabulary: int) -> dict[str, float]:
    """Time the loss of an output layer with its gradient: ours, and all logits at once as transformers computes it."""
    import torch
    from torch.nn import functional

    from studio.train.packed_trainer import ChunkedCrossEntropy

    weight = torch.randn(vocabulary, hidden, device=device, dtype=dtype) / hidden**0.5
    inner = torch.randn(tokens, hidden, device=device, dtype=dtype, requires_grad=True)
    targets = torch.randint(vocabulary, (tokens,), device=device)

    def ours() -> None:
        ChunkedCrossEntropy.apply(inner, weight, None, targets, None, 1.0).backward()

    def plain() -> None:
        functional.cross_entropy(functional.linear(inner, weight).float(), targets, reduction="sum").backward()

    return {"our head": seconds(ours), "all logits": seconds(plain)}


def trl_head(config: Any, located: Any, rows: Any) -> dict[str, float]:
    """Time a padded step's loss and gradient through TRL's own (fused, chunked) loss, and through ours."""
    import torch

    from studio.model import load
    from studio.train import packed_trainer

    loaded = load.load(config.model, located)
    model = loaded.model
    model.get_input_embeddings().weight.requires_grad_(True)
    batch = [rows[number] for number in range(min(4, len(rows)))]
    place = model.device
    found = {}
    packed_trainer.patch_fused_loss(model)
    for name, scored in (("ours", True), ("transformers", False)):
        (part,) = packed_trainer.Collator(10**6, 0, packed=False, scored=scored)(batch)["parts"]
        part = {key: value.to(place) if torch.is_tensor(value) else value for key, value in part.items()}

        def step(part: Any = part) -> None:
            made = model(**part)
            (made if torch.is_tensor(made) else made.loss).backward()

        found[f"step, loss of {name}"] = seconds(step, 3)
    model.get_input_embeddings().weight.requires_grad_(False)
    return found


def adapters(device: str, dtype: Any, tokens: int, size: int, rank: int = 16) -> dict[str, float]:
    """Time a LoRA layer with its gradients on NF4 weights: PEFT's own, and our product on the dequantized ones."""
    import bitsandbytes as bnb
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from peft import LoraConfig, inject_adapter_in_model

    from studio.train.packed_trainer import FusedLoraLinear

    holder = torch.nn.Sequential(bnb.nn.Linear4bit(size, size, bias=False, compute_dtype=dtype, quant_type="nf4"))
    holder = holder.to(device)
    holder = inject_adapter_in_model(LoraConfig(r=rank, target_modules=["0"]), holder)
    layer = holder[0]
    x = torch.randn(1, tokens, size, device=device, dtype=dtype, requires_grad=True)
    base, a, b = layer.base_layer, layer.lora_A["default"].weight, layer.lora_B["default"].weight

    def peft() -> None:
        layer(x).float().sum().backward()

    def ours() -> None:
        weight = dequantize_4bit(base.weight.data, base.weight.quant_state).to(dtype)
        FusedLoraLinear.apply(x, weight, None, a, b, layer.scaling["default"]).float().sum().backward()

    return {"PEFT on nf4": seconds(peft), "our product on nf4": seconds(ours)}


def packing(config: Any, located: Any, rows: Any) -> dict[str, float]:
    """Time a forward pass over rows of different lengths, padded and packed; packed where the attention takes it."""
    import torch

    from studio.model import load
    from studio.train import packed_trainer

    loaded = load.load(config.model, located)
    model, place = loaded.model, loaded.model.device
    packed_trainer.patch_fused_loss(model)
    packs, scored = packed_trainer.capabilities(model)
    batch = [rows[number] for number in range(min(8, len(rows)))]
    found = {}
    for packed in (False, True) if packs else (False,):
        parts = packed_trainer.Collator(10**6, 0, packed=packed, scored=scored)(batch)["parts"]
        parts = [{k: v.to(place) if torch.is_tensor(v) else v for k, v in part.items()} for part in parts]

        def forward(parts: Any = parts, packed: bool = packed) -> None:
            with torch.no_grad(), packed_trainer.varlen_attention(model) if packed else torch.no_grad():
                for part in parts:
                    model(**part)

        found["packed" if packed else "padded"] = seconds(forward, 3)
    return found
