"""The parts of an .xlsx file (ECMA-376, part 1, section 18): its sheets, and the cells of one as they are displayed.

Cells are counted while they are read, and nothing is believed of a sheet's size but the cells that are there.
"""

import bisect
import contextlib
import posixpath
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from typing_extensions import override

from studio.data.readers import number_format
from studio.data.readers.base import MAX_IN_MEMORY_BYTES, require_size
from studio.errors import DataError

MAX_CELLS = 20_000_000
"""Cells with something in them that a sheet may have."""
MAX_LETTERS = MAX_IN_MEMORY_BYTES
"""Characters in all cells of a sheet; one shared text may stand in many of them."""
_MOST_MERGED = 100_000
_CHUNK = 1 << 16
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
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
    errors: list[int] = field(default_factory=list)
    """Rows with a cell that shows an error such as #N/A; it is empty here."""
    uncalculated: list[int] = field(default_factory=list)
    """Rows with a formula whose result is not in the file; its cell is empty here."""


class Workbook:
    """An open .xlsx file. Raises DataError when it is damaged or too large."""

    def __init__(self, path: Path):
        self._path = path
        with self._damage_reported():
            self._zip = zipfile.ZipFile(path)
            require_size(path.name, sum(part.file_size for part in self._zip.infolist()))
            related = self._related("")
            main = next((target for kind, target in related.values() if kind == "officeDocument"), "xl/workbook.xml")
            if main.endswith(".bin"):
                raise DataError("data.xlsb", name=path.name)
            self._related_parts = self._related(main)
            self.sheets: list[Sheet] = []
            self._since_1904 = False
            self._parse(main, self._of_workbook)
            self._formats = self._read_formats()
            self._texts: list[str] | None = None

    @contextlib.contextmanager
    def _damage_reported(self) -> Iterator[None]:
        """Raise DataError for what a damaged file raises."""
        try:
            yield
        except _UNREADABLE as error:
            detail = str(error)[:200] or type(error).__name__
            raise DataError("data.damaged", name=self._path.name, detail=detail) from error

    def _of_workbook(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "workbookPr":
            self._since_1904 = attributes.get("date1904", "0").lower() in ("1", "true")
        elif tag == "sheet":
            kind, part = self._related_parts.get(attributes.get("id", ""), ("", ""))
            if kind == "worksheet":
                hidden = attributes.get("state", "visible") != "visible"
                self.sheets.append(Sheet(attributes.get("name", ""), part, hidden))

    def _related(self, part: str) -> dict[str, tuple[str, str]]:
        """Return the parts that a part names: kind and path by their ids."""
        folder, name = posixpath.split(part)
        parts: dict[str, tuple[str, str]] = {}

        def add_part(tag: str, attributes: dict[str, str]) -> None:
            if tag == "Relationship" and attributes.get("TargetMode") != "External":
                target = posixpath.normpath(posixpath.join("/", folder, attributes.get("Target", ""))).lstrip("/")
                parts[attributes.get("Id", "")] = (attributes.get("Type", "").rsplit("/", 1)[-1], target)

        names = posixpath.join(folder, "_rels", f"{name}.rels")
        if self._has(names):
            self._parse(names, add_part)
        return parts

    def _has(self, part: str) -> bool:
        return part in self._zip.namelist()

    def _part(self, kind: str) -> str | None:
        return next((target for of_kind, target in self._related_parts.values() if of_kind == kind), None)

    def _parse(
        self,
        part: str,
        start: Callable[[str, dict[str, str]], None],
        end: Callable[[str], None] | None = None,
        text: Callable[[str], None] | None = None,
    ) -> None:
        """Read an XML part, calling back with the names of elements, without prefix."""
        parser = expat.ParserCreate(namespace_separator="\n")
        parser.buffer_text = True
        local = _Local()
        parser.StartElementHandler = lambda name, attributes: start(
            local[name], {local[key]: value for key, value in attributes.items()}
        )
        if end is not None:
            parser.EndElementHandler = lambda name: end(local[name])
        if text is not None:
            parser.CharacterDataHandler = text
        parser.StartDoctypeDeclHandler = _refuse_doctype
        with self._zip.open(part) as file:
            while chunk := file.read(_CHUNK):
                parser.Parse(chunk, False)
            parser.Parse(b"", True)

    def _read_formats(self) -> list[str]:
        """Return the number format of each style that cells name."""
        codes: dict[int, str] = {}
        formats: list[str] = []
        inside = False

        def start(tag: str, attributes: dict[str, str]) -> None:
            nonlocal inside
            if tag == "numFmt":
                codes[int(attributes.get("numFmtId", "0"))] = attributes.get("formatCode", "")
            elif tag == "cellXfs":
                inside = True
            elif tag == "xf" and inside:
                number = int(attributes.get("numFmtId", "0"))
                formats.append(codes.get(number, number_format.built_in(number)))

        def end(tag: str) -> None:
            nonlocal inside
            inside = inside and tag != "cellXfs"

        part = self._part("styles")
        if part and self._has(part):
            self._parse(part, start, end)
        return formats

    def _read_texts(self) -> list[str]:
        """Return the texts that cells of all sheets share, once read."""
        if self._texts is None:
            reader = _SharedTexts()
            part = self._part("sharedStrings")
            if part and self._has(part):
                self._parse(part, reader.start, reader.end, reader.add_text)
            self._texts = reader.texts
        return self._texts

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
        with self._damage_reported():
            reader = _SheetReader(self._path.name, self._read_texts(), self._formats, self._since_1904)
            self._parse(sheet.part, reader.start, reader.end, reader.add_text)
        return reader.cells

    def close(self) -> None:
        """Close the file."""
        self._zip.close()


class _Local(dict[str, str]):
    """Names without their namespace."""

    def __missing__(self, name: str) -> str:
        self[name] = local = name.rsplit("\n", 1)[-1]
        return local


def _refuse_doctype(*args: Any) -> None:
    raise ValueError("the XML declares a document type, which no spreadsheet does")


class _TextCollector:
    """Collects the text of elements but for phonetic guides, which stand above a text."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._collects = self._phonetic = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "rPh":
            self._phonetic = True
        elif tag in ("v", "t"):
            self._collects = not self._phonetic

    def end(self, tag: str) -> None:
        if tag == "rPh":
            self._phonetic = False
        elif tag in ("v", "t"):
            self._collects = False

    def add_text(self, text: str) -> None:
        if self._collects:
            self._text.append(text)


class _SharedTexts(_TextCollector):
    """Reads the texts that cells share."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    @override
    def start(self, tag: str, attributes: dict[str, str]) -> None:
        super().start(tag, attributes)
        if tag == "si":
            self._text = []

    @override
    def end(self, tag: str) -> None:
        super().end(tag)
        if tag == "si":
            self.texts.append(_plain("".join(self._text)))


class _SheetReader(_TextCollector):
    """Reads the cells of a sheet."""

    def __init__(self, name: str, texts: list[str], formats: list[str], since_1904: bool):
        super().__init__()
        self._name, self._texts, self._formats, self._since_1904 = name, texts, formats, since_1904
        self.cells = Cells()
        self._row: dict[int, str] = {}
        self._number = 0
        self._column = -1
        self._cell: dict[str, str] = {}
        self._has_formula = False
        self._count = self._letters = 0

    @override
    def start(self, tag: str, attributes: dict[str, str]) -> None:
        super().start(tag, attributes)
        if tag == "c":
            self._cell, self._text, self._has_formula = attributes, [], False
            column = _column(attributes.get("r", ""))
            self._column = self._column + 1 if column is None else column
        elif tag == "f":
            self._has_formula = True
        elif tag == "row":
            number = attributes.get("r", "")
            self._number = int(number) if number.isdecimal() and len(number) < 10 else self._number + 1
            self._row, self._column = {}, -1
        elif tag == "mergeCell":
            self._merge(attributes.get("ref", ""))

    @override
    def end(self, tag: str) -> None:
        super().end(tag)
        if tag == "c":
            self._take_cell()
        elif tag == "row" and self._row:
            self.cells.rows.append((self._number, self._row))

    def _take_cell(self) -> None:
        text = self._displayed("".join(self._text))
        if not text.strip():
            return
        self._count += 1
        self._letters += len(text)
        if self._count > MAX_CELLS or self._letters > MAX_LETTERS:
            raise DataError("data.too_many_cells", name=self._name, cells=f"{MAX_CELLS:,}", letters=f"{MAX_LETTERS:,}")
        self._row[self._column] = text

    def _displayed(self, stored: str) -> str:
        kind = self._cell.get("t", "n")
        if kind == "e":
            self._note(self.cells.errors)
            return ""
        if not stored:
            if self._has_formula and kind != "str":
                self._note(self.cells.uncalculated)
            return ""
        if kind == "s":
            if not stored.strip().isdecimal() or int(stored) >= len(self._texts):
                self._note(self.cells.errors)
                return ""
            return self._texts[int(stored)]
        if kind == "b":
            return "TRUE" if stored.strip() == "1" else "FALSE"
        if kind in ("str", "inlineStr", "d"):
            return _plain(stored)
        style = self._cell.get("s", "0")
        code = self._formats[int(style)] if style.isdecimal() and int(style) < len(self._formats) else ""
        return number_format.format_number(stored.strip(), code, self._since_1904)

    def _note(self, rows: list[int]) -> None:
        if not rows or rows[-1] != self._number:
            rows.append(self._number)

    def _merge(self, reference: str) -> None:
        match = re.fullmatch(r"([A-Z]{1,3})(\d{1,9}):([A-Z]{1,3})(\d{1,9})", reference)
        if match and match[2] != match[4] and len(self.cells.merged) < _MOST_MERGED:
            self.cells.merged.append((_column(match[1]) or 0, int(match[2]), int(match[4])))


def _column(reference: str) -> int | None:
    """Return the number of a cell's column (`B7` is 1); None where it says none."""
    number = 0
    for place, letter in enumerate(reference):
        if not "A" <= letter <= "Z" or place > 2:
            return number - 1 if place and number else None
        number = number * 26 + ord(letter) - 64
    return number - 1 if number else None


def _plain(text: str) -> str:
    """Return a text with the characters in place that XML cannot hold and files write as `_x000D_`."""
    if "_x" in text:
        text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def letters(column: int) -> str:
    """Return the name of a column: 0 is A, 26 is AA."""
    name = ""
    while column >= 0:
        name = chr(65 + column % 26) + name
        column = column // 26 - 1
    return name


def rows_of(cells: Cells) -> Iterator[tuple[int, dict[int, str]]]:
    """Yield the rows of a sheet, a cell that is merged over several rows in each of them."""
    if not cells.merged:
        yield from cells.rows
        return
    at = dict(cells.rows)
    numbers = sorted(at)
    filled = 0
    for column, first, last in cells.merged:
        text = at.get(first, {}).get(column)
        if text is None:
            continue
        for number in numbers[bisect.bisect_right(numbers, first) : bisect.bisect_right(numbers, last)]:
            at[number].setdefault(column, text)
            filled += 1
            if filled > MAX_CELLS:
                return
    yield from cells.rows
