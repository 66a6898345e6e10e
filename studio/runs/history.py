"""One summary per run, for lists: its name, its state, its loss in a few points, its size on the disk.

Lists are polled, so a run is read again only when its files have changed, a live run's events only from where they were
read to, and what is known of the others is kept in `<home>/summaries.json`.
"""

import contextlib
import json
import math
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from studio.errors import ConfigError, HomeError
from studio.files import home, read_as, replace_file
from studio.runs import Run, Status, metadata
from studio.runs import directory as runs

if TYPE_CHECKING:
    from studio.runs.curve import Curve

SPARKLINE = 40
PARTS = ("checkpoints", "best", "adapter", "exports", "data", "compare", "rest")
"""What takes a run's place on the disk, part by part."""

_FORMAT = 1
_WATCHED = ("", "status.json", "events.jsonl", metadata.FILE, "checkpoints", "best", "compare", "exports")
"""Whatever else changes is replaced as a whole, and so changes the run's own folder."""

_Signature = tuple[tuple[int, int, int] | None, ...]


class Summary(BaseModel):
    """What a list shows of a run. Losses are the mean cross-entropy per trained token, in nats."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    note: str = ""
    preset: str | None = None
    model: str = ""
    """The model's id as it was set; empty when the settings cannot be read."""
    data: str = ""
    """The name of the data set; of a file or a folder only its last part."""
    created: float
    status: Status | None = None
    """None when it cannot be read."""
    damaged: str = ""
    """The file that is missing or cannot be read; empty when nothing is wrong."""
    first: float | None = None
    last: float | None = None
    lowest: float | None = None
    """First, last and lowest training loss."""
    validated: float | None = None
    best: float | None = None
    best_step: int | None = None
    """Last and lowest validation loss, and where that was."""
    sparkline: tuple[float, ...] = ()
    """The training loss from beginning to end, as means of equal stretches."""
    disk: dict[str, int] = {}
    has_adapter: bool = False

    @property
    def state(self) -> str:
        """The state's name; `damaged` when the status cannot be read."""
        return self.status.state.value if self.status else "damaged"

    @property
    def alive(self) -> bool:
        """Whether some process works on the run, or will."""
        return self.status is not None and self.status.state.alive

    @property
    def bytes(self) -> int:
        """What the run takes on the disk."""
        return sum(self.disk.values())

    @property
    def best_known(self) -> float | None:
        """The lowest validation loss where there was any, else the lowest training loss."""
        return self.lowest if self.best is None else self.best

    def seconds(self, now: float) -> float | None:
        """Return how long the run has trained, or trained when it went on last; None before its first step."""
        if self.status is None or self.status.started is None:
            return None
        return max(0.0, (self.status.ended or (now if self.alive else self.status.heartbeat)) - self.status.started)


class _Cached(BaseModel):
    """What was read of a run, and the state of its files then."""

    signature: _Signature
    summary: Summary
    curve: Any = Field(None, exclude=True)
    """Kept for live runs only: the others are not likely to go on."""
    offset: int = Field(0, exclude=True)
    """Bytes of the events that are in the curve."""


_file: TypeAdapter[dict[str, _Cached]] = TypeAdapter(dict[str, _Cached])
_lock = threading.Lock()
_cache: dict[Path, dict[str, _Cached]] = {}  # by the home's folder of runs, then by the run's id


def all_summaries() -> list[Summary]:
    """Return the summaries of all runs, the newest first. A damaged run is among them and says what is wrong."""
    folder = runs.folder()
    with _lock:
        if (known := _cache.get(folder)) is None:
            known = _cache[folder] = {}
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # missing, or of another version
                content = json.loads((home() / "summaries.json").read_bytes())
                if content["format"] == _FORMAT:
                    known |= _file.validate_python(content["runs"])
        current = runs.all_runs()
        fresh = [run for run in current if _refresh(run, known)]
        removed = known.keys() - {run.id for run in current}
        for run_id in removed:
            del known[run_id]
        listed = {run.id: _with_current_state(run, known[run.id].summary) for run in current}
        if removed or any(not listed[run.id].alive for run in fresh):
            content = {"format": _FORMAT, "runs": _file.dump_python(known, mode="json")}
            with contextlib.suppress(HomeError, OSError):  # only a cache: the next start reads the runs again
                replace_file(home() / "summaries.json", json.dumps(content, ensure_ascii=False))
        return list(listed.values())


def summary_of(run: Run) -> Summary:
    """Return the summary of one run."""
    with _lock:
        known = _cache.get(run.path.parent, {})
        _refresh(run, known)
        return _with_current_state(run, known[run.id].summary)


def _refresh(run: Run, known: dict[str, _Cached]) -> bool:
    """Read a run if its files have changed since it is known; returns whether they had."""
    signature = tuple(_stamp(f"{run.path}/{name}") for name in _WATCHED)
    before = known.get(run.id)
    if before and before.signature == signature:
        return False
    from studio.runs.curve import Curve  # numpy takes longer to import than a list of known runs to show

    curve, offset = (before.curve, before.offset) if before and before.curve else (Curve(), 0)
    with contextlib.suppress(OSError):
        events, offset = run.events(offset)
        curve = curve.after(events)
    summary = _summary(run, curve)
    progress = {"curve": curve, "offset": offset} if summary.alive else {}
    known[run.id] = _Cached(signature=signature, summary=summary, **progress)
    return True


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _with_current_state(run: Run, summary: Summary) -> Summary:
    """Return a summary with the state that the run has at this moment: its owner may be gone since it was written."""
    status = summary.status
    now = status.as_now(run.heartbeat_files) if status else None
    return summary if now is status else summary.model_copy(update={"status": now})


def _loss_figures(curve: "Curve") -> dict[str, Any]:
    """Return the fields of a summary that come from the curve; losses that are not finite are left out."""
    import numpy

    losses = curve.losses[numpy.isfinite(curve.losses)]
    evaluated = numpy.isfinite(curve.validation_losses)
    validation, at = curve.validation_losses[evaluated], curve.evaluated_steps[evaluated]
    figures: dict[str, Any] = {}
    if len(losses):
        stretch = 2 ** max(0, math.ceil(math.log2(len(losses) / SPARKLINE)))
        means = [losses[start : start + stretch].mean() for start in range(0, len(losses), stretch)]
        figures |= {"first": float(losses[0]), "last": float(losses[-1]), "lowest": float(losses.min())}
        figures["sparkline"] = tuple(round(float(mean), 4) for mean in means)
    if len(validation):
        best = int(validation.argmin())
        figures |= {"validated": float(validation[-1]), "best": float(validation[best]), "best_step": int(at[best])}
    return figures


def _summary(run: Run, curve: "Curve") -> Summary:
    status, about = read_as(Status, run.path / "status.json"), {"name": run.id}
    damaged = "" if status else "status.json"
    try:
        config = run.started_config()
        source = config.data.source
        name = source.name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] if source.kind == "file" else source.name
        about = {"name": config.name, "preset": config.preset, "model": config.model.id, "data": name}
    except (OSError, ConfigError, UnicodeDecodeError):
        damaged = damaged or "run.yaml"
    label = metadata.load(run)
    return Summary(
        **about | ({"name": label.name} if label.name else {}),
        id=run.id,
        note=label.note,
        created=status.created if status else runs.created_at(run.id),
        status=status,
        damaged=damaged,
        disk=disk_use(run),
        has_adapter=run.has_adapter,
        **_loss_figures(curve),
    )


def disk_use(run: Run) -> dict[str, int]:
    """Return the bytes of a run's files by part; what goes away meanwhile is not counted."""
    used = dict.fromkeys(PARTS, 0)
    top = len(str(run.path)) + 1
    for folder, _, names in os.walk(str(run.path)):
        inside = folder[top:].split(os.sep)[0]
        part = inside if inside in PARTS else "rest"
        for name in names:
            with contextlib.suppress(OSError):
                used[part] += os.stat(os.path.join(folder, name)).st_size
    return {part: size for part, size in used.items() if size}
