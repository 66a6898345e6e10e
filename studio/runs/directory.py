"""Run directories: the only truth about a run.

A run has one writer, the process that owns it (`RunWriter`); everybody else reads (`Run`) and asks (`Run.request`).
"""

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from studio.config import RunConfig
from studio.errors import RunError
from studio.events import from_line
from studio.files import home, owner_of, read_as, replace_file, shared_folder
from studio.i18n import Message
from studio.owner import GONE_SECONDS, Owner, seconds_since_heartbeat


class State(StrEnum):
    """Where a run is in its life."""

    QUEUED = "queued"
    PREPARING = "preparing"
    TRAINING = "training"
    PAUSED = "paused"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def alive(self) -> bool:
        """Whether some process works on the run, or will."""
        return self in (State.QUEUED, State.PREPARING, State.TRAINING)


Action = Literal["pause", "stop", "cancel"]
"""Requests to a run: to make a checkpoint and free the device; to end and keep the adapter as it is then; to end and
keep nothing that is not kept already."""


class Status(BaseModel):
    """What `status.json` says; replaced as a whole."""

    model_config = ConfigDict(frozen=True)

    state: State
    phase: str = ""
    step: int = 0
    total: int = 0
    progress: float | None = None
    """Share of the phase that is done (0 to 1), where it is known."""
    owner: Owner | None = None
    created: float
    started: float | None = None
    ended: float | None = None
    heartbeat: float
    error: Message | None = None

    def can_resume(self, has_checkpoint: bool) -> bool:
        """Whether the run is stopped, unfinished, and can continue: from a checkpoint, or from its start.

        One that failed before its first checkpoint would fail again.
        """
        if self.state.alive or self.state is State.FINISHED:
            return False
        return has_checkpoint or (not self.step and self.state is not State.FAILED)

    def as_now(self, heartbeat_files: Sequence[Path]) -> "Status":
        """Return the status at this moment: that of a run whose owner is gone is `interrupted`."""
        if not self.state.alive or (self.owner and self.owner.is_alive(heartbeat_files)):
            return self
        return self.model_copy(update={"state": State.INTERRUPTED, "ended": self.heartbeat})


RESOURCE_USAGE = "vitals.json"
"""What a run's process takes, written once a second while it works on the run (`train.heartbeat`)."""

ID = re.compile(r"\d{8}-\d{6}-[a-z0-9-]{1,40}-[0-9a-f]{4}")


class Run:
    """A run as its readers see it."""

    def __init__(self, path: Path):
        self.path = path
        self.id = path.name
        self.adapter = path / "adapter"  # the folder of the result; it exists once the run has one
        self.log = path / "run.log"  # the run's log in English, with the traceback of a failure
        self.heartbeat_files = (path / "status.json", path / RESOURCE_USAGE)
        """The files that the run's owner writes again and again while the run waits or goes on."""

    @property
    def has_adapter(self) -> bool:
        """Whether the run has a result."""
        return (self.adapter / "adapter_model.safetensors").exists()

    def config(self) -> RunConfig:
        """Return the settings: as the run was started, with what was changed at a resume since."""
        config = self.started_config()
        for change in self.resolved().get("changes", []):
            config = config.with_settings(change["settings"])
        return config

    def started_config(self) -> RunConfig:
        """Return the settings as the run was started."""
        return RunConfig.from_yaml((self.path / "run.yaml").read_text(encoding="utf-8"))

    def status(self) -> Status:
        """Return the run's status; a run whose owner is gone is `interrupted`."""
        return Status.model_validate_json((self.path / "status.json").read_bytes()).as_now(self.heartbeat_files)

    def wait(self, seconds: float) -> None:
        """Wait before the next look at the run; where this process carries it out, at most until it is over."""
        time.sleep(seconds)

    def touch_heartbeat(self) -> None:
        """Give a sign of life of a run that waits, where nothing else is written; only for its owner."""
        with contextlib.suppress(OSError):  # it was taken away, and its end will be reported
            os.utime(self.path / "status.json")

    def events(self, offset: int = 0) -> tuple[list[Any], int]:
        """Return the events from byte `offset` on, and the offset to ask for next. A torn last line waits."""
        lines, offset = self.lines("events.jsonl", offset)
        read = (from_line(line) for line in lines)
        return [event for event in read if event is not None], offset

    def lines(self, name: str, offset: int = 0) -> tuple[list[bytes], int]:
        """Return the whole lines of an append-only file from byte `offset` on, and the offset to ask for next."""
        try:
            with open(self.path / name, "rb") as file:
                file.seek(offset)
                data = file.read()
        except FileNotFoundError:
            return [], offset
        whole = data[: data.rfind(b"\n") + 1]
        return whole.splitlines(), offset + len(whole)

    def resolved(self) -> dict[str, Any]:
        """Return what the studio chose by itself, and what the run rested on; empty before the run is prepared."""
        try:
            return json.loads((self.path / "resolved.json").read_bytes())
        except FileNotFoundError:
            return {}

    def request(self, action: Action) -> None:
        """Ask something of the run's owner, who looks between two micro-batches."""
        require_writable(self)
        replace_file(self.path / "control.json", json.dumps({"action": action, "at": time.time()}))

    def requested(self) -> Action | None:
        """Return what was requested of the run, if anything."""
        try:
            return json.loads((self.path / "control.json").read_bytes())["action"]
        except FileNotFoundError:
            return None


def folder() -> Path:
    """Return the folder of all runs; it is made if missing."""
    return shared_folder(home(), "runs")


def created_at(run_id: str) -> float:
    """Return when a run was made, in seconds since the epoch, as its id tells; 0 for an id with no such day."""
    try:
        return datetime.strptime(run_id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:  # somebody made the folder by hand
        return 0.0


def day_of(run_id: str) -> date:
    """Return the day on which a run was made: the date in its prompts, where a chat template writes one."""
    return datetime.fromtimestamp(created_at(run_id), UTC).date()


_visible: ContextVar[Callable[[Run], bool] | None] = ContextVar("visible", default=None)


@contextmanager
def visible_only(visible: Callable[[Run], bool]) -> Iterator[None]:
    """Let `find` and `all_runs` know only the runs that are `visible`, in this block and its own thread."""
    before = _visible.set(visible)
    try:
        yield
    finally:
        _visible.reset(before)


def is_restricted() -> bool:
    """Whether only some of the runs are known here: somebody asks who is not their owner."""
    return _visible.get() is not None


def _is_visible(run: Run) -> bool:
    visible = _visible.get()
    return visible is None or visible(run)


def require_writable(run: Run) -> None:
    """Raise RunError for a run of another user that this one may not write to."""
    if not os.access(run.path, os.W_OK | os.X_OK) and (owner := owner_of(run.path)):
        raise RunError("run.not_yours", run=run.id, owner=owner)


def is_id(text: str) -> bool:
    """Whether a text has the form of a run's id."""
    return bool(ID.fullmatch(text))


def find(run_id: str) -> Run:
    """Return the run called `run_id` (`last` is the newest); raises RunError when there is none."""
    if run_id == "last":
        if newest := all_runs():
            return newest[0]
        raise RunError("run.none")
    run = Run(folder() / run_id)
    if not ID.fullmatch(run_id) or not run.path.is_dir() or not _is_visible(run):
        raise RunError("run.unknown", id=run_id[:80])
    return run


def all_runs() -> list[Run]:
    """Return all runs, the newest first."""
    place = folder()
    ids = sorted((name for name in os.listdir(place) if ID.fullmatch(name)), reverse=True)
    return [run for run_id in ids if _is_visible(run := Run(place / run_id))]


def alive_runs(devices: Sequence[str] = ()) -> list[Run]:
    """Return the runs that some process works on or will, the newest first: those that may use one of `devices`."""
    return [
        run
        for run in all_runs()
        if (status := try_status(run)) and status.state.alive and status.owner and status.owner.may_share(devices)
    ]


def remote_owner(run: Run) -> dict[str, Any] | None:
    """Return the machine that works on a run, and how long it has been silent; None where it is this one."""
    owner = run.status().owner
    if owner is None or owner.is_local:
        return None
    seconds = seconds_since_heartbeat(run.heartbeat_files)
    return {"host": owner.host, "seconds": f"{seconds:.0f}", "most": f"{GONE_SECONDS:.0f}"}


def try_find(run_id: str | None) -> Run | None:
    """Return the run called `run_id`; None without a name, and when its folder was taken away."""
    try:
        return find(run_id) if run_id else None
    except RunError:
        return None


def try_status(run: Run) -> Status | None:
    """Return a run's status, or None when its folder was damaged from outside."""
    status = read_as(Status, run.path / "status.json")
    return status and status.as_now(run.heartbeat_files)
