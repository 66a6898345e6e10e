"""The meter's reports of a run, read from its directory."""

import logging
from pathlib import Path

from pydantic import ValidationError

from studio.compare.columns import Column
from studio.runs import Run
from studio.style.answers import FOLDER
from studio.style.report import ColumnReport, StyleReport

log = logging.getLogger(__name__)


def path_of(run: Run, report_id: str) -> Path:
    """Return where a report is stored."""
    return run.path / FOLDER / f"report-{report_id}.json"


def read(path: Path) -> StyleReport | None:
    """Read a report; None where there is none, or it cannot be read."""
    try:
        return StyleReport.from_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:  # damaged from outside, or of another version
        log.warning("the report %s cannot be read", path, exc_info=True)
        return None


def all_of(run: Run) -> list[StyleReport]:
    """Return the reports of a run, the newest first."""
    return [report for path in _paths(run) if (report := read(path))]


def newest(run: Run) -> StyleReport | None:
    """Return the newest report of a run; None without one."""
    return next((report for path in _paths(run) if (report := read(path))), None)


def stamp(run: Run) -> tuple[str, int] | None:
    """Return what changes with the newest report of a run; None without one. Cheap enough to poll."""
    return next(((path.name, path.stat().st_mtime_ns) for path in _paths(run)), None)


def _paths(run: Run) -> list[Path]:
    paths = (run.path / FOLDER).glob("report-*.json")
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def find_column(run: Run, column: Column, adapter: str | None) -> tuple[StyleReport, ColumnReport] | None:
    """Return the newest report that has measured this adapter at this strength, and its column."""
    for report in all_of(run):
        for each in report.columns:
            if each.column == column and each.adapter == adapter:
                return report, each
    return None
