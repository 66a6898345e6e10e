"""The meter's reports of a run, read from its directory."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio import runs
from studio.compare.column_loading import column_hash, find_adapter
from studio.compare.columns import Column
from studio.config import DataConfig
from studio.data import prepare
from studio.errors import StudioError
from studio.files import cached_by_file, newest_first, read_as, sha256
from studio.journal import digest
from studio.model.adapter_files import WEIGHTS
from studio.runs import Run
from studio.style.answers import FOLDER
from studio.style.report import ColumnReport, StyleReport

MOST_RUNS = 50


def path_of(run: Run, report_id: str) -> Path:
    """Return where a report is stored."""
    return run.path / FOLDER / f"report-{report_id}.json"


def read(path: Path) -> StyleReport | None:
    """Read a report; None where there is none, or it cannot be read."""
    return _read(path) if path.exists() else None


@cached_by_file(32)
def _read(path: Path) -> StyleReport | None:
    return read_as(StyleReport, path, warn=True)


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
    return newest_first((run.path / FOLDER).glob("report-*.json"))


def find_column(run: Run, column: Column, adapter: str | None) -> tuple[StyleReport, ColumnReport] | None:
    """Return the newest report that has measured this adapter at this strength, and its column."""
    for report in all_of(run):
        for each in report.columns:
            if each.column == column and each.adapter == adapter:
                return report, each
    return None


def measured_at(run: Run, column: Column) -> StyleReport | None:
    """Return the newest report that has measured a column with the weights that it has now, as a report about it.

    Of a report that is about another adapter first, the verdict and the curve are left out. A report that has measured
    nothing, for want of text, is about any column.
    """
    reports = all_of(run)
    if not reports:
        return None
    if not reports[0].columns:
        return reports[0]
    known = find_column(run, column, None if column.is_base else _adapter_sha256(run, column))
    if known is None:
        return None
    report, measured = known
    if report.main in (measured, None):
        return report
    others = [each for each in report.columns if each is not measured]
    first = others.index(report.main)
    return replace(report, columns=(*others[:first], measured, *others[first:]), verdict=None, curve=None)


def rows_sha256(data: DataConfig, mapping: Mapping[str, Any]) -> str:
    """Return a hash of the rows of a dataset as they are read: of its table, and of what its columns are used as."""
    return digest(prepare.table(data).sha256, json.dumps(mapping, sort_keys=True))


def of_rows(data: DataConfig, mapping: Mapping[str, Any]) -> tuple[Run, StyleReport] | None:
    """Return the newest report with style words on some rows, of whichever run was trained on them, and that run."""
    measured = [(run, report) for run in runs.all_runs()[:MOST_RUNS] if (report := newest(run)) and report.rows_sha256]
    if not measured:
        return None
    wanted = rows_sha256(data, mapping)
    return next(((run, report) for run, report in measured if report.rows_sha256 == wanted), None)


def _adapter_sha256(run: Run, column: Column) -> str | None:
    hashes = []
    try:
        for part in column.parts:
            hashes.append(_sha256(find_adapter(run, part, None).folder / WEIGHTS))
    except (StudioError, OSError):  # it has none yet, or was taken away
        return None
    return column_hash(column, hashes)


_sha256 = cached_by_file(64)(sha256)
