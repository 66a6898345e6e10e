"""The folder of an export: written atomically, and never over something that is not an export."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio.errors import ExportError
from studio.export.request import Kind
from studio.files import atomic_write, read_json, replace_file, replace_folder, space_for
from studio.model.adapter_files import BASE_RECORD
from studio.runs import Run


def place(run: Run, kind: Kind, out: Path | None) -> Path:
    """Return the folder of an export: `out`, else one in the run's directory."""
    if out is not None:
        return out.expanduser().absolute()
    return run.path / "exports" / kind


def require_writable(folder: Path) -> None:
    """Raise ExportError when `folder` holds something that is not an export."""
    is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not is_free and not is_export(folder):
        raise ExportError("export.not_ours", folder=str(folder))


def is_export(folder: Path) -> bool:
    """Whether a folder holds an export."""
    return "export" in read_json(folder / BASE_RECORD)


def write(folder: Path, kind: Kind, metadata: dict[str, Any], fill: Callable[[Path], None], expected: int = 0) -> Path:
    """Write an export, replacing an earlier one, and return its folder; `fill` writes the files into a draft."""
    require_writable(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError("export.no_folder", folder=str(folder.parent), detail=str(error.strerror)) from error

    def fill_with_metadata(draft: Path) -> None:
        fill(draft)
        write_metadata(draft, kind, metadata)

    replace_folder(folder, fill_with_metadata, expected)
    return folder


def write_metadata(folder: Path, kind: Kind, metadata: dict[str, Any]) -> None:
    """Write the `restyle.json` of an export."""
    replace_file(folder / BASE_RECORD, json.dumps({"export": kind, **metadata}, ensure_ascii=False, indent=1))


_INCOMPRESSIBLE = (".safetensors", ".gguf", ".parquet")


def zipped(folder: Path) -> Path:
    """Pack an export into a zip file beside it and return that; raises ExportError when another file is there."""
    final = folder.with_name(f"{folder.name}.zip")
    if final.exists():
        try:
            with zipfile.ZipFile(final) as packed:
                is_ours = "export" in json.loads(packed.read(f"{folder.name}/{BASE_RECORD}"))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            is_ours = False
        if not is_ours:
            raise ExportError("export.not_ours", folder=str(final))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with space_for(final.parent, lambda: sum(path.stat().st_size for path in files)), atomic_write(final) as draft:
        with zipfile.ZipFile(draft, "w") as packed:
            for path in files:
                method = zipfile.ZIP_STORED if path.suffix in _INCOMPRESSIBLE else zipfile.ZIP_DEFLATED
                packed.write(path, Path(folder.name) / path.relative_to(folder), method)
        with open(draft, "rb+") as file:
            os.fsync(file.fileno())
    return final
