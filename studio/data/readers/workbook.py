"""The parts of an .xlsx file (ECMA-376, part 1, section 18): its sheets, and the cells of one as they are displayed.

Cells are counted while they are read, and nothing is believed of a sheet's size but the cells that are there.
"""

import contextlib
import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.parsers import expat

from studio.data.readers import number_format
from studio.data.readers.base import MAX_IN_MEMORY_BYTES, MAX_ROW_BYTES, require_size, without_surrogates
from studio.errors import DataError, one_line

MAX_CELLS = 20_000_000
"""Cells with something in them that a sheet may have."""
MAX_LETTERS = MAX_IN_MEMORY_BYTES
"""Characters in all cells of a sheet; one shared text may stand in many of them."""
MAX_ELEMENTS, MAX_ELEMENTS_OF_PART = 20_000_000, 500_000
"""XML elements that are read of a workbook in all, and of a part that is neither a sheet nor the shared texts."""
MAX_TAG_BYTES, MAX_LEVELS = 1 << 20, 100
"""Longest tag, which the parser reads again with each chunk until it ends, and elements inside one another."""
MAX_DIRECTORY_BYTES = 4 << 20
"""Bytes of the archive's list of parts: a workbook has some dozens, and each takes a kilobyte of memory."""
_MOST_MERGED = 100_000
_CHUNK = 1 << 16
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_MERGED = re.compile(r"([A-Z]{1,3})(\d{1,9}):([A-Z]{1,3})(\d{1,9})")
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, expat.ExpatError, KeyError, IndexError, ValueError, EOFError, OSError, RuntimeError,
    NotImplementedError,
)  # fmt: skip
"""What a damaged archive or part of one raises; RuntimeError is a part with a password, NotImplementedError an
unusual compression."""


@dataclass(frozen=True)
class Sheet:
    """A sheet of a workbook."""

    name: str
    part: str
    hidden: bool


@dataclass
class Cells:
    """The cells of a sheet: text by column (0 is A), for each row that has any, with its number."""

    rows: list[tuple[int, dict[int, str]]] = field(default_factory=list)
    merged: list[tuple[int, int, int]] = field(default_factory=list)
    """Ranges over several rows that show one cell: column, first and last row."""
    errors: dict[int, None] = field(default_factory=dict)
    """Rows with a cell that shows an error such as #N/A; it is empty here."""
    uncalculated: dict[int, None] = field(default_factory=dict)
    """Rows with a formula whose result is not in the file; its cell is empty here."""


class _Archive(io.FileIO):
    """A file of which a bounded part is read at a time: `zipfile` reads the list of an archive's parts as a whole."""

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes; raises BadZipFile for more than a list of parts may have."""
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("it has too many parts for a workbook")
        return super().read(MAX_DIRECTORY_BYTES if size is None or size < 0 else size)


class Workbook:
    """An open .xlsx file. Raises DataError when it is damaged or too large."""

    def __init__(self, path: Path):
        self._path = path
        self._elements_left = MAX_ELEMENTS
        with contextlib.ExitStack() as opened, self._damage_reported():
            self._file = opened.enter_context(_Archive(path))
            self._zip = zipfile.ZipFile(self._file)
            require_size(path.name, sum(part.file_size for part in self._zip.infolist()))
            self._names = frozenset(self._zip.namelist())
            self._parts: dict[str, str] = {}
            self.sheets: list[Sheet] = []
            main = next((part for kind, part in self._related("").values() if kind == "officeDocument"), None)
            main = main or "xl/workbook.xml"
            if main.endswith(".bin"):
                raise DataError("data.xlsb", name=path.name)
            related = self._related(main)
            self._parts = {kind: part for kind, part in reversed(related.values()) if part in self._names}
            self._since_1904 = False
            for tag, attributes, _ in self._elements(main):
                if tag == "workbookPr":
                    self._since_1904 = attributes.get("date1904", "0").lower() in ("1", "true")
                elif tag == "sheet":
                    ids = (value for key, value in attributes.items() if key.rpartition(":")[2] == "id")
                    kind, part = related.get(next(ids, ""), ("", ""))
                    if kind == "worksheet" and all(part != other.part for other in self.sheets):
                        hidden = attributes.get("state", "visible") != "visible"
                        self.sheets.append(Sheet(attributes.get("name", ""), part, hidden))
            self._formats = self._read_formats()
            opened.pop_all()

    @contextlib.contextmanager
    def _damage_reported(self) -> Iterator[None]:
        """Raise DataError for what a damaged file raises."""
        try:
            yield
        except _UNREADABLE as error:
            raise DataError("data.damaged", name=self._path.name, detail=one_line(error)) from error

    def _elements(self, part: str | None) -> Iterator[tuple[str, dict[str, str], str]]:
        """Yield (`tag`, attributes, "") where an element of a part begins, and (`/tag`, {}, text) where it ends."""
        if part is None:
            return
        large = {self._parts.get("sharedStrings"), *(sheet.part for sheet in self.sheets)}  # as a dataset
        left = MAX_ELEMENTS if part in large else MAX_ELEMENTS_OF_PART
        depth = letters = fed = 0
        events: list[tuple[str, dict[str, str], str]] = []
        text: list[str] = []

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal depth, left, letters
            text.clear()
            depth, left, letters = depth + 1, left - 1, 0
            self._elements_left -= 1
            if depth > MAX_LEVELS or left < 0 or self._elements_left < 0:
                raise _too_complex(self._path, part)
            events.append((name.rpartition(":")[2], attributes, ""))

        def end(name: str) -> None:
            nonlocal depth, letters
            depth, letters = depth - 1, 0
            events.append((f"/{name.rpartition(':')[2]}", {}, "".join(text)))
            text.clear()

        def characters(content: str) -> None:
            nonlocal letters
            letters += len(content)
            if letters > MAX_ROW_BYTES:
                raise _too_complex(self._path, part)
            text.append(content)

        def refuse_doctype(*args: Any) -> None:
            raise ValueError("the XML declares a document type, which no spreadsheet does")

        parser = expat.ParserCreate()
        parser.buffer_text, parser.buffer_size = True, _CHUNK
        parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, characters
        parser.StartDoctypeDeclHandler = refuse_doctype
        with self._zip.open(part) as file:
            while chunk := file.read(_CHUNK):
                parser.Parse(chunk, False)
                fed += len(chunk)
                if fed - parser.CurrentByteIndex > MAX_TAG_BYTES:
                    raise _too_complex(self._path, part)
                yield from events
                events.clear()
            parser.Parse(b"", True)

    def _related(self, part: str) -> dict[str, tuple[str, str]]:
        """Return the parts that a part names: kind and path by their ids."""
        folder, name = posixpath.split(part)
        names = posixpath.join(folder, "_rels", f"{name}.rels")
        parts = {}
        for tag, attributes, _ in self._elements(names if names in self._names else None):
            if tag == "Relationship" and attributes.get("TargetMode") != "External":
                target = posixpath.normpath(posixpath.join("/", folder, attributes.get("Target", ""))).lstrip("/")
                parts[attributes.get("Id", "")] = (attributes.get("Type", "").rsplit("/", 1)[-1], target)
        return parts

    def _read_formats(self) -> list[str]:
        """Return the number format of each style that cells name."""
        codes: dict[int, str] = {}
        formats: list[str] = []
        inside = False
        for tag, attributes, _ in self._elements(self._parts.get("styles")):
            if tag == "numFmt":
                codes[int(attributes.get("numFmtId", "0"))] = attributes.get("formatCode", "")
            elif tag in ("cellXfs", "/cellXfs"):
                inside = tag == "cellXfs"
            elif tag == "xf" and inside:
                number = int(attributes.get("numFmtId", "0"))
                formats.append(codes.get(number, number_format.BUILT_IN.get(number, "")))
        return formats

    @cached_property
    def _texts(self) -> list[str]:
        """The texts that cells of all sheets share, without phonetic guides, which stand above a text."""
        texts, pieces, is_phonetic = [], [], False
        for tag, _, content in self._elements(self._parts.get("sharedStrings")):
            if tag == "/t" and not is_phonetic:
                pieces.append(content)
            elif tag in ("rPh", "/rPh"):
                is_phonetic = tag == "rPh"
            elif tag == "si":
                pieces = []
            elif tag == "/si":
                texts.append(_plain("".join(pieces)))
        return texts

    def has_cells(self, sheet: Sheet) -> bool:
        """Whether a sheet has any cell, as far as its XML can be read."""
        with self._damage_reported(), self._zip.open(sheet.part) as file:
            before = b""
            while chunk := file.read(_CHUNK):
                if re.search(rb"<(\w+:)?c[\s>]", before + chunk):
                    return True
                before = chunk[-16:]
        return False

    def cells(self, sheet: Sheet) -> Cells:
        """Return the cells of a sheet that hold something."""
        cells, row = Cells(), {}
        number, column = 0, -1
        count = characters = 0
        is_phonetic = has_formula = False
        cell: dict[str, str] = {}
        pieces: list[str] = []
        with self._damage_reported():
            for tag, attributes, content in self._elements(sheet.part):
                if tag == "c":
                    cell, pieces, has_formula = attributes, [], False
                    named = _column(attributes.get("r", ""))
                    column = column + 1 if named is None else named
                elif tag in ("/v", "/t"):
                    if not is_phonetic:
                        pieces.append(content)
                elif tag == "/c":
                    text = self._displayed(cell, "".join(pieces), has_formula, cells, number)
                    if not text.strip():
                        continue
                    row[column] = text
                    count, characters = count + 1, characters + len(text)
                    if count > MAX_CELLS or characters > MAX_LETTERS:
                        limits = {"cells": f"{MAX_CELLS:,}", "letters": f"{MAX_LETTERS:,}"}
                        raise DataError("data.too_many_cells", name=self._path.name, **limits)
                elif tag == "f":
                    has_formula = True
                elif tag == "row":
                    written = attributes.get("r", "")
                    number = int(written) if written.isdecimal() and len(written) < 10 else number + 1
                    row, column = {}, -1
                elif tag == "/row" and row:
                    cells.rows.append((number, row))
                elif tag in ("rPh", "/rPh"):
                    is_phonetic = tag == "rPh"
                elif tag == "mergeCell" and len(cells.merged) < _MOST_MERGED:
                    match = _MERGED.fullmatch(attributes.get("ref", ""))
                    if match and match[2] != match[4]:
                        cells.merged.append((_column(match[1]) or 0, int(match[2]), int(match[4])))
        return cells

    def _displayed(self, cell: dict[str, str], stored: str, has_formula: bool, cells: Cells, row: int) -> str:
        """Return the text that a cell shows; empty for one with an error or without a result, whose row is noted."""
        kind = cell.get("t", "n")
        is_text = kind == "s" and bool(stored)
        if kind == "e" or (is_text and not (stored.strip().isdecimal() and int(stored) < len(self._texts))):
            cells.errors[row] = None
            return ""
        if not stored:
            if has_formula and kind != "str":
                cells.uncalculated[row] = None
            return ""
        if is_text:
            return self._texts[int(stored)]
        if kind == "b":
            return "TRUE" if stored.strip() == "1" else "FALSE"
        if kind in ("str", "inlineStr", "d"):
            return _plain(stored)
        style = cell.get("s", "0")
        code = self._formats[int(style)] if style.isdecimal() and int(style) < len(self._formats) else ""
        return number_format.format_number(stored.strip(), code, self._since_1904)

    def close(self) -> None:
        """Close the file."""
        self._zip.close()
        self._file.close()


def _too_complex(path: Path, part: str) -> DataError:
    limits = {"elements": MAX_ELEMENTS_OF_PART, "letters": MAX_ROW_BYTES}
    return DataError("data.too_complex", name=path.name, part=part[:100], **limits)


def _column(reference: str) -> int | None:
    """Return the number of a cell's column (`B7` is 1); None where it says none."""
    number = 0
    for letter in re.match(r"[A-Z]{0,3}", reference)[0]:
        number = number * 26 + ord(letter) - 64
    return number - 1 if number else None


def _plain(text: str) -> str:
    """Return a text with the characters in place that XML cannot hold and files write as `_x000D_`."""
    if "_x" in text:
        return without_surrogates(_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text))
    return text
