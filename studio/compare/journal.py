"""What is kept of answers, and what people say about them, line by line; many pages and processes write at once."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio import locks
from studio.errors import CompareError
from studio.files import replace_file

LONGEST_NAME = 80
"""Characters of the name by which a person is known."""


@dataclass(frozen=True)
class Pair:
    """Both sides' answers to one prompt."""

    prompt: str
    before: str
    after: str

    @property
    def id(self) -> str:
        """A name made of the content: what is said about a pair never moves to another one."""
        return digest(self.prompt, self.before, self.after)[:16]


def digest(*parts: str) -> str:
    """Return a hash of some texts in order, as hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()


def checked_name(name: str) -> str:
    """Return a person's name without white space around it; raises CompareError when it cannot be used."""
    trimmed = name.strip()
    if not 0 < len(trimmed) <= LONGEST_NAME:
        raise CompareError("compare.voter", most=LONGEST_NAME)
    return trimmed


class Journal:
    """A file of JSON lines. A line that was torn by a kill is skipped and swallows no other."""

    def __init__(self, path: Path):
        self.path = path

    @property
    def stamp(self) -> tuple[int, int] | None:
        """What changes with every entry: time and size of the file; None before the first."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_size

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write one entry, whole."""
        line = _line(entry)
        with self._alone(), open(self.path, "ab+") as file:
            if file.tell():
                file.seek(-1, 2)
                line = line if file.read(1) == b"\n" else b"\n" + line
            file.write(line)

    def replace(self, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
        """Write all entries anew, as `change` makes them of those that are there; other writers wait meanwhile."""
        with self._alone():
            replace_file(self.path, b"".join(map(_line, change(self.entries()))))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locks.held(Path(f"{self.path}.lock")):
            yield

    def entries(self) -> list[dict[str, Any]]:
        """Return all whole entries, in the order in which they were written."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        read = []
        for line in data.split(b"\n"):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                read.append(entry)
        return read


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
