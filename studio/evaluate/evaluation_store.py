"""The evaluations of a run: folders `<run>/compare/<name>`.

Each has `evaluation.json` (what its answers depend on, the number of rows, and the process that works on it),
`answers.jsonl`, and in the end `scoreboard.json` and `forgetting.json`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from studio.compare.columns import ADAPTED, Column
from studio.errors import StudioError
from studio.evaluate.metrics import Sample
from studio.evaluate.scoreboard import Scoreboard
from studio.files import newest_first, read_as, read_json
from studio.i18n import Message
from studio.journal import Journal
from studio.owner import Owner
from studio.runs import Run

_notes_adapter, _column_adapter = TypeAdapter(list[Message]), TypeAdapter(Column)

METADATA, ANSWERS, SCOREBOARD, FORGETTING = "evaluation.json", "answers.jsonl", "scoreboard.json", "forgetting.json"

Stamp = tuple[str, int, int, bool]
"""Name, time and size of the newest evaluation, and whether it is running: differs whenever there is news."""


@dataclass(frozen=True)
class Evaluation:
    """An evaluation, finished or so far."""

    id: str
    path: Path
    done: int
    total: int
    pairs: tuple[tuple[Sample, Sample], ...] = ()
    """The held-out rows that are answered, base and adapter, in the order of the rows."""
    board: Scoreboard | None = None
    """Over the held-out rows; None until all are answered."""
    forgetting: Scoreboard | None = None
    notes: tuple[Message, ...] = ()
    stopped: bool = False
    running: bool = False
    """Whether a process works on it; only known of one that was read from disk."""
    column: Column = ADAPTED
    """What was measured beside the base: which adapter or checkpoint, and how strong."""


def stamp(run: Run) -> Stamp | None:
    """Return what changes with every batch of the run's newest evaluation; None without one. Cheap enough to poll."""
    for folder, metadata in _stored(run):
        answers, written = folder / ANSWERS, (folder / METADATA).stat().st_mtime_ns
        size = answers.stat().st_size if answers.exists() else 0
        return folder.name, written, size, _is_running(folder, metadata)
    return None


def newest(run: Run, column: Column | None = None) -> Evaluation | None:
    """Return the run's newest evaluation, or the newest of a column; None without one."""
    stored = _stored(run)
    return next((read(folder) for folder, metadata in stored if column in (None, _column(metadata))), None)


def all_of(run: Run) -> list[Evaluation]:
    """Return the evaluations of a run, the newest first."""
    return [read(folder) for folder, _ in _stored(run)]


def measured_columns(run: Run) -> list[Column]:
    """Return the columns of the run's evaluations, each once, that of the newest first."""
    return list(dict.fromkeys(_column(metadata) for _, metadata in _stored(run)))


def _column(metadata: dict[str, Any]) -> Column:
    try:
        return _column_adapter.validate_python(metadata.get("column"))
    except (ValidationError, StudioError):  # damaged from outside
        return ADAPTED


def read(folder: Path) -> Evaluation:
    """Read an evaluation from its folder."""
    metadata = read_json(folder / METADATA)
    entries = {(entry.get("part"), entry.get("row")): entry for entry in Journal(folder / ANSWERS).entries()}
    held_out = {row: entry for (part, row), entry in entries.items() if part == "held_out" and isinstance(row, int)}
    running = _is_running(folder, metadata)
    board = None if running else read_as(Scoreboard, folder / SCOREBOARD, warn=True)
    return Evaluation(
        id=folder.name,
        path=folder,
        done=len(entries),
        total=int(metadata.get("total", len(entries))),
        pairs=tuple(sides for row in sorted(held_out) if (sides := _pair(held_out[row]))),
        board=board,
        forgetting=None if running else read_as(Scoreboard, folder / FORGETTING, warn=True),
        notes=tuple(_notes_adapter.validate_python(metadata.get("notes", []))),
        stopped=not running and board is None,
        running=running,
        column=_column(metadata),
    )


def find_scoreboard(run: Run, column: Column, adapter_sha256: str | None) -> Scoreboard | None:
    """Return the newest finished scoreboard of the run that was measured with this adapter at this strength."""
    wanted = column.as_json(), adapter_sha256
    folders = (folder for folder, about in _stored(run) if (about.get("column"), about.get("adapter")) == wanted)
    return next((board for folder in folders if (board := read(folder).board)), None)


def _pair(entry: dict[str, Any]) -> tuple[Sample, Sample] | None:
    """Return both samples of a stored row; None for a row of a version that stored less."""
    try:
        before, after = (Sample(entry["prompt"], entry["reference"], **side) for side in entry["sides"])
    except (KeyError, TypeError, ValueError):
        return None
    return before, after


def _stored(run: Run) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the folders of all evaluations and what their answers depend on, the newest first."""
    for path in newest_first((run.path / "compare").glob(f"*/{METADATA}")):
        yield path.parent, read_json(path)


def _is_running(folder: Path, metadata: dict[str, Any]) -> bool:
    owner = metadata.get("owner")
    return owner is not None and Owner.model_validate(owner).is_alive(folder.iterdir())
