"""A package of the Python package index as a file: downloaded with pip, and not installed."""

import contextlib
import re
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from studio.model.subprocess_worker import checked_lines

_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


def download(
    requirement: str, folder: Path, failure: Callable[[str], Exception], on_progress: Callable[[float], None]
) -> Path:
    """Download the wheel of a `name==version` into a folder and return it.

    `on_progress` gets the share done and may raise to stop it. Raises `failure` of pip's last line.
    """
    bar = "off"
    with contextlib.suppress(PackageNotFoundError, ValueError):
        if int(version("pip").split(".")[0]) > 24:  # 24.1 was the first with a progress in bytes
            bar = "raw"
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--progress-bar", bar, "--dest", str(folder), requirement]
    share, last = 0.0, "pip"
    with contextlib.closing(checked_lines(command, lambda detail: failure(detail[:200]))) as lines:
        for line in lines:
            if done := _PROGRESS.fullmatch(line or ""):
                share = int(done[1]) / max(int(done[2]), 1)
            elif line and line.strip():
                last = line.strip()
            on_progress(share)
    if wheel := next(folder.glob("*.whl"), None):
        on_progress(1.0)
        return wheel
    raise failure(last[:200])
