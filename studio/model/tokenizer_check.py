"""A tokenizer is a program of whoever made the model: it is tried out in a child process before it runs here."""

import hashlib
from pathlib import Path

from studio.errors import ModelError
from studio.files import sha256
from studio.model import tokenizer_trial
from studio.model.subprocess_worker import is_bearable

WAIT = tokenizer_trial.SECONDS + 30
"""Seconds until a child that does not end is ended: its own limit counts only what it computes."""
_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "merges.txt", "tokenizer_config.json")


def check(folder: Path) -> None:
    """Raise ModelError for a tokenizer that takes too much time or memory, or makes far more of a text than there was.

    Each is tried once in a process.
    """
    files = [folder / name for name in _FILES]
    known = "".join(f"{file.name} {sha256(file)} " for file in files if file.is_file())
    content = hashlib.sha256(known.encode()).hexdigest()
    if content not in _tried:
        bearable = (0, tokenizer_trial.BROKEN)
        _tried[content] = is_bearable(tokenizer_trial.__file__, str(folder), seconds=WAIT, bearable=bearable)
    if not _tried[content]:
        limits = {"growth": tokenizer_trial.MOST_GROWTH, "gigabytes": tokenizer_trial.MEMORY // 1024**3}
        raise ModelError("model.tokenizer", name=folder.name, seconds=tokenizer_trial.SECONDS, **limits)


_tried: dict[str, bool] = {}
"""Whether what was tried is bearable, by what is in its files."""
