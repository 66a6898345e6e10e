"""What a session sees of its data set: read, previewed and checked by the engine, and kept as data.

Whatever fails on the way becomes a message in the place of what would have been shown.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from studio.config import MappingConfig, RunConfig
from studio.errors import ModelError
from studio.i18n import Message
from studio.ui import uploads
from studio.ui.failures import message_of

RAW_ROWS = 50


@dataclass(frozen=True)
class Look:
    """What this session sees of its data set; kept so that it can be said again in another language."""

    columns: tuple[str, ...] = ()
    rows: tuple[dict[str, Any], ...] = ()
    told: tuple[Message, ...] = ()
    failure: Message | None = None
    preview: Any = None
    preview_failure: Message | None = None
    model_missing: bool = False
    report: Any = None
    report_failure: Message | None = None


def source_name(kind: str, bundled: str | None, upload: str | None, base: RunConfig) -> str | None:
    """Return the source's name. A path never comes from the browser: only from an upload, or from the base settings."""
    if kind == "bundled":
        return bundled
    if upload:
        return str(uploads.keep(upload))
    return base.data.source.name if base.data.source.kind == "file" else None


def read(config: RunConfig, base: RunConfig) -> tuple[Look, MappingConfig | None]:
    """Read the table of `config`; the mapping is the base's when it is about the same source, else detected."""
    from studio.data import prepare

    wanted = base.data.mapping if base.data.source == config.data.source else None
    data = config.data.model_copy(update={"mapping": wanted})
    try:
        table = prepare.table(data)
    except Exception as error:  # shown in the place of what would have been found
        return Look(failure=message_of(error)), None
    look = Look(columns=tuple(table.columns), rows=tuple(table.rows[:RAW_ROWS]))
    try:
        detected = prepare.mapping(data)
    except Exception as error:  # the columns are there all the same, to be chosen by hand
        return replace(look, told=tuple(table.notes), failure=message_of(error)), None
    return replace(look, told=(detected.reason, *table.notes)), detected.mapping


def preview(look: Look, config: Callable[[], RunConfig], row: int) -> tuple[Look, int]:
    """Return the look with the preview of `row` (from 1), and the row's number within the data set."""
    from studio.data import prepare

    try:
        shown = prepare.preview(config(), row - 1)
    except ModelError as error:
        missing = error.key == "model.not_here"
        failure = None if missing else error.message
        return replace(look, preview=None, preview_failure=failure, model_missing=missing), row
    except Exception as error:  # shown in the place of the preview
        return replace(look, preview=None, preview_failure=message_of(error), model_missing=False), row
    look = replace(look, preview=shown, preview_failure=None, model_missing=False)
    return look, (row - 1) % shown.rows + 1


def check(look: Look, config: Callable[[], RunConfig]) -> Look:
    """Return the look with the report about all rows."""
    from studio.data import prepare

    try:
        return replace(look, report=prepare.inspect(config()), report_failure=None)
    except Exception as error:  # shown in the place of the report
        return replace(look, report=None, report_failure=message_of(error))
