"""The line that serves the same adapters with vLLM, on a machine with a GPU."""

import shlex
from pathlib import Path

from studio.compare.column_loading import find_adapter
from studio.config import BUILTIN_MODEL
from studio.model import adapter_files, load
from studio.serve.models import Catalogue

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM takes for the largest rank."""


def command(catalogue: Catalogue) -> str:
    """Return `vllm serve` with the adapters at full strength, for vLLM has no others or mixes; raises CompareError."""
    folders: dict[str, Path] = {}
    for name, model in catalogue.adapters.items():
        if model.column.mix is None and (folder := find_adapter(catalogue.first, model.column, None).folder):
            folders[name] = folder.resolve()
    base = catalogue.first.config().model
    name = str(load.locate(base).path) if base.id == BUILTIN_MODEL else base.id
    words = ["vllm", "serve", name, *(["--revision", base.revision] if base.revision else [])]
    if folders:
        rank = max(_rank(folder) for folder in folders.values())
        modules = [f"{name}={folder}" for name, folder in folders.items()]
        words += ["--enable-lora", "--max-loras", str(len(folders)), "--max-lora-rank", str(rank), "--lora-modules"]
        words += modules
    return shlex.join(words)


def _rank(folder: Path) -> int:
    rank = max(shape.rank for shape in adapter_files.read(folder).modules.values())
    return next((each for each in _RANKS if each >= rank), rank)
