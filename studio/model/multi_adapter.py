"""Several adapters in one PEFT model: added, activated, and removed without a trace."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_EXTRA_TABLES = ("lora_variant", "frozen_peft_weight_names")
"""Tables by adapter of a LoRA layer, besides those that it lists itself."""


def lora_layers(model: Any) -> list[tuple[str, Any]]:
    """Return the LoRA layers of a model with their paths."""
    from peft.tuners.lora import LoraLayer

    return [(name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)]


def add_alias(model: Any, name: str, alias: str, strength: float) -> None:
    """Let `alias` be the adapter `name` at another strength; the weights are the same ones, not copies."""
    for _, layer in lora_layers(model):
        for table in _per_adapter_tables(layer):
            if name in table:
                table[alias] = table[name]
        if alias in layer.scaling:
            layer.scaling[alias] = strength * layer.scaling[name]


def _per_adapter_tables(layer: Any) -> Iterable[Any]:
    names = (*layer.adapter_layer_names, *layer.other_param_names, *_EXTRA_TABLES)
    return [table for name in names if hasattr(table := getattr(layer, name, None), "keys")]


def remove(model: Any, names: Iterable[str]) -> None:
    """Remove adapters and aliases from a PEFT model, and the layers that were added for them alone."""
    removed = set(names)
    for name in removed:
        model.peft_config.pop(name, None)
    for _, layer in lora_layers(model):
        for table in _per_adapter_tables(layer):
            for name in removed & set(table.keys()):
                del table[name]
    unwrap(model, lambda layer: not len(layer.lora_A) and not len(layer.lora_embedding_A))
    if model.active_adapter in removed and model.peft_config:
        model.set_adapter(next(iter(model.peft_config)), inference_mode=True)


def unwrap(model: Any, chosen: Callable[[Any], bool] = lambda layer: True) -> None:
    """Restore the base's own modules in the place of LoRA layers."""
    for path, layer in lora_layers(model):
        if chosen(layer):
            parent, _, own = path.rpartition(".")
            setattr(model.get_submodule(parent), own, layer.get_base_layer())


def remove_batch_hooks(model: Any) -> None:
    """Remove the hooks that pass each layer the adapters of a batch; PEFT leaves them after an error."""
    from peft.tuners.lora.model import _adapter_names_pre_forward_hook

    for _, layer in lora_layers(model):
        for key, hook in list(layer._forward_pre_hooks.items()):
            if getattr(hook, "func", None) is _adapter_names_pre_forward_hook:
                del layer._forward_pre_hooks[key]
                layer._forward_pre_hooks_with_kwargs.pop(key, None)


def activate(model: Any, name: str | None) -> Mapping[Any, Any]:
    """Activate one adapter, or with None the base, for whole batches; returns what `restore` undoes it with."""
    before = active_state(model)
    for layer in before:
        layer._disable_adapters = name is None
        if name is not None:
            layer._active_adapter = [name]
    return before


def active_state(model: Any) -> Mapping[Any, Any]:
    """Return what `activate` changes, for `restore`."""
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
