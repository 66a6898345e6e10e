"""More adapters beside the one in a PEFT model, and out again without a trace."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_EXTRA_TABLES = ("lora_variant", "frozen_peft_weight_names")
"""What a LoRA layer keeps by adapter, besides what it lists itself."""


def lora_layers(model: Any) -> list[tuple[str, Any]]:
    """Return the LoRA layers of a model with their paths."""
    from peft.tuners.lora import LoraLayer

    return [(name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)]


def add_alias(model: Any, name: str, alias: str, strength: float) -> None:
    """Let `alias` be the adapter `name` at another strength; the weights are the same ones, not copies."""
    for _, layer in lora_layers(model):
        for held in _per_adapter_tables(layer):
            if name in held:
                held[alias] = held[name]
        if alias in layer.scaling:
            layer.scaling[alias] = strength * layer.scaling[name]


def _per_adapter_tables(layer: Any) -> Iterable[Any]:
    names = (*layer.adapter_layer_names, *layer.other_param_names, *_EXTRA_TABLES)
    return [held for name in names if hasattr(held := getattr(layer, name, None), "keys")]


def remove(model: Any, names: Iterable[str]) -> None:
    """Take adapters and aliases out of a PEFT model, and the layers that were made for them alone."""
    gone = set(names)
    for name in gone:
        model.peft_config.pop(name, None)
    for _, layer in lora_layers(model):
        for held in _per_adapter_tables(layer):
            for name in gone & set(held.keys()):
                del held[name]
    unwrap(model, lambda layer: not len(layer.lora_A) and not len(layer.lora_embedding_A))
    if model.active_adapter in gone and model.peft_config:
        model.set_adapter(next(iter(model.peft_config)), inference_mode=True)


def unwrap(model: Any, chosen: Callable[[Any], bool] = lambda layer: True) -> None:
    """Put the base's own modules back where LoRA layers sit around them."""
    for path, layer in lora_layers(model):
        if chosen(layer):
            parent, _, own = path.rpartition(".")
            setattr(model.get_submodule(parent), own, layer.get_base_layer())


def remove_batch_hooks(model: Any) -> None:
    """Take off the hooks by which PEFT tells each layer the adapters of a batch; after an error it leaves them."""
    from peft.tuners.lora.model import _adapter_names_pre_forward_hook

    for _, layer in lora_layers(model):
        for key, hook in list(layer._forward_pre_hooks.items()):
            if getattr(hook, "func", None) is _adapter_names_pre_forward_hook:
                del layer._forward_pre_hooks[key]
                layer._forward_pre_hooks_with_kwargs.pop(key, None)


def activate(model: Any, name: str | None) -> None:
    """Make one adapter the active one; None makes the base answer. For models that cannot mix them in a batch."""
    for _, layer in lora_layers(model):
        layer._disable_adapters = name is None
        if name is not None:
            layer._active_adapter = [name]


def active_state(model: Any) -> Mapping[Any, Any]:
    """Return what `activate` changes, to be put back by `restore`."""
    return {layer: (layer._disable_adapters, layer._active_adapter) for _, layer in lora_layers(model)}


def restore(before: Mapping[Any, Any]) -> None:
    """Undo what `activate` has changed."""
    for layer, (disabled, names) in before.items():
        layer._disable_adapters, layer._active_adapter = disabled, names


def fingerprint(model: Any, name: str) -> str:
    """Return a hash of an adapter's weights as they are in memory."""
    digest = hashlib.sha256()
    for path, weights in sorted(model.named_parameters()):
        if f".{name}." in f"{path}.":
            digest.update(path.replace(name, "").encode())
            digest.update(weights.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()
