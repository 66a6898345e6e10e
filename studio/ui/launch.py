"""How the page is launched on the host that it is on."""

import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
from fastapi import Depends
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from studio.errors import AccessError, ModelError
from studio.files import home, shared_folder
from studio.model.hardware import is_lent
from studio.ui import browser_scripts, connections, limits, theme
from studio.ui.access import GUEST_PATH, Door, Gate
from studio.ui.assets import Assets
from studio.ui.hosts import on_space
from studio.ui.logins import Tokens
from studio.ui.pages import Pages

LARGEST_UPLOAD, LARGEST_FROM_AFAR = "2gb", "500mb"
"""The largest file that is taken, on this machine and from others."""
MOST_WAITING = 200
"""Events that wait on a page that others reach; more are sent away."""
QUEUE_PAUSE = 0.05
"""Seconds between two looks of Gradio's queue for events; its own value on Windows. Elsewhere it takes 0.001, and with
that 2.7 processor seconds a minute from a training while nothing happens. An answer comes 25 ms later on average."""

_door = Door()


def open_to(door: Door) -> None:
    """Say how the page is going to be reached, before it is built."""
    global _door
    _door = door


def settings(port: int | None = None, address: str = "127.0.0.1", share: bool = False) -> dict[str, Any]:
    """Return the arguments of `Blocks.launch`: only the page itself is served, and each request passes the gate.

    Nothing is shared unless it is asked for: by itself, Gradio shares on Colab without a password. The page is drawn
    in the browser alone: a server that draws it would stand in front of the gate.
    """
    return {
        **_appearance(),
        "server_name": address,
        "server_port": port,
        "share": share,
        "auth": _door.logins.check if _door.logins else None,
        "app_kwargs": {
            "middleware": [
                Middleware(Gate, door=_door),
                Middleware(Assets),
                Middleware(Pages, keeps=not _door.has_guests),
            ]
        },
        "max_file_size": LARGEST_FROM_AFAR if _door.has_guests else LARGEST_UPLOAD,
        "pwa": False,
        "_frontend": False,  # else Gradio gives up where the page takes 3 s to answer it: on a busy machine
    }


def _appearance() -> dict[str, Any]:
    return {
        "theme": theme.theme(),
        "show_error": False,
        "footer_links": [],
        "run_history": False,
        "allowed_paths": [],
        "enable_monitoring": False,
        "ssr_mode": False,
    }


def temporary() -> Path:
    """Return where uploads lie until they are kept, and what may be downloaded; asked before the page is built."""
    if "GRADIO_TEMP_DIR" not in os.environ:
        os.environ["GRADIO_TEMP_DIR"] = str(shared_folder(home(), "temporary"))
    return Path(os.environ["GRADIO_TEMP_DIR"])


def is_local() -> bool:
    """Whether only this machine reaches the page, so that a path on it may be typed there."""
    return not _door.has_guests and not on_space()


_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def refuse_folder(model_id: str) -> None:
    """Raise ModelError for a model that is named by a path, on a page that others reach too."""
    if not is_local() and (not _HUB_ID.fullmatch(model_id) or Path(model_id).exists()):
        raise ModelError("ui.no_folders")


def launch(
    page: gr.Blocks,
    port: int | None = None,
    guests: gr.Blocks | None = None,
    address: str = "127.0.0.1",
    share: bool = False,
    **changes: Any,
) -> Any:
    """Launch the page, and the guests' beside it. `changes` are for tests.

    Raises AccessError where a share link was asked for and none could be made.
    """
    temporary()
    browser_scripts.prepare_pages()
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    if _door.has_guests or is_lent():  # Gradio's own limit on ZeroGPU is one event
        page.queue(max_size=MOST_WAITING)
    _rest(page._queue)
    launched = page.launch(**{**settings(port, address, share), **changes})
    app, url, link = launched
    if share and link is None:
        page.close(verbose=False)
        raise AccessError("access.no_link")
    if link:
        _door.names.own.add(f"https://{urlsplit(link).hostname}")
    if _door.has_guests:
        app.tokens = Tokens()
        connections.guard(page.server.config)
    if guests is not None:
        _mount(app, guests, url)
    return launched


def _rest(queue: Any) -> None:
    """Let a queue rest between events, and keep no statistics, which nobody sees: a quarter of a tick's time."""
    queue.sleep_when_free = QUEUE_PAUSE
    queue.ANAYLTICS_CACHE_FREQUENCY = sys.maxsize  # Gradio's spelling


def _mount(app: Any, guests: gr.Blocks, url: str) -> None:
    """Let the guests' page be a part of the app that runs, and start it as `launch` has started the owner's."""
    import httpx

    _rest(guests._queue)
    more = {"exception_handlers": {KeyError: _unknown}, "dependencies": [Depends(limits.require_own_session)]}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "SSR mode is not supported")  # it is off
        gr.mount_gradio_app(app, guests, GUEST_PATH, max_file_size="1kb", app_kwargs=more, **_appearance())
    httpx.get(f"{url}{GUEST_PATH[1:]}/gradio_api/startup-events", timeout=60).raise_for_status()


async def _unknown(request: Request, error: Exception) -> Response:
    """Answer a guest who asks for an event that is not on their page."""
    return JSONResponse({"detail": AccessError("access.guest").text()}, 404)
