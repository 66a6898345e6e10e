"""The folders of the studio, and atomic replacement of files."""

import contextlib
import errno
import functools
import hashlib
import json
import logging
import math
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import TypeAdapter, ValidationError

from studio.errors import HomeError, StudioError

log = logging.getLogger(__name__)

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_DEFAULTS = {"RESTYLE_HOME": platformdirs.user_data_dir, "RESTYLE_CACHE": platformdirs.user_cache_dir}


def home() -> Path:
    """Return the studio's home: `RESTYLE_HOME`, else a folder in the user's data directory. It is created if missing.

    Never the working directory: Gradio serves files that lie under it. Raises HomeError when it cannot be written.
    """
    folder = _create(_chosen_folder("RESTYLE_HOME"), parents=True).resolve()
    if not os.access(folder, os.W_OK | os.X_OK):
        read_only = os.name != "nt" and os.statvfs(folder).f_flag & os.ST_RDONLY
        number = errno.EROFS if read_only else errno.EACCES
        raise access_error(folder, OSError(number, os.strerror(number)))
    return folder


def cache() -> Path:
    """Return the folder for what can be downloaded again, such as models: `RESTYLE_CACHE`, else the user's cache."""
    return _create(_chosen_folder("RESTYLE_CACHE"), parents=True).resolve()


def _chosen_folder(variable: str) -> Path:
    return Path(os.environ.get(variable) or _DEFAULTS[variable]("restyle-studio", appauthor=False)).expanduser()


def _create(folder: Path, parents: bool = False) -> Path:
    try:
        folder.mkdir(parents=parents, exist_ok=True)
    except OSError as error:
        raise access_error(folder, error) from error
    return folder


def shared_folder(parent: Path, name: str) -> Path:
    """Return a folder in the home or the cache; it is created if missing, as open to others as `parent` is.

    In a home that several users share (mode 1777, say), all of them make runs and locks there. Raises HomeError when it
    cannot be created.
    """
    folder = parent / name
    if not folder.exists():
        _create(folder)
        mode = stat.S_IMODE(parent.stat().st_mode)
        if mode & _OTHERS_WRITE:
            with contextlib.suppress(PermissionError):  # another user was faster
                folder.chmod(mode)
    return folder


def user_cache(name: str) -> Path:
    """Return a folder of the cache for what only this user reads; it is created if missing; raises HomeError."""
    parent = cache()
    if os.name != "nt":
        about = parent.stat()
        if about.st_uid != os.geteuid() or about.st_mode & _OTHERS_WRITE:
            name = f"{name}-{os.geteuid()}"
    return _create(parent / name)


def access_error(path: Path, error: OSError) -> HomeError:
    """Return the error for a file or a folder that the system does not let this user open, with whose it is."""
    chosen = {variable: _chosen_folder(variable) for variable in _DEFAULTS}
    inside = (each for each in chosen if any(path.is_relative_to(f) for f in (chosen[each], chosen[each].resolve())))
    variable = next(inside, None)
    detail = error.strerror or str(error)
    existing = next((each for each in (path, *path.parents) if os.path.lexists(each)), path)
    owner = owner_of(existing)
    if variable is None:
        return HomeError("home.no_access", path=str(path), detail=detail, owner=owner or "–")
    if owner is None or error.errno not in (errno.EACCES, errno.EPERM):
        return HomeError("home.read_only", folder=str(path), variable=variable, detail=detail)
    return HomeError("home.of_another", path=str(path), there=str(existing), owner=owner, variable=variable)


def owner_of(path: Path) -> str | None:
    """Return the name (or the number) of the user whose file this is; None where it is our own, or not known."""
    if os.name == "nt":
        return None
    import pwd

    try:
        number = path.stat().st_uid
    except OSError:
        return None
    if number == os.geteuid():
        return None
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_MESSAGES = ("inline_container", *(f"(os error {number})" for number in _FULL))
"""What torch and safetensors raise for a failed write: they lose the error number, or write it as text."""


@contextlib.contextmanager
def space_for(folder: Path, needed: Callable[[], int]) -> Iterator[None]:
    """Raise HomeError when the disk of `folder` is full, in place of the error of the system or a library.

    `needed` returns the bytes that were to be written, as far as that is known. What is left half written is the
    caller's to remove, inside.
    """
    try:
        yield
    except Exception as error:
        refused = isinstance(error, OSError) and error.errno in _FULL
        if not refused and not any(words in str(error) for words in _FULL_MESSAGES):
            raise
        needs, free = math.ceil(needed() / 1e5) / 10, shutil.disk_usage(folder).free / 1e6
        raise HomeError("home.full", folder=str(folder), needs=f"{needs:,.1f}", free=f"{free:,.1f}") from error


def read_json(path: Path, most: int | None = None) -> dict[str, Any]:
    """Return the object in a JSON file; empty where there is none, or more than `most` bytes of it."""
    try:
        if most is not None and path.stat().st_size > most:
            return {}
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):  # there is no file, or it was damaged from outside
        return {}
    return content if isinstance(content, dict) else {}


def read_as(kind: Any, path: Path, *, warn: bool = False) -> Any:
    """Return what a JSON file holds as a type that pydantic knows; None where it is missing or damaged.

    With `warn`, the log says so of a damaged one.
    """
    try:
        return _adapter(kind).validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError, StudioError):
        if warn:
            log.warning("%s cannot be read", path, exc_info=True)
        return None


def to_json(value: Any) -> str:
    """Return an object of a type that pydantic knows as JSON; `read_as` gives an equal one back."""
    return _adapter(type(value)).dump_json(value, indent=1).decode("utf-8")


_adapter = functools.cache(TypeAdapter)


def cached_by_file(maxsize: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Remember what a function makes of a file, its first argument, until the file's time or size changes."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.lru_cache(maxsize)
        def cached(path: Path, stamp: tuple[int, int], *more: Any) -> Any:
            return function(path, *more)

        @functools.wraps(function)
        def call(path: Path, *more: Any) -> Any:
            about = path.stat()
            return cached(path, (about.st_mtime_ns, about.st_size), *more)

        return call

    return decorate


def replace_file(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` atomically: a reader sees the old file or the new one, also after a power cut."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    with space_for(path.parent, lambda: len(data)), atomic_write(path) as draft, open(draft, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a path of this thread alone to write to, which replaces `path`, or is removed where an error is raised."""
    draft = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.draft")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_json_lines(path: Path, rows: Iterable[Any]) -> int:
    """Write rows as JSON lines, all or none, and no file without rows; return how many they are.

    Values that JSON has no form for are written as texts. Raises HomeError when the disk is full.
    """
    draft, count = path.with_name(f".{path.name}.draft"), 0
    try:
        with space_for(path.parent, lambda: 1 << 20), open(draft, "w", encoding="utf-8") as file:
            for count, row in enumerate(rows, 1):  # noqa: B007 (the last one is returned)
                file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
        if count:
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return count


def replace_folder(final: Path, fill: Callable[[Path], None], expected: int = 0) -> None:
    """Create or replace the folder `final` atomically, also where the process is killed.

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
    """Remove a folder. It is renamed first, so that a kill leaves no half of it under its name."""
    removed = folder.with_name(f".gone-{folder.name}")
    shutil.rmtree(removed, ignore_errors=True)
    folder.rename(removed)
    shutil.rmtree(removed, ignore_errors=True)


def newest_first(paths: Iterable[Path]) -> list[Path]:
    """Return files in the order of when they were written, the newest first."""
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def clear_drafts(folder: Path, name: str = "*") -> None:
    """Repair the folders that a killed process has left half done in `folder`, for all names or for one.

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
