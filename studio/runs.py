"""Run directories: the only truth about a run.

A run has one writer, the process that owns it (`RunWriter`); everybody else reads (`Run`) and asks (`Run.request`).
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from studio.config import RunConfig
from studio.errors import HomeError, RunError
from studio.events import Chosen, Level, Note, PhaseChanged, StateChanged, from_line, to_line
from studio.files import access_error, clear_drafts, home, owner_of, replace_file, shared_folder, space_for
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
"""What can be asked of a run: to make a checkpoint and free the device; to end and keep the adapter as it is then; to
end and keep nothing that is not kept already."""


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
    """Seconds since the epoch at which the first step began."""
    ended: float | None = None
    heartbeat: float
    error: Message | None = None

    def as_now(self, beats: Sequence[Path]) -> "Status":
        """Return the status at this moment: that of a run whose owner is gone is `interrupted`.

        `beats` are the files that its owner writes again and again.
        """
        if not self.state.alive or (self.owner and self.owner.is_alive(beats)):
            return self
        return self.model_copy(update={"state": State.INTERRUPTED, "ended": self.heartbeat})


VITALS = "vitals.json"
"""What a run's process takes, written once a second while it works on the run (`train.pulse`)."""

_ID = re.compile(r"\d{8}-\d{6}-[a-z0-9-]{1,40}-[0-9a-f]{4}")


class Run:
    """A run as its readers see it."""

    def __init__(self, path: Path):
        self.path = path

    @property
    def id(self) -> str:
        """The run's id, which is its folder's name."""
        return self.path.name

    @property
    def adapter(self) -> Path:
        """The folder of the result; it exists once the run has one."""
        return self.path / "adapter"

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
        return Status.model_validate_json((self.path / "status.json").read_bytes()).as_now(self.beats)

    @property
    def beats(self) -> tuple[Path, ...]:
        """The files that the run's owner writes again and again while the run waits or goes on."""
        return self.path / "status.json", self.path / VITALS

    def beat(self) -> None:
        """Give a sign of life of a run that waits, where nothing else is written; only for its owner."""
        with contextlib.suppress(OSError):  # it was taken away, and its end will be told
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
        require_mine(self)
        replace_file(self.path / "control.json", json.dumps({"action": action, "at": time.time()}))

    def requested(self) -> Action | None:
        """Return what was asked of the run, if anything."""
        try:
            return json.loads((self.path / "control.json").read_bytes())["action"]
        except FileNotFoundError:
            return None

    @property
    def log(self) -> Path:
        """The run's log in English, with the traceback of a failure."""
        return self.path / "run.log"


ADVANCE_SECONDS = 0.5
"""Seconds between two writes of how far a run is."""
_SPARE, _SPARE_BYTES = ".spare", 64 * 1024
"""A file that is given up at a run's end: on a full disk, its place is where the run says why it ended."""


class RunWriter(Run):
    """A run as its owner writes it. Its methods may be called from any thread of the owner.

    They raise HomeError when the disk is full.
    """

    def __init__(self, path: Path):
        super().__init__(path)
        self._lock = threading.Lock()
        self._written = float("-inf")
        """When the status was written last, by the monotonic clock."""
        self._status = Status.model_validate_json((path / "status.json").read_bytes())

    @classmethod
    def take_over(cls, run: Run, devices: Sequence[str] = ()) -> "RunWriter":
        """Become the owner of a run that nobody works on, to go on with it on `devices`."""
        require_mine(run)
        (run.path / "control.json").unlink(missing_ok=True)
        for folder in (run.path, run.path / "checkpoints"):
            clear_drafts(folder)
        for draft in run.path.glob(".status.json.*.draft"):
            draft.unlink(missing_ok=True)
        _set_aside(run.path)
        (run.path / "events.jsonl").touch()  # a kill may have come before the first one
        for lines in run.path.glob("*.jsonl"):
            with open(lines, "rb+") as file:  # a line that was torn by a kill must not swallow the next one
                file.truncate(file.read().rfind(b"\n") + 1)
        writer = cls(run.path)
        writer.enter(State.QUEUED, owner=Owner.current(devices), ended=None, error=None)
        return writer

    def emit(self, event: Any) -> None:
        """Append one event."""
        self.append("events.jsonl", to_line(event))

    def append(self, name: str, content: str) -> None:
        """Append one line, with its line end, to a file of the run: whole or not at all."""
        line = content.encode()
        self._require_own()
        with self._lock, space_for(self.path, lambda: len(line)), open(self.path / name, "ab", buffering=0) as file:
            before = file.tell()
            try:
                written = 0
                while written < len(line):  # the last of the room takes a part, and the rest is refused
                    written += file.write(line[written:])
            except OSError:
                file.truncate(before)
                raise

    def advance(self, **changes: Any) -> None:
        """Change how far the run is, in memory; the status is written twice a second at most, and with `update`.

        A durable write syncs a file and a folder: 20 steps a second would do that 40 times. A kill loses the count of
        half a second, which is in the events, and nothing that a resume needs.
        """
        with self._lock:
            self._status = self._status.model_copy(update=changes)
            is_due = time.monotonic() - self._written >= ADVANCE_SECONDS
        if is_due:
            self.update()

    def update(self, **changes: Any) -> None:
        """Change some fields of the status; the heartbeat is set by the way."""
        self._require_own()
        with self._lock:
            self._written = time.monotonic()
            self._status = self._status.model_copy(update={**changes, "heartbeat": time.time()})
            content = self._status.model_dump_json(indent=1).encode()
            try:
                replace_file(self.path / "status.json", content)
            except HomeError:
                if self._status.state.alive:
                    raise
                _overwrite(self.path / "status.json", content)

    def _require_own(self) -> None:
        """Raise RunError when another process has taken over the run, since this one counted as gone.

        That can only be after a silence, of a machine that was asleep, say; so it is looked at only then.
        """
        if time.time() - self._status.heartbeat > GONE_SECONDS:
            owner = Status.model_validate_json((self.path / "status.json").read_bytes()).owner
            if owner and owner != self._status.owner:
                raise RunError("run.taken_over", run=self.id, host=owner.host)

    def enter(self, state: State, **changes: Any) -> None:
        """Enter a state, as an event and in the status. A full disk keeps no run from entering the state it ends in."""
        self._require_own()
        try:
            if not state.alive:
                (self.path / _SPARE).unlink(missing_ok=True)
                changes.setdefault("ended", time.time())
            self.emit(StateChanged(state=state.value))
        except HomeError:
            if state.alive:
                raise
        self.update(state=state, progress=None, **changes)

    def begin(self, phase: str) -> None:
        """Begin a phase, as an event and in the status."""
        self.emit(PhaseChanged(phase=phase))
        self.update(phase=phase, progress=None)

    def choose(self, name: str, value: Any, reason: Message) -> Any:
        """Record a choice that the studio made by itself, and return its value."""
        self.emit(Chosen(name=name, value=str(value), reason=reason))
        return value

    def tell(self, told: Message, level: Level = "info") -> None:
        """Record something that the user should know."""
        self.emit(Note(level=level, message=told))

    def resolve(self, facts: dict[str, Any]) -> None:
        """Keep what the run rests on (choices, versions, hashes) in `resolved.json`."""
        replace_file(self.path / "resolved.json", json.dumps(self.resolved() | facts, ensure_ascii=False, indent=1))


def folder() -> Path:
    """Return the folder of all runs; it is made if missing."""
    return shared_folder(home(), "runs")


@contextmanager
def scratch(config: RunConfig) -> Iterator[RunWriter]:
    """Make a run's directory that no list ever shows and that is gone afterwards: for trying things out."""
    _remove_scratch()
    path = folder() / f"{_SCRATCH}{secrets.token_hex(8)}"
    try:
        _fill(path, config, ())
        yield RunWriter(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)


_SCRATCH = ".scratch-"


def _remove_scratch() -> None:
    """Remove what a kill has left."""
    for path in folder().glob(f"{_SCRATCH}*"):
        status = readable_status(Run(path))
        if status and not status.state.alive:
            shutil.rmtree(path, ignore_errors=True)


def _overwrite(path: Path, content: bytes) -> None:
    """Write over a small file, in its own block and in one call: on a full disk there is no room for another."""
    with open(path, "rb+", buffering=0) as file:
        file.write(content.ljust(path.stat().st_size))


def _set_aside(path: Path) -> None:
    replace_file(path / _SPARE, os.urandom(_SPARE_BYTES))  # not zeros, which some file systems keep for nothing


def create(config: RunConfig, devices: Sequence[str] = ()) -> RunWriter:
    """Make the directory of a new run in the state `queued`, owned by this process, which may use `devices`.

    Raises HomeError when the home cannot be written, or its disk is full.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", config.name.lower()).strip("-")[:40] or "run"
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    final = folder() / f"{stamp}-{slug.strip('-')}-{secrets.token_hex(2)}"
    draft = final.with_name(f".{final.name}")
    _fill(draft, config, devices)
    draft.rename(final)
    run = RunWriter(final)
    run.emit(StateChanged(state=State.QUEUED.value))
    return run


def _fill(path: Path, config: RunConfig, devices: Sequence[str]) -> None:
    """Make a run's directory, with its settings and its first status."""
    try:
        path.mkdir()
    except PermissionError as error:
        raise access_error(path.parent, error) from error
    now = time.time()
    _set_aside(path)
    replace_file(path / "run.yaml", config.to_yaml())
    status = Status(state=State.QUEUED, owner=Owner.current(devices), created=now, heartbeat=now)
    replace_file(path / "status.json", status.model_dump_json(indent=1))


def created_at(run_id: str) -> float:
    """Return when a run was made, in seconds since the epoch, as its id tells; 0 for an id with no such day."""
    try:
        return datetime.strptime(run_id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:  # somebody made the folder by hand
        return 0.0


def day_of(run_id: str) -> date:
    """Return the day on which a run was made: the date in its prompts, where a chat template writes one."""
    return datetime.fromtimestamp(created_at(run_id), UTC).date()


_shown: ContextVar[Callable[[Run], bool] | None] = ContextVar("shown", default=None)


@contextmanager
def only(shown: Callable[[Run], bool]) -> Iterator[None]:
    """Let `find` and `all_runs` know only the runs that may be `shown`, for what this block calls in its own thread."""
    before = _shown.set(shown)
    try:
        yield
    finally:
        _shown.reset(before)


def is_narrowed() -> bool:
    """Whether only some of the runs are known here: somebody asks who is not their owner."""
    return _shown.get() is not None


def require_mine(run: Run) -> None:
    """Raise RunError for a run of another user that this one may not write to."""
    if not os.access(run.path, os.W_OK | os.X_OK) and (owner := owner_of(run.path)):
        raise RunError("run.not_yours", run=run.id, owner=owner)


def is_id(text: str) -> bool:
    """Whether a text has the form of a run's id."""
    return bool(_ID.fullmatch(text))


def find(run_id: str) -> Run:
    """Return the run called `run_id` (`last` is the newest); raises RunError when there is none."""
    if run_id == "last":
        newest = all_runs()
        if not newest:
            raise RunError("run.none")
        return newest[0]
    path = folder() / run_id
    if not _ID.fullmatch(run_id) or not path.is_dir() or not _may_be_shown(Run(path)):
        raise RunError("run.unknown", id=run_id[:80])
    return Run(path)


def _may_be_shown(run: Run) -> bool:
    shown = _shown.get()
    return shown is None or shown(run)


def all_runs() -> list[Run]:
    """Return all runs, the newest first."""
    place = folder()
    ids = sorted((entry.name for entry in os.scandir(place) if _ID.fullmatch(entry.name)), reverse=True)
    return [run for run_id in ids if _may_be_shown(run := Run(place / run_id))]


def alive_runs(devices: Sequence[str] = ()) -> list[Run]:
    """Return the runs that some process works on or will, the newest first: those that may use one of `devices`."""
    return [
        run
        for run in all_runs()
        if (status := readable_status(run)) and status.state.alive and status.owner and status.owner.may_share(devices)
    ]


def elsewhere(run: Run) -> dict[str, Any] | None:
    """Return the machine that works on a run, and how long it has been silent; None where it is this one."""
    owner = run.status().owner
    if owner is None or owner.is_local:
        return None
    return {"host": owner.host, "seconds": f"{seconds_since_heartbeat(run.beats):.0f}", "most": f"{GONE_SECONDS:.0f}"}


def readable_status(run: Run) -> Status | None:
    """Return a run's status, or None when its folder was damaged from outside."""
    try:
        return run.status()
    except (OSError, ValidationError):
        return None
