"""Rows that were made are looked through: kept, edited, dropped, and all of that undone.

Each decision is appended to a journal beside the rows, which themselves never change. The rows that are left are
written to another file.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.data import provenance, source
from studio.data.readers.base import BadRow
from studio.errors import DataError
from studio.files import cached_by_file, sha256, write_json_lines
from studio.journal import Journal

KEEP, EDIT, DROP, UNDO = "keep", "edit", "drop", "undo"
SOURCE = "source"
"""The column that says where a row comes from."""
Section = tuple[str, str]
"""A column or a role, and its text."""


@dataclass(frozen=True)
class Card:
    """A row to be looked at."""

    number: int
    """From 1."""
    sections: tuple[Section, ...]
    origin: dict[str, Any]
    """Its file, place, recipe and format."""
    state: str | None
    """`KEEP` or `DROP`; None while nobody has decided."""
    edited: bool


@dataclass(frozen=True)
class Counts:
    """How far somebody has looked through the rows."""

    rows: int
    kept: int
    edited: int
    """Of the rows that are not dropped."""
    dropped: int

    @property
    def open(self) -> int:
        """Rows about which nothing was decided; they are used."""
        return self.rows - self.kept - self.dropped


@dataclass
class _Decision:
    state: str | None = None
    sections: tuple[Section, ...] | None = None
    """The text that replaces the row's own."""


class Review:
    """The rows of a file that was made of material, and what was decided about them."""

    def __init__(self, path: Path):
        """Open the rows; those that a review has left are opened as the rows that it was about.

        Raises DataError for rows that were not made of material.
        """
        original = provenance.read(path).get("original")
        if isinstance(original, str) and (path.parent / Path(original).name).is_file():
            path = path.parent / Path(original).name
        if not path.is_file():
            raise DataError("data.no_file", path=path.name)
        self.path, (self._table, self._rows) = path, _open_table(path)
        if not provenance.is_of_material(self._table):
            raise DataError("material.not_made", name=path.name)
        self._journal = Journal(path.with_name(f"{path.stem}.review.jsonl"))

    def cards(self, first: int, count: int) -> list[Card]:
        """Return some rows, the first one by its number."""
        decisions = self._decisions()
        rows = self._table.rows(first - 1, first - 1 + count)
        return [_card(number, row, decisions[number]) for number, row in enumerate(rows, first)]

    def counts(self) -> Counts:
        """Count the rows by what was decided."""
        decisions = list(self._decisions().values())
        states = [decision.state for decision in decisions]
        edited = sum(decision.sections is not None and decision.state != DROP for decision in decisions)
        return Counts(self._table.count, states.count(KEEP), edited, states.count(DROP))

    def next_open(self, after: int) -> int | None:
        """Return the first row behind `after` about which nothing was decided, else the first one at all, else None."""
        decisions = self._decisions()
        numbers = [*range(after + 1, self._table.count + 1), *range(1, after + 1)]
        return next((number for number in numbers if decisions[number].state is None), None)

    def decide(self, number: int, action: str) -> None:
        """Keep or drop a row; a dropped one can be kept again."""
        assert action in (KEEP, DROP)
        self._require(number)
        self._append(action, row=number)

    def edit(self, number: int, text: str) -> None:
        """Replace a row by an edited `to_text`; raises DataError where its form is lost."""
        card = self._require(number)
        sections = parse_text(text, card.sections)
        if sections != card.sections:
            self._append(EDIT, row=number, sections=sections)

    def undo(self) -> int | None:
        """Take the last decision back and return the row's number; None where there is none."""
        entries = self._entries()
        if not entries:
            return None
        self._append(UNDO)
        return int(entries[-1]["row"])

    def write(self, out: Path) -> Counts:
        """Write the rows that are not dropped, as they were edited; raises DataError where none is left."""
        decisions, counts = self._decisions(), self.counts()
        if counts.dropped >= counts.rows:
            raise DataError("material.all_dropped", count=counts.rows)
        rows = ((decisions[number], row) for number, row in enumerate(self._table.rows(), 1))
        left = (pair for pair in rows if pair[0].state != DROP and not isinstance(pair[1], BadRow))
        write_json_lines(out, (_with_sections(row, decision.sections) for decision, row in left))
        return counts

    def write_provenance(self, rows: Path) -> None:
        """Write, beside the rows that `write` has written, what was dropped of which file."""
        filtered = provenance.read(self.path).get("filtered", {})
        provenance.write(rows, filtered, self.counts().dropped, self.path.name)

    def _require(self, number: int) -> Card:
        if not 1 <= number <= self._table.count:
            raise DataError("material.no_row", number=number, count=self._table.count)
        return self.cards(number, 1)[0]

    def _append(self, action: str, **more: Any) -> None:
        self._journal.append({"action": action, "of": self._rows, **more})

    def _entries(self) -> list[dict[str, Any]]:
        """Return the decisions that stand, in order; those about rows that were made before at this place do not."""
        entries: list[dict[str, Any]] = []
        for entry in self._journal.entries():
            if entry.get("of", self._rows) != self._rows:
                continue
            if entry.get("action") == UNDO:
                entries = entries[:-1]
            elif entry.get("action") in (KEEP, DROP, EDIT) and isinstance(entry.get("row"), int):
                entries.append(entry)
        return entries

    def _decisions(self) -> defaultdict[int, _Decision]:
        decisions: defaultdict[int, _Decision] = defaultdict(_Decision)
        for entry in self._entries():
            decision = decisions[entry["row"]]
            if entry["action"] == EDIT:
                decision.sections = tuple((str(name), str(text)) for name, text in entry["sections"])
                decision.state = KEEP
            else:
                decision.state = entry["action"]
        return decisions


@cached_by_file(4)
def _open_table(path: Path) -> tuple[source.Table, str]:
    """Open the rows, and hash them; a table knows where each row begins, which takes a pass over the file."""
    return source.open_file(path), sha256(path)[:16]


def _card(number: int, row: Any, decision: _Decision) -> Card:
    if isinstance(row, BadRow):
        return Card(number, (), {}, DROP, False)
    sections = decision.sections or tuple(_sections(row))
    return Card(number, sections, dict(row.get(SOURCE) or {}), decision.state, decision.sections is not None)


def _sections(row: dict[str, Any]) -> Iterator[Section]:
    if isinstance(row.get("messages"), list):
        yield from ((str(turn.get("role")), str(turn.get("content"))) for turn in row["messages"])
    else:
        yield from ((name, str(value)) for name, value in row.items() if name != SOURCE)


def _with_sections(row: dict[str, Any], sections: Sequence[Section] | None) -> dict[str, Any]:
    if sections is None:
        return dict(row)
    is_chat = isinstance(row.get("messages"), list)
    content = {"messages": [{"role": role, "content": text} for role, text in sections]} if is_chat else dict(sections)
    return {**content, SOURCE: {**row[SOURCE], "edited": True}}


def to_text(sections: Sequence[Section]) -> str:
    """Return a row as one text to be edited: each section below a line with its name in brackets."""
    mark = _mark({name for name, _ in sections})
    return "\n\n".join(f"[{name}]\n" + mark.sub(r"\\\g<0>", text) for name, text in sections)


def parse_text(text: str, sections: Sequence[Section]) -> tuple[Section, ...]:
    """Return the sections of an edited `to_text`; `sections` are those that it was made of.

    Turns of a chat may be added or removed as long as the user begins and the assistant ends. Raises DataError.
    """
    names = [name for name, _ in sections]
    malformed = DataError("material.edited", names=", ".join(f"[{name}]" for name in dict.fromkeys(names)))
    mark = _mark(set(names))
    edited: list[tuple[str, list[str]]] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        match = mark.fullmatch(line.rstrip())
        if match and not match[1]:
            edited.append((match[2], []))
        elif edited:
            edited[-1][1].append(line[1:] if match else line)
        elif line.strip():
            raise malformed
    result = tuple((name, "\n".join(lines).strip()) for name, lines in edited)
    headings = [name for name, _ in result]
    if set(names) <= {"user", "assistant"}:
        has_form = bool(headings) and headings == ["user", "assistant"] * (len(headings) // 2)
    else:
        has_form = headings == names
    if not has_form or not all(content for _, content in result):
        raise malformed
    return result


def _mark(names: set[str]) -> re.Pattern[str]:
    """Return what matches a line that names a section; one of the text itself has a backslash before it."""
    return re.compile(rf"^(\\*)\[({'|'.join(map(re.escape, sorted(names)))})\]$", re.MULTILINE)
