"""Files of JSON lines that many processes append to and read at once."""

import hashlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from studio import locks
from studio.files import replace_file


def digest(*parts: str) -> str:
    """Return a hash of some texts in order, as hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()


class Journal:
    """A file of JSON lines. A line that was torn by a kill is skipped and swallows no other."""

    def __init__(self, path: Path):
        self.path = path

    @property
    def stamp(self) -> tuple[int, int] | None:
        """Time and size of the file, which change with every entry; None before the first."""
        try:
            state = self.path.stat()
        except FileNotFoundError:
            return None
        return state.st_mtime_ns, state.st_size

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write one entry, whole."""
        line = _line(entry)
        with self._locked(), open(self.path, "ab+") as file:
            if file.tell():
                file.seek(-1, 2)
                line = line if file.read(1) == b"\n" else b"\n" + line
            file.write(line)

    def replace(self, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
        """Replace all entries by `change` of them, while other writers wait."""
        with self._locked():
            replace_file(self.path, b"".join(map(_line, change(self.entries()))))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locks.acquire(Path(f"{self.path}.lock")):
            yield

    def entries(self) -> list[dict[str, Any]]:
        """Return all complete entries in order; only those that are new are read from the file."""
        with _cache_lock:
            read = _cache.get(self.path)
            try:
                with open(self.path, "rb") as file:
                    state = os.fstat(file.fileno())
                    if read is None or not read.continues(file, state):
                        read = _CachedEntries(state.st_ino)
                    file.seek(read.offset)
                    read.extend(file.read())
            except FileNotFoundError:
                _cache.pop(self.path, None)
                return []
            _cache[self.path] = read
            _cache.move_to_end(self.path)
            if len(_cache) > _CACHED_FILES:
                _cache.popitem(last=False)
            return [*read.entries, *read.unended]


_CACHED_FILES = 16
"""Files whose entries are kept in memory."""
_TAIL_BYTES = 256
"""Bytes before the new ones by which a file is known to be the same one, only longer."""


@dataclass
class _CachedEntries:
    """What was read of a file."""

    inode: int
    offset: int = 0
    """Where the first line begins that had no end yet."""
    tail: bytes = b""
    """What stands before that."""
    entries: list[dict[str, Any]] = field(default_factory=list)
    unended: list[dict[str, Any]] = field(default_factory=list)

    def continues(self, file: BinaryIO, state: os.stat_result) -> bool:
        """Whether a file is the one that was read, with or without more lines at its end."""
        if state.st_ino != self.inode or state.st_size < self.offset:
            return False
        file.seek(self.offset - len(self.tail))
        return file.read(len(self.tail)) == self.tail

    def extend(self, data: bytes) -> None:
        """Read the bytes from the offset on."""
        ends = data.rfind(b"\n") + 1
        self.entries += _parse_lines(data[:ends])
        self.unended = _parse_lines(data[ends:])
        self.offset += ends
        self.tail = (self.tail + data[:ends])[-_TAIL_BYTES:]


_cache: OrderedDict[Path, _CachedEntries] = OrderedDict()
_cache_lock = threading.Lock()


def _parse_lines(data: bytes) -> list[dict[str, Any]]:
    read = []
    for line in data.split(b"\n"):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            read.append(entry)
    return read


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
