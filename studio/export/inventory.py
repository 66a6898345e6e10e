"""The exports in a run's directory, how to use them, and the files and size of one to come, estimated."""

import ast
import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from studio.errors import ExportError, HomeError, StudioError
from studio.export import code_snippets, export_folder, gguf_file, merge, script, space
from studio.export.export_context import locate_base
from studio.export.request import KINDS, Kind, NumberFormat
from studio.export.verify import verification
from studio.export.verify.verification import Verification
from studio.files import size_of
from studio.i18n import Message
from studio.model import hub_models
from studio.model.adapter_files import BASE_RECORD, SETTINGS, WEIGHTS
from studio.model.hardware import Choice
from studio.runs import Run
from studio.train import start_adapter

Stamp = tuple[tuple[str, float, float], ...]
"""For each export its kind, and the modification times of the export and of its verification."""


@dataclass(frozen=True)
class SavedExport:
    """An export on disk."""

    kind: Kind
    folder: Path
    created_at: float
    files: tuple[tuple[str, int], ...]
    """Names and bytes, the largest first; a folder inside counts as one."""
    verification: Verification | None
    is_outdated: bool
    """Whether the run's adapter is newer."""

    @property
    def bytes(self) -> int:
        """Its size."""
        return sum(count for _, count in self.files)


def stamp(run: Run) -> Stamp:
    """Return a value that changes when any of a run's exports changes."""
    folders = ((kind, export_folder.place(run, kind, None)) for kind in KINDS)
    stamps = ((kind, _mtime(folder / BASE_RECORD), _mtime(verification.path_of(folder))) for kind, folder in folders)
    return tuple(each for each in stamps if each[1])


def list_exports(run: Run) -> list[SavedExport]:
    """Return a run's exports, in the order of `KINDS`."""
    return [saved for kind in KINDS if (saved := find_export(run, kind))]


def find_export(run: Run, kind: Kind) -> SavedExport | None:
    """Return the export of a kind; None if there is none."""
    folder = export_folder.place(run, kind, None)
    created_at = _mtime(folder / BASE_RECORD)
    if not created_at:
        return None
    files = [
        (f"{path.name}/", size_of(path)) if path.is_dir() else (path.name, path.stat().st_size)
        for path in folder.iterdir()
        if path.name != BASE_RECORD
    ]
    files.sort(key=lambda file: (-file[1], file[0]))
    is_outdated = created_at < _mtime(run.adapter / WEIGHTS)
    return SavedExport(kind, folder, created_at, tuple(files), verification.read(folder), is_outdated)


def _mtime(path: Path) -> float:
    """Return a file's modification time in seconds since the epoch; 0 if it does not exist."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


_PROMPT = '"How are you?"'


def instructions(export: SavedExport, folder: str, name: str) -> str:
    """Return the commands that use an export, for a terminal or Python."""
    if export.kind == "merged":
        lines = ["from transformers import pipeline", "", f'ask = pipeline("text-generation", model={folder!r})']
        if (export.folder / "chat_template.jinja").is_file():
            lines.append(f'said = ask([{{"role": "user", "content": {_PROMPT}}}])[0]["generated_text"]')
            lines.append('print(said[-1]["content"])')
        else:
            lines.append(f'print(ask({_PROMPT})[0]["generated_text"])')
        return "\n".join(lines)
    enter = f"cd {subprocess.list2cmdline([folder]) if os.name == 'nt' else shlex.quote(folder)}"
    if export.kind == "gguf":
        model = code_snippets.ollama_name(name)
        return f"{enter}\nollama create {model} -f Modelfile\nollama run {model}"
    command = {"script": f"python {script.NAME}", "space": "python app.py"}.get(export.kind)
    if command is None:  # the one in the example's docstring, which has a prompt for every column
        docstring = (
            ast.get_docstring(ast.parse((export.folder / code_snippets.EXAMPLE).read_text(encoding="utf-8"))) or ""
        )
        line = re.search(rf"^ +(python {re.escape(code_snippets.EXAMPLE)} .+)$", docstring, re.MULTILINE)
        command = line[1] if line else f"python {code_snippets.EXAMPLE} {_PROMPT}"
    return f"{enter}\npip install -r requirements.txt\n{command}"


_CARD = "README.md"
_NOT_OF_TOKENIZER = (WEIGHTS, SETTINGS, _CARD)


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
    free_bytes: int = 0
    blocker: Message | None = None
    """Why the export is not possible, if so."""

    @property
    def bytes(self) -> int:
        """The estimated size of the export."""
        return sum(part.bytes or 0 for part in self.parts)


def estimate_export(run: Run, kind: Kind, run_precision: str, wanted: NumberFormat = "auto") -> ExportEstimate:
    """Estimate an export; `wanted` is a number format of the kind."""
    folder = export_folder.place(run, kind, None)
    free = hub_models.free_disk(folder)
    try:
        base = locate_base(run)
        precision, meanwhile = None, 0
        if kind == "gguf":
            planned = gguf_file.plan(run_precision, base.path, base.settings, wanted)
            precision, meanwhile = planned.precision, planned.peak_bytes
            parts = [Part("model", gguf_file.NAME, planned.bytes), Part("modelfile", "Modelfile"), Part("about", _CARD)]
        elif kind == "merged":
            precision = merge.choose_precision(run_precision, base.settings, wanted)
            weights = Part("model", "model.safetensors", merge.weight_bytes(base.path, precision.value))
            parts = [weights, _tokenizer(run), Part("about", _CARD)]
        else:
            parts = _parts(run, kind)
    except (StudioError, OSError) as error:
        known = isinstance(error, StudioError)
        failure = error if known else ExportError("export.damaged", run=run.id, detail=str(error))
        return ExportEstimate(free_bytes=free, blocker=failure.message)
    blocker = None
    required = max(sum(part.bytes or 0 for part in parts), meanwhile)
    if required > free:
        needs, available = (f"{count / 1e6:,.1f}" for count in (required, free))
        blocker = HomeError("home.full", folder=str(run.path), needs=needs, free=available).message
    return ExportEstimate(tuple(parts), precision, free, blocker)


def _tokenizer(run: Run) -> Part:
    own = [path for path in run.adapter.iterdir() if path.is_file() and path.name not in _NOT_OF_TOKENIZER]
    return Part("tokenizer", "tokenizer.json, …", sum(path.stat().st_size for path in own))


def _parts(run: Run, kind: Kind) -> list[Part]:
    tokenizer = _tokenizer(run)
    if kind == "script":
        rows = Part("rows", "data/", size_of(script.require_record(run)))
        program = Part("script", f"{script.NAME}, {script.STEP}, requirements.txt")
        start = run.path / start_adapter.FOLDER
        continued = [Part("adapter", f"{start.name}/", size_of(start))] if start.is_dir() else []
        return [program, rows, *continued, tokenizer, Part("losses", script.LOSSES)]
    adapter = Part("adapter", WEIGHTS, (run.adapter / WEIGHTS).stat().st_size)
    about = Part("about", f"README.md, {SETTINGS}")
    if kind == "space":
        return [Part("app", f"{space.APP}, {space.DATA}"), adapter, tokenizer, about]
    return [adapter, tokenizer, about, Part("example", code_snippets.EXAMPLE)]
