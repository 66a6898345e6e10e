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
    paths = sorted((run.path / FOLDER).glob("report-*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [report for path in paths if (report := read(path))]


def find_column(run: Run, column: Column, adapter: str | None) -> tuple[StyleReport, ColumnReport] | None:
    """Return the newest report that has measured this adapter at this strength, and its column."""
    for report in all_of(run):
        for each in report.columns:
            if each.column == column and each.adapter == adapter:
                return report, each
    return None
