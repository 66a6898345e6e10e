"""Trainings that are killed from inside, at a call to the system that is chosen beforehand."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.faults import children

CALLS = ("fsync", "mkdir", "rename", "replace", "rmdir", "unlink")
"""What a save asks of the system between its writes: a kill may come before and after each."""

PLACES = {"checkpoints": "a checkpoint", "best": "the best adapter", "adapter": "the result"}
"""Folder of a run that is made whole or not at all, and what it is."""


def train_and_die(settings: str, run_id: str | None, place: str, at: int, before: bool, record: str) -> None:
    """Train, and be killed at the `at`-th call about `place`: before it is made, or after. `record` tells which."""
    left = [at]

    def count(name: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            with open(record, "a") as file:
                file.write(f"{'before' if before else 'after'} {name}\n")
            os.kill(os.getpid(), signal.SIGKILL)

    at_each_call(place, count, before)
    children.train(settings, run_id)


def train_slowly(settings: str, run_id: str | None, seconds: float) -> None:
    """Train on a disk that takes `seconds` for every sync, so that saves are long enough to be hit from outside."""
    real = os.fsync

    def slowly(descriptor: int) -> None:
        time.sleep(seconds)
        real(descriptor)

    os.fsync = slowly
    children.train(settings, run_id)


def train_and_count(settings: str, record: str) -> None:
    """Train undisturbed, and write down how many calls each place takes."""
    counted: Counter[str] = Counter()
    for place in PLACES:
        at_each_call(place, lambda name, place=place: counted.update([place]), before=True)
    children.train(settings)
    Path(record).write_text(json.dumps(counted))


def at_each_call(place: str, act: Callable[[str], None], before: bool) -> None:
    """Let `act` know of each call about `place` (its name), before or after it is made."""
    for name in CALLS:
        real = getattr(os, name)

        def watched(path, *rest, name=name, real=real, **options):
            concerned = _is_in(place, path, options.get("dir_fd"))
            if before and concerned:
                act(name)
            result = real(path, *rest, **options)
            if not before and concerned:
                act(name)
            return result

        setattr(os, name, watched)
    os.supports_dir_fd |= {os.unlink, os.rmdir, os.mkdir, os.rename}  # shutil asks for that


def _is_in(place: str, path, folder: int | None) -> bool:
    if isinstance(path, int):
        path = os.readlink(f"/proc/self/fd/{path}")
    elif folder is not None:
        path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
    parts = Path(path).parts
    if "runs" not in parts:
        return False
    inside = parts[parts.index("runs") + 2 :]
    return bool(inside) and inside[0].lstrip(".").split(".")[0] == place
