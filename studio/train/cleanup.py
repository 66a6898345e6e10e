"""Old checkpoints of a finished run, which take most of its place on the disk."""

from pathlib import Path

from studio import checkpoints
from studio.errors import RunError
from studio.files import remove_folder, size_of
from studio.runs import Run, State, readable_status
from studio.trash import block_starts


def spare(run: Run) -> list[Path]:
    """Return the checkpoints that a finished run can do without: all but the newest.

    A run that is not finished keeps all of them, since an older one takes the place of a newest that is damaged. The
    best adapter is not among the checkpoints, and the result is neither.
    """
    status = readable_status(run)
    return checkpoints.all_of(run.path)[1:] if status and status.state is State.FINISHED else []


def spare_bytes(run: Run) -> int:
    """Return what `clean` would free, as far as that can be told without reading every checkpoint."""
    return sum(map(size_of, spare(run)))


def clean(run: Run) -> int:
    """Remove the checkpoints that a finished run can do without; returns the bytes that are free then.

    The one that stays is the newest that is whole, so the run can still be made longer. Raises RunError when the run is
    not finished, or has none that is whole.
    """
    with block_starts():
        if (status := readable_status(run)) is None or status.state is not State.FINISHED:
            raise RunError("run.not_finished", run=run.id)
        if not checkpoints.all_of(run.path):
            return 0
        kept = checkpoints.newest_whole(run.path)
        going = [path for path in checkpoints.all_of(run.path) if path != kept]
        freed = sum(map(size_of, going))
        for path in going:
            remove_folder(path)
    return freed
