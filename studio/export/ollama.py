"""A folder that Ollama imports: the merged model, as safetensors or as one GGUF file, with its Modelfile."""

import contextlib
import json
import shutil
import sys
from pathlib import Path

from studio.data.prompt import adds_bos
from studio.errors import ExportError
from studio.export import card, merge, modelfile, target
from studio.export.merge import Going
from studio.export.request import Kind
from studio.export.subject import Subject
from studio.files import replace_file
from studio.i18n import Message, message
from studio.model.subprocess_worker import SubprocessWorker, WorkerSilent

CONVERTED = frozenset(
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

Its later documentation says that `ollama create` no longer makes GGUF of safetensors, and runs those of `ON_MLX` alone.
"""
ON_MLX = frozenset({"Gemma4ForCausalLM", "Gemma4ForConditionalGeneration", "Qwen3ForCausalLM", "Qwen3MoeForCausalLM"})

_TAKES = {
    "safetensors": "export.note.ollama_converted",
    "mlx": "export.note.ollama_mlx",
    "unknown": "export.note.ollama_unknown",
}

GGUF = "model.gguf"
_TYPES = {"bfloat16": "bf16", "float16": "f16", "float32": "f32"}
_SILENCE = 1800.0
"""Seconds that the converter may work without a word."""


def notes(subject: Subject, kind: Kind) -> list[Message]:
    """Say what is to be known of the import: how far the template holds, and which Ollama takes it."""
    found, in_chats = modelfile.pieces(subject)
    told = []
    if found is None:
        told.append(message("export.note.no_template"))
    elif not in_chats:
        told.append(message("export.note.one_turn"))
    if kind == "gguf":
        return told
    architecture = str((subject.base.settings.get("architectures") or ["?"])[0])
    known = _TAKES["safetensors" if architecture in CONVERTED else "mlx" if architecture in ON_MLX else "unknown"]
    return [*told, message(known, architecture=architecture)]


def export(subject: Subject, folder: Path, number_format: str, going: Going) -> Path:
    """Write the merged model with its Modelfile, and return the folder."""

    def fill(draft: Path) -> None:
        merge.fill(draft, subject, number_format, going, kind="ollama")
        _say_who_begins(draft, subject)
        replace_file(draft / "Modelfile", modelfile.text(subject, modelfile.pieces(subject)[0], "."))

    record = subject.record | {"precision": number_format}
    return target.write(folder, "ollama", record, fill, merge.size(subject, number_format))


def _say_who_begins(draft: Path, subject: Subject) -> None:
    """Tell Ollama whether it is to add the token that begins a text; it takes silence for no."""
    path = draft / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["add_bos_token"] = adds_bos(subject.tokenizer)
    replace_file(path, json.dumps(settings, ensure_ascii=False, indent=2) + "\n")


def require_converter(converter: Path | None) -> Path:
    """Return the converter; raises ExportError when none is given, or it is not there."""
    if converter is None:
        raise ExportError("export.needs_converter")
    path = converter.expanduser().absolute()
    if path.is_dir() and (path / "convert_hf_to_gguf.py").is_file():
        return path / "convert_hf_to_gguf.py"
    if not path.is_file() or path.suffix != ".py":
        raise ExportError("export.no_converter", path=str(converter))
    return path


def export_gguf(subject: Subject, folder: Path, number_format: str, converter: Path, going: Going) -> Path:
    """Write one GGUF file, made by the user's own llama.cpp, with a Modelfile; return the folder.

    Raises ExportError when the converter fails.
    """

    def fill(draft: Path) -> None:
        merged = draft / "merged"
        merged.mkdir()
        merge.fill(merged, subject, number_format, going)
        _convert(converter, merged, draft / GGUF, number_format, going)
        shutil.rmtree(merged)
        replace_file(draft / "Modelfile", modelfile.text(subject, modelfile.pieces(subject)[0], f"./{GGUF}"))
        card.write(draft, subject, "gguf")

    record = subject.record | {"precision": number_format}
    return target.write(folder, "gguf", record, fill, 2 * merge.size(subject, number_format))


def _convert(converter: Path, merged: Path, gguf: Path, number_format: str, going: Going) -> None:
    command = [sys.executable, str(converter), str(merged), "--outfile", str(gguf)]
    child = SubprocessWorker([*command, "--outtype", _TYPES[number_format]], silence=_SILENCE)
    last = ""
    try:
        with contextlib.closing(child.lines()) as lines:
            for line in lines:
                going("converting", None)
                if line and line.strip():
                    last = line.strip()
    except WorkerSilent as error:
        raise ExportError("export.converter_failed", path=str(converter), detail="time-out") from error
    if child.failed or not gguf.is_file():
        raise ExportError("export.converter_failed", path=str(converter), detail=last[:300] or "–")
