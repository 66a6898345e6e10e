"""Where the studio keeps its things, and how a file is replaced without ever being half there."""

import contextlib
import errno
import hashlib
import math
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs

from studio.errors import HomeError


def home() -> Path:
    """Return the studio's home: `RESTYLE_HOME`, else a folder in the user's data directory. It is made if missing.

    Never the working directory: Gradio serves files that lie under it. Raises HomeError when it cannot be written.
    """
    chosen = os.environ.get("RESTYLE_HOME")
    folder = _own_folder(chosen or platformdirs.user_data_dir("restyle-studio", appauthor=False), "RESTYLE_HOME")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise HomeError("home.read_only", folder=str(folder), variable="RESTYLE_HOME", detail=os.strerror(errno.EROFS))
    return folder


def _own_folder(name: str, variable: str) -> Path:
    folder = Path(name).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HomeError("home.read_only", folder=str(folder), variable=variable, detail=error.strerror) from error
    return folder.resolve()


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_IN_WORDS = ("inline_container", *(f"(os error {number})" for number in _FULL))
"""How torch and safetensors tell of a write that the system refused: they lose the number, or put it into words."""


@contextlib.contextmanager
def space_for(folder: Path, needed: Callable[[], int]) -> Iterator[None]:
    """Raise HomeError when the disk of `folder` is full, in place of what the system or a library says then.

    `needed` returns the bytes that were to be written, as far as that is known. What is left half written is the
    caller's to remove, inside.
    """
    try:
        yield
    except Exception as error:
        refused = isinstance(error, OSError) and error.errno in _FULL
        if not refused and not any(words in str(error) for words in _FULL_IN_WORDS):
            raise
        needs, free = math.ceil(needed() / 1e5) / 10, shutil.disk_usage(folder).free / 1e6
        raise HomeError("home.full", folder=str(folder), needs=f"{needs:,.1f}", free=f"{free:,.1f}") from error


def replace_file(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` atomically: a reader sees the old file or the new one, also after a power cut.

    Raises HomeError when the disk is full.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    draft = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.draft")
    with space_for(path.parent, lambda: len(data)):
        try:
            with open(draft, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def replace_folder(final: Path, fill: Callable[[Path], None], expected: int = 0) -> None:
    """Make the folder `final`, or replace it: whole or not at all, also after a kill.

    `fill` writes into a hidden folder beside it. Its files are synced before it gets its name, and what stood there
    before goes only then. Raises HomeError when the disk is full; `expected` are the bytes that it takes, if known.
    """
    clear_drafts(final.parent, final.name)
    draft, old = (final.with_name(f".{final.name}.{kind}") for kind in ("draft", "gone"))
    written = 0
    with space_for(final.parent, lambda: max(written, expected)):
        draft.mkdir()
        try:
            fill(draft)
            for path in draft.rglob("*"):
                if path.is_file():
                    _sync(path, os.O_RDWR)
        except BaseException:
            written = size_of(draft)
            shutil.rmtree(draft, ignore_errors=True)
            raise
    if final.exists():
        final.rename(old)
    draft.rename(final)
    sync_folder(final.parent)
    shutil.rmtree(old, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder. It loses its name first, so that a kill leaves no half of it under that."""
    going = folder.with_name(f".gone-{folder.name}")
    shutil.rmtree(going, ignore_errors=True)
    folder.rename(going)
    shutil.rmtree(going, ignore_errors=True)


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def clear_drafts(folder: Path, name: str = "*") -> None:
    """Put in order the folders that a kill has left half done in `folder`, for all names or for one.

    A folder that was put aside, and whose successor did not get its name any more, gets it back; drafts go. Only for
    the one who writes there.
    """
    for old in folder.glob(f".{name}.gone"):
        final = folder / old.name[1:].removesuffix(".gone")
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(final)
    for draft in folder.glob(f".{name}.draft"):
        shutil.rmtree(draft, ignore_errors=True)


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
    """Return the folder for what can be fetched or made again (models): `RESTYLE_CACHE`, else the user's cache.

    Raises HomeError when it is missing and cannot be made.
    """
    chosen = os.environ.get("RESTYLE_CACHE")
    return _own_folder(chosen or platformdirs.user_cache_dir("restyle-studio", appauthor=False), "RESTYLE_CACHE")
