"""Whether a model's weights are those of its architecture: none missing, none of another shape, none left over.

transformers fills missing weights with random numbers and leaves out those it has no place for, and training goes on.
So its own loading is carried out beforehand on the meta device, where tensors have a shape and no data: it renames,
splits and merges the tensors of a checkpoint as it will when the weights are loaded.
"""

import copy
import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio.errors import ModelError, one_line
from studio.model import quantization
from studio.model.weight_files import file_states, headers, list_names

log = logging.getLogger(__name__)

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")


def check(folder: Path, model_id: str) -> tuple[str, ...]:
    """Return the names of unused weights (an image tower, say); raises ModelError for missing, wrong or extra ones."""
    return _check(folder, model_id, file_states(folder))


@lru_cache(maxsize=8)
def _check(folder: Path, model_id: str, state: Any) -> tuple[str, ...]:
    config = read_config(folder)
    model = build_on_meta(config)
    entries = headers(folder, model_id)
    expected = dict(model.state_dict())
    try:
        info = _load_shapes(model, _tensors(entries, expected, quantization.saved_quantization(config.to_dict())))
    except Exception as error:  # transformers' conversion of a rare family may want data: it is checked when loading
        log.info("the weights of %s were not checked before loading: %s", model_id, error)
        return ()
    return check_loading(model, info.to_dict(), model_id)


def _load_shapes(model: Any, tensors: Mapping[str, Any]) -> Any:
    """Let transformers load tensors without data; return its record of what was missing, left over or mis-shaped."""
    import torch
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import convert_and_load_state_dict_in_model
    from transformers.modeling_utils import LoadStateDictConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    mapping = get_model_conversion_mapping(model, None, None)
    settings = LoadStateDictConfig(device_map={"": "meta"}, dtype=torch.float32, weight_mapping=mapping)
    info, _ = convert_and_load_state_dict_in_model(model, dict(tensors), settings)
    model.tie_weights(missing_keys=info.missing_keys, recompute_mapping=False)
    model._adjust_missing_and_unexpected_keys(info)
    return info


def _tensors(entries: Mapping[str, Any], expected: Mapping[str, Any], quantized: str | None) -> dict[str, Any]:
    """Return a checkpoint's tensors without data; quantized ones have the shape that they are packed from."""
    import torch

    packed = {name for name in entries if f"{name}.quant_map" in entries} if quantized in ("nf4", "fp4") else set()
    scales = tuple(f"{name}." for name in packed)
    tensors: dict[str, Any] = {}
    for name, entry in entries.items():
        if quantized and (name.endswith((".SCB", ".weight_format")) or (scales and name.startswith(scales))):
            continue
        shape = expected[name].shape if name in packed and name in expected else entry["shape"]
        tensors[name] = torch.empty(shape, device="meta")
    return tensors


def check_loading(model: Any, info: Mapping[str, Any], model_id: str) -> tuple[str, ...]:
    """Return the names of weights that a model has no use for, from what transformers tells of a loading.

    Raises ModelError where a weight is missing or has another shape, and where one is left over that belongs to a
    module the model has (a bias, a quantized weight's scale) or to one more of its layers.
    """
    total = len(model.state_dict())
    if missing := sorted(info["missing_keys"], key=_natural):
        count, names = len(missing), list_names(missing)
        raise ModelError("model.missing_weights", id=model_id, count=count, total=total, names=names)
    if wrong := sorted(info["mismatched_keys"], key=lambda each: _natural(each[0])):
        name, *shapes = wrong[0]
        theirs, ours = (" × ".join(map(str, shape)) for shape in shapes)
        raise ModelError("model.wrong_shapes", id=model_id, count=len(wrong), name=name, theirs=theirs, ours=ours)
    if errors := info.get("conversion_errors"):
        detail = one_line(next(iter(errors.values())))
        raise ModelError("model.cannot_load", id=model_id, detail=detail)
    left = sorted(info["unexpected_keys"], key=_natural)
    if needed := [name for name in left if _is_needed(name, model)]:
        raise ModelError("model.left_over_weights", id=model_id, count=len(needed), names=list_names(needed))
    return tuple(left)


def _is_needed(name: str, model: Any) -> bool:
    """Whether a weight that is left over would have changed what the model computes."""
    parent, _, _ = name.rpartition(".")
    modules = {path for path, part in model.named_modules() if not any(part.children())}
    if parent in modules and any(True for _ in model.get_submodule(parent).parameters(recurse=False)):
        return True
    if _NUMBER.sub("*", name) not in {_NUMBER.sub("*", path) for path in model.state_dict()}:
        return False
    config, number = model.config.get_text_config(), _NUMBER.search(name)
    # layers after the last one predict further tokens (DeepSeek V3), and are not used
    layers, more = getattr(config, "num_hidden_layers", 0), getattr(config, "num_nextn_predict_layers", 0) or 0
    return number is None or not layers <= int(number[0]) < layers + more


def _natural(name: str) -> list[Any]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in name.split(".")]


def read_config(path: Path) -> Any:
    """Return transformers' config of a model in a folder; raises ModelError."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # settings from outside can break a config's class in any way
        raise _cannot_load(path.name, error) from error


def build_on_meta(config: Any, dtype: Any = None, attention: str | None = None) -> Any:
    """Return a frozen model on the meta device, with weights of `dtype`, or of torch's default; raises ModelError.

    Given a dtype, transformers makes it torch's default of the whole process while it builds, and a run that trains in
    another thread would compute in it meanwhile. So it is given none, and the weights are cast afterwards. That makes
    the result the same, too, while another thread loads a model and has changed the default.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(
                copy.deepcopy(config), trust_remote_code=False, dtype=None, attn_implementation=attention
            )
    except Exception as error:  # settings from outside can break a model's class in any way
        raise _cannot_load(config.model_type, error) from error
    if dtype is not None:
        for weights in model.parameters():
            if weights.is_floating_point():
                weights.data = weights.data.to(dtype)
        for part in model.modules():
            for name, values in part._buffers.items():
                if values is not None and values.is_floating_point():
                    part._buffers[name] = values.to(torch.float32)
        model.config.dtype = dtype
    model.requires_grad_(False)
    return model


def _cannot_load(name: str, error: Exception) -> ModelError:
    return ModelError("model.cannot_load", id=name, detail=one_line(error, 300))
