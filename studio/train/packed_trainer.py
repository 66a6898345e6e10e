"""A training step of TRL's trainer that computes nothing it does not need.

The rows of an optimizer step are cut into micro-batches by tokens, in which they follow each other without padding.
Attention stays within each row, logits are computed only where the next token is trained, and an adapter's products
are added in place. What a model does not support (`capabilities` tests that) is left to TRL, padded.

This file needs no other of the studio: an exported script has a copy beside it.
"""

import contextlib
import functools
import types
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from trl import SFTTrainer
from typing_extensions import override

IGNORE_INDEX = -100
# what models raise that do not take an argument or a shape
_UNSUPPORTED = (TypeError, ValueError, RuntimeError, LookupError, AttributeError, AssertionError)
SDPA_VARLEN = "by_row"  # the name of `sdpa_varlen` among transformers' attentions
LOGIT_CHUNK_TOKENS = 256  # tokens whose logits exist at the same time
RELATIVE_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 5e-2}  # of a loss


def micro_batches(
    lengths: Sequence[int], most: int, most_rows: int | None = None, *, padded: bool = False
) -> list[list[int]]:
    """Divide all rows of a step into as few micro-batches as hold at most `most` tokens each; return row numbers.

    Padded ones count with their padding, so rows of like length stand together; others are filled evenly. A longer row
    is alone. With `most_rows`, they hold at most so many rows instead: their number follows from that of the rows.
    """
    longest_first = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    if padded:
        batches: list[list[int]] = []
        for row in longest_first:
            if not batches or len(batches[-1]) >= (most_rows or most // lengths[batches[-1][0]]):
                batches.append([])
            batches[-1].append(row)
        return batches
    count = -(-len(lengths) // most_rows) if most_rows else max(1, -(-sum(lengths) // most))
    while True:
        batches, filled = [[] for _ in range(count)], [0] * count
        for row in longest_first:
            open_ones = [n for n in range(count) if not most_rows or len(batches[n]) < most_rows]
            emptiest = min(open_ones, key=filled.__getitem__)
            batches[emptiest].append(row)
            filled[emptiest] += lengths[row]
        if most_rows or all(tokens <= most or len(part) == 1 for part, tokens in zip(batches, filled, strict=True)):
            return [sorted(part) for part in batches if part]
        count += 1


class Collator:
    """Makes the micro-batches of a step from its rows (`input_ids`, `labels`).

    With `packed`, a micro-batch is one line of tokens. With `scored`, it names the places whose next token is trained
    (`index`, into all its tokens) and these tokens (`targets`); otherwise it has `labels`, for TRL's own loss.
    """

    def __init__(self, most: int, pad: int, most_rows: int | None = None, *, packed: bool, scored: bool):
        self.most, self.pad, self.most_rows, self.packed, self.scored = most, pad, most_rows, packed, scored

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the rows' lengths, all their labels, and the micro-batches (`parts`)."""
        lengths = [len(row["input_ids"]) for row in rows]
        parts = micro_batches(lengths, self.most, self.most_rows, padded=not self.packed)
        labels = torch.cat([torch.tensor(row["labels"][1:]) for row in rows])
        return {
            "lengths": torch.tensor(lengths),  # the first tensor: transformers takes its size for the number of rows
            "labels": labels,  # both, for transformers to count the trained tokens of the step
            "shift_labels": labels,
            "parts": [self._part([rows[number] for number in part]) for part in parts],
        }

    def _part(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        def join(parts: list[torch.Tensor], padding: int) -> torch.Tensor:
            if self.packed:
                return torch.cat(parts)[None]
            return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=padding)

        ids, labels = ([torch.tensor(row[name]) for row in rows] for name in ("input_ids", "labels"))
        part: dict[str, Any] = {"input_ids": join(ids, self.pad)}
        if self.packed:
            lengths = torch.tensor([len(row) for row in ids])
            part["position_ids"] = torch.cat([torch.arange(len(row)) for row in ids])[None]
            for side in ("q", "k"):  # the names that flash attention has for them
                part[f"cu_seq_lens_{side}"] = functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
                part[f"max_length_{side}"] = int(lengths.max())
        else:
            part["attention_mask"] = join([torch.ones_like(row) for row in ids], 0)
        if not self.scored:
            return {**part, "labels": join(labels, IGNORE_INDEX)}
        targets = join([functional.pad(row[1:], (0, 1), value=IGNORE_INDEX) for row in labels], IGNORE_INDEX).flatten()
        index = (targets != IGNORE_INDEX).nonzero().flatten()
        return {**part, "index": index, "targets": targets[index]}


def sdpa_varlen(module: Any, query: Any, key: Any, value: Any, mask: Any, **settings: Any) -> tuple[Any, None]:
    """Attend within each row of a packed micro-batch, as transformers' `sdpa` does to a row that is alone.

    Query, key and value have the shape (1, heads, tokens, size of a head).
    """
    kind = query.dtype
    if query.device.type == "cpu":  # its backward pass in bfloat16 takes 2.5 times as long for rows of 64 tokens
        query, key, value = query.float(), key.float(), value.float()
    lengths = settings.pop("cu_seq_lens_q").diff().tolist()
    window = settings.get("sliding_window")
    rows = zip(*(part.split(lengths, dim=2) for part in (query, key, value)), strict=True)
    attended = []
    for row, length in zip(rows, lengths, strict=True):
        mask = None
        if window is not None and length > window:
            ones = torch.ones(length, length, dtype=torch.bool, device=query.device)
            mask = (ones.tril() & ~ones.tril(-window))[None, None]
        attended.append(sdpa_attention_forward(module, *row, mask, **settings)[0])
    return torch.cat(attended, dim=1).to(kind), None


AttentionInterface.register(SDPA_VARLEN, sdpa_varlen)


@contextlib.contextmanager
def varlen_attention(model: Any) -> Iterator[None]:
    """Let a model that attends with `sdpa` do so within each row; flash attention does by itself."""
    config = model.config.get_text_config()
    before = config._attn_implementation
    config._attn_implementation = SDPA_VARLEN if before == "sdpa" else before
    try:
        yield
    finally:
        config._attn_implementation = before


class ChunkedCrossEntropy(torch.autograd.Function):
    """The summed cross-entropy of an output layer that is not trained, a few tokens at a time.

    The gradient is computed with the loss, so that no logits are kept for the backward pass. `cap` is Gemma 2's soft
    cap of logits, `scale` what they are multiplied by before.
    """

    @staticmethod
    @override
    def forward(
        ctx: Any, hidden: Any, weight: Any, bias: Any, targets: Any, cap: float | None, scale: float
    ) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, len(hidden), LOGIT_CHUNK_TOKENS):
                here = slice(start, start + LOGIT_CHUNK_TOKENS)
                raw = functional.linear(hidden[here].to(weight.dtype), weight, bias).float().mul_(scale)
                logits = torch.tanh(raw / cap) * cap if cap else raw
                wanted = targets[here, None]
                mass = logits.logsumexp(-1, keepdim=True)
                total += (mass - logits.gather(-1, wanted)).sum()
                if gradient is None:
                    continue
                slope = (1 - (logits / cap) ** 2) * scale if cap else scale
                share = logits.sub_(mass).exp_()
                share.scatter_add_(-1, wanted, share.new_full(wanted.shape, -1.0))
                gradient[here] = (share.mul_(slope).to(weight.dtype) @ weight).to(hidden.dtype)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @override
    def backward(ctx: Any, by: torch.Tensor) -> tuple[Any, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * by.to(gradient.dtype), None, None, None, None, None


def patch_fused_loss(model: Any) -> None:
    """Let `model(…, index=…, targets=…)` return the summed loss at these places; without them it does as before.

    It has to be in the model's own `forward`, which is what a wrapper for several processes calls. What the logits are
    multiplied by, and their soft cap, stand in the config under the names that transformers' models have.
    """
    inner = [name for name, part in model.named_children() if isinstance(part, PreTrainedModel)]
    if model.base_model is model and len(inner) == 1:  # Llama 4's text model says `language_model` and has `model`
        model.base_model_prefix = inner[0]
    before, config = model.forward, model.config.get_text_config()
    cap = getattr(config, "final_logit_softcapping", None)
    names = ["logit_scale", "output_multiplier", "lm_head_multiplier"]
    if config.model_type.startswith("hyperclovax"):  # Granite, from which the name comes, divides by it
        names.append("logits_scaling")
    scales = [value for name in names if (value := getattr(config, name, None)) is not None]
    scale = scales[0] if scales else 1 / (getattr(config, "logits_scaling", None) or 1.0)

    def forward(self: Any, *args: Any, index: Any = None, targets: Any = None, **kwargs: Any) -> Any:
        if targets is None:
            return before(*args, **kwargs)
        hidden = self.base_model(*args, **kwargs, use_cache=False).last_hidden_state.flatten(0, 1)
        head = self.get_output_embeddings()
        weight, bias = (w.full_tensor() if hasattr(w, "full_tensor") else w for w in (head.weight, head.bias))  # FSDP
        chosen = hidden[index.to(hidden.device)].to(weight.device)
        return ChunkedCrossEntropy.apply(chosen, weight, bias, targets.to(chosen.device), cap, scale)

    model.forward = types.MethodType(forward, model)


def capabilities(model: Any) -> tuple[bool, bool]:
    """Return whether a model takes packed rows, and whether its loss can be computed from its output layer.

    Two rows are packed: the loss of the second must be that of the model's own logits for it alone, and must not change
    by a bit when the first is another. `patch_fused_loss` must have been called for the model.
    """
    head = model.get_output_embeddings()
    if type(head) is not torch.nn.Linear or head.weight.requires_grad:
        return False, False
    size = model.config.get_text_config().vocab_size
    first, other, row = ([(7 * n + 31 * k) % size for n in range(1, count)] for k, count in ((1, 7), (2, 7), (3, 10)))
    was_training = model.training
    model.eval()
    try:
        ids = torch.tensor([row], device=head.weight.device)
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0, :-1].float()
            known = functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
            near = RELATIVE_TOLERANCE[model.dtype] * abs(known)
            if not abs(_loss_of_last(model, [row], packed=False) - known) <= near:
                return False, False
            # on a card, `sdpa` row by row costs more than padding does
            attentions = ("sdpa",) if ids.device.type == "cpu" else tuple(f"flash_attention_{n}" for n in (2, 3, 4))
            if model.config.get_text_config()._attn_implementation not in attentions:
                return False, True
            with varlen_attention(model):
                once, again = (_loss_of_last(model, [before, row], packed=True) for before in (first, other))
            return once == again and abs(once - known) <= near, True
    finally:
        model.train(was_training)


def _loss_of_last(model: Any, rows: list[list[int]], *, packed: bool) -> float:
    unseen = [{"input_ids": row, "labels": [IGNORE_INDEX] * len(row)} for row in rows[:-1]]
    output = Collator(1_000, 0, packed=packed, scored=True)([*unseen, {"input_ids": rows[-1], "labels": rows[-1]}])
    device = model.get_output_embeddings().weight.device
    part = {name: value.to(device) if torch.is_tensor(value) else value for name, value in output["parts"][0].items()}
    try:
        return float(model(**part))
    except _UNSUPPORTED:
        return float("nan")


def has_router_loss(model: Any) -> bool:
    """Whether TRL computes a load-balancing loss: its names in the config do not say so (Doge, Granite MoE)."""
    ids = torch.arange(4, device=model.get_input_embeddings().weight.device)[None]
    part = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
    try:
        with torch.no_grad():
            return model(**part, output_router_logits=True, fused_lm_head=True).aux_loss is not None
    except _UNSUPPORTED:
        return False


class FusedLoraLinear(torch.autograd.Function):
    """`x Wᵀ + s x Aᵀ Bᵀ` for a frozen W, with the adapter's part added in place, there and in the backward pass.

    The input has the shape (tokens, features). The output is no view, so that a model may change it in place (Llama 4).
    """

    @staticmethod
    @override
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, a: Any, b: Any, scale: float) -> torch.Tensor:
        ctx.scale, ctx.kind = scale, x.dtype
        with torch.autocast(x.device.type, enabled=False):
            x, a, b = x.to(weight.dtype), a.to(weight.dtype), b.to(weight.dtype)
            inner = x @ a.T
            result = functional.linear(x, weight, bias).addmm_(inner, b.T, alpha=scale)
        ctx.save_for_backward(x, inner, weight, a, b)
        return result

    @staticmethod
    @override
    def backward(ctx: Any, by: torch.Tensor) -> tuple[Any, ...]:
        x, inner, weight, a, b = ctx.saved_tensors
        out = by.to(weight.dtype)
        through = (out @ b).mul_(ctx.scale)
        to_x = (out @ weight).addmm_(through, a).to(ctx.kind) if ctx.needs_input_grad[0] else None
        to_a, to_b = through.T @ x, (out.T @ inner).mul_(ctx.scale)
        return to_x, None, None, to_a.float(), to_b.float(), None


def patch_adapter_forward(model: Any, name: str) -> int:
    """Let `FusedLoraLinear` compute the trained adapter's modules where that is all they do; return how many.

    Left to PEFT are DoRA, dropout, quantized weights, and every module while it is not in training.
    """
    from peft.tuners.lora import Linear

    def forward(module: Any, before: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        as_usual = not module.training or args or kwargs or module.disable_adapters or module.merged
        if as_usual or module.active_adapters != [name]:
            return before(x, *args, **kwargs)
        base, a, b = module.base_layer, module.lora_A[name], module.lora_B[name]
        flat = x.reshape(-1, x.shape[-1])
        result = FusedLoraLinear.apply(flat, base.weight, base.bias, a.weight, b.weight, module.scaling[name])
        return result.view(*x.shape[:-1], base.weight.shape[0])

    count = 0
    for module in model.modules():
        if not (type(module) is Linear and type(module.base_layer) is torch.nn.Linear and name in module.lora_A):
            continue
        plain = isinstance(module.lora_dropout[name], torch.nn.Identity) and name not in module.lora_variant
        if plain and module.lora_A[name].bias is None and module.lora_B[name].bias is None:
            module.forward = functools.partial(forward, module, module.forward)
            count += 1
    return count


class PackedTrainer(SFTTrainer):
    """TRL's trainer for tokenized rows, a step at a time: `per_device_train_batch_size` is all rows of a step.

    `most_tokens` is the size of a micro-batch; where several processes must take equally many, `most_rows` is. Token
    accuracy and entropy, which TRL logs, are not computed. `packed` and `scored` are what the model supports.
    """

    def __init__(self, most_tokens: int, most_rows: int | None = None, **settings: Any):
        super().__init__(**settings)
        self.model_accepts_loss_kwargs = True  # transformers then counts the trained tokens of the whole step
        base = self.model.get_base_model()
        patch_fused_loss(base)
        self.router_loss_fails = self.aux_loss_enabled and not has_router_loss(base)
        if self.router_loss_fails:
            self.aux_loss_enabled = base.config.get_text_config().output_router_logits = False
        if "_capabilities" not in vars(base):  # half a second of the next run
            base._capabilities = capabilities(base)
        packed, scored = base._capabilities
        self.scored = scored and not self.aux_loss_enabled
        self.packed = packed and self.scored and self.neftune_noise_alpha is None  # the noise goes by a row's length
        pad = self.processing_class.pad_token_id
        self.data_collator = Collator(most_tokens, pad, most_rows, packed=self.packed, scored=self.scored)
        patch_adapter_forward(self.model, self.model.active_adapter)
        self.pass_context = functools.partial(varlen_attention, base) if self.packed else contextlib.nullcontext

    @override
    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        self.current_gradient_accumulation_steps = len(parts := inputs["parts"])
        total = torch.zeros((), dtype=torch.float32, device=self.args.device)
        for number, part in enumerate(parts, 1):
            last = number == len(parts)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model), self.pass_context():
                total += super().training_step(model, part, num_items_in_batch).to(total)  # it may lie on another card
            if not last:
                self.control = self.callback_handler.on_substep_end(self.args, self.state, self.control)
        if self.scored:
            self._total_train_tokens += int(self.accelerator.gather(inputs["lengths"].sum().to(total.device)).sum())
            self._metrics["train"]["num_tokens"] = [self._total_train_tokens]
        return total

    @override
    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if "targets" not in inputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        loss = model(**inputs)
        if num_items_in_batch is None:
            return loss / max(1, len(inputs["targets"]))
        copies = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        count = torch.as_tensor(num_items_in_batch).to(loss.device).clamp(min=1)
        return loss / count * copies  # the gradients of the processes are averaged

    @override
    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> Any:
        """Score all rows; the loss is the mean over their trained tokens, where transformers takes that of batches."""
        self._sums = torch.zeros(2, dtype=torch.float64)  # of the losses, and of the tokens that they are of
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        if self.accelerator.num_processes > 1:
            place = self.args.device if self.args.device.type != "mps" else "cpu"
            self._sums = self.accelerator.gather(self._sums[None].to(place)).sum(0).cpu()
        loss, tokens = self._sums.tolist()
        if tokens:
            output.metrics[f"{metric_key_prefix}_loss"] = loss / tokens
        return output

    @override
    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[None, None, None]:
        """Add the loss of a batch to that of all rows."""
        for part in self._prepare_inputs(inputs)["parts"]:
            targets = part["targets"] if "targets" in part else part["labels"][:, 1:]
            tokens = int((targets != IGNORE_INDEX).sum())
            with torch.no_grad(), self.compute_loss_context_manager(), self.pass_context():
                loss = self.compute_loss(model, part)
            if tokens:  # else it is the mean of nothing
                self._sums += torch.tensor([loss.item() * tokens, tokens], dtype=torch.float64)
        return None, None, None

    @override
    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        return 0  # transformers would estimate them for its log
