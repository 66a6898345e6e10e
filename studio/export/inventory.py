"""The exports in a run's directory: files, verification, whether the run has trained on since, how to use them."""

import ast
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from studio.export import example, export_folder, script
from studio.export.request import KINDS, Kind
from studio.export.verify import verification
from studio.export.verify.verification import Verification
from studio.files import size_of
from studio.model.adapter_files import BASE_RECORD, WEIGHTS
from studio.runs import Run

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
    try:
        verified = verification.read(folder)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # of another version, or damaged
        verified = None
    files = sorted(_files(folder), key=lambda file: (-file[1], file[0]))
    return SavedExport(kind, folder, created_at, tuple(files), verified, created_at < _mtime(run.adapter / WEIGHTS))


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    for entry in os.scandir(folder):
        if entry.is_dir():
            yield f"{entry.name}/", size_of(Path(entry.path))
        elif entry.name != BASE_RECORD:
            yield entry.name, entry.stat().st_size


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
        return _pipeline(export.folder, folder)
    enter = f"cd {subprocess.list2cmdline([folder]) if os.name == 'nt' else shlex.quote(folder)}"
    if export.kind in ("ollama", "gguf"):
        model = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "restyled"
        return f"{enter}\nollama create {model} -f Modelfile\nollama run {model}"
    run = {"script": f"python {script.NAME}", "space": "python app.py"}.get(export.kind)
    return f"{enter}\npip install -r requirements.txt\n{run or _example_command(export.folder / example.NAME)}"


def _example_command(path: Path) -> str:
    """Return the command in the example's docstring, which has a prompt for every column."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    line = re.search(rf"^ +(python {re.escape(example.NAME)} .+)$", docstring, re.MULTILINE)
    return line[1] if line else f"python {example.NAME} {_PROMPT}"


def _pipeline(export: Path, folder: str) -> str:
    lines = ["from transformers import pipeline", "", f'ask = pipeline("text-generation", model={folder!r})']
    if (export / "chat_template.jinja").is_file():
        lines.append(f'said = ask([{{"role": "user", "content": {_PROMPT}}}])[0]["generated_text"]')
        lines.append('print(said[-1]["content"])')
    else:
        lines.append(f'print(ask({_PROMPT})[0]["generated_text"])')
    return "\n".join(lines)
