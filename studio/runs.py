"""Run directories: the only truth about a run.

A run has one writer, the process that owns it (`RunWriter`); everybody else reads (`Run`) and asks (`Run.request`).
"""

import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from studio.config import RunConfig
from studio.errors import HomeError, RunError
from studio.events import Chosen, Level, Note, PhaseChanged, StateChanged, from_line, to_line
from studio.files import clear_drafts, home, replace_file, space_for
from studio.i18n import Message


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


class Owner(BaseModel):
    """A process, told apart from a later one with the same number by when it and the machine started."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: float
    boot: float

    @classmethod
    def me(cls) -> "Owner":
        """Describe this process."""
        return cls(pid=os.getpid(), started=psutil.Process().create_time(), boot=psutil.boot_time())

    def lives(self) -> bool:
        """Whether that process still runs on this machine."""
        if abs(self.boot - psutil.boot_time()) > 60:  # boot_time is derived from a clock that may be set
            return False
        try:
            process = psutil.Process(self.pid)
            ended = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)  # and nobody has asked how, yet
            return abs(process.create_time() - self.started) < 1 and not ended
        except psutil.NoSuchProcess:
            return False


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

    def as_now(self) -> "Status":
        """Return the status at this moment: that of a run whose owner is gone is `interrupted`."""
        if not self.state.alive or (self.owner and self.owner.lives()):
            return self
        return self.model_copy(update={"state": State.INTERRUPTED, "ended": self.heartbeat})


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
        return Status.model_validate_json((self.path / "status.json").read_bytes()).as_now()

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


_SPARE, _SPARE_BYTES = ".spare", 64 * 1024
"""A file that is given up at a run's end: on a full disk, its place is where the run says why it ended."""


class RunWriter(Run):
    """A run as its owner writes it. Its methods may be called from any thread of the owner.

    They raise HomeError when the disk is full.
    """

    def __init__(self, path: Path):
        super().__init__(path)
        self._lock = threading.Lock()
        self._status = Status.model_validate_json((path / "status.json").read_bytes())

    @classmethod
    def take_over(cls, run: Run) -> "RunWriter":
        """Become the owner of a run that nobody works on, to go on with it."""
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
        writer.enter(State.QUEUED, owner=Owner.me(), ended=None, error=None)
        return writer

    def emit(self, event: Any) -> None:
        """Append one event."""
        self.append("events.jsonl", to_line(event))

    def append(self, name: str, content: str) -> None:
        """Append one line, with its line end, to a file of the run: whole or not at all."""
        line = content.encode()
        with self._lock, space_for(self.path, lambda: len(line)), open(self.path / name, "ab", buffering=0) as file:
            before = file.tell()
            try:
                written = 0
                while written < len(line):  # the last of the room takes a part, and the rest is refused
                    written += file.write(line[written:])
            except OSError:
                file.truncate(before)
                raise

    def update(self, **changes: Any) -> None:
        """Change some fields of the status; the heartbeat is set by the way."""
        with self._lock:
            self._status = self._status.model_copy(update={**changes, "heartbeat": time.time()})
            content = self._status.model_dump_json(indent=1).encode()
            try:
                replace_file(self.path / "status.json", content)
            except HomeError:
                if self._status.state.alive:
                    raise
                _overwrite(self.path / "status.json", content)

    def enter(self, state: State, **changes: Any) -> None:
        """Enter a state, as an event and in the status. A full disk keeps no run from entering the state it ends in."""
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
    path = home() / "runs"
    path.mkdir(exist_ok=True)
    return path


@contextmanager
def scratch(config: RunConfig) -> Iterator[RunWriter]:
    """Make a run's directory that no list shows and that is gone afterwards: for trying things out."""
    run = create(config)
    hidden = run.path.rename(run.path.with_name(f".{run.id}"))
    try:
        yield RunWriter(hidden)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _overwrite(path: Path, content: bytes) -> None:
    """Write over a small file, in its own block and in one call: on a full disk there is no room for another."""
    with open(path, "rb+", buffering=0) as file:
        file.write(content.ljust(path.stat().st_size))


def _set_aside(path: Path) -> None:
    replace_file(path / _SPARE, os.urandom(_SPARE_BYTES))  # not zeros, which some file systems keep for nothing


def create(config: RunConfig) -> RunWriter:
    """Make the directory of a new run in the state `queued`, owned by this process.

    Raises HomeError when the home cannot be written, or its disk is full.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", config.name.lower()).strip("-")[:40] or "run"
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    final = folder() / f"{stamp}-{slug.strip('-')}-{secrets.token_hex(2)}"
    draft = final.with_name(f".{final.name}")
    draft.mkdir()
    now = time.time()
    _set_aside(draft)
    replace_file(draft / "run.yaml", config.to_yaml())
    status = Status(state=State.QUEUED, owner=Owner.me(), created=now, heartbeat=now)
    replace_file(draft / "status.json", status.model_dump_json(indent=1))
    draft.rename(final)
    run = RunWriter(final)
    run.emit(StateChanged(state=State.QUEUED.value))
    return run


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


def alive_runs() -> list[Run]:
    """Return the runs that some process works on or will, the newest first."""
    return [run for run in all_runs() if (status := readable_status(run)) and status.state.alive]


def readable_status(run: Run) -> Status | None:
    """Return a run's status, or None when its folder was damaged from outside."""
    try:
        return run.status()
    except (OSError, ValidationError):
        return None
