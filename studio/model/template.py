"""A chat template is a program of whoever made the model: it is tried out in a child process before it runs here."""

import functools
import subprocess
import sys

from studio.errors import ModelError
from studio.model import render
from studio.model.child import environment

WAIT = render.SECONDS + 3
"""Seconds until a child that does not end is ended: its own limit counts only what it computes."""


def check(template: str | dict[str, str] | None, name: str) -> None:
    """Raise ModelError for a template that needs more time or memory than a conversation can; `name` is its model's.

    A tokenizer has none, one, or several by name. Each is tried out once in a process.
    """
    found = template.values() if isinstance(template, dict) else [template]
    for each in found:
        if each and not _is_bearable(each):
            raise ModelError("model.template", name=name, seconds=render.SECONDS, megabytes=render.MEMORY // 1024**2)


@functools.lru_cache(64)
def _is_bearable(template: str) -> bool:
    command = [sys.executable, "-P", render.__file__]
    try:
        done = subprocess.run(
            command, input=template.encode(), capture_output=True, timeout=WAIT, check=False, env=environment()
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
