"""A file that a handler has made, fetched by the browser as soon as it is there."""

import secrets
import time
from pathlib import Path
from typing import Any

import gradio as gr

from studio.ui import launch
from studio.ui.words import Words

_FETCH = "() => setTimeout(() => document.querySelector('#{}').click(), 300)"


class Download:
    """The button that nobody sees; a handler whose outputs hold `outputs` presses it by returning `fetch(path)`."""

    def __init__(self, words: Words, label: str, name: str):
        """Build it inside the current Blocks; `name` is the id of its element."""
        file = words.make(gr.DownloadButton, label=label, visible="hidden", elem_id=name)
        stamp = gr.State(None)
        stamp.change(None, None, None, js=_FETCH.format(name))
        self.outputs = [file, stamp]

    def fetch(self, path: Path | str) -> dict[Any, Any]:
        """Return what makes the browser fetch a file."""
        file, stamp = self.outputs
        return {file: gr.update(value=str(path)), stamp: time.time_ns()}


def write(name: str, content: bytes) -> Path:
    """Write a file where the page may serve it from; return its path."""
    path = folder("export") / name
    path.write_bytes(content)
    return path


def folder(name: str) -> Path:
    """Make a folder from which the page may serve a file, under a name that nobody guesses; return it."""
    path = launch.temporary() / f"{name}-{secrets.token_hex(8)}"
    path.mkdir(parents=True, exist_ok=True)
    return path
