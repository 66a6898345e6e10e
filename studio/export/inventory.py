"""The exports in a run's directory: their files, their verification, and whether the run has trained on since."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from studio.export import export_folder
from studio.export.request import KINDS, Kind
from studio.export.verify import verification
from studio.export.verify.verification import Verification
from studio.files import size_of
from studio.model.adapter_files import BASE_RECORD, WEIGHTS
from studio.runs import Run

Stamp = tuple[tuple[str, float, float], ...]
"""For each export its kind, and the modification times of the export and of its verification."""


@dataclass(frozen=True)
class SavedExport:
    """An export on disk."""

    kind: Kind
    folder: Path
    created_at: float
    """Seconds since the epoch."""
    files: tuple[tuple[str, int], ...]
    """Names and bytes, the largest first; a folder inside counts as one."""
    verification: Verification | None
    is_outdated: bool
    """Whether the run's adapter is newer."""

    @property
    def bytes(self) -> int:
        """Its size."""
        return sum(count for _, count in self.files)


def stamp(run: Run) -> Stamp:
    """Return a value that changes when any of a run's exports changes."""
    folders = ((kind, export_folder.place(run, kind, None)) for kind in KINDS)
    stamps = ((kind, _mtime(folder / BASE_RECORD), _mtime(verification.path_of(folder))) for kind, folder in folders)
    return tuple(each for each in stamps if each[1])


def list_exports(run: Run) -> list[SavedExport]:
    """Return a run's exports, in the order of `KINDS`."""
    return [saved for kind in KINDS if (saved := find_export(run, kind))]


def find_export(run: Run, kind: Kind) -> SavedExport | None:
    """Return the export of a kind; None if there is none."""
    folder = export_folder.place(run, kind, None)
    created_at = _mtime(folder / BASE_RECORD)
    if not created_at:
        return None
    try:
        verified = verification.read(folder)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # of another version, or damaged
        verified = None
    files = sorted(_files(folder), key=lambda file: (-file[1], file[0]))
    return SavedExport(kind, folder, created_at, tuple(files), verified, created_at < _mtime(run.adapter / WEIGHTS))


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    for entry in os.scandir(folder):
        if entry.is_dir():
            yield f"{entry.name}/", size_of(Path(entry.path))
        elif entry.name != BASE_RECORD:
            yield entry.name, entry.stat().st_size


def _mtime(path: Path) -> float:
    """Return a file's modification time in seconds since the epoch; 0 if it does not exist."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
