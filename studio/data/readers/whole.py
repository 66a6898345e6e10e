"""Formats that can only be read as a whole, and are limited in size: JSON documents, spreadsheets, trees."""

import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typing_extensions import override

from studio.data.marks import MESSAGE_KEYS
from studio.data.readers.base import BadRow, Going, Reader, Row, as_row
from studio.errors import DataError

MAX_WHOLE = 300_000_000
"""Largest file, in bytes, of a format that can only be read as a whole; an .xlsx counts unpacked."""


class _WholeReader(Reader):
    """A reader of a format that is read as a whole."""

    def __init__(self, path: Path):
        super().__init__(path)
        self._held: list[Row | BadRow] | None = None

    def _load(self) -> list[Row | BadRow]:
        raise NotImplementedError

    @override
    def index(self, going: Going = lambda share: None) -> int:
        self.count = len(self._all())
        return self.count

    @override
    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row | BadRow]:
        yield from self._all()[start:stop]

    def _all(self) -> list[Row | BadRow]:
        if self._held is None:
            size = self.path.stat().st_size
            if size > MAX_WHOLE:
                raise DataError("data.too_large", name=self.path.name, size=size >> 20, most=MAX_WHOLE >> 20)
            self._held = self._load()
        return self._held


class JsonFile(_WholeReader):
    """One JSON document: a list of objects, or an object with one list in it."""

    def __init__(self, path: Path, encoding: str):
        super().__init__(path)
        self._encoding = encoding

    def _load(self) -> list[Row | BadRow]:
        try:
            content = json.loads(self.path.read_text(encoding=self._encoding))
        except (json.JSONDecodeError, RecursionError) as error:
            line, detail = getattr(error, "lineno", 1), getattr(error, "msg", "nested too deeply")
            raise DataError("data.json", name=self.path.name, line=line, detail=detail) from error
        if isinstance(content, dict):
            lists = [value for value in content.values() if isinstance(value, list)]
            content = lists[0] if len(lists) == 1 else content
        if not isinstance(content, list):
            raise DataError("data.json_shape", name=self.path.name)
        return [as_row(row) for row in content]


class Spreadsheet(_WholeReader):
    """The first sheet of an Excel file; the first row is the header, and every cell becomes text."""

    def _load(self) -> list[Row | BadRow]:
        import openpyxl

        try:
            with zipfile.ZipFile(self.path) as parts:
                unpacked = sum(part.file_size for part in parts.infolist())
            if unpacked > MAX_WHOLE:
                raise DataError("data.too_large", name=self.path.name, size=unpacked >> 20, most=MAX_WHOLE >> 20)
            with open(self.path, "rb") as file:
                sheet = openpyxl.load_workbook(file, read_only=True, data_only=True).worksheets[0]
                cells = [
                    ["" if cell is None else str(cell) for cell in row] for row in sheet.iter_rows(values_only=True)
                ]
        except (zipfile.BadZipFile, KeyError, IndexError, OSError) as error:
            raise DataError("data.damaged", name=self.path.name, detail=str(error)[:200]) from error
        header = [name.strip() for name in cells[0]] if cells else []
        width = max((i + 1 for i, name in enumerate(header) if name), default=0)
        twice = [column for column, count in Counter(header[:width]).items() if count > 1]
        if twice:
            raise DataError("data.column_twice", name=self.path.name, column=twice[0])
        return [dict(zip(header[:width], row, strict=False)) for row in cells[1:] if any(row)]


class Tree(_WholeReader):
    """Messages that form trees (`message_id, parent_id, role, text`): each path to a last answer is a conversation."""

    COLUMNS = frozenset({"message_id", "parent_id", "role", "text"})
    MOST = 2_000_000
    """Messages that are held in memory at most."""

    def __init__(self, messages: Reader):
        super().__init__(messages.path)
        self._messages = messages

    def _load(self) -> list[Row | BadRow]:
        if self._messages.index() > self.MOST:
            raise DataError("data.too_large", name=self.path.name, size=self._messages.count, most=self.MOST)
        nodes = {row["message_id"]: row for row in self._messages.rows() if not isinstance(row, BadRow)}
        answers = {name: row for name, row in nodes.items() if row["role"] in ("assistant", "gpt", "bot")}
        questions = (nodes.get(row["parent_id"]) for row in answers.values())
        continued = {question["parent_id"] for question in questions if question}
        return [{"messages": self._path(nodes, name)} for name in answers if name not in continued]

    def _path(self, nodes: dict[Any, Row], name: Any) -> list[dict[str, Any]]:
        path: list[dict[str, Any]] = []
        seen = set()
        while name in nodes and name not in seen:
            seen.add(name)
            node = nodes[name]
            kept = {key: node[key] for key in MESSAGE_KEYS & node.keys()}
            path.append({"role": node["role"], "content": node["text"], **kept})
            name = nodes[name]["parent_id"]
        return path[::-1]
