"""What a session sees of its data set: read and previewed by the engine, and kept as data.

Whatever fails on the way becomes a message in the place of what would have been shown.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from studio.config import MappingConfig, RunConfig, SourceConfig
from studio.errors import DataError, ModelError, panics_as_errors
from studio.i18n import Message
from studio.ui import uploads
from studio.ui.failures import message_of

RAW_ROWS = 50
LONGEST_CELL = 300


@dataclass(frozen=True)
class Column:
    """A column, what its cells are (`text`, `number | list`), and what it is used for."""

    name: str
    type: str
    use: str = ""
    """`prompt`, `completion`, `system`, `history`, `messages`, `text`; empty for none."""


@dataclass(frozen=True)
class Look:
    """What this session sees of its data set."""

    file_format: str = ""
    encoding: str = ""
    sheets: tuple[str, ...] = ()
    """The names of all sheets of a workbook."""
    columns: tuple[Column, ...] = ()
    cells: tuple[tuple[str, ...], ...] = ()
    """The first raw rows as text, one cell for each column; a row of one cell could not be read."""
    rows: int | None = None
    """Number of rows; None until they were counted."""
    told: tuple[Message, ...] = ()
    failure: Message | None = None
    preview: Any = None
    row: int = 1
    preview_failure: Message | None = None
    model_missing: bool = False


@dataclass(frozen=True)
class Checked:
    """What the scan of all rows has found."""

    report: Any = None
    failure: Message | None = None
    cancelled: bool = False
    grouped: bool = True
    """Whether the settings group rows by length."""
    written: int | None = None
    """Rows in the cleaned file, once it was asked for."""
    style: Any = None
    """The run and the report of the meter that has measured the style of these rows; None without one."""


@dataclass(frozen=True)
class Offer:
    """What a data set of the Hub holds: its subsets, each with its splits."""

    name: str = ""
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)


def source(kind: str, bundled: str | None, upload: str | None, before: SourceConfig, base: RunConfig) -> SourceConfig:
    """Return the source that the controls ask for; without a name when none is chosen yet.

    A path comes from an upload, from the base settings, or was taken from a page on this machine; a data set of the Hub
    is in use once it was fetched (`before`).
    """
    nothing = SourceConfig.model_construct(kind=kind, name="")
    if kind == "bundled":
        return SourceConfig(kind="bundled", name=bundled) if bundled else nothing
    if kind == "file" and upload:
        return SourceConfig(kind="file", name=str(uploads.keep(upload)))
    if before.kind == kind and before.name:
        return before
    return base.data.source if base.data.source.kind == kind else nothing


def read(config: Callable[[], RunConfig], base: RunConfig) -> tuple[Look, MappingConfig | None]:
    """Read the table of `config`; the mapping is the base's when it is about the same source, else detected."""
    from studio.data import prepare

    wanted = None
    try:
        chosen = config()
        data = chosen.data
        wanted = base.data.mapping if base.data.source == data.source else None
        data = data.model_copy(update={"mapping": wanted})
        with panics_as_errors():
            table = prepare.table(data)
            rows = list(islice(table.rows(0, RAW_ROWS), RAW_ROWS))
        columns = [Column(column.name, column.type) for column in table.columns]
    except Exception as error:  # shown in the place of what would have been found
        return Look(failure=message_of(error)), wanted
    look = Look(
        file_format=table.file_format,
        encoding=table.encoding,
        sheets=tuple(table.sheets),
        columns=tuple(columns),
        cells=tuple(_cells(row, columns) for row in rows),
        rows=table.reader.count,
    )
    try:
        with panics_as_errors():
            detected = prepare.mapping(data, chosen.train.method)
    except Exception as error:  # the columns are there all the same, to be chosen by hand
        return replace(look, told=tuple(table.notes), failure=message_of(error)), None
    look = replace(look, told=(detected.reason, *table.notes))
    return using(look, detected.mapping.model_dump()), detected.mapping


def of_rows(rows: Sequence[Mapping[str, Any]]) -> Look:
    """Return the look at the first rows of a data set that is not here yet."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [Column(str(name), "") for name in names]
    return Look(file_format="hub", columns=tuple(columns), cells=tuple(_cells(row, columns) for row in rows))


def _cells(row: Any, columns: Sequence[Column]) -> tuple[str, ...]:
    if not isinstance(row, Mapping):
        return (_short(getattr(row, "text", row)),)
    return tuple(_short(row.get(column.name)) for column in columns)


def _short(value: Any) -> str:
    words = "" if value is None else str(value)
    return words if len(words) <= LONGEST_CELL else words[:LONGEST_CELL] + " …"


def using(look: Look, mapping: Mapping[str, Any]) -> Look:
    """Return the look with the columns marked that `mapping` (values by field name) uses."""
    shape = mapping.get("shape")
    fields = {"messages": ("messages", "system"), "text": ("text",)}.get(
        str(shape), ("completion", "system", "history")
    )
    uses = {mapping[name]: name for name in fields if mapping.get(name)}
    if shape == "pair":
        uses |= dict.fromkeys(mapping.get("prompt") or (), "prompt")
    marked = tuple(replace(column, use=uses.get(column.name, "")) for column in look.columns)
    return look if marked == look.columns else replace(look, columns=marked)


def preview(look: Look, config: Callable[[], RunConfig], row: int) -> Look:
    """Return the look with the preview of `row`, counted from 1; a row that is not there is refused."""
    from studio.data import prepare
    from studio.data.preview import preview_row

    look = replace(look, row=row, preview=None, preview_failure=None, model_missing=False)
    try:
        with panics_as_errors():
            shown = preview_row(config(), row - 1)
    except ModelError as error:
        missing = error.key == "model.not_here"
        return replace(look, preview_failure=None if missing else error.message, model_missing=missing)
    except Exception as error:  # shown in the place of the preview
        return replace(look, preview_failure=message_of(error))
    if shown.rows and not 1 <= row <= shown.rows:
        return replace(look, preview_failure=DataError("ui.row_number", number=row, rows=shown.rows).message)
    return replace(look, preview=shown, rows=prepare.table(config().data).reader.count)


def step(look: Look, row: int, by: int) -> int:
    """Return the number of the row before or after one; beyond the last it begins again, where the rows are counted."""
    return (row + by - 1) % look.rows + 1 if look.rows else max(1, row + by)


def jump(kind: str, report: Any) -> int | None:
    """Return the number of the `longest`, `shortest` or `worst` row; None without a report that tells it.

    The worst row is one that is cut, else one with another problem, else the one of which the least is trained.
    """
    if kind == "worst" and report is not None:
        by_kind = {problem.kind: problem.rows for problem in report.problems if problem.rows}
        named = [by_kind[kind] for kind in ("answer_cut", "nothing_trained") if kind in by_kind]
        if found := [*named, *by_kind.values()]:
            return int(found[0][0])
    if report is None or report.lengths is None or not len(report.lengths):
        return None
    if kind == "worst":
        kept = report.lengths.clip(1, report.max_length)
        return int(report.row_numbers[(report.trained_each / kept).argmin()])
    place = report.lengths.argmax() if kind == "longest" else report.lengths.argmin()
    return int(report.row_numbers[place])
