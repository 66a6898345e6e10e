"""Keep uploaded files under the studio's home, named by content, so that a run can be repeated after a restart."""

import contextlib
import os
import re
import shutil
from pathlib import Path

from studio.files import home, sha256


def keep(path: str) -> Path:
    """Copy an uploaded file to `<home>/uploads` and return where it is; the same file is kept once."""
    source = Path(path)
    folder = home() / "uploads"
    folder.mkdir(exist_ok=True)
    name = re.sub(r"[^\w.-]+", "-", source.stem)[-60:] or "data"
    kept = folder / f"{name}-{sha256(source)[:12]}{source.suffix.lower()}"
    if not kept.exists():
        draft = kept.with_name(f".{kept.name}.draft")
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        try:
            os.link(source, draft)  # at once, also for a gigabyte
        except OSError:
            shutil.copyfile(source, draft)
        draft.rename(kept)
    return kept
