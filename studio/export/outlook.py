"""What an export will hold and weigh, and what stands in its way: known before it is made, without loading anything."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from studio.errors import ExportError, HomeError, ModelError, StudioError
from studio.export import example, merge, ollama, script, space, target
from studio.export.request import MERGED, Kind
from studio.files import size_of
from studio.i18n import Message
from studio.model import load
from studio.model.hardware import Choice
from studio.model.saved import SETTINGS, WEIGHTS
from studio.runs import Run
from studio.train import recorded_rows

_OWN = (WEIGHTS, SETTINGS, "README.md")
"""Files of an adapter's folder that are not its tokenizer's."""


@dataclass(frozen=True)
class Part:
    """A part of an export; its words are in the catalogues, under `ui.export.parts.<name>`."""

    name: str
    files: str
    """The files that it is, as they will be named."""
    bytes: int | None = None
    """Its size, about; None for a few lines of text."""


@dataclass(frozen=True)
class Outlook:
    """What an export of a run will be."""

    parts: tuple[Part, ...] = ()
    precision: Choice | None = None
    """The number format of a merged model."""
    needs: int = 0
    """The most bytes that the disk has to have free while it is made, about."""
    free: int = 0
    """Bytes that are free where it will lie."""
    hindrance: Message | None = None
    """Why it cannot be made of this run, or not now."""

    @property
    def bytes(self) -> int:
        """What the export will weigh, about."""
        return sum(part.bytes or 0 for part in self.parts)


def of(run: Run, kind: Kind, of_run: str, wanted: str = "auto") -> Outlook:
    """Return what the export of a `kind` will be.

    `of_run` is the number format that the run computed in, `wanted` the one asked for of a merged model.
    """
    free = shutil.disk_usage(next(path for path in target.place(run, kind, None).parents if path.exists())).free
    try:
        base, settings = _base(run)
        chosen = merge.precision_of(of_run, settings, wanted) if kind in MERGED else None
        parts = tuple(_PARTS[kind](run, base, chosen.value if chosen else ""))
    except (StudioError, OSError) as error:
        told = error if isinstance(error, StudioError) else ExportError("export.damaged", run=run.id, detail=str(error))
        return Outlook(free=free, hindrance=told.message)
    needs = sum(part.bytes or 0 for part in parts) * (2 if kind == "gguf" else 1)
    hindrance = None
    if needs > free:
        full = HomeError("home.full", folder=str(run.path), needs=f"{needs / 1e6:,.1f}", free=f"{free / 1e6:,.1f}")
        hindrance = full.message
    return Outlook(parts, chosen, needs, free, hindrance)


def _base(run: Run) -> tuple[Path, dict[str, object]]:
    if not run.has_adapter:
        raise ExportError("export.no_adapter", run=run.id)
    config = run.config()
    located = load.locate(config.model)
    if located is None:
        raise ModelError("model.not_here", id=config.model.id)
    return located.path, located.settings


def _adapter(run: Run, base: Path, number_format: str) -> list[Part]:
    weights = (run.adapter / WEIGHTS).stat().st_size
    about = Part("about", f"README.md, {SETTINGS}")
    return [Part("adapter", WEIGHTS, weights), _tokenizer(run), about, Part("example", example.NAME)]


def _space(run: Run, base: Path, number_format: str) -> list[Part]:
    adapter, tokenizer, about, _ = _adapter(run, base, number_format)
    return [Part("app", f"{space.APP}, {space.DATA}"), adapter, tokenizer, about]


def _tokenizer(run: Run) -> Part:
    own = [path for path in run.adapter.iterdir() if path.is_file() and path.name not in _OWN]
    return Part("tokenizer", "tokenizer.json, …", sum(path.stat().st_size for path in own))


def _merged(run: Run, base: Path, number_format: str) -> list[Part]:
    model = Part("model", "model.safetensors", merge.weights(base, number_format))
    return [model, _tokenizer(run), Part("about", "README.md")]


def _script(run: Run, base: Path, number_format: str) -> list[Part]:
    script.require_record(run)
    rows = Part("rows", "data/", size_of(recorded_rows.folder_of(run.path)))
    losses = Part("losses", script.LOSSES)
    return [Part("script", f"{script.NAME}, {script.STEP}, requirements.txt"), rows, _tokenizer(run), losses]


def _ollama(run: Run, base: Path, number_format: str) -> list[Part]:
    return [*_merged(run, base, number_format), Part("modelfile", "Modelfile")]


def _gguf(run: Run, base: Path, number_format: str) -> list[Part]:
    model = Part("model", ollama.GGUF, merge.weights(base, number_format))
    return [model, Part("modelfile", "Modelfile"), Part("about", "README.md")]


_PARTS: dict[str, Callable[[Run, Path, str], list[Part]]] = {
    "adapter": _adapter,
    "example": _adapter,
    "merged": _merged,
    "script": _script,
    "ollama": _ollama,
    "gguf": _gguf,
    "space": _space,
}
