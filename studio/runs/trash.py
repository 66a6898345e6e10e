"""Deleted runs: a run is moved into `<home>/trash` as it is, and moved back to undo that.

A run moves by one rename, so a kill leaves it in one place or the other and whole. The trash is emptied on request, and
after thirty days at the next start.
"""

import re
import shutil
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from studio import locks, runs
from studio.errors import RunError, StudioError
from studio.files import home, shared_folder, size_of, sync_folder
from studio.runs import Run, metadata
from studio.runs.directory import ID

KEEP_SECONDS = 30 * 24 * 3600
_NAME = re.compile(rf"\d{{10,}}~{ID.pattern}")


@dataclass(frozen=True)
class DeletedRun:
    """A run in the trash."""

    id: str
    at: float
    path: Path

    @property
    def name(self) -> str:
        """The name of the run."""
        run = Run(self.path)
        try:
            return metadata.load(run).name or run.started_config().name
        except (OSError, StudioError):  # damaged, and perhaps deleted for that
            return self.id

    @property
    def bytes(self) -> int:
        """Its size on the disk."""
        return size_of(self.path)


def folder() -> Path:
    """Return the trash's folder; it is created if missing."""
    return shared_folder(home(), "trash")


def deleted_runs() -> list[DeletedRun]:
    """Return the runs in the trash, the last one deleted first."""
    paths = [path for path in folder().iterdir() if _NAME.fullmatch(path.name)]
    listed = [DeletedRun(run_id, int(at) / 1000, path) for path in paths for at, run_id in [path.name.split("~")]]
    return sorted(listed, key=lambda run: run.at, reverse=True)


def delete(run: Run) -> DeletedRun:
    """Move a run into the trash. Raises RunError when it is alive, gone, or held open by another program."""
    with block_starts():
        if not run.path.is_dir():
            raise RunError("run.unknown", id=run.id)
        status = runs.try_status(run)
        if status and status.state.alive:
            if owner := runs.remote_owner(run):
                raise RunError("run.alive_elsewhere", run=run.id, **owner)
            raise RunError("run.alive", run=run.id)
        now = int(time.time() * 1000)
        moved = DeletedRun(run.id, now / 1000, folder() / f"{now}~{run.id}")
        _move(run.path, moved.path, run.id)
    return moved


def restore(run_id: str) -> Run:
    """Move a run (`last` for the one deleted last) back to the others. Raises RunError when it is not in the trash."""
    with block_starts():
        deleted = next((run for run in deleted_runs() if run_id in (run.id, "last")), None)
        if deleted is None:
            raise RunError("run.not_in_trash", id=run_id[:80])
        restored = Run(runs.folder() / deleted.id)
        if restored.path.exists():
            raise RunError("run.in_the_way", run=deleted.id, folder=str(restored.path))
        _move(deleted.path, restored.path, deleted.id)
    return restored


def empty(older_than: float = 0) -> int:
    """Remove for good what was deleted more than `older_than` seconds ago; returns how many runs that were."""
    with block_starts():
        removed = [run for run in deleted_runs() if time.time() - run.at >= older_than]
        for run in removed:
            run.path.rename(folder() / f".gone-{run.path.name}")
    for rest in folder().glob(".gone-*"):  # also what a kill has left
        shutil.rmtree(rest, ignore_errors=True)
    return len(removed)


def block_starts() -> AbstractContextManager[None]:
    """Keep every process from starting or resuming a run."""
    return locks.acquire(home() / "start.lock")


def _move(path: Path, to: Path, run_id: str) -> None:
    try:
        path.rename(to)
    except OSError as error:
        raise RunError("run.not_moved", run=run_id, detail=error.strerror or str(error)) from error
    for parent in (path.parent, to.parent):
        sync_folder(parent)
