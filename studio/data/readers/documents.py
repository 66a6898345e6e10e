"""JSON that is no object a line: a list, an object with rows in it, one conversation, or several of these in a row."""

import json
import json.scanner
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from studio.data.marks import MESSAGE_KEYS
from studio.data.readers import base
from studio.data.readers.base import BadRow, InMemoryReader, Reader, RepairedRow, Row, as_row
from studio.data.readers.lines import MAX_LITERAL, RowPerLine, json_row, parsed_line
from studio.data.vocabulary import VOCABULARY
from studio.errors import DataError
from studio.i18n import message

_NAMES = VOCABULARY["json"]
_SPEAKERS, _CONVERSATION_IDS = frozenset(_NAMES["speakers"]), frozenset(_NAMES["conversation_ids"])
_BETWEEN = re.compile(r"[\s,\x1e\ufeff]*")
"""What may stand between two documents: space, commas, and the separators of RFC 7464."""
_LAST_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[\]}])', re.DOTALL)
"""A string, or the comma behind the last entry of a list or an object."""
MAX_VALUES, MAX_SHARE_OF_COMMAS = 10_000_000, 0.25
"""Lists and objects in a document, each of which takes some hundred bytes of memory; and the share of its letters that
are commas, far more than between texts: between numbers of one digit it is a half."""
_SMALL, _CHUNK = 32 << 20, 1 << 20
_PEEK_LINES = 50
_LONGEST_LINE = 8 << 20


def reader(path: Path, encoding: str) -> Reader:
    """Return the reader that fits what a JSON file holds, whatever its ending says; raises DataError naming the line.

    A file whose first line is complete is read a line at a time, unless that line is all there is.
    """
    lines: list[str] = []
    with open(path, encoding=encoding, errors="replace") as file:
        while len(lines) < _PEEK_LINES and (line := file.readline(_LONGEST_LINE)):
            if line.strip("\0 \t\r\n"):
                lines.append(line)
    first = _value(lines[0]) if lines else None
    if isinstance(first, list):
        is_whole = len(lines) < 2 or (_is_rows(first) and not is_conversation(first))
    else:
        is_whole = len(lines) < 2 and path.suffix.lower() == ".json"
    if first is not None and not is_whole:
        return RowPerLine(path, encoding, json_row)
    documents = JsonDocuments(path, encoding)
    try:
        documents.index()
        return documents
    except DataError:  # those of its lines that can be read may be rows
        values = [value for line in lines if (value := _value(line)) is not None]
        line = lines[0].strip().rstrip(",") if lines else ""
        is_of_lines = line == "[" or line[:1] not in ("{", "[") or line[-1] in "}]"  # opens a list, or is damaged
        if values and is_of_lines and not is_conversation(values):
            return RowPerLine(path, encoding, json_row)
        if lines and all(_value(line, python=True) is not None for line in lines):
            python = RowPerLine(path, encoding, partial(json_row, python=True))
            python.notes.append(message("data.lenient_json"))
            return python
        raise


def _value(line: str, python: bool = False) -> Any:
    """Return the object or list that a line is by itself; None for any other line."""
    try:
        value = parsed_line(line, python)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


class JsonDocuments(InMemoryReader):
    """JSON documents, one or several after one another: lists of rows, objects with rows in them, or rows."""

    def __init__(self, path: Path, encoding: str):
        super().__init__(path)
        self._encoding = encoding

    def _load(self) -> list[Row | BadRow]:
        content, is_damaged = self.path.read_bytes(), False
        try:
            text = content.decode(self._encoding)
        except UnicodeDecodeError:
            text, is_damaged = content.decode(self._encoding, "surrogateescape"), True
        if len(text) > _SMALL:
            values, commas = text.count("[") + text.count("{"), text.count(",")
            if values > MAX_VALUES or commas > MAX_SHARE_OF_COMMAS * len(text):
                raise DataError("data.too_many_values", name=self.path.name, most=MAX_VALUES)
            if any(run > base.MAX_ROW_BYTES for run in _runs(text)):
                raise DataError("data.long_value", name=self.path.name, most=base.MAX_ROW_BYTES)
        try:
            values = list(self._values(text.strip("\0")))
        except DataError:
            text = _LAST_COMMA.sub(lambda match: match[1] or "", text)
            value = _value(text, python=len(text) <= MAX_LITERAL)
            if value is None:
                raise
            values = [value]
            self.notes.append(message("data.lenient_json"))
        if not values:
            raise DataError("data.empty", name=self.path.name)
        if not any(isinstance(value, dict | list) for value in values):
            raise DataError("data.json_shape", name=self.path.name)
        if len(values) == 1:
            values, others = rows_of(values[0])
            if others:
                self.notes.append(message("data.other_lists", others=", ".join(others)))
        else:
            values = [row for value in values for row in (rows_of(value)[0] if isinstance(value, list) else [value])]
        rows = [as_row(value) for value in values]
        for number, row in enumerate(rows):
            if is_damaged and isinstance(row, RepairedRow) and "half_letter" in row.notes:
                rows[number] = BadRow("bad_letters", str(row))
        return rows

    def _values(self, text: str) -> Iterator[Any]:
        """Yield the documents in a text; raises DataError at the first that is none."""
        decoder = json.JSONDecoder()
        if len(text) > _SMALL:  # the scanner in C keeps other threads waiting to its end
            decoder.scan_once = json.scanner.py_make_scanner(decoder)
        at = _BETWEEN.match(text).end()
        while at < len(text):
            try:
                value, at = decoder.raw_decode(text, at)
            except RecursionError as error:
                line = text.count("\n", 0, at) + 1
                raise DataError("data.json", name=self.path.name, line=line, detail="nested too deeply") from error
            except ValueError as error:
                place = getattr(error, "pos", at)
                line = text.count("\n", 0, min(place, len(text.rstrip()))) + 1
                behind = " ".join(text[place : place + 60].split())
                detail = f"{getattr(error, 'msg', error)}{behind and ': '}{behind}"
                raise DataError("data.json", name=self.path.name, line=line, detail=detail) from error
            yield value
            at = _BETWEEN.match(text, at).end()


def _runs(text: str) -> Iterator[int]:
    """Yield lengths of what lies between quotation marks of JSON, or of as much of it as is seen so far."""
    at = run = 0
    while at < len(text):
        chunk = text[at : at + _CHUNK]
        if (len(chunk) - len(chunk.rstrip("\\"))) % 2:
            chunk = text[at : at + _CHUNK + 1]
        at += len(chunk)
        first, *others = chunk.replace("\\\\", "__").replace('\\"', "__").split('"')
        yield max(map(len, others), default=0)
        yield run + len(first)
        run = len(others[-1]) if others else run + len(first)


def rows_of(document: Any) -> tuple[list[Any], list[str]]:
    """Return the rows in a JSON document, and the names of the lists beside them that are left out.

    A list whose entries speak by turns is one row, as is an object that has such a list under the name of a chat.
    """
    if isinstance(document, list):
        return ([document] if is_conversation(document) else document), []
    if columns := _columns(document):
        return columns, []
    lists = {name: value for name, value in document.items() if _is_rows(value)}
    if any(name.lower() in _NAMES["chats"] and _are_turns(value) for name, value in lists.items()):
        return [document], []
    lists = {name: value for name, value in lists.items() if not is_conversation(value)}
    if lists:
        named = next((name for name in _NAMES["rows"] if name in lists), max(lists, key=lambda name: len(lists[name])))
        return lists[named], [name for name in lists if name != named]
    inner = list(document.values())
    if len(inner) > 1 and all(isinstance(row, dict) and row and row.keys() == inner[0].keys() for row in inner):
        return inner, []  # rows under their numbers or names, as pandas writes them with orient="index"
    return [document], []


def _is_rows(value: Any) -> bool:
    """Whether a value is a list of objects, or of lists of them."""
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) or (isinstance(first, list) and bool(first) and isinstance(first[0], dict))


def _are_turns(value: Any) -> bool:
    """Whether the entries of a list that is named as a chat are turns, whoever speaks in them."""
    for turn in value:
        if not isinstance(turn, Mapping) or _CONVERSATION_IDS.intersection(turn):
            return False
        names_speaker = any(isinstance(turn.get(name), str) for name in _NAMES["speaker_keys"])
        if not names_speaker and not _SPEAKERS.issuperset(map(str.lower, turn)):
            return False
    return True


def is_conversation(value: Any) -> bool:
    """Whether a list is one conversation: its entries are turns of the usual speakers."""
    if not isinstance(value, list) or not value or not _are_turns(value) or any(len(turn) < 2 for turn in value):
        return False
    return any(all(str(turn.get(name)).lower() in _SPEAKERS for turn in value) for name in _NAMES["speaker_keys"])


def _columns(document: Mapping[str, Any]) -> list[Any]:
    """Return the rows of an object that holds a list, or an object, of cells for each column; empty for others."""
    cells = list(document.values())
    if isinstance(document.get("columns"), list) and isinstance(document.get("data"), list):
        names = [str(name) for name in document["columns"]]
        return [dict(zip(names, row, strict=False)) for row in document["data"] if isinstance(row, list)]
    are_lists = len(cells) > 1 and all(isinstance(column, list) and len(column) == len(cells[0]) for column in cells)
    if are_lists and not any(isinstance(cell, dict | list) for column in cells for cell in column):
        return [dict(zip(document, row, strict=True)) for row in zip(*cells, strict=True)]
    by_number = [column for column in cells if isinstance(column, dict) and "0" in column]
    if len(by_number) == len(cells) > 1 and all(column.keys() == cells[0].keys() for column in cells):
        return [{name: column[number] for name, column in document.items()} for number in cells[0]]
    return []


class MessageTree(InMemoryReader):
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
        nodes: dict[Any, Row] = {}
        unplaced: list[Row | BadRow] = []
        for row in self._messages.rows():
            if isinstance(row, BadRow):
                unplaced.append(row)
            elif isinstance(row.get("message_id"), str | int) and isinstance(row.get("parent_id"), str | int | None):
                nodes[row["message_id"]] = {name: row[name] for name in row if name in self.COLUMNS | MESSAGE_KEYS}
            else:
                unplaced.append(BadRow("not_turns", str(row.get("text"))))
        answers = {name: row for name, row in nodes.items() if row["role"] in ("assistant", "gpt", "bot")}
        questions = (nodes.get(row["parent_id"]) for row in answers.values())
        continued = {question["parent_id"] for question in questions if question}
        return [*({"messages": self._path(nodes, name)} for name in answers if name not in continued), *unplaced]

    def _path(self, nodes: dict[Any, Row], name: Any) -> list[dict[str, Any]]:
        path: dict[Any, dict[str, Any]] = {}
        while name in nodes and name not in path:
            node = nodes[name]
            extra = {key: node[key] for key in MESSAGE_KEYS & node.keys()}
            path[name] = {"role": node["role"], "content": node["text"], **extra}
            name = node["parent_id"]
        return [*reversed(path.values())]
