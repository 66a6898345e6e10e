"""A page for each test that needs one: launched once for the tests of a process that load the same settings."""

import functools
import time
from collections.abc import Callable, Iterator
from types import ModuleType

import gradio as gr
import pytest
from tiny import make_style

from studio.config import RunConfig


@pytest.fixture(scope="session")
def style_of_pages(tmp_path_factory) -> str:
    """The data set of the pages, which no test changes: a page's settings name it."""
    return str(make_style(tmp_path_factory.mktemp("style") / "style.jsonl"))


@pytest.fixture
def preset(tiny_config, style_of_pages, monkeypatch):
    """Let the quickstart preset be the tiny run, so that a first visit has it loaded."""
    from studio import presets

    tiny = tiny_config.with_settings({"data.source.name": style_of_pages})
    load = presets.load
    monkeypatch.setattr(presets, "load", lambda name: tiny if name == presets.QUICKSTART else load(name))
    return tiny


@pytest.fixture
def unhurried(monkeypatch) -> None:
    """Let each step of a training wait, so that one which is only looked at leaves the processor to the browser."""
    from studio.train.run_trainer import RunCallback

    begin = RunCallback.on_step_begin
    monkeypatch.setattr(
        RunCallback, "on_step_begin", lambda self, *args, **kwargs: (time.sleep(0.05), begin(self, *args, **kwargs))[1]
    )


@pytest.fixture(scope="session")
def launched() -> Iterator[dict[str, tuple]]:
    """The pages that the tests of this process have launched, and their addresses, by the settings that they load."""
    pages = {}
    yield pages
    for page, _ in pages.values():
        page.close(verbose=False)


@pytest.fixture
def page_with(home, launched) -> Callable[[RunConfig], str]:
    """Return a function that returns the address of a page which loads these settings as the quickstart does."""
    from studio.ui import app, launch

    def address(settings: RunConfig) -> str:
        key = settings.to_yaml()
        if key not in launched:
            page = app.build()
            launched[key] = page, launch.launch(page, prevent_thread_lock=True, quiet=True)[1]
        return launched[key][1]

    return address


@pytest.fixture
def page_url(preset, page_with) -> str:
    """The address of a page with the tiny run loaded; the home behind it is the test's own."""
    return page_with(preset)


@pytest.fixture(scope="session")
def build() -> Callable[[ModuleType], gr.Blocks]:
    """Return a function that builds the pages of a module, once for all tests that look at what is built."""
    return functools.cache(lambda module: module.build())
