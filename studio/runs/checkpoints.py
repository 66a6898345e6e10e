"""Checkpoints that are complete or absent, never half.

A checkpoint is written into a hidden folder, every file is synced and listed with its hash, and only then the folder
gets its name. Old ones lose theirs before they are removed. So a kill leaves whole checkpoints, and damage is detected.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from studio.errors import RunError
from studio.files import remove_folder, replace_file, replace_folder, sha256, size_of
from studio.runs.directory import Run, State, try_status
from studio.runs.trash import block_starts

_MANIFEST = "complete.json"
_NEVER_KEPT = ("training_args.bin", "README.md")
"""Files of the trainer that nobody needs; the first is a pickle of settings."""


def folder_of(run: Path) -> Path:
    """Return the folder of a run's checkpoints."""
    return run / "checkpoints"


def write(run: Path, step: int, fill: Callable[[Path], None]) -> Path:
    """Make the checkpoint of `step`: `fill` writes its files into the folder it is given. Returns the checkpoint.

    One of the same step that is whole stays: to replace it would leave a moment without it.
    """
    folder_of(run).mkdir(exist_ok=True)

    def fill_and_list(draft: Path) -> None:
        fill(draft)
        for name in _NEVER_KEPT:
            (draft / name).unlink(missing_ok=True)
        files = sorted(path for path in draft.rglob("*") if path.is_file())
        replace_file(draft / _MANIFEST, json.dumps({str(p.relative_to(draft)): sha256(p) for p in files}, indent=1))

    final = folder_of(run) / f"step-{step:06}"
    if not is_complete(final):
        replace_folder(final, fill_and_list, max(map(size_of, all_of(run)), default=0))
    return final


def step_of(checkpoint: Path) -> int:
    """Return the step at which a checkpoint was made."""
    return int(checkpoint.name.removeprefix("step-"))


def all_of(run: Path) -> list[Path]:
    """Return a run's checkpoints, the newest first; they are whole unless somebody damaged them later."""
    return sorted(folder_of(run).glob("step-*"), key=step_of, reverse=True)


def is_complete(checkpoint: Path) -> bool:
    """Whether every file of a checkpoint is there as it was written."""
    try:
        listed = json.loads((checkpoint / _MANIFEST).read_text(encoding="utf-8"))
        return bool(listed) and all(sha256(checkpoint / name) == known for name, known in listed.items())
    except (OSError, ValueError, AttributeError):
        return False


def newest_complete(run: Path) -> Path:
    """Return the newest checkpoint that is whole; raises RunError when there is none."""
    newest = next((checkpoint for checkpoint in all_of(run) if is_complete(checkpoint)), None)
    if newest is None:
        raise RunError("run.no_checkpoint", run=run.name)
    return newest


def prune(run: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints, and what a kill has left half done."""
    for checkpoint in all_of(run)[keep:]:
        remove_folder(checkpoint)
    for rest in folder_of(run).glob(".*"):
        shutil.rmtree(rest, ignore_errors=True)


def removable_bytes(run: Run) -> int:
    """Return what `remove_old` would free, as far as that is known without reading every checkpoint.

    A run that is not finished keeps all of them, since an older one takes the place of a newest that is damaged.
    """
    status = try_status(run)
    return sum(map(size_of, all_of(run.path)[1:])) if status and status.state is State.FINISHED else 0


def remove_old(run: Run) -> int:
    """Remove the checkpoints that a finished run can do without; returns the bytes that are free then.

    The one that stays is the newest that is whole, so the run can still be made longer. Raises RunError when the run is
    not finished, or has none that is whole.
    """
    with block_starts():
        if (status := try_status(run)) is None or status.state is not State.FINISHED:
            raise RunError("run.not_finished", run=run.id)
        if not all_of(run.path):
            return 0
        newest = newest_complete(run.path)
        old = [path for path in all_of(run.path) if path != newest]
        freed = sum(map(size_of, old))
        for path in old:
            remove_folder(path)
    return freed
