"""A model without its weights: built from its config.json on torch's meta device, where tensors have no data."""

import copy
from pathlib import Path
from typing import Any

from studio.errors import ModelError


def read_config(path: Path) -> Any:
    """Return transformers' config of a model in a folder; raises ModelError."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # settings from outside can break a config's class in any way
        raise _cannot_load(path.name, error) from error


def build(config: Any, dtype: Any = None, attention: str | None = None) -> Any:
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
    detail = " ".join(str(error).split())[:300] or type(error).__name__
    return ModelError("model.cannot_load", id=name, detail=detail)
