"""The base with the adapter merged into it: a model of its own, in 16 bit or float32."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.errors import ExportError, HomeError
from studio.export import adapter, card, target
from studio.export.request import Kind
from studio.export.subject import Subject
from studio.i18n import message
from studio.model import multi_adapter, quantization
from studio.model.estimate import parameters
from studio.model.hardware import Choice

SHARD = "5GB"
"""Size at which the weights go on in another file."""
_16_BIT = ("bfloat16", "float16")

Going = Callable[[str, float | None], None]
"""Told the phase and the share of it that is done; raises to end the work."""


def precision(subject: Subject, wanted: str) -> Choice:
    """Choose the number format of a merged model: what was asked for, else 16 bit as near as can be to the run."""
    return precision_of(subject.precision, subject.base.settings, wanted)


def precision_of(of_run: str, settings: Mapping[str, Any], wanted: str) -> Choice:
    """Choose it from the format that the run computed in and the base's own settings."""
    if wanted != "auto":
        return Choice("precision", wanted, message("choice.precision.asked"))
    if of_run in _16_BIT:
        return Choice("precision", of_run, message("choice.precision.merged_as_run"))
    own = str(settings.get("dtype") or settings.get("torch_dtype"))
    if own in _16_BIT:
        return Choice("precision", own, message("choice.precision.merged_as_base"))
    return Choice("precision", "bfloat16", message("choice.precision.merged_bfloat16"))


def size(subject: Subject, number_format: str) -> int:
    """Return the bytes that the merged model takes on the disk, about."""
    return weights(subject.base.path, number_format) + 20_000_000


def weights(base: Path, number_format: str) -> int:
    """Return the bytes of a base's weights in a number format."""
    return parameters(base) * (4 if number_format == "float32" else 2)


def export(subject: Subject, folder: Path, number_format: str, going: Going, shard: str = SHARD) -> Path:
    """Write the merged model and return its folder; raises ExportError when something else is there, HomeError.

    Everything happens on the processor, and each weight is merged in float32 and rounded once.
    """
    return target.write(
        folder,
        "merged",
        subject.record | {"precision": number_format},
        lambda draft: fill(draft, subject, number_format, going, shard),
        size(subject, number_format),
    )


def require_room(subject: Subject, folder: Path, number_format: str) -> None:
    """Raise HomeError when the disk has no room for the merged model."""
    parent = next(path for path in folder.parents if path.exists())
    need, free = size(subject, number_format), shutil.disk_usage(parent).free
    if need > free:
        raise HomeError("home.full", folder=str(folder), needs=f"{need / 1e6:,.1f}", free=f"{free / 1e6:,.1f}")


def fill(
    draft: Path, subject: Subject, number_format: str, going: Going, shard: str = SHARD, kind: Kind = "merged"
) -> None:
    """Put the merged model's files into a folder; `kind` is what the card calls the export."""
    going("loading", None)
    model = merged(subject, number_format, going)
    going("saving", None)
    model.generation_config = generation_config(subject, model.generation_config)
    model.save_pretrained(draft, max_shard_size=shard)
    adapter.save_tokenizer(draft, subject)
    card.write(draft, subject, kind)


def merged(subject: Subject, number_format: str, going: Going) -> Any:
    """Return the base in `number_format`, on the processor, with the adapter merged into it; raises ExportError."""
    from peft import PeftModel

    wrapped = PeftModel.from_pretrained(base(subject.base.path, number_format), subject.run.adapter)
    layers = multi_adapter.lora_layers(wrapped)
    require_separate_weights(layers, subject.base.id)
    for number, (_, layer) in enumerate(layers):
        going("merging", number / len(layers))
        weight = layer.get_base_layer().weight
        rounded = weight.dtype
        weight.data = weight.data.float()
        layer.merge(safe_merge=True)
        weight.data = weight.data.to(rounded)
    return wrapped.unload()


def require_separate_weights(layers: Sequence[tuple[str, Any]], model_id: str) -> None:
    """Raise ExportError where layers with an adapter share their weights, as the attention blocks of Zamba do.

    The adapter treats each differently: merged into the shared weights, their sum would be in all of them.
    """
    names: dict[int, list[str]] = {}
    for path, layer in layers:
        names.setdefault(layer.get_base_layer().weight.data_ptr(), []).append(path.removeprefix("base_model.model."))
    if shared := next((paths for paths in names.values() if len(paths) > 1), None):
        raise ExportError("export.shared_weights", id=model_id, modules=", ".join(shared[:2]))


def base(folder: Path, number_format: str) -> Any:
    """Load a base in a number format, on the processor; one whose own weights are quantized is unpacked."""
    import json

    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    dtype = getattr(torch, number_format)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, trust_remote_code=False, local_files_only=True
    )
    if quantization.saved_quantization(json.loads((folder / "config.json").read_text(encoding="utf-8"))):
        model = model.dequantize(dtype)
    return model


def generation_config(subject: Subject, own: Any) -> Any:
    """Return the defaults by which the merged model answers: the run's, with every token that ends an answer."""
    from transformers import GenerationConfig

    settings = subject.generation
    sampled = {"temperature": settings.temperature, "top_k": settings.top_k, "top_p": settings.top_p}
    return GenerationConfig(
        bos_token_id=own.bos_token_id,
        pad_token_id=subject.tokenizer.pad_token_id,
        eos_token_id=list(subject.stops),
        max_new_tokens=settings.max_new_tokens,
        repetition_penalty=settings.repetition_penalty,
        do_sample=settings.temperature > 0,
        **(sampled if settings.temperature else {}),
    )
