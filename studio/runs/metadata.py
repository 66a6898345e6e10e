"""The label of a run: its name, a note, and whether guests may see it."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from studio import locks
from studio.errors import ConfigError, RunError
from studio.files import home, read_as, replace_file
from studio.runs import Run, require_writable

FILE = "label.json"
MAX_NAME, MAX_NOTE = 60, 2000


class Metadata(BaseModel):
    """The name of a run (None for that of its settings), the note on it, and whether guests may see it."""

    model_config = ConfigDict(frozen=True)

    name: str | None = None
    note: str = ""
    published: bool = False


def load(run: Run) -> Metadata:
    """Return a run's label; an empty one where none was given, or its file was damaged from outside."""
    return read_as(Metadata, run.path / FILE) or Metadata()


def name_of(run: Run) -> str:
    """Return the name of a run: its label's, else that of its settings, else that of its folder."""
    return load(run).name or own_name(run)


def own_name(run: Run) -> str:
    """Return the name of a run without a label."""
    try:
        return _configured_name(run.path)
    except (OSError, ConfigError):
        return "-".join(run.id.split("-")[2:-1]) or run.id


@functools.lru_cache(4096)
def _configured_name(path: Path) -> str:
    """Return the name in a run's settings, which stay as they were."""
    return Run(path).started_config().name


def rename(run: Run, name: str) -> None:
    """Give a run a name; an empty one brings back that of its settings; raises RunError."""
    clean = " ".join(name.split())
    if len(clean) > MAX_NAME:
        raise RunError("run.name", count=len(clean), most=MAX_NAME)
    _change(run, name=clean if clean and clean != own_name(run) else None)


def annotate(run: Run, note: str) -> None:
    """Write the note on a run, in place of the one before; raises RunError when it is too long, or the run is gone."""
    clean = note.strip()
    if len(clean) > MAX_NOTE:
        raise RunError("run.note", count=len(clean), most=MAX_NOTE)
    _change(run, note=clean)


def publish(run: Run, published: bool) -> None:
    """Let guests compare, vote on and present a run, or not; raises RunError when it is gone."""
    _change(run, published=published)


def is_published(run: Run) -> bool:
    """Whether guests may compare, vote on and present a run."""
    return load(run).published


def ancestors(resolved: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the runs that a run continues, the nearest first, each with `run`, `name` and `step`."""
    start = resolved.get("start")
    listed = start.get("ancestors") if isinstance(start, dict) else None
    return [one for one in listed or [] if isinstance(one, dict) and {"run", "name", "step"} <= one.keys()]


def _change(run: Run, **changes: str | bool | None) -> None:
    with locks.acquire(home() / "labels.lock"):  # a name and a note may come from two browsers at once
        label = load(run).model_copy(update=changes)
        if not run.path.is_dir():
            raise RunError("run.unknown", id=run.id)
        require_writable(run)
        replace_file(run.path / FILE, json.dumps(label.model_dump(), ensure_ascii=False))
