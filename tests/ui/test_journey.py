"""One journey through the page in a real browser, with a real (tiny) model."""

import re
import threading
import time

import gradio as gr
import pytest
from playwright.sync_api import Page, expect

from studio import runs
from studio.config import RunConfig
from studio.data import preview
from studio.i18n import text
from studio.runs import State

"""Milliseconds for what imports torch, or trains."""

pytestmark = [pytest.mark.timeout(400), pytest.mark.usefixtures("unhurried")]


@pytest.fixture
def preset(preset, monkeypatch):
    """A run that is long enough to be looked at, reloaded and left alone."""
    from studio import presets

    longer = preset.with_settings({"train.max_steps": 4000, "data.limit": None})
    load = presets.load
    monkeypatch.setattr(presets, "load", lambda name: longer if name == presets.QUICKSTART else load(name))
    return longer


def open_page(browser, url: str, language: str = "en-US", width: int = 1280) -> Page:
    context = browser.new_context(viewport={"width": width, "height": 900}, locale=language)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(url)
    expect(page.locator("#device")).to_contain_text("ⓘ", timeout=30_000)  # the settings are loaded
    return page


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=text(f"ui.tabs.{name}")).click()


def press(page: Page, key: str) -> None:
    page.get_by_role("button", name=text(key), exact=True).click()


def drawn_until(page: Page) -> int:
    """Return the last step that the sentence under the curve tells."""
    found = re.search(r"Step (\d+) of", page.locator("#sentence").inner_text())
    return int(found.group(1)) if found else 0


def wait_for_step(page: Page, step: int) -> None:
    page.wait_for_function(
        "step => { const found = document.querySelector('#sentence')?.innerText.match(/Step (\\d+) of/);"
        " return found && Number(found[1]) >= step; }",
        arg=step,
    )


LINE = (
    "() => Math.max(0, ...[...document.querySelectorAll('#loss path')]"
    ".filter(path => (path.getAttribute('stroke') || '').toLowerCase() === '#0d9488')"
    ".map(path => path.getTotalLength()))"
)
"""How long the training line is on the screen; the chart is an SVG."""


def line_length(page: Page) -> float:
    page.wait_for_function(f"() => ({LINE})() > 0")
    return page.evaluate(LINE)


def test_from_data_to_before_and_after(page_url, browser, preset):
    page = open_page(browser, page_url)

    # What the model sees: tokens of the first row, trained and context
    expect(page.locator("#spans")).to_contain_text("<|im_end|>")
    expect(page.locator("#caption")).to_contain_text("ends by itself")
    expect(page.locator("#health")).to_contain_text("24 rows")
    page.get_by_role("button", name=text("ui.data.continue")).click()

    # Start, and see the curve move
    page.get_by_role("button", name=text("ui.train.start"), exact=True).click()
    expect(page.locator("#progress")).to_be_visible()
    expect(page.locator("#hero")).to_have_count(0)
    wait_for_step(page, 2)
    first, length = drawn_until(page), line_length(page)
    wait_for_step(page, first + 10)
    page.wait_for_function(f"before => ({LINE})() !== before", arg=length)  # the curve moves

    # Reload in the middle: the curve is still whole
    seen = drawn_until(page)
    page.reload()
    tab(page, "train")
    wait_for_step(page, seen)
    assert line_length(page) > 0
    assert f"of {preset.train.max_steps}" in page.locator("#sentence").inner_text()
    expect(page.locator("#sentence .findings .sign").first).to_be_visible()

    # Compare while it trains
    tab(page, "compare")
    expect(page.get_by_label(text("ui.compare.run"), exact=True)).to_have_value(re.compile("half-trained"))
    page.locator("#prompt textarea").fill("What is 3?")
    page.get_by_role("button", name=text("ui.compare.go"), exact=True).click()
    for side in ("before", "after"):
        expect(page.locator(f"#caption-{side}")).to_contain_text("tokens")
        expect(page.locator(f"#caption-{side}")).to_contain_text(
            re.compile("ended by itself|cut at the longest length")
        )
    expect(page.get_by_role("button", name=text("ui.compare.go"), exact=True)).to_be_enabled()

    # Stop: it keeps what it has learned, and can be compared
    tab(page, "train")
    press(page, "ui.train.stop")
    press(page, "ui.train.ending.keep")
    expect(page.locator("#status")).to_contain_text(text("ui.status.kept.adapter"))
    assert runs.find("last").has_adapter
    assert page.errors == []


@pytest.mark.long
def test_closing_the_tab_does_not_disturb_the_run(page_url, browser, monkeypatch):
    page = open_page(browser, page_url)
    tab(page, "train")
    page.get_by_role("button", name=text("ui.train.start"), exact=True).click()
    wait_for_step(page, 2)
    page.context.close()

    run = runs.find("last")
    left_at = run.status().step
    again = open_page(browser, page_url)
    tab(again, "train")
    wait_for_step(again, left_at + 5)
    losses = [event.step for event in run.events()[0] if event.type == "step"]
    assert losses == list(range(1, len(losses) + 1))

    # The answer to the click on Stop arrives after the news that the run has stopped
    postprocess, delayed = gr.HTML.postprocess, threading.Event()

    def slow(self, value):
        if text("ui.status.stopping") in str(value) and not delayed.is_set():
            delayed.set()
            threading.Event().wait(6)
        return postprocess(self, value)

    monkeypatch.setattr(gr.HTML, "postprocess", slow)
    press(again, "ui.train.stop")
    press(again, "ui.train.ending.keep")
    assert delayed.wait(60)
    expect(again.locator("#status")).to_contain_text(text("state.stopped"))
    again.wait_for_timeout(8000)  # the late answer is here
    expect(again.locator("#status")).to_contain_text(text("state.stopped"))
    expect(again.get_by_role("button", name=text("ui.train.stop"), exact=True)).to_have_count(0)
    assert run.status().state is State.STOPPED


@pytest.mark.long
def test_the_address_keeps_tab_and_language_and_nothing_typed_is_lost(page_url, browser, monkeypatch):
    page = open_page(browser, page_url, language="ko-KR")
    expect(page.get_by_role("tab", name=text("ui.tabs.data", "ko"))).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "ko"
    page.get_by_role("tab", name=text("ui.tabs.train", "ko")).click()
    to_yaml, keeping = RunConfig.to_yaml, threading.Event()
    monkeypatch.setattr(RunConfig, "to_yaml", lambda self: (keeping.set(), time.sleep(1.5), to_yaml(self))[2])
    page.evaluate("document.querySelector('#keep-draft').click()")
    assert keeping.wait(30)  # an older form is being kept while the newer one is typed
    page.get_by_label(text("config.name.title", "ko")).fill("이름")

    page.get_by_role("link", name="English", exact=True).click()

    name = page.get_by_role("textbox", name=text("config.name.title", "en"))
    expect(name).to_have_value("이름")
    expect(page.get_by_role("button", name=text("ui.train.start", "en"), exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "en"
    page.reload()
    expect(name).to_have_value("이름")
    assert page.url.endswith("?language=en#train")

    opened = page.locator("#tabs [role=tab][aria-selected=true]:visible")
    tab(page, "compare")
    expect(page).to_have_url(re.compile("#compare/answers$"))
    page.get_by_role("tab", name=text("ui.compare.tabs.vote"), exact=True).click()
    expect(page).to_have_url(re.compile("#compare/vote$"))
    page.go_back()
    page.go_back()
    expect(opened).to_have_text([text("ui.tabs.train")])
    page.go_forward()
    expect(opened).to_have_text([text("ui.tabs.compare"), text("ui.compare.tabs.answers")])

    page.goto("about:blank")
    page.goto(f"{page_url}?language=en#nothing/<x>")  # an address of no tab
    expect(page).to_have_url(re.compile("#data$"))
    tab(page, "train")
    expect(page).to_have_url(re.compile("#train$"))
    assert page.errors == []


@pytest.mark.long
def test_a_phone_shows_everything_without_scrolling_sideways(page_url, browser):
    page = open_page(browser, page_url, width=390)
    for name in ("data", "train", "compare"):
        tab(page, name)
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    before, after = (page.locator(f"#answer-{side}").bounding_box() for side in ("before", "after"))
    assert before["y"] < after["y"]


def test_an_uploaded_file_is_read_and_its_columns_are_found(page_url, browser, home, tmp_path):
    file = tmp_path / "질문 답변.csv"
    file.write_bytes("질문,답변\n<b>안녕?</b>,어서 오게\n잘 지내?,그럼\n".encode("cp949"))
    page = open_page(browser, page_url)
    page.get_by_text(text("config.data.source.kind.options.file"), exact=True).click()
    page.locator("#upload input[type=file]").set_input_files(file)

    expect(page.locator("#found")).to_contain_text("질문")
    expect(page.locator("#rows")).to_contain_text("<b>안녕?</b>")
    expect(page.locator("#health")).to_contain_text("2 rows")
    assert [kept.suffix for kept in (home / "uploads").iterdir()] == [".csv"]


@pytest.mark.long
def test_a_row_of_the_file_before_that_is_ready_late_does_not_come_back(page_url, browser, tmp_path, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()
    preview_row = preview.preview_row

    def late(config, row):
        if config.data.source.name.endswith("style.jsonl"):
            begun.set()
            go_on.wait(60)
        return preview_row(config, row)

    monkeypatch.setattr(preview, "preview_row", late)
    file = tmp_path / "other.csv"
    file.write_text("question,answer\nWhere to?,To the harbour.\n", encoding="utf-8")
    page = open_page(browser, page_url)
    assert begun.wait(60)
    page.get_by_text(text("config.data.source.kind.options.file"), exact=True).click()
    page.locator("#upload input[type=file]").set_input_files(file)
    expect(page.locator("#rows")).to_contain_text("To the harbour.")
    expect(page.locator("#health")).to_contain_text("1 row")
    go_on.set()
    page.wait_for_timeout(1500)
    expect(page.locator("#rows")).to_contain_text("To the harbour.")
    expect(page.locator("#raw")).to_contain_text("Where to?")
    assert page.errors == []


@pytest.mark.long
def test_a_paused_run_goes_on_where_it_was(page_url, browser):
    page = open_page(browser, page_url)
    tab(page, "train")
    page.get_by_role("button", name=text("ui.train.start"), exact=True).click()
    wait_for_step(page, 5)
    page.get_by_role("button", name=text("ui.train.pause"), exact=True).click()
    expect(page.locator("#status")).to_contain_text(text("state.paused"))
    paused_at = drawn_until(page)

    page.reload()
    tab(page, "train")
    page.get_by_role("button", name=text("ui.train.resume"), exact=True).click()
    wait_for_step(page, paused_at + 5)
    expect(page.locator("#log")).to_contain_text("Goes on from step")

    # Discard is behind Stop and asks once; the end says that the checkpoint is left
    ending = page.locator("#ending")
    expect(page.get_by_role("button", name=text("ui.train.ending.discard"), exact=True)).to_be_hidden()
    press(page, "ui.train.stop")
    press(page, "ui.train.ending.discard")
    expect(ending).to_contain_text(text("ui.train.ending.discards"))
    press(page, "ui.train.ending.back")
    expect(ending).to_be_hidden()
    assert runs.find("last").status().state.alive
    press(page, "ui.train.stop")
    press(page, "ui.train.ending.discard")
    press(page, "ui.train.ending.sure")
    expect(page.locator("#status")).to_contain_text(text("ui.status.kept.checkpoint"))
    expect(ending).to_be_hidden()
    assert not runs.find("last").has_adapter
