"""Excel workbooks: the rows of one sheet, every cell as the text that the sheet shows."""

import bisect
import contextlib
from collections.abc import Iterator
from pathlib import Path

from typing_extensions import override

from studio.data.readers.base import BadRow, InMemoryReader, Row, require_unique
from studio.data.readers.workbook import MAX_CELLS, Cells, Sheet, Workbook
from studio.errors import DataError
from studio.i18n import listed, message


class Spreadsheet(InMemoryReader):
    """A sheet of an .xlsx file: the one called `sheet`, else the first with rows. The first row is the header."""

    def __init__(self, path: Path, sheet: str | None = None):
        super().__init__(path)
        self._wanted = sheet
        self.sheets: list[str] = []
        """The names of all sheets, once the rows were read."""
        self._columns: list[str] = []

    @override
    def _load(self) -> list[tuple[str, ...]]:
        """Return the rows below the header; their cells are kept as tuples, and named on demand."""
        with contextlib.closing(Workbook(self.path)) as book:
            self.sheets = [sheet.name for sheet in book.sheets]
            sheet, cells = self._chosen(book)
            others = [other for other in book.sheets if other is not sheet and book.has_cells(other)]
        for kind, hidden in (("other_sheets", False), ("hidden_sheets", True)):
            if named := [other.name for other in others if other.hidden == hidden]:
                self.notes.append(message(f"data.{kind}", sheet=sheet.name, others=listed(named)))
        for kind, numbers in (("sheet_errors", cells.errors), ("sheet_formulas", cells.uncalculated)):
            if numbers:
                self.notes.append(message(f"data.{kind}", count=len(numbers), rows=listed(numbers)))
        if cells.merged:
            _repeat_merged(cells)
            self.notes.append(message("data.merged_cells", count=len(cells.merged)))
        rows = cells.rows
        title = next((at for at, (_, row) in enumerate(rows[:10]) if len(row) > 1), 0)
        if title and len(rows) > title + 1:
            self.notes.append(message("data.title_rows", count=title, row=rows[title][0]))
            rows = rows[title:]
        if not rows:
            return []
        names = {column: name.strip() for column, name in rows[0][1].items()}
        require_unique(self.path.name, names.values())
        unnamed = sorted({column for _, row in rows[1:] for column in row}.difference(names))
        if unnamed:
            names |= {column: f"column {_letters(column)}" for column in unnamed}
            self.notes.append(message("data.columns_named", columns=listed(names[column] for column in unnamed)))
        if len(names) * len(rows) > MAX_CELLS:
            raise DataError("data.too_many_cells", name=self.path.name, cells=f"{MAX_CELLS:,}", letters="—")
        columns = sorted(names)
        self._columns = [names[column] for column in columns]
        return [tuple(row.get(column, "") for column in columns) for _, row in rows[1:]]

    def _chosen(self, book: Workbook) -> tuple[Sheet, Cells]:
        """Return the sheet that is wanted, or the first visible one with rows, with its cells."""
        if not book.sheets:
            raise DataError("data.empty", name=self.path.name)
        if self._wanted is not None:
            wanted = self._wanted.strip().casefold()
            named = [sheet for sheet in book.sheets if sheet.name.strip().casefold() == wanted]
            if not named:
                raise DataError("data.no_sheet", name=self.path.name, sheet=self._wanted, sheets=", ".join(self.sheets))
            return named[0], book.cells(named[0])
        first = None
        for sheet in sorted(book.sheets, key=lambda sheet: sheet.hidden):
            chosen = sheet, book.cells(sheet)
            first = first or chosen
            if len(chosen[1].rows) > 1:
                return chosen
        return first

    @override
    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row | BadRow]:
        for cells in self._all[start:stop]:
            yield dict(zip(self._columns, cells, strict=True))


def _repeat_merged(cells: Cells) -> None:
    """Put what a cell that is merged over several rows shows into each of them."""
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


def _letters(column: int) -> str:
    """Return the name of a column: 0 is A, 26 is AA."""
    return (_letters(column // 26 - 1) if column >= 26 else "") + chr(65 + column % 26)
