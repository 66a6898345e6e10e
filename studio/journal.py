"""Files of JSON lines that many processes append to and read at once."""

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
        """Return all complete entries in order."""
        try:
            return list(_parse(self.path.read_bytes()))
        except FileNotFoundError:
            return []


@functools.lru_cache(maxsize=16)
def _parse(data: bytes) -> tuple[dict[str, Any], ...]:
    entries = []
    for line in data.split(b"\n"):
        try:
            entries.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return tuple(entry for entry in entries if isinstance(entry, dict))


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
