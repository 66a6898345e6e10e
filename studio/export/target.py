"""Where an export goes: a folder that appears whole or not at all, and never in place of something else's."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio.errors import ExportError
from studio.export.request import Kind
from studio.files import replace_file, replace_folder, space_for
from studio.model.adapter_files import BASE_RECORD
from studio.runs import Run


def place(run: Run, kind: Kind, out: Path | None) -> Path:
    """Return the folder to write: `out`, else one in the run's own directory."""
    if out is not None:
        return out.expanduser().absolute()
    return run.path / "exports" / kind


def require_free(folder: Path) -> None:
    """Raise ExportError when something stands at `folder` that is not an export of the studio's."""
    if not folder.exists() or _is_ours(folder) or (folder.is_dir() and not any(folder.iterdir())):
        return
    raise ExportError("export.not_ours", folder=str(folder))


def require_made(folder: Path) -> Path:
    """Return the folder of an export that is there; raises ExportError when there is none."""
    if not _is_ours(folder):
        raise ExportError("export.not_made", folder=str(folder))
    return folder


def _is_ours(folder: Path) -> bool:
    try:
        return "export" in json.loads((folder / BASE_RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def write(folder: Path, kind: Kind, record: dict[str, Any], fill: Callable[[Path], None], expected: int = 0) -> Path:
    """Make the export: `fill` writes its files; an export that was there before is replaced. Returns the folder.

    `record` is what its `restyle.json` says, `expected` the bytes that it takes, if known. Raises ExportError when
    something else is there, HomeError when it cannot be written.
    """
    require_free(folder)

    def fill_and_sign(draft: Path) -> None:
        fill(draft)
        said = json.dumps({"export": kind, **record}, ensure_ascii=False, indent=1)
        replace_file(draft / BASE_RECORD, said)

    _own_folder(folder.parent)
    replace_folder(folder, fill_and_sign, expected)
    return folder


def _own_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError("export.no_folder", folder=str(folder), detail=str(error.strerror)) from error


_NOT_PACKED = (".safetensors", ".gguf", ".parquet")
"""Endings of files that hardly become smaller."""


def zipped(folder: Path) -> Path:
    """Pack an export into a zip beside it, whole or not at all, and return the file.

    Raises ExportError when something else is there.
    """
    final = folder.with_name(f"{folder.name}.zip")
    if final.exists() and not _is_our_zip(final, folder.name):
        raise ExportError("export.not_ours", folder=str(final))
    draft = final.with_name(f".{final.name}.draft")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with space_for(final.parent, lambda: sum(path.stat().st_size for path in files)):
        try:
            with zipfile.ZipFile(draft, "w") as packed:
                for path in files:
                    method = zipfile.ZIP_STORED if path.suffix in _NOT_PACKED else zipfile.ZIP_DEFLATED
                    packed.write(path, Path(folder.name) / path.relative_to(folder), method)
            with open(draft, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(draft, final)
        finally:
            draft.unlink(missing_ok=True)
    return final


def _is_our_zip(path: Path, name: str) -> bool:
    try:
        with zipfile.ZipFile(path) as packed:
            return "export" in json.loads(packed.read(f"{name}/{BASE_RECORD}"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return False


def copy(files: list[Path], to: Path) -> None:
    """Copy files into a folder."""
    for path in files:
        shutil.copy2(path, to / path.name)
