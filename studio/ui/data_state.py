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
class DataState:
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
    notes: tuple[Message, ...] = ()
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


def read(config: Callable[[], RunConfig], base: RunConfig) -> tuple[DataState, MappingConfig | None]:
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
        return DataState(failure=message_of(error)), wanted
    state = DataState(
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
        return replace(state, notes=tuple(table.notes), failure=message_of(error)), None
    state = replace(state, notes=(detected.reason, *table.notes))
    return using(state, detected.mapping.model_dump()), detected.mapping


def of_rows(rows: Sequence[Mapping[str, Any]]) -> DataState:
    """Return the state after reading the first rows of a data set that is not here yet."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [Column(str(name), "") for name in names]
    return DataState(file_format="hub", columns=tuple(columns), cells=tuple(_cells(row, columns) for row in rows))


def _cells(row: Any, columns: Sequence[Column]) -> tuple[str, ...]:
    if not isinstance(row, Mapping):
        return (_short(getattr(row, "text", row)),)
    return tuple(_short(row.get(column.name)) for column in columns)


def _short(value: Any) -> str:
    words = "" if value is None else str(value)
    return words if len(words) <= LONGEST_CELL else words[:LONGEST_CELL] + " …"


def using(state: DataState, mapping: Mapping[str, Any]) -> DataState:
    """Return the state with the columns marked that `mapping` (values by field name) uses."""
    shape = mapping.get("shape")
    fields = {"messages": ("messages", "system"), "text": ("text",)}.get(
        str(shape), ("completion", "system", "history")
    )
    uses = {mapping[name]: name for name in fields if mapping.get(name)}
    if shape == "pair":
        uses |= dict.fromkeys(mapping.get("prompt") or (), "prompt")
    marked = tuple(replace(column, use=uses.get(column.name, "")) for column in state.columns)
    return state if marked == state.columns else replace(state, columns=marked)


def preview(state: DataState, config: Callable[[], RunConfig], row: int) -> DataState:
    """Return the state with the preview of `row`, counted from 1; a row that is not there is refused."""
    from studio.data import prepare
    from studio.data.preview import preview_row

    state = replace(state, row=row, preview=None, preview_failure=None, model_missing=False)
    try:
        with panics_as_errors():
            row_preview = preview_row(config(), row - 1)
    except ModelError as error:
        missing = error.key == "model.not_here"
        return replace(state, preview_failure=None if missing else error.message, model_missing=missing)
    except Exception as error:  # shown in the place of the preview
        return replace(state, preview_failure=message_of(error))
    if row_preview.rows and not 1 <= row <= row_preview.rows:
        return replace(state, preview_failure=DataError("ui.row_number", number=row, rows=row_preview.rows).message)
    return replace(state, preview=row_preview, rows=prepare.table(config().data).reader.count)


def step(state: DataState, row: int, by: int) -> int:
    """Return the number of the row before or after one; beyond the last it begins again, where the rows are counted."""
    return (row + by - 1) % state.rows + 1 if state.rows else max(1, row + by)


def jump(kind: str, report: Any) -> int | None:
    """Return the number of the `longest`, `shortest` or `worst` row; None without a report that tells it.

    The worst row is one that is cut, else one with another problem, else the one of which the least is trained.
    """
    if kind == "worst" and report is not None:
        by_kind = {problem.kind: problem.rows for problem in report.problems if problem.rows}
        named = [by_kind[kind] for kind in ("answer_cut", "nothing_trained") if kind in by_kind]
        if candidates := [*named, *by_kind.values()]:
            return int(candidates[0][0])
    if report is None or report.lengths is None or not len(report.lengths):
        return None
    if kind == "worst":
        lengths = report.lengths.clip(1, report.max_length)
        return int(report.row_numbers[(report.trained_each / lengths).argmin()])
    place = report.lengths.argmax() if kind == "longest" else report.lengths.argmin()
    return int(report.row_numbers[place])
