"""The files and size of an export, and what prevents it: estimated without loading anything."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from studio.errors import ExportError, HomeError, StudioError
from studio.export import example, export_folder, merge, ollama, script, space
from studio.export.export_context import locate_base
from studio.export.request import MERGED, Kind
from studio.files import size_of
from studio.i18n import Message
from studio.model.adapter_files import SETTINGS, WEIGHTS
from studio.model.hardware import Choice
from studio.runs import Run

_NOT_OF_TOKENIZER = (WEIGHTS, SETTINGS, "README.md")


@dataclass(frozen=True)
class Part:
    """A part of an export; its words are in the catalogues, under `ui.export.parts.<name>`."""

    name: str
    files: str
    bytes: int | None = None
    """Estimated size; None for a few lines of text."""


@dataclass(frozen=True)
class ExportEstimate:
    """What an export will hold."""

    parts: tuple[Part, ...] = ()
    precision: Choice | None = None
    required_bytes: int = 0
    """Estimated peak of disk use."""
    free_bytes: int = 0
    blocker: Message | None = None
    """Why the export is not possible, if so."""

    @property
    def bytes(self) -> int:
        """The estimated size of the export."""
        return sum(part.bytes or 0 for part in self.parts)


def estimate_export(run: Run, kind: Kind, run_precision: str, wanted: str = "auto") -> ExportEstimate:
    """Estimate an export; `wanted` is the dtype of a merged model, or `auto`."""
    folder = export_folder.place(run, kind, None)
    free = shutil.disk_usage(next(path for path in folder.parents if path.exists())).free
    try:
        base = locate_base(run)
        precision = merge.choose_precision(run_precision, base.settings, wanted) if kind in MERGED else None
        parts = tuple(_parts(run, kind, base.path, precision.value if precision else ""))
    except (StudioError, OSError) as error:
        known = isinstance(error, StudioError)
        failure = error if known else ExportError("export.damaged", run=run.id, detail=str(error))
        return ExportEstimate(free_bytes=free, blocker=failure.message)
    required = sum(part.bytes or 0 for part in parts) * (2 if kind == "gguf" else 1)
    blocker = None
    if required > free:
        needs, available = (f"{count / 1e6:,.1f}" for count in (required, free))
        blocker = HomeError("home.full", folder=str(run.path), needs=needs, free=available).message
    return ExportEstimate(parts, precision, required, free, blocker)


def _parts(run: Run, kind: Kind, base: Path, precision: str) -> list[Part]:
    own = [path for path in run.adapter.iterdir() if path.is_file() and path.name not in _NOT_OF_TOKENIZER]
    tokenizer = Part("tokenizer", "tokenizer.json, …", sum(path.stat().st_size for path in own))
    if kind == "script":
        rows = Part("rows", "data/", size_of(script.require_record(run)))
        program = Part("script", f"{script.NAME}, {script.STEP}, requirements.txt")
        return [program, rows, tokenizer, Part("losses", script.LOSSES)]
    if kind in MERGED:
        name = ollama.GGUF if kind == "gguf" else "model.safetensors"
        model = Part("model", name, merge.weight_bytes(base, precision))
        about, modelfile = Part("about", "README.md"), Part("modelfile", "Modelfile")
        if kind == "gguf":
            return [model, modelfile, about]
        return [model, tokenizer, about, *([modelfile] if kind == "ollama" else [])]
    adapter = Part("adapter", WEIGHTS, (run.adapter / WEIGHTS).stat().st_size)
    about = Part("about", f"README.md, {SETTINGS}")
    if kind == "space":
        return [Part("app", f"{space.APP}, {space.DATA}"), adapter, tokenizer, about]
    return [adapter, tokenizer, about, Part("example", example.NAME)]
