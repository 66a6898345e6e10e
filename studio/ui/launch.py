"""How the page is launched on the host that it is on."""

import os
import re
from pathlib import Path
from typing import Any

import gradio as gr

from studio.errors import ModelError
from studio.files import home
from studio.ui import theme

LARGEST_UPLOAD = "2gb"
QUEUE_PAUSE = 0.05
"""Seconds between two looks of Gradio's queue for events; its own value on Windows. Elsewhere it takes 0.001, and with
that 2.7 processor seconds a minute from a training while nothing happens. An answer comes 25 ms later on average."""


def settings(port: int | None = None) -> dict[str, Any]:
    """Return the arguments of `Blocks.launch`: nothing is shared, nothing is served but the page itself."""
    return {
        "theme": theme.theme(),
        "css": theme.css(),
        "head": theme.HEAD,
        "server_name": "0.0.0.0" if on_space() else "127.0.0.1",
        "server_port": port,
        "show_error": False,
        "footer_links": [],
        "run_history": False,
        "allowed_paths": [],
        "max_file_size": LARGEST_UPLOAD,
        "ssr_mode": None if on_space() else False,
    }


def temporary() -> Path:
    """Return where uploads lie until they are kept, and what may be downloaded; asked before the page is built."""
    return Path(os.environ.setdefault("GRADIO_TEMP_DIR", str(home() / "temporary")))


def is_local() -> bool:
    """Whether only this machine reaches the page, so that a path on it may be typed there."""
    return not on_space()


_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def refuse_folder(model_id: str) -> None:
    """Raise ModelError for a model that is named by a path, on a page that others reach too."""
    if not is_local() and (not _HUB_ID.fullmatch(model_id) or Path(model_id).exists()):
        raise ModelError("ui.no_folders")


def on_space() -> bool:
    """Whether this is a Hugging Face Space, whose proxy is the only one that reaches the port."""
    return "SPACE_ID" in os.environ


def launch(page: gr.Blocks, port: int | None = None, **changes: Any) -> Any:
    """Launch the page. `changes` are for tests."""
    temporary()
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    page._queue.sleep_when_free = QUEUE_PAUSE
    return page.launch(**{**settings(port), **changes})
