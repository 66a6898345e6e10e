"""A page of its own for each test that needs one."""

from collections.abc import Iterator

import pytest


@pytest.fixture
def preset(tiny_config, monkeypatch):
    """Let the quickstart preset be the tiny run, so that a first visit has it loaded."""
    from studio import presets

    load = presets.load
    monkeypatch.setattr(presets, "load", lambda name: tiny_config if name == presets.QUICKSTART else load(name))
    return tiny_config


@pytest.fixture
def page_url(home, preset) -> Iterator[str]:
    """The address of a launched page with the tiny run loaded.

    Ask for it before `browser`: a server that is closed waits five seconds for the pages that are open.
    """
    from studio.ui import app, launch

    page = app.build()
    _, url, _ = launch.launch(page, prevent_thread_lock=True, quiet=True)
    yield url
    page.close(verbose=False)
