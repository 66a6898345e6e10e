"""The exports that lie in a run's directory: what each holds, whether it was checked, whether the run has gone on."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.export import target
from studio.export.request import KINDS, Kind
from studio.files import size_of
from studio.model.adapter_files import BASE_RECORD, WEIGHTS
from studio.runs import Run

if TYPE_CHECKING:
    from studio.export.verify.result import Verification

Stamp = tuple[tuple[str, float, float], ...]
"""Of each export its kind, and when it and the result of its check were written."""


@dataclass(frozen=True)
class Made:
    """An export as it lies there."""

    kind: Kind
    folder: Path
    at: float
    """When it was made, in seconds since the epoch."""
    files: tuple[tuple[str, int], ...]
    """Names and bytes, the largest first; of a folder inside, what is in it together."""
    verification: "Verification | None"
    is_old: bool
    """Whether the run has gone on since, so that its weights are others now."""

    @property
    def bytes(self) -> int:
        """What it weighs."""
        return sum(count for _, count in self.files)


def stamp(run: Run) -> Stamp:
    """Return what tells when any of a run's exports has changed."""
    from studio.export.verify import result

    found = ((kind, target.place(run, kind, None)) for kind in KINDS)
    stamps = ((kind, _written(folder / BASE_RECORD), _written(result.path_of(folder))) for kind, folder in found)
    return tuple(each for each in stamps if each[1])


def of(run: Run) -> list[Made]:
    """Return a run's exports, in the order of the kinds."""
    return [made for kind in KINDS if (made := one(run, kind))]


def one(run: Run, kind: Kind) -> Made | None:
    """Return the export of a kind; None where there is none."""
    from studio.export.verify import result

    folder = target.place(run, kind, None)
    at = _written(folder / BASE_RECORD)
    if not at:
        return None
    try:
        checked = result.saved(folder)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # of another version, or damaged
        checked = None
    files = sorted(_files(folder), key=lambda file: (-file[1], file[0]))
    return Made(kind, folder, at, tuple(files), checked, at < _written(run.adapter / WEIGHTS))


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    for entry in os.scandir(folder):
        if entry.is_dir():
            yield f"{entry.name}/", size_of(Path(entry.path))
        elif entry.name != BASE_RECORD:
            yield entry.name, entry.stat().st_size


def _written(path: Path) -> float:
    """Return when a file was written, in seconds since the epoch; 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
