"""A run as its owner writes it, and how a new one is made."""

import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from typing_extensions import override

from studio.config import RunConfig
from studio.errors import HomeError, RunError
from studio.events import Chosen, Level, Note, PhaseChanged, StateChanged, to_line
from studio.files import access_error, clear_drafts, replace_file, space_for
from studio.i18n import Message
from studio.owner import GONE_SECONDS, Owner
from studio.runs.directory import Run, State, Status, folder, require_writable, try_status

ADVANCE_SECONDS = 0.5
_SPARE, _SPARE_BYTES = ".spare", 64 * 1024
"""A file that is given up at a run's end: on a full disk, its place is where the run says why it ended. It holds no
zeros, which some file systems keep for nothing."""
_SCRATCH = ".scratch-"


class RunWriter(Run):
    """A run as its owner writes it. Its methods may be called from any thread; they raise HomeError."""

    def __init__(self, path: Path):
        super().__init__(path)
        self._lock, self._over = threading.Lock(), threading.Event()
        self._written = float("-inf")  # when the status was written last, by the monotonic clock
        self._status = Status.model_validate_json((path / "status.json").read_bytes())

    @classmethod
    def take_over(cls, run: Run, devices: Sequence[str] = (), *, keep_request: bool = False) -> "RunWriter":
        """Become the owner of a run that nobody works on, to go on with it on `devices`.

        Earlier requests are forgotten, unless `keep_request`.
        """
        require_writable(run)
        if not keep_request:
            (run.path / "control.json").unlink(missing_ok=True)
        for draft in run.path.glob(".status.json.*.draft"):
            draft.unlink(missing_ok=True)
        for path in (run.path, run.path / "checkpoints"):
            clear_drafts(path)
        replace_file(run.path / _SPARE, os.urandom(_SPARE_BYTES))
        (run.path / "events.jsonl").touch()  # a kill may have come before the first one
        for lines in run.path.glob("*.jsonl"):
            with open(lines, "rb+") as file:  # a line that was torn by a kill must not swallow the next one
                file.truncate(file.read().rfind(b"\n") + 1)
        writer = cls(run.path)
        writer.enter(State.QUEUED, owner=Owner.current(devices), ended=None, error=None)
        return writer

    @property
    def step(self) -> int:
        """The step that the run is at, also where the status on the disk does not say it yet."""
        return self._status.step

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
                # in its own block and in one call: on a full disk there is no room for another
                with open(self.path / "status.json", "rb+", buffering=0) as file:
                    file.write(content.ljust(os.fstat(file.fileno()).st_size))

    def _require_own(self) -> None:
        """Raise RunError when another process has taken over the run, since this one counted as gone."""
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
        if state.alive:
            self._over.clear()
        else:
            self._over.set()

    @override
    def wait(self, seconds: float) -> None:
        self._over.wait(seconds)

    def enter_phase(self, phase: str) -> None:
        """Begin a phase, as an event and in the status."""
        self.emit(PhaseChanged(phase=phase))
        self.update(phase=phase, progress=None)

    def record_choice(self, name: str, value: Any, reason: Message) -> Any:
        """Record a choice that the studio made by itself, and return its value."""
        self.emit(Chosen(name=name, value=str(value), reason=reason))
        return value

    def note(self, message: Message, level: Level = "info") -> None:
        """Record something that the user should know."""
        self.emit(Note(level=level, message=message))

    def resolve(self, facts: dict[str, Any]) -> None:
        """Keep what the run rests on (choices, versions, hashes) in `resolved.json`."""
        replace_file(self.path / "resolved.json", json.dumps(self.resolved() | facts, ensure_ascii=False, indent=1))


@contextmanager
def scratch(config: RunConfig) -> Iterator[RunWriter]:
    """Make a run's directory that no list ever shows and that is gone afterwards: for trying things out."""
    for left in folder().glob(f"{_SCRATCH}*"):  # by a kill
        status = try_status(Run(left))
        if status and not status.state.alive:
            shutil.rmtree(left, ignore_errors=True)
    path = folder() / f"{_SCRATCH}{secrets.token_hex(8)}"
    try:
        _fill(path, config, ())
        yield RunWriter(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def create(
    config: RunConfig, devices: Sequence[str] = (), fill: Callable[[RunWriter], None] = lambda draft: None
) -> RunWriter:
    """Make the directory of a new run in the state `queued`, owned by this process, which may use `devices`.

    `fill` writes more files of it, which are there as soon as the run is; where it raises, there is no run.
    """
    final = folder() / new_id(config.name, "run")
    draft = final.with_name(f".{final.name}")
    _fill(draft, config, devices)
    try:
        fill(RunWriter(draft))
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    draft.rename(final)
    run = RunWriter(final)
    run.emit(StateChanged(state=State.QUEUED.value))
    return run


def new_id(name: str, otherwise: str) -> str:
    """Return an id for what has this name: it sorts by time, and is a safe file name."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or otherwise
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{slug}-{secrets.token_hex(2)}"


def _fill(path: Path, config: RunConfig, devices: Sequence[str]) -> None:
    """Make a run's directory, with its settings and its first status."""
    try:
        path.mkdir()
    except PermissionError as error:
        raise access_error(path.parent, error) from error
    now = time.time()
    replace_file(path / _SPARE, os.urandom(_SPARE_BYTES))
    replace_file(path / "run.yaml", config.to_yaml())
    status = Status(state=State.QUEUED, owner=Owner.current(devices), created=now, heartbeat=now)
    replace_file(path / "status.json", status.model_dump_json(indent=1))
