"""Keep uploaded files under the studio's home, named by content, so that a run can be repeated after a restart."""

import contextlib
import os
import re
import shutil
from pathlib import Path, PureWindowsPath

from studio.config import SourceConfig
from studio.files import home, sha256, shared_folder

_DIGEST = "[0-9a-f]{12}"


def keep(path: str) -> Path:
    """Copy an uploaded file to `<home>/uploads` and return where it is; the same file is kept once."""
    source = Path(path)
    folder = shared_folder(home(), "uploads")
    target = folder / f"{_stem(source.stem)}-{sha256(source)[:12]}{source.suffix.lower()}"
    if not target.exists():
        draft = target.with_name(f".{target.name}.draft")
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        try:
            os.link(source, draft)  # at once, also for a gigabyte
        except OSError:
            shutil.copyfile(source, draft)
        draft.rename(target)
    return target


def _stem(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)[-60:] or "data"


def base_name(named: str) -> str:
    """Return the name of a file without its folders, of this system or of another."""
    return PureWindowsPath(named).name


def title(source: SourceConfig) -> str:
    """Return what a run on a source is called: the name that the user's file or dataset has, without its ending."""
    if source.kind == "hub":
        return source.name.rpartition("/")[2][:60]
    path = PureWindowsPath(source.name)
    is_upload = Path(source.name).parent == home() / "uploads"
    return (title_of(Path(path.name)) if is_upload else path.stem)[:60] or "data"


def title_of(path: Path) -> str:
    """Return the name that a kept file had, without its ending."""
    return re.sub(f"-{_DIGEST}$", "", path.stem)


def find(named: str) -> Path | None:
    """Return the upload that a path of another machine means: the same file, else the newest of the same name."""
    wanted = PureWindowsPath(named)
    files = [path for path in (home() / "uploads").glob("*") if path.is_file()]
    same = [path for path in files if path.name == wanted.name]
    pattern = re.compile(re.escape(_stem(wanted.stem)) + f"-{_DIGEST}" + re.escape(wanted.suffix.lower()))
    matching = same or [path for path in files if pattern.fullmatch(path.name)]
    return max(matching, key=lambda path: path.stat().st_mtime, default=None)
