"""A page of its own for each test that needs one, and a browser to drive it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture
def preset(tiny_config, monkeypatch):
    """Let the quickstart preset be the tiny run, so that a first visit has it loaded."""
    from studio import presets

    load = presets.load
    monkeypatch.setattr(presets, "load", lambda name: tiny_config if name == presets.QUICKSTART else load(name))
    return tiny_config


@pytest.fixture
def page_url(home, preset) -> Iterator[str]:
    """The address of a launched page with the tiny run loaded."""
    from studio.ui import app, launch

    page = app.build()
    _, url, _ = launch.launch(page, prevent_thread_lock=True, quiet=True)
    yield url
    page.close(verbose=False)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program: `CHROMIUM`, else the first that is installed."""
    named = os.environ.get("CHROMIUM")
    found = named or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found and Path(found).exists():
        return found
    reason = f"no Chromium: set CHROMIUM to its path, or install one of {', '.join(CHROMIUM)}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    return pytest.skip(reason)


@pytest.fixture
def browser(chromium):
    """A Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield launched
        launched.close()
