"""Ways to compute the same, timed against each other on the device at hand.

Rows without padding. On a card they need flash attention today, since transformers gives `sdpa` a mask over all packed
tokens: rows × length squared scores, nearly all of them masked. torch has three ways that would not need its package:

* `torch.nn.attention.varlen.varlen_attn` takes `cu_seq_lens` as flash attention does, and calls the kernel that torch
  is built with: the same speed, without a soft cap of scores (Gemma 2).
* `scaled_dot_product_attention` on nested (jagged) tensors calls that kernel too, but every other module would have to
  take nested tensors, or each layer convert twice.
* `flex_attention` with a block mask of the rows has the soft cap and sliding windows, in a kernel that is compiled for
  each model; with TORCHDYNAMO_DISABLE, as here, it would be computed in full.

So the first is what to try where flash attention is not installed; `attention` below times it beside padded rows.
"""

import contextlib
import time
from collections.abc import Callable
from typing import Any

Times = dict[str, float]
"""Seconds by what was computed in them."""


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


def heads(device: str, dtype: Any, tokens: int, hidden: int, vocabulary: int) -> Times:
    """Time the loss of an output layer with its gradient: ours, TRL's, and all logits at once.

    TRL's fused head computes the loss alone, or with the entropy and the accuracy that its trainer logs. All must
    agree.
    """
    import torch
    from torch.nn import functional
    from trl.kernels import ChunkedLogProbFunction
    from trl.trainer.utils import _CHUNKED_LOGPROB_CHUNK_SIZE

    from studio.train.packed_trainer import ChunkedCrossEntropy

    weight = torch.randn(vocabulary, hidden, device=device, dtype=dtype) / hidden**0.5
    states = torch.randn(tokens, hidden, device=device, dtype=dtype, requires_grad=True)
    targets = torch.randint(vocabulary, (tokens,), device=device)

    def ours() -> Any:
        return ChunkedCrossEntropy.apply(states, weight, None, targets, None, 1.0)

    def trl(*outputs: str) -> Any:
        settings = 1.0, _CHUNKED_LOGPROB_CHUNK_SIZE, None, 1.0, ("log_probs", *outputs)
        return -ChunkedLogProbFunction.apply(states, weight, None, targets, *settings)[0].sum()

    def plain() -> Any:
        return functional.cross_entropy(functional.linear(states, weight).float(), targets, reduction="sum")

    ways = {
        "head: ours": ours,
        "head: TRL's, loss alone": trl,
        "head: TRL's, as its trainer calls it": lambda: trl("entropy", "is_top1"),
        "head: all logits": plain,
    }
    losses = torch.stack([loss().detach() for loss in ways.values()])
    torch.testing.assert_close(losses, losses[-1].expand_as(losses), rtol=1e-2, atol=0.0)
    return {name: seconds(lambda loss=loss: loss().backward()) for name, loss in ways.items()}


def products(device: str, dtype: Any, tokens: int, size: int, rank: int = 16) -> Times:
    """Time a LoRA layer with its gradients: PEFT's own and our product, on 16-bit weights and on NF4.

    On NF4 ours multiplies with the dequantized weights. Both must agree.
    """
    import bitsandbytes as bnb
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from peft import LoraConfig, inject_adapter_in_model

    from studio.train.packed_trainer import FusedLoraLinear

    plain = torch.nn.Linear(size, size, bias=False, dtype=dtype)
    small = bnb.nn.Linear4bit(size, size, bias=False, compute_dtype=dtype, quant_type="nf4")
    x = torch.randn(tokens, size, device=device, dtype=dtype, requires_grad=True)
    times: Times = {}
    for name, base in (("16 bit", plain), ("nf4", small)):
        base.requires_grad_(False)
        config = LoraConfig(r=rank, target_modules=["0"], init_lora_weights=False)
        layer = inject_adapter_in_model(config, torch.nn.Sequential(base).to(device))[0]
        a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight

        def weight(base: Any = base, quantized: bool = name == "nf4") -> Any:
            return dequantize_4bit(base.weight.data, base.weight.quant_state).to(dtype) if quantized else base.weight

        def peft(layer: Any = layer) -> Any:
            with torch.autocast(device, dtype=dtype):
                return layer(x)

        def ours(layer: Any = layer, weight: Any = weight, a: Any = a, b: Any = b) -> Any:
            return FusedLoraLinear.apply(x, weight(), None, a, b, layer.scaling["default"])

        apart = (peft().float() - ours().float()).norm() / ours().float().norm()
        assert apart < 0.05, f"{name}: the products differ by {apart:.1%}"
        for whose, product in (("PEFT's", peft), ("ours", ours)):
            run = seconds(lambda product=product: product().float().sum().backward())
            times[f"LoRA product, {name}: {whose}"] = run
    return times


def attention(device: str, dtype: Any, lengths: list[int], heads: int, kv_heads: int, size: int) -> Times:
    """Time the causal attention of rows of different lengths with its gradient; `size` is that of a head.

    Padded as transformers' `sdpa` is, row by row as `packed_trainer.sdpa_varlen`, and on a card by `varlen_attn`. All
    must agree.
    """
    import torch
    from torch.nn.functional import pad, scaled_dot_product_attention
    from torch.nn.utils.rnn import pad_sequence

    tokens = sum(lengths)
    made = [torch.randn(tokens, count, size, device=device, dtype=dtype) for count in (heads, kv_heads, kv_heads)]
    parts = [part.requires_grad_() for part in made]
    counts = torch.tensor(lengths, device=device)
    real = torch.arange(max(lengths), device=device) < counts[:, None]
    mask = real[:, None, None, :] & torch.ones(2 * [max(lengths)], dtype=torch.bool, device=device).tril()

    def padded() -> Any:
        rows = (pad_sequence(part.split(lengths), batch_first=True).transpose(1, 2) for part in parts)
        return scaled_dot_product_attention(*rows, attn_mask=mask, enable_gqa=True).transpose(1, 2)[real]

    def by_row() -> Any:
        rows = zip(*(part.transpose(0, 1)[None].split(lengths, dim=2) for part in parts), strict=True)
        each = [scaled_dot_product_attention(*row, is_causal=True, enable_gqa=True) for row in rows]
        return torch.cat(each, dim=2)[0].transpose(0, 1)

    def varlen() -> Any:
        from torch.nn.attention.varlen import varlen_attn

        ends = pad(counts.cumsum(0), (1, 0)).to(torch.int32)
        return varlen_attn(*parts, ends, ends, *2 * [max(lengths)], window_size=(-1, 0), enable_gqa=True)

    ways = {"padded": padded, "row by row": by_row} | ({"varlen": varlen} if device == "cuda" else {})
    for name, way in ways.items():
        torch.testing.assert_close(way(), padded(), rtol=0.05, atol=0.05, msg=lambda text, name=name: f"{name}: {text}")
    return {f"attention: {name}": seconds(lambda way=way: way().float().sum().backward()) for name, way in ways.items()}


def steps(config: Any, located: Any, rows: Any) -> Times:
    """Time a training step (loss and gradient) of a micro-batch, as plain TRL and PEFT compute it and as we do.

    Each way differs from the one before in one thing: TRL's head or ours, PEFT's LoRA product or ours, padded rows or
    packed ones (where the attention takes them, on a card also `sdpa` row by row). All losses must agree.
    """
    import torch
    from trl.trainer.utils import add_fused_lm_head

    from studio.model import adapter, load
    from studio.train import packed_trainer

    loaded = load.load(config.model, located)
    base, dtype = loaded.model, loaded.model.dtype
    wrapped = adapter.wrap_model(base, adapter.lora_config(config.lora, base))
    wrapped.train()
    add_fused_lm_head(base, outputs=("log_probs", "entropy", "is_top1"))
    packed_trainer.patch_fused_loss(base)
    batch = [rows[number] for number in range(min(8, len(rows)))]

    def part(*, packed: bool, scored: bool) -> dict[str, Any]:
        (made,) = packed_trainer.Collator(10**6, 0, packed=packed, scored=scored)(batch)["parts"]
        return {name: value.to(base.device) if torch.is_tensor(value) else value for name, value in made.items()}

    trained = len(part(packed=False, scored=True)["targets"])

    def trl(given: dict[str, Any]) -> Any:
        return wrapped(**given, fused_lm_head=True, num_items_in_batch=trained).loss

    def ours(given: dict[str, Any]) -> Any:
        with packed_trainer.varlen_attention(base) if "cu_seq_lens_q" in given else contextlib.nullcontext():
            return wrapped(**given) / trained

    times: Times = {}
    losses: list[float] = []

    def measure(name: str, loss: Callable[[dict[str, Any]], Any], given: dict[str, Any]) -> None:
        def step() -> Any:
            with torch.autocast(base.device.type, dtype=dtype, enabled=dtype is not torch.float32):
                total = loss(given)
            total.backward()
            wrapped.zero_grad()
            return total

        losses.append(step().item())
        times[f"step: {name}"] = seconds(step, 3)

    measure("padded, TRL's head, PEFT's product", trl, part(packed=False, scored=False))
    measure("padded, our head, PEFT's product", ours, part(packed=False, scored=True))
    packed_trainer.patch_adapter_forward(wrapped, wrapped.active_adapter)
    measure("padded, our head, our product", ours, part(packed=False, scored=True))
    if base.config.get_text_config()._attn_implementation != "eager":
        measure("packed, our head, our product", ours, part(packed=True, scored=True))
    assert max(losses) - min(losses) < 0.01 * max(losses), losses
    return times
