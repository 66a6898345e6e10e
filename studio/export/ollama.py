"""Export a folder that Ollama imports: the merged model as safetensors or GGUF, with its Modelfile."""

import contextlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from studio.data.prompt import adds_bos
from studio.errors import ExportError
from studio.export import export_folder, merge, model_card, modelfile
from studio.export.export_context import ExportContext
from studio.export.request import Kind, OnProgress
from studio.files import replace_file
from studio.i18n import Message, message
from studio.model.subprocess_worker import SubprocessWorker, WorkerSilent

CONVERTED_BY_OLLAMA = frozenset(
    {
        "CohereForCausalLM",
        "Gemma2ForCausalLM",
        "Gemma3ForCausalLM",
        "GemmaForCausalLM",
        "GptOssForCausalLM",
        "Lfm2ForCausalLM",
        "LlamaForCausalLM",
        "MixtralForCausalLM",
        "Olmo3ForCausalLM",
        "Phi3ForCausalLM",
        "Qwen2ForCausalLM",
    }
)
"""Architectures whose safetensors Ollama's own converter reads (`convert/convert.go`, as of early 2026).

Its later documentation says that `ollama create` no longer converts safetensors, and runs only those of `MLX_ONLY`.
"""
MLX_ONLY = frozenset({"Gemma4ForCausalLM", "Gemma4ForConditionalGeneration", "Qwen3ForCausalLM", "Qwen3MoeForCausalLM"})

GGUF = "model.gguf"
_TYPES = {"bfloat16": "bf16", "float16": "f16", "float32": "f32"}
_TIMEOUT_SECONDS = 1800.0
"""How long a process may print nothing: loading a large model, or one answer, takes its time."""


def notes(context: ExportContext, kind: Kind) -> list[Message]:
    """Return notes on the import: the limits of the template, and the Ollama versions that read the model."""
    template, multi_turn = modelfile.template_parts(context)
    notes = [message("export.note.no_template")] if template is None else []
    if template and not multi_turn:
        notes.append(message("export.note.one_turn"))
    if kind == "ollama":
        architecture = str((context.base.settings.get("architectures") or ["?"])[0])
        support = "export.note.ollama_mlx" if architecture in MLX_ONLY else "export.note.ollama_unknown"
        if architecture in CONVERTED_BY_OLLAMA:
            support = "export.note.ollama_converted"
        notes.append(message(support, architecture=architecture))
    return notes


def export(context: ExportContext, folder: Path, dtype: str, on_progress: OnProgress) -> Path:
    """Write the merged model with its Modelfile, and return the folder."""

    def fill(draft: Path) -> None:
        merge.fill(draft, context, dtype, on_progress, kind="ollama")
        path = draft / "tokenizer_config.json"
        settings = json.loads(path.read_text(encoding="utf-8"))
        settings["add_bos_token"] = adds_bos(context.tokenizer)  # Ollama adds none by default
        replace_file(path, json.dumps(settings, ensure_ascii=False, indent=2) + "\n")
        replace_file(draft / "Modelfile", modelfile.text(context, "."))

    metadata = context.metadata | {"precision": dtype}
    return export_folder.write(folder, "ollama", metadata, fill, merge.size(context, dtype))


def require_converter(converter: Path | None) -> Path:
    """Return the converter script; raises ExportError when there is none."""
    if converter is None:
        raise ExportError("export.needs_converter")
    path = converter.expanduser().absolute()
    if path.is_dir() and (path / "convert_hf_to_gguf.py").is_file():
        return path / "convert_hf_to_gguf.py"
    if not path.is_file() or path.suffix != ".py":
        raise ExportError("export.no_converter", path=str(converter))
    return path


def export_gguf(context: ExportContext, folder: Path, dtype: str, converter: Path, on_progress: OnProgress) -> Path:
    """Write a GGUF file with the user's llama.cpp, and a Modelfile; raises ExportError when the converter fails."""

    def fill(draft: Path) -> None:
        merged = draft / "merged"
        merged.mkdir()
        merge.fill(merged, context, dtype, on_progress)
        last = ""
        command = [sys.executable, str(converter), str(merged), "--outfile", str(draft / GGUF)]
        with contextlib.closing(worker_lines([*command, "--outtype", _TYPES[dtype]], failure)) as lines:
            for line in lines:
                last = (line or "").strip() or last
                on_progress("converting", None)
        if not (draft / GGUF).is_file():
            raise failure(last)
        shutil.rmtree(merged)
        replace_file(draft / "Modelfile", modelfile.text(context, f"./{GGUF}"))
        model_card.write(draft, context, "gguf")

    def failure(detail: str) -> ExportError:
        return ExportError("export.converter_failed", path=str(converter), detail=detail[:300] or "–")

    metadata = context.metadata | {"precision": dtype}
    return export_folder.write(folder, "gguf", metadata, fill, 2 * merge.size(context, dtype))


def worker_lines(
    command: Sequence[str],
    failure: Callable[[str], ExportError],
    request: str = "",
    variables: Mapping[str, str] | None = None,
) -> Iterator[str | None]:
    """Yield the output of a process, as `SubprocessWorker.lines` does.

    Raises `failure` of the last line when it fails, and of `time-out` when it prints nothing for half an hour.
    """
    worker = SubprocessWorker(command, request, _TIMEOUT_SECONDS, variables)
    last = ""
    try:
        with contextlib.closing(worker.lines()) as lines:
            for line in lines:
                last = line.strip() if line and line.strip() else last
                yield line
    except WorkerSilent as error:
        raise failure("time-out") from error
    if worker.failed:
        raise failure(last)
