"""Leave a run and come back to it: from a preset over a start, scrubbing and a restart to two runs side by side."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from studio import runs
from studio.export import adapter, export_folder
from studio.export.export_context import load_context
from studio.i18n import text
from studio.runs import State

pytestmark = pytest.mark.timeout(400)
LOCALES = {"en": "en-US", "ko": "ko-KR"}


class App:
    """The app in a process of its own, that can be ended and started again."""

    def __init__(self, config, folder: Path):
        self._config = folder / "quickstart.yaml"
        self._config.write_text(config.to_yaml(), encoding="utf-8")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, str(Path(__file__).parent / "served.py"), str(self._config), str(self._port)]
        self._process = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the app did not start")

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)


@pytest.fixture
def app(home, finished_run, tiny_config, tmp_path):
    longer = tiny_config.with_settings({"name": "long", "train.max_steps": 2000, "train.logging_steps": 20})
    started = App(longer, tmp_path)
    yield started
    started.end()


def open_page(browser, url: str, language: str, **context: str) -> Page:
    page = browser.new_context(viewport={"width": 1440, "height": 900}, locale=LOCALES[language], **context).new_page()
    page.set_default_timeout(60_000)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(url)
    expect(page.locator("#device")).to_contain_text("ⓘ")
    return page


@pytest.mark.slow
@pytest.mark.parametrize("language", LOCALES)
def test_a_run_is_left_and_come_back_to(app, browser, finished_run, language):
    def say(key: str, **values: object) -> str:
        return text(key, language, **values)

    def tab(name: str) -> None:
        page.get_by_role("tab", name=say(f"ui.tabs.{name}"), exact=True).click()

    def press(key: str) -> None:
        page.get_by_role("button", name=say(key), exact=True).first.click()

    page = open_page(browser, app.url, language)
    tab("train")

    # Preset, suggestions, verdict; the recipe is folded where a run is shown
    page.locator("#setup .label-wrap").first.click()
    page.locator("#preset").get_by_role("radio").nth(2).check()
    name = page.get_by_label(say("config.name.title"))
    expect(name).not_to_have_value("long")
    page.locator("#preset input[value=quickstart]").check()
    expect(name).to_have_value("long")
    page.locator("#suggest").click()
    expect(page.locator("#suggested")).to_contain_text("20 → 1")
    press("ui.suggest.apply")
    expect(page.locator("#changed")).to_contain_text("20 → 1")
    expect(page.locator("#before")).to_contain_text(say("ui.before.clear"))
    press("ui.suggest.undo")  # a point a step would keep both cores busy with drawing
    expect(page.locator("#changed")).not_to_contain_text("20 → 1")

    # Start, scrub back to the base, try it now
    press("ui.train.start")
    expect(page.locator("#run-bar")).to_be_visible()
    run = runs.find("last")
    assert run.id != finished_run.id
    base = page.locator("#strip-answers .one small")
    expect(base).to_have_text(say("ui.strip.base"))
    scrubber = page.locator("#strip-at input[type=range]")
    expect(scrubber).to_be_enabled()
    scrubber.press("Home")
    expect(page.locator("#strip")).to_contain_text(say("ui.strip.first"))
    press("ui.train.try")
    chosen = page.get_by_label(say("ui.compare.run"), exact=True)
    expect(chosen).to_have_value(re.compile("^long"))
    page.locator("#prompt textarea").fill("What is 3?")
    press("ui.compare.go")
    expect(page.locator("#proof .good")).to_contain_text(say("ui.proof.verified"))

    # Pause, restart the app, resume, finish
    tab("train")
    press("ui.train.pause")
    expect(page.locator("#status")).to_contain_text(say("state.paused"))
    assert page.errors == []
    page.context.close()
    app.end()
    app.start()
    page = open_page(browser, app.url, language)
    tab("train")
    expect(page.locator("#status")).to_contain_text(say("state.paused"))
    press("ui.train.resume")
    expect(page.locator("#status")).to_contain_text(say("state.finished"), timeout=120_000)
    assert run.status().state is State.FINISHED
    expect(page.locator("#sentence .findings .sign").first).to_be_visible()

    # Two runs in one chart
    tab("runs")
    for one in (run, finished_run):
        page.locator(f"#choose-{one.id}").check()
    expect(page.locator("#differences")).to_contain_text(say("config.train.max_steps.title"))
    expect(page.locator("#overlay-sentence")).to_contain_text("A ")
    assert page.errors == []


LOOKS = {"light": (1440, 900), "dark": (390, 844)}


@pytest.mark.long
def test_no_tab_has_a_serious_fault_of_access(page_url, browser, finished_run):
    adapter.export(
        load_context(finished_run), export_folder.place(finished_run, "adapter", None)
    )  # so that there is one to show
    page = open_page(browser, page_url, "en", color_scheme="light")
    page.add_style_tag(content="* { transition: none !important }")  # no colour between those of two themes
    faults = []
    of_compare = [f"compare.tabs.{name}" for name in ("answers", "score", "vote", "sheet")]
    for name in ("tabs.data", "tabs.train", "tabs.compare", *of_compare, "tabs.runs", "tabs.export"):
        page.get_by_role("tab", name=text(f"ui.{name}"), exact=True).click()
        page.wait_for_timeout(1500)
        if name == "tabs.compare":  # its first tab comes next
            continue
        for scheme, (width, height) in LOOKS.items():
            page.set_viewport_size({"width": width, "height": height})
            page.emulate_media(color_scheme=scheme)
            page.wait_for_function("is => document.body.classList.contains('dark') === is", arg=scheme == "dark")
            page.wait_for_timeout(300)
            faults += [
                f"{name} {scheme}: {fault['id']}: {node['target']} {node['html'][:160]}"
                for fault in Axe().run(page).response["violations"]
                if fault["impact"] in ("serious", "critical")
                for node in fault["nodes"]
            ]
    assert not faults, "\n".join(faults)
