"""Where the studio keeps its things, and how a file is replaced without ever being half there."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import platformdirs


def home() -> Path:
    """Return the studio's home: `RESTYLE_HOME`, else a folder in the user's data directory. It is made if missing.

    Never the working directory: Gradio serves files that lie under it.
    """
    chosen = os.environ.get("RESTYLE_HOME")
    folder = (
        Path(chosen).expanduser() if chosen else Path(platformdirs.user_data_dir("restyle-studio", appauthor=False))
    )
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def replace_file(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` atomically: a reader sees the old file or the new one, also after a power cut."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with open(draft, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def replace_folder(final: Path, fill: Callable[[Path], None]) -> None:
    """Make the folder `final`, or replace it: whole or not at all, also after a kill.

    `fill` writes into a hidden folder beside it. Its files are synced before it gets its name, and what stood there
    before goes only then.
    """
    draft, old = (final.with_name(f".{final.name}.{kind}") for kind in ("draft", "gone"))
    for rest in (draft, old):
        shutil.rmtree(rest, ignore_errors=True)
    draft.mkdir()
    try:
        fill(draft)
        for path in draft.rglob("*"):
            if path.is_file():
                _sync(path, os.O_RDWR)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    if final.exists():
        final.rename(old)
    draft.rename(final)
    sync_folder(final.parent)
    shutil.rmtree(old, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable, where the system has such a thing (not on Windows)."""
    if os.name != "nt":
        _sync(folder, os.O_RDONLY)


def _sync(path: Path, mode: int) -> None:
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache() -> Path:
    """Return the folder for what can be fetched or made again (models): `RESTYLE_CACHE`, else the user's cache."""
    chosen = os.environ.get("RESTYLE_CACHE")
    folder = (
        Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("restyle-studio", appauthor=False))
    )
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()
