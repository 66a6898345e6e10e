"""The reading sheet: people read answers and note whether each sounds natural and whether it is wrong."""

import csv
import io
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from studio.compare.comparison import AnswerPair
from studio.errors import CompareError
from studio.evaluate.blind_vote import Side, checked_name
from studio.i18n import DEFAULT_LANGUAGE, text
from studio.journal import Journal

MAX_NOTE_CHARACTERS = 2000
COLUMNS = ("item", "prompt", "side", "answer", "reader", "natural", "wrong", "note")
_QUESTIONS = ("natural", "wrong")
_FORMULA_PREFIXES = tuple("=+-@\t\r\n＝＋－＠")
"""First characters of a formula in a spreadsheet, also in the full width of Korean and Japanese input methods."""


@dataclass(frozen=True)
class Reading:
    """One reader's notes on one answer; None is left open."""

    reader: str
    item: str
    side: Side
    natural: bool | None = None
    wrong: bool | None = None
    note: str = ""


class Sheet:
    """The reading sheet of some answer pairs, kept in a folder."""

    def __init__(self, folder: Path, pairs: Iterable[AnswerPair]):
        """`folder` is the run's `compare` folder. Equal pairs are one; raises CompareError without any."""
        self._pairs = {pair.id: pair for pair in pairs}
        if not self._pairs:
            raise CompareError("compare.no_items")
        self._journal = Journal(folder / "readings.jsonl")

    def note(
        self,
        reader: str,
        item: str,
        side: Side,
        natural: bool | None = None,
        wrong: bool | None = None,
        note: str = "",
        evaluation: str = "",
    ) -> Reading:
        """Store a reader's notes on an answer of an `evaluation`, in place of earlier ones; raises CompareError."""
        if item not in self._pairs or side not in get_args(Side):
            raise CompareError("compare.ballot_item", item=item[:40])
        if len(note) > MAX_NOTE_CHARACTERS:
            raise CompareError("compare.note", count=len(note), most=MAX_NOTE_CHARACTERS)
        reading = Reading(checked_name(reader), item, side, natural, wrong, note)
        more = {"evaluation": evaluation} if evaluation else {}
        self._journal.append(vars(reading) | {"at": round(time.time(), 3)} | more)
        return reading

    def readings(self) -> list[Reading]:
        """Return the notes that count: the last one of each reader on each answer of this sheet."""
        counted = {}
        for entry in self._journal.entries():
            reader, item, side = (str(entry.get(name)) for name in ("reader", "item", "side"))
            if item in self._pairs and side in get_args(Side):
                natural, wrong = (entry[name] if isinstance(entry.get(name), bool) else None for name in _QUESTIONS)
                counted[reader, item, side] = Reading(reader, item, side, natural, wrong, str(entry.get("note", "")))
        return list(counted.values())

    def to_csv(self, language: str = DEFAULT_LANGUAGE) -> bytes:
        """Return the sheet as CSV: one row for every note, and an empty one for every answer without a note.

        UTF-8 with a byte order mark, without which Excel shows Korean as garbage. Cells that a spreadsheet would run
        as a formula are escaped by an apostrophe.
        """
        readings = self.readings()
        words = {True: text("compare.sheet.yes", language), False: text("compare.sheet.no", language), None: ""}
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow([text(f"compare.sheet.{column}", language) for column in COLUMNS])
        for item, pair in self._pairs.items():
            for side in get_args(Side):
                answer = [item, pair.prompt, text(f"compare.sheet.{side}", language), getattr(pair, side)]
                noted = [reading for reading in readings if (reading.item, reading.side) == (item, side)]
                for reading in noted or [Reading("", item, side)]:
                    cells = [*answer, reading.reader, words[reading.natural], words[reading.wrong], reading.note]
                    writer.writerow(f"'{cell}" if cell.startswith(_FORMULA_PREFIXES) else cell for cell in cells)
        return file.getvalue().encode("utf-8-sig", "replace")
