"""A model's files, read without trusting them: which hold weights, whether they are whole, what they contain.

Only the heads of the safetensors files are read: eight bytes with the length of a JSON table, and the table (the format
is documented at https://huggingface.co/docs/safetensors).
"""

import json
import os
import struct
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio.errors import ModelError, one_line

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_POINTER = b"version https://git-lfs.github.com/spec/"
_TEXTS = ("config.json", "generation_config.json", "tokenizer*", "vocab*", "merges.txt", "*.model", "chat_template*")
"""What else transformers reads of a model's folder."""
_MAX_HEADER_BYTES = 100 * 10**6
"""Bytes of a table at most; the format's own limit."""


def weight_files(folder: Path) -> list[Path]:
    """Return the files of weights, there or not: `model.safetensors`, else the shards of an index, else none."""
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    return [folder / name for name in sorted(set(index(folder).values()))]


def is_pointer(path: Path) -> bool:
    """Whether a file holds the name of a Git LFS object instead of its content."""
    with open(path, "rb") as opened:
        return opened.read(len(_POINTER)) == _POINTER


def require_whole(folder: Path, model_id: str) -> None:
    """Raise ModelError for a model's folder with files that are missing, empty, cut off or Git LFS pointers."""
    texts = {path for pattern in _TEXTS for path in folder.glob(pattern) if path.is_file()}
    here = sorted(texts | {path for path in (*weight_files(folder), folder / INDEX) if path.is_file()})
    if pointers := [path.name for path in here if is_pointer(path)]:
        raise ModelError("model.lfs_pointer", id=model_id, files=list_names(pointers))
    if empty := [path.name for path in here if not path.stat().st_size]:
        raise ModelError("model.empty_file", id=model_id, files=list_names(empty))
    files = weight_files(folder)
    if not files:
        raise ModelError("model.no_safetensors", id=model_id)
    if missing := [path.name for path in files if not path.is_file()]:
        values = {"count": len(missing), "total": len(files), "files": list_names(missing)}
        raise ModelError("model.missing_shards", id=model_id, **values)
    headers = {path.name: header(path, model_id) for path in files}
    elsewhere = [name for name, file in index(folder).items() if file in headers and name not in headers[file]]
    if len(files) > 1 and elsewhere:
        file = index(folder)[elsewhere[0]]
        raise ModelError("model.wrong_shard", id=model_id, file=file, count=len(elsewhere), names=list_names(elsewhere))


def headers(folder: Path, model_id: str = "") -> dict[str, dict[str, Any]]:
    """Return all tensors of a model by name: `dtype`, `shape`, `data_offsets`; raises ModelError for damaged files."""
    tensors: dict[str, dict[str, Any]] = {}
    for path in weight_files(folder):
        tensors |= header(path, model_id or folder.name)
    return tensors


def header(path: Path, model_id: str) -> dict[str, dict[str, Any]]:
    """Return the tensors of one safetensors file; raises ModelError for one that is cut off or is something else."""
    try:
        state = path.stat()
        return _header(path, state.st_size, state.st_mtime_ns)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ModelError("model.damaged_file", id=model_id, file=path.name, detail=one_line(error)) from error


@lru_cache(maxsize=128)
def _header(path: Path, size: int, changed: int) -> dict[str, dict[str, Any]]:
    with open(path, "rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        if length > min(_MAX_HEADER_BYTES, size - 8):
            raise ValueError(f"{size:,} B < {8 + length:,} B")
        table = json.loads(opened.read(length))
    table.pop("__metadata__", None)
    end = 8 + length + max((entry["data_offsets"][1] for entry in table.values()), default=0)
    if end != size:
        raise ValueError(f"{size:,} B ≠ {end:,} B")
    return table


def file_states(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a model's settings or weights do: name, size and time of each file."""
    paths = [folder / "config.json", folder / INDEX, *weight_files(folder)]
    return tuple((os.path.realpath(p), p.stat().st_size, p.stat().st_mtime_ns) for p in paths if p.is_file())


def index(folder: Path) -> dict[str, str]:
    """Return the file of each weight that the index of a folder names; empty without an index."""
    try:
        table = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        # a shard lies beside its index: no path is followed out of the folder
        return {str(name): file for name, file in table.items() if Path(str(file)).name == file}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def list_names(names: Iterable[str]) -> str:
    """Return the first three of some names from outside for a message, each as one short line."""
    names = list(names)
    return ", ".join(" ".join(name.split())[:120] for name in names[:3]) + " …" * (len(names) > 3)
