"""Files as they are given: alone, in folders, in zips. Nothing of a zip is written to the disk."""

import codecs
import csv
import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any

from studio.data import encodings
from studio.data.readers.base import require_size
from studio.errors import DataError, one_line
from studio.i18n import Message

MAX_BYTES = 2 << 30
"""Largest file, and the most that a zip may unpack to, in bytes."""
MAX_IN_MEMORY = 300_000_000
"""Largest file, in bytes, of a format that is read as a whole, and largest file in a zip."""
MAX_ENTRIES = 50_000
"""Most files in a zip or folder."""
HEAD = 1 << 16
ZIP_ERRORS = (RuntimeError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, LookupError)
"""What zipfile raises for a damaged zip; a RuntimeError also for one that needs a password."""
_OFFICE = (".docx", ".epub")
"""Formats that are zips themselves."""
_MEDIA = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".heic", ".mp4", ".mov", ".m4a", ".opus", ".mp3", ".aac", ".vcf")
"""What exports hold beside their messages."""


@dataclass
class Part:
    """One file: on the disk, or an entry of a zip."""

    path: Path
    name: str
    """The file's name, with its folders inside the folder or zip that was given."""
    encoding: str | None = None
    """The encoding that the user names, if any."""
    archive: zipfile.ZipFile | None = None
    origin: Path | None = None
    """The file, folder or zip that was given, and holds it."""
    is_named: bool = True
    """Whether the user named this very file, not a folder or zip that holds it."""
    is_nested: bool = False
    """Whether it is in a zip that is in a zip."""
    notes: list[Message] = field(default_factory=list)
    """What the reader of the summary should know about how the file was read."""

    @property
    def suffix(self) -> str:
        """The ending of the name in lower case, with its dot."""
        return PurePosixPath(self.name).suffix.lower()

    @property
    def size(self) -> int:
        """Bytes, unpacked."""
        return self.archive.getinfo(self.name).file_size if self.archive else self.path.stat().st_size

    def open(self) -> IO[bytes]:
        """Open the bytes; raises DataError for a zip that is damaged or needs a password."""
        if self.archive is None:
            return open(self.path, "rb")
        return io.BytesIO(self._unpack(MAX_IN_MEMORY))

    def read(self) -> bytes:
        """Return all bytes; raises DataError for a file that is too large to be read as a whole."""
        require_size(self.name, self.size, MAX_IN_MEMORY)
        with self.open() as file:
            return file.read()

    def _unpack(self, limit: int) -> bytes:
        assert self.archive is not None
        try:
            with self.archive.open(self.name) as file:
                content = file.read(limit + 1)
        except ZIP_ERRORS as error:
            raise zip_error(self.name, error) from error
        require_size(self.name, len(content), MAX_IN_MEMORY)
        return content

    @cached_property
    def start(self) -> bytes:
        """The first 64 KB."""
        if self.archive is not None:
            return self._unpack(HEAD)[:HEAD]
        with open(self.path, "rb") as file:
            return file.read(HEAD)

    @cached_property
    def head(self) -> str:
        """The first 64 KB as text; empty for what is no text."""
        if self.start.count(b"\0") > len(self.start) // 2 + 1 or self.start[:4] in (b"PK\3\4", b"%PDF"):
            return ""
        try:
            codec = self.codec
        except DataError:
            return ""
        return codecs.getincrementaldecoder(codec)("replace").decode(self.start).lstrip("\ufeff")

    @cached_property
    def codec(self) -> str:
        """The encoding as Python names it; raises DataError for what is no text, or not clear."""
        if not self.start:
            return "utf-8"
        if self.archive is None:
            return encodings.detect(self.path, self.encoding, can_choose=False)
        return self.encoding or encodings.detect_in(self._unpack(encodings.CHUNK)[: encodings.CHUNK], self.name)

    def text(self) -> str:
        """Return the whole text."""
        return self.read().decode(self.codec, "replace").lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")

    def lines(self) -> Iterator[str]:
        """Yield the lines without their ends; letters that cannot be read are replaced."""
        with self.open() as binary, io.TextIOWrapper(binary, self.codec, "replace") as file:
            for number, line in enumerate(file):
                yield line.rstrip("\n").lstrip("\ufeff") if not number else line.rstrip("\n")

    def table(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the rows of CSV with cells, each after the number of its last line; an unreadable one is empty."""
        csv.field_size_limit(1 << 30)
        reader = csv.reader(line + "\n" for line in self.lines())
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error:
                yield reader.line_num, []
                continue
            if row:
                yield reader.line_num, row

    def utf8(self) -> IO[bytes]:
        """Open the text as UTF-8 without a mark."""
        codec = self.codec
        if codec not in ("utf-8", "utf-8-sig", "ascii"):
            return io.BytesIO(self.text().encode("utf-8", "replace"))
        file = self.open()
        file.seek(len(codecs.BOM_UTF8) if self.start.startswith(codecs.BOM_UTF8) else 0)
        return file

    def items(self, prefix: str) -> Iterator[Any]:
        """Yield the values at a prefix of ijson; raises DataError where the file ends early or is no JSON."""
        import ijson

        try:
            with self.utf8() as file:
                yield from ijson.items(file, prefix, use_float=True)
        except (ijson.JSONError, ValueError) as error:
            raise DataError(
                "data.damaged", name=self.name, detail=(str(error).splitlines() or [""])[0][:200]
            ) from error

    def neighbour(self, name: str) -> "Part | None":
        """Return the file of this name one folder up, if it is there; such as the users of a Slack export."""
        if self.archive is not None:
            entry = str(PurePosixPath(self.name).parent.parent / name)
            return Part(self.path, entry, None, self.archive) if entry in self.archive.namelist() else None
        path = self.path.parent.parent / name
        return Part(path, name) if path.is_file() else None


def zip_error(name: str, error: Exception) -> DataError:
    """Return the error for a zip that cannot be unpacked: it needs a password, or is damaged."""
    if isinstance(error, RuntimeError) and not isinstance(error, NotImplementedError):
        return DataError("material.password", name=name)
    return DataError("data.damaged", name=name, detail=one_line(error))


def walk(paths: list[Path], encoding: str | None, left_out: Counter[str]) -> Iterator[Part]:
    """Yield the files of paths, folders and zips; what is neither text nor document is counted in `left_out`.

    Raises DataError for a path that is not there, and for a zip that is damaged or unpacks to too much.
    """
    for path in paths:
        if not path.exists():
            raise DataError("material.missing", name=str(path))
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
            if len(files) > MAX_ENTRIES:
                raise DataError("material.many_files", name=path.name, count=len(files), most=MAX_ENTRIES)
            for file in files:
                name = file.relative_to(path).as_posix()
                if not _is_junk(name):
                    yield from _opened(Part(file, name, encoding, origin=path, is_named=False), left_out)
        else:
            yield from _opened(Part(path, path.name, encoding, origin=path), left_out)


def _opened(part: Part, left_out: Counter[str], unpacked: list[int] | None = None) -> Iterator[Part]:
    """Yield the part, or the entries of one that is a zip; those of a zip in a zip too, but no deeper.

    `unpacked` are the bytes of the zip that holds the part, and of those in it that were opened before.
    """
    if not part.is_named and part.suffix in _MEDIA:
        left_out["other_file"] += 1
        return
    require_size(part.name, part.size, MAX_BYTES)
    if not part.start.startswith(b"PK\3\4") or part.suffix in _OFFICE:
        yield part
        return
    if part.is_nested:
        left_out["nested_zip"] += 1
        return
    is_nested, origin, unpacked = part.archive is not None, part.origin, unpacked or []
    if is_nested and origin is not None:
        origin /= part.name  # two zips may hold files of one name
    try:
        archive = zipfile.ZipFile(part.open() if is_nested else part.path)
    except (*ZIP_ERRORS, DataError) as error:
        if is_nested:
            left_out["damaged_file"] += 1
            return
        raise zip_error(part.name, error) from error
    with archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir() and not _is_junk(entry.filename)]
        if len(entries) > MAX_ENTRIES:
            raise DataError("material.many_files", name=part.name, count=len(entries), most=MAX_ENTRIES)
        unpacked.append(sum(entry.file_size for entry in entries))
        require_size(part.name, sum(unpacked), MAX_BYTES)
        for entry in entries:
            inner = Part(part.path, entry.filename, part.encoding, archive, origin, is_named=False, is_nested=is_nested)
            yield from _opened(inner, left_out, unpacked)


def _is_junk(name: str) -> bool:
    return name.startswith("__MACOSX/") or PurePosixPath(name).name.startswith(".")
