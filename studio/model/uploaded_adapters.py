"""Adapters that were uploaded: checked before they are kept, each once, in a place of their own under the home.

What arrives is two files or a zip of them, from anybody. A zip is read by names that are known, into files that are
made here: no path in it is followed, no link is made, and nothing is unpacked that is larger than it may be.
"""

import hashlib
import os
import re
import shutil
import stat
import struct
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from studio.errors import CompareError, one_line
from studio.files import home, remove_folder, sha256, shared_folder, size_of, space_for
from studio.model import adapter_files as adapters
from studio.model import hub_models
from studio.model.adapter_files import BASE_RECORD, MAX_WEIGHT_BYTES, SETTINGS, WEIGHTS, SavedAdapter
from studio.model.weight_files import list_names

PREFIX = "upload:"
"""Before the name of an uploaded adapter, where a column is named."""

_SMALL_FILE_BYTES = 2 * 10**6
STORED_FILES = {SETTINGS: _SMALL_FILE_BYTES, WEIGHTS: MAX_WEIGHT_BYTES, BASE_RECORD: _SMALL_FILE_BYTES}
STORED_FILES |= {"chat_template.jinja": _SMALL_FILE_BYTES, "tokenizer_config.json": _SMALL_FILE_BYTES}
"""What is kept, and the bytes that each may have."""
_IGNORED_FILES = {"README.md", "added_tokens.json", "merges.txt", "special_tokens_map.json", "tokenizer.json"}
_IGNORED_FILES |= {"tokenizer.model", "vocab.json", ".gitattributes", ".DS_Store"}
"""What else lies in the folder of an adapter, and is not needed: it stays in the zip."""
_MAX_ENTRIES = 64
_MAX_DIRECTORY_BYTES = 64 * 1024
"""Bytes of a zip's list of files: it is read whole."""
_MAX_COMPRESSION_RATIO = 200
"""How many times smaller than its content a part of a zip may be; weights shrink to a half at best."""
_CHUNK_BYTES = 2**20
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError)
_STALE_SECONDS = 3600.0
"""Seconds after which a partial upload is abandoned."""


@dataclass(frozen=True)
class Upload:
    """An adapter that is kept."""

    name: str
    folder: Path

    @property
    def column(self) -> str:
        """How a column names it."""
        return PREFIX + self.name

    @property
    def bytes(self) -> int:
        """Its size on the disk."""
        return size_of(self.folder)


def all_uploads() -> list[Upload]:
    """Return the adapters that are kept, by name."""
    folders = (path for path in _folder().iterdir() if path.is_dir() and not path.name.startswith("."))
    return [Upload(path.name, path) for path in sorted(folders)]


def find(column: str) -> Path:
    """Return the folder of an uploaded adapter; raises CompareError when it is not kept (any more)."""
    name = column.removeprefix(PREFIX)
    for upload in all_uploads():  # a name from outside is compared, never made into a path
        if upload.name == name:
            return upload.folder
    raise CompareError("compare.upload.gone", name=name[:120])


def remove(column: str) -> None:
    """Remove an uploaded adapter from the home."""
    remove_folder(find(column))


def store(
    paths: Sequence[Path],
    check: Callable[[SavedAdapter], object] = lambda saved: None,
    name: str = "adapter",
) -> Upload:
    """Check what was uploaded and keep it once, called after its zip or `name`; raises CompareError, as `check` may."""
    with _draft() as draft:
        if len(paths) == 1 and paths[0].suffix.lower() == ".zip":
            _unpack(paths[0], draft)
            name = paths[0].stem
        else:
            _require_names([path.name for path in paths])
            for path in (path for path in paths if path.name in STORED_FILES):
                _require_size(path.name, path.stat().st_size)
                try:
                    os.link(path, draft / path.name)  # at once, also for a gigabyte
                except OSError:
                    shutil.copyfile(path, draft / path.name)
        missing = [needed for needed in (SETTINGS, WEIGHTS) if not (draft / needed).is_file()]
        if missing:
            raise CompareError("compare.upload.incomplete", missing=", ".join(missing))
        check(adapters.read(draft))
        files = sorted(path for path in draft.iterdir() if path.is_file())
        digest = hashlib.sha256("".join(f"{path.name} {sha256(path)}\n" for path in files).encode()).hexdigest()[:12]
        for upload in all_uploads():
            if upload.name.endswith(f"-{digest}"):
                return upload
        safe = re.sub(r"[^\w.-]+", "-", name).strip(".-")[-40:] or "adapter"
        name = f"{safe}-{digest}"
        draft.rename(_folder() / name)
        return Upload(name, _folder() / name)


def _folder() -> Path:
    return shared_folder(home(), "adapters")


@contextmanager
def _draft() -> Iterator[Path]:
    """Make a folder for what arrives; it goes unless it got a name of its own."""
    place = _folder()
    for old in place.glob(".arriving-*"):
        if time.time() - old.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=".arriving-", dir=place))
    try:
        with space_for(place, lambda: size_of(draft)):
            yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _require_names(names: Sequence[str]) -> None:
    strange = [name for name in names if name not in STORED_FILES and name not in _IGNORED_FILES]
    if strange:
        raise CompareError("compare.upload.names", names=list_names(strange), known=f"{SETTINGS}, {WEIGHTS}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CompareError("compare.upload.twice", names=list_names(twice))


def _require_size(name: str, size: int) -> None:
    if size > STORED_FILES[name]:
        raise CompareError("compare.too_large", name=name, most=hub_models.size(STORED_FILES[name]))


def _unpack(path: Path, draft: Path) -> None:
    """Unpack the files of an adapter; raises CompareError for a zip that holds anything else."""
    try:
        _require_short_list(path)
        with zipfile.ZipFile(path) as archive:
            for name, entry in _entries(archive).items():
                if name in STORED_FILES:
                    _require_size(name, entry.file_size)
                    if entry.file_size > _MAX_COMPRESSION_RATIO * max(entry.compress_size, 1) + _CHUNK_BYTES:
                        raise CompareError("compare.upload.bomb", name=name)
                    with archive.open(entry) as packed, open(draft / name, "wb") as file:
                        _extract(packed, file, name)
    except (*_ZIP_ERRORS, NotImplementedError, RuntimeError) as error:  # the last are other ways to pack, and passwords
        raise CompareError("compare.upload.bad_zip", detail=one_line(error, 120)) from error


def _extract(packed: IO[bytes], file: IO[bytes], name: str) -> None:
    """Write what a zip holds of a file, and no more than it may have, whatever its list says."""
    written = 0
    while part := packed.read(_CHUNK_BYTES):
        written += len(part)
        _require_size(name, written)
        file.write(part)


def _require_short_list(path: Path) -> None:
    """Raise CompareError for a zip whose list of files is long: it would be read into memory as a whole."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 65_557))
        end = file.read()
    at = end.rfind(b"PK\5\6")
    if at < 0 or len(end) < at + 22:
        raise zipfile.BadZipFile("no end")
    _, count, length = struct.unpack("<HHL", end[at + 8 : at + 16])
    if count > _MAX_ENTRIES or length > _MAX_DIRECTORY_BYTES or b"PK\6\7" in end[max(0, at - 20) : at]:
        raise CompareError("compare.upload.many", most=_MAX_ENTRIES)


def _entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the files of a zip by their names, without the one folder that they may all lie in."""
    entries = [entry for entry in archive.infolist() if not entry.filename.startswith("__MACOSX/")]
    files = [entry for entry in entries if not entry.is_dir()]
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        parts = entry.filename.rstrip("/").split("/")
        outside = entry.filename.startswith("/") or "\\" in entry.orig_filename or ".." in parts or ":" in parts[0]
        if outside or "\0" in entry.orig_filename:
            raise CompareError("compare.upload.path", name=entry.filename[:120])
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or entry.flag_bits & 1:
            raise CompareError("compare.upload.link", name=entry.filename[:120])
    tops = {entry.filename.partition("/")[0] if "/" in entry.filename else "" for entry in files}
    top = f"{tops.pop()}/" if len(tops) == 1 and tops != {""} else ""
    names = [entry.filename.removeprefix(top) for entry in files]
    _require_names(names)
    return dict(zip(names, files, strict=True))
