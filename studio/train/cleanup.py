"""Old checkpoints of a finished run, which take most of its place on the disk."""

from pathlib import Path

from studio.errors import RunError
from studio.files import remove_folder, size_of
from studio.runs import Run, State, checkpoints, try_status
from studio.runs.trash import block_starts


def removable(run: Run) -> list[Path]:
    """Return the checkpoints that a finished run can do without: all but the newest.

    A run that is not finished keeps all of them, since an older one takes the place of a newest that is damaged. The
    best adapter is not among the checkpoints, and the result is neither.
    """
    status = try_status(run)
    return checkpoints.all_of(run.path)[1:] if status and status.state is State.FINISHED else []


def removable_bytes(run: Run) -> int:
    """Return what `remove_old` would free, as far as that can be told without reading every checkpoint."""
    return sum(map(size_of, removable(run)))


def remove_old(run: Run) -> int:
    """Remove the checkpoints that a finished run can do without; returns the bytes that are free then.

    The one that stays is the newest that is whole, so the run can still be made longer. Raises RunError when the run is
    not finished, or has none that is whole.
    """
    with block_starts():
        if (status := try_status(run)) is None or status.state is not State.FINISHED:
            raise RunError("run.not_finished", run=run.id)
        if not checkpoints.all_of(run.path):
            return 0
        kept = checkpoints.newest_complete(run.path)
        old = [path for path in checkpoints.all_of(run.path) if path != kept]
        freed = sum(map(size_of, old))
        for path in old:
            remove_folder(path)
    return freed
