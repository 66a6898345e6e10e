"""A model without its weights: built from its config.json on torch's meta device, where tensors have no data."""

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


def empty(config: Any, attention: str | None = None) -> Any:
    """Return a frozen model on the meta device, in float32; raises ModelError.

    In float32, since transformers sets torch's default type for the whole process while it builds in another one: a
    tensor that another thread makes meanwhile would have it.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(
                config, trust_remote_code=False, dtype=torch.float32, attn_implementation=attention
            )
    except Exception as error:  # settings from outside can break a model's class in any way
        raise _cannot_load(config.model_type, error) from error
    model.requires_grad_(False)
    return model


def _cannot_load(name: str, error: Exception) -> ModelError:
    detail = " ".join(str(error).split())[:300] or type(error).__name__
    return ModelError("model.cannot_load", id=name, detail=detail)
