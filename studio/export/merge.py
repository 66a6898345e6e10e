"""Export the base with the adapter merged into it, in 16 bit or float32."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.errors import ExportError, HomeError
from studio.export import adapter, export_folder, model_card
from studio.export.export_context import ExportContext
from studio.export.request import OnProgress
from studio.i18n import message
from studio.model import hub_models, multi_adapter, quantization
from studio.model.estimate import parameters
from studio.model.hardware import Choice

SHARD = "5GB"
_16_BIT = ("bfloat16", "float16")


def choose_precision(run_precision: str, settings: Mapping[str, Any], wanted: str) -> Choice:
    """Choose the dtype of a merged model: `wanted`, else the run's or the base's 16 bit, else bfloat16."""
    if wanted != "auto":
        return Choice("precision", wanted, message("choice.precision.asked"))
    if run_precision in _16_BIT:
        return Choice("precision", run_precision, message("choice.precision.merged_as_run"))
    own = str(settings.get("dtype") or settings.get("torch_dtype"))
    if own in _16_BIT:
        return Choice("precision", own, message("choice.precision.merged_as_base"))
    return Choice("precision", "bfloat16", message("choice.precision.merged_bfloat16"))


def size(context: ExportContext, dtype: str) -> int:
    """Estimate the size of the merged model on disk in bytes."""
    return weight_bytes(context.base.path, dtype) + 20_000_000


def weight_bytes(base: Path, dtype: str) -> int:
    """Return the size of a base's weights in bytes."""
    return parameters(base) * (4 if dtype == "float32" else 2)


def export(context: ExportContext, folder: Path, dtype: str, on_progress: OnProgress, shard: str = SHARD) -> Path:
    """Write the merged model, made on the CPU, rounded once, and return its folder; raises ExportError, HomeError."""
    metadata = context.metadata | {"precision": dtype}

    def fill_with_card(draft: Path) -> None:
        fill(draft, context, dtype, on_progress, shard)
        model_card.write(draft, context, "merged")

    return export_folder.write(folder, "merged", metadata, fill_with_card, size(context, dtype))


def require_room(folder: Path, need: int) -> None:
    """Raise HomeError when the disk of `folder` has no room for so many bytes."""
    free = hub_models.free_disk(folder)
    if need > free:
        raise HomeError("home.full", folder=str(folder), needs=f"{need / 1e6:,.1f}", free=f"{free / 1e6:,.1f}")


def fill(draft: Path, context: ExportContext, dtype: str, on_progress: OnProgress, shard: str = SHARD) -> None:
    """Write the merged model's files into a folder."""
    on_progress("loading", None)
    model = merged(context, dtype, on_progress)
    on_progress("saving", None)
    model.generation_config = generation_config(context, model.generation_config)
    model.save_pretrained(draft, max_shard_size=shard)
    adapter.save_tokenizer(draft, context)


def merged(context: ExportContext, dtype: str, on_progress: OnProgress) -> Any:
    """Return the base in a dtype, on the CPU, with the adapter merged into it; raises ExportError."""
    from peft import PeftModel

    wrapped = PeftModel.from_pretrained(base(context.base.path, dtype), context.run.adapter)
    layers = multi_adapter.lora_layers(wrapped)
    require_separate_weights(layers, context.base.id)
    for number, (_, layer) in enumerate(layers):
        on_progress("merging", number / len(layers))
        weight = layer.get_base_layer().weight
        rounded = weight.dtype
        weight.data = weight.data.float()
        layer.scaling.update({name: context.strength * scaling for name, scaling in layer.scaling.items()})
        layer.merge(safe_merge=True)
        weight.data = weight.data.to(rounded)
    return wrapped.unload()


def require_separate_weights(layers: Sequence[tuple[str, Any]], model_id: str) -> None:
    """Raise ExportError where layers with an adapter share their weights, as the attention blocks of Zamba do."""
    names: dict[int, list[str]] = {}
    for path, layer in layers:
        names.setdefault(layer.get_base_layer().weight.data_ptr(), []).append(path.removeprefix("base_model.model."))
    if shared := next((paths for paths in names.values() if len(paths) > 1), None):
        raise ExportError("export.shared_weights", id=model_id, modules=", ".join(shared[:2]))


def base(folder: Path, dtype: str) -> Any:
    """Load a base in a dtype, on the CPU; quantized weights are dequantized."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    torch_dtype = getattr(torch, dtype)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch_dtype, use_safetensors=True, trust_remote_code=False, local_files_only=True
    )
    if quantization.saved_quantization(json.loads((folder / "config.json").read_text(encoding="utf-8"))):
        model = model.dequantize(torch_dtype)
    return model


def generation_config(context: ExportContext, own: Any) -> Any:
    """Return the merged model's generation config: the run's settings, with every stop token."""
    from transformers import GenerationConfig

    settings = context.config.generation
    return GenerationConfig(
        bos_token_id=own.bos_token_id,
        pad_token_id=context.tokenizer.pad_token_id,
        eos_token_id=list(context.stop_ids),
        max_new_tokens=settings.max_new_tokens,
        repetition_penalty=settings.repetition_penalty,
        do_sample=settings.temperature > 0,
        **context.sampling,
    )
