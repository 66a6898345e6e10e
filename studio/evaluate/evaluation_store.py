"""How the evaluations of a run stand, read from its directory: whoever looks, sees the same.

An evaluation has a folder `<run>/compare/<its name>`: `evaluation.json` (what it rests on, how many rows it has, and
who works on it), `answers.jsonl`, and in the end `scoreboard.json` and `forgetting.json`.
"""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from studio.compare.columns import Column
from studio.evaluate.metrics import Sample
from studio.evaluate.scoreboard import Scoreboard
from studio.i18n import Message
from studio.journal import Journal
from studio.owner import Owner
from studio.runs import Run

log = logging.getLogger(__name__)

_notes_adapter = TypeAdapter(list[Message])

METADATA, ANSWERS, SCOREBOARD, FORGETTING = "evaluation.json", "answers.jsonl", "scoreboard.json", "forgetting.json"

Stamp = tuple[str, int, int, bool]
"""Name, time and size of the newest evaluation, and whether it goes on: another one means that there is news."""


@dataclass(frozen=True)
class Evaluation:
    """An evaluation as it goes on."""

    id: str
    path: Path
    done: int
    total: int
    pairs: tuple[tuple[Sample, Sample], ...] = ()
    """The held-out rows that are answered, base and adapter, in the order of the rows."""
    board: Scoreboard | None = None
    """Over the held-out rows; None until all are answered."""
    forgetting: Scoreboard | None = None
    """Over the ordinary questions."""
    notes: tuple[Message, ...] = ()
    stopped: bool = False
    going: bool = False
    """Whether somebody works on it, in this process or another; only known of one that was read from disk."""


def stamp(run: Run) -> Stamp | None:
    """Return what changes with every step of the run's newest evaluation; None without one. It costs little."""
    folder = _newest(run)
    if folder is None:
        return None
    answers = folder / ANSWERS
    size = answers.stat().st_size if answers.exists() else 0
    return folder.name, (folder / METADATA).stat().st_mtime_ns, size, _is_running(folder, _read_metadata(folder))


def newest(run: Run) -> Evaluation | None:
    """Return the run's newest evaluation as it stands; None without one."""
    folder = _newest(run)
    return None if folder is None else read(folder)


def read(folder: Path) -> Evaluation:
    """Return an evaluation as it stands on disk."""
    facts = _read_metadata(folder)
    found = {(entry.get("part"), entry.get("row")): entry for entry in Journal(folder / ANSWERS).entries()}
    held = {row: entry for (part, row), entry in found.items() if part == "held_out" and isinstance(row, int)}
    going = _is_running(folder, facts)
    board = None if going else _read_scoreboard(folder / SCOREBOARD)
    return Evaluation(
        id=folder.name,
        path=folder,
        done=len(found),
        total=int(facts.get("total", len(found))),
        pairs=tuple(sides for row in sorted(held) if (sides := _pair(held[row]))),
        board=board,
        forgetting=None if going else _read_scoreboard(folder / FORGETTING),
        notes=tuple(_notes_adapter.validate_python(facts.get("notes", []))),
        stopped=not going and board is None,
        going=going,
    )


def find_scoreboard(run: Run, column: Column, adapter_sha256: str | None) -> Scoreboard | None:
    """Return the newest finished scoreboard of the run that was measured with this adapter at this strength."""
    wanted = json.loads(json.dumps(asdict(column)))
    for folder in _folders(run):
        facts = _read_metadata(folder)
        if (facts.get("column"), facts.get("adapter")) == (wanted, adapter_sha256) and (made := read(folder).board):
            return made
    return None


def _pair(entry: dict[str, Any]) -> tuple[Sample, Sample] | None:
    """Return both sides of a row as it was kept; None for one of a version that kept less."""
    try:
        before, after = (Sample(entry["prompt"], entry["reference"], **side) for side in entry["sides"])
    except (KeyError, TypeError, ValueError):
        return None
    return before, after


def _newest(run: Run) -> Path | None:
    return next(iter(_folders(run)), None)


def _folders(run: Run) -> list[Path]:
    """Return the folders of all evaluations, the newest first."""
    there = (run.path / "compare").glob(f"*/{METADATA}")
    return [path.parent for path in sorted(there, key=lambda path: path.stat().st_mtime_ns, reverse=True)]


def _read_metadata(folder: Path) -> dict[str, Any]:
    try:
        facts = json.loads((folder / METADATA).read_bytes())
    except (OSError, ValueError):  # damaged from outside
        return {}
    return facts if isinstance(facts, dict) else {}


def _is_running(folder: Path, facts: dict[str, Any]) -> bool:
    owner = facts.get("owner")
    return owner is not None and Owner.model_validate(owner).lives(folder.iterdir())


def _read_scoreboard(path: Path) -> Scoreboard | None:
    try:
        return Scoreboard.from_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        log.warning("the scoreboard %s cannot be read", path, exc_info=True)
        return None
