"""A model without its weights: what a run on it will train and keep in memory, known before anything is loaded.

The model is built from its `config.json` on torch's meta device, where tensors have a shape and no data. The adapter is
put into it by PEFT itself, so that what is counted is what will be trained.
"""

import copy
import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio.config import LoraSettings
from studio.errors import ModelError, StudioError, one_line
from studio.model import adapter, limits
from studio.model.hardware import device
from studio.model.weights import build_on_meta, read_config

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Skeleton:
    """The sizes of a base with an adapter in it. Numbers are of elements, not of bytes, unless they say so."""

    total: int
    """Weights of the base."""
    in_layers: int
    """Weights of the linear modules in its layers: what quantization makes smaller."""
    largest: int
    """Weights of the largest of these modules."""
    trained: int
    """Weights of the adapter."""
    modules: tuple[str, ...]
    """Names of the modules that the adapter sits in, each once."""
    layers: int
    layers_trained: int
    """Layers from the first with an adapter on: a backward pass goes through these."""
    hidden: int
    vocabulary: int
    embeddings: int
    """Tokens that have an embedding."""


@lru_cache(maxsize=8)
def build(path: Path, lora: LoraSettings) -> Skeleton:
    """Return the sizes of the model in a folder with an adapter; raises RunError for a target that it does not have."""
    import torch

    model = build_on_meta(read_config(path))
    settings = adapter.lora_config(lora, model)
    linear = [part.weight.numel() for part in adapter.linear_parts(model)]
    total = sum(weights.numel() for weights in model.parameters())
    embeddings = limits.embedding_rows(model)
    with torch.device("meta"):  # nothing is drawn from the random numbers of a run in another thread
        wrapped = adapter.wrap_model(model, settings)
    text = model.config.get_text_config()
    first = min(settings.layers_to_transform or [0])
    return Skeleton(
        total=total,
        in_layers=sum(linear),
        largest=max(linear),
        trained=wrapped.get_nb_trainable_parameters()[0],
        modules=tuple(adapter.linear_modules_with_adapter(wrapped)),
        layers=text.num_hidden_layers,
        layers_trained=text.num_hidden_layers - first,
        hidden=text.hidden_size,
        vocabulary=text.vocab_size,
        embeddings=embeddings,
    )


@lru_cache(maxsize=8)
def modules(path: Path) -> dict[str, tuple[int, int]]:
    """Return the inputs and outputs of each module that a LoRA adapter can sit in, by its path in the model."""
    import torch
    from transformers.pytorch_utils import Conv1D

    sizes: dict[str, tuple[int, int]] = {}
    for name, part in build_on_meta(read_config(path)).named_modules():
        if isinstance(part, torch.nn.Linear):
            sizes[name] = part.in_features, part.out_features
        elif isinstance(part, torch.nn.Embedding):
            sizes[name] = part.num_embeddings, part.embedding_dim
        elif isinstance(part, Conv1D):
            inputs, outputs = part.weight.shape
            sizes[name] = inputs, outputs
    return sizes


@lru_cache(maxsize=32)
def saved_bytes_per_layer(path: Path, lora: LoraSettings, precision: str, attention: str, length: int) -> int | None:
    """Count the bytes that one layer keeps for its backward pass, for one row of `length` tokens; None if it cannot be.

    A forward pass with fake tensors, which take the ways of the real device but hold no data, tells what autograd would
    keep: once with one layer and once with two, and the difference is a layer's. What goes by the data (the experts
    that a token is sent to, say) has no such pass.
    """
    config = read_config(path)
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before, logger.disabled = logger.disabled, True  # it prints tracebacks of operations that fake tensors do not have
    try:
        one, two = (_saved_bytes(config, n, lora, precision, attention, length) for n in (1, 2))
    except Exception as error:  # a failed forecast never stops a run, whatever a model does to fake tensors
        log.info("no forecast of the memory of %s: %s: %s", config.model_type, type(error).__name__, error)
        return None
    finally:
        logger.disabled = before
    return two - one if two > one else None


MAX_TRIAL_WEIGHTS = 50 * 10**6
"""Weights of a model that a trial is made of at most: 0.2 GB and a second."""


@lru_cache(maxsize=8)
def require_trainable(path: Path, lora: LoraSettings) -> None:
    """Raise ModelError where a small model with random weights cannot take the step that fake tensors could not."""
    import torch
    from transformers import AutoModelForCausalLM

    if build(path, lora).total > MAX_TRIAL_WEIGHTS:
        return
    config = read_config(path)
    try:
        with torch.random.fork_rng(devices=[]):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False, dtype=torch.float32)
            model.requires_grad_(False)
            wrapped = adapter.wrap_model(model, adapter.lora_config(lora, model))
            ids = torch.arange(8)[None]
            wrapped(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids, use_cache=False).loss.backward()
    except StudioError:
        raise
    except Exception as error:  # the settings of a model from outside can make its step fail in any way
        raise ModelError("model.cannot_step", id=path.name, detail=one_line(error)) from error


def _saved_bytes(config: Any, layers: int, lora: LoraSettings, precision: str, attention: str, length: int) -> int:
    """Return the bytes that a model of that config with so many layers keeps."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    smaller = copy.deepcopy(config)
    text = smaller.get_text_config()
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:layers]
    text.num_hidden_layers = layers
    dtype, where = getattr(torch, precision), device()
    model = build_on_meta(smaller, dtype, None if attention == "auto" else attention)
    if model.config._attn_implementation.startswith("flash_"):
        model.config._attn_implementation = _as_flash_attention()
    settings = adapter.lora_config(lora.model_copy(update={"layers": "all"}), model)
    with torch.device("meta"):
        wrapped = adapter.wrap_model(model, settings, autocast_adapter_dtype=False)
    for weights in wrapped.parameters():
        if weights.requires_grad:
            weights.data = weights.data.to(torch.float32)
    wrapped.train()
    saved: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        saved[tensor.untyped_storage()._cdata] = tensor  # held, so that no other takes its place in memory
        return tensor

    with FakeTensorMode():
        for part in wrapped.modules():  # those on the meta device have no place to compute
            for name, weights in part._parameters.items():
                if weights is not None:
                    fake = torch.empty(weights.shape, dtype=weights.dtype, device=where)
                    part._parameters[name] = torch.nn.Parameter(fake, requires_grad=weights.requires_grad)
            for name, values in part._buffers.items():
                if values is not None:
                    part._buffers[name] = torch.empty(values.shape, dtype=values.dtype, device=where)
        own = {weights.untyped_storage()._cdata for weights in wrapped.parameters()}
        ids = torch.zeros((1, length), dtype=torch.long, device=where)
        mixed = torch.autocast(where, dtype=dtype, enabled=dtype is not torch.float32)
        with mixed, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            wrapped.base_model.model.base_model(input_ids=ids, use_cache=False)
        return sum(t.untyped_storage().nbytes() for place, t in saved.items() if place not in own)


def _as_flash_attention() -> str:
    """Return the name of an attention that keeps what flash attention keeps."""
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    def attend(*parts: Any, softcap: float | None = None, **settings: Any) -> Any:
        return sdpa_attention_forward(*parts, **settings)

    AttentionInterface.register("counted_as_flash", attend)
    return "counted_as_flash"
