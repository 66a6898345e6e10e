"""Prompts of the user's own in a browser: from a file or pasted, compared at once, and kept with the run."""

import re
import threading

import pytest
from asking import GREEDY
from playwright.sync_api import expect

from studio import gpu
from studio.compare.columns import CompareRequest
from studio.i18n import text
from studio.ui.tabs import own_prompts

pytestmark = pytest.mark.timeout(600)


@pytest.mark.long
def test_a_list_of_prompts_is_read_compared_and_kept_with_the_run(page_url, browser, finished_run, tmp_path):
    page = browser.new_context(viewport={"width": 390, "height": 844}, locale="ko-KR").new_page()

    def open_prompts() -> None:
        page.goto(page_url)
        expect(page.locator("#device")).to_contain_text("ⓘ")
        page.get_by_role("tab", name=text("ui.tabs.compare", "ko")).click()
        page.get_by_role("tab", name=text("ui.compare.tabs.prompts", "ko")).click()

    open_prompts()
    files = page.get_by_test_id(f"{text('ui.own_prompts.file', 'ko')}-upload-button")
    note, go = page.locator("#own-prompts-note"), page.get_by_role("button", name=text("ui.own_prompts.go", "ko"))
    (tmp_path / "empty.csv").write_text("prompt\n", encoding="utf-8")
    files.set_input_files(tmp_path / "empty.csv")
    expect(note.locator("[role=alert]")).to_contain_text("empty.csv")
    (tmp_path / "mine.csv").write_text("id,prompt\n1,What is 3?\n2,\n3,<b>hi</b>\n", encoding="utf-8")
    files.set_input_files(tmp_path / "mine.csv")
    expect(note).to_contain_text(text("compare.note.left_out", "ko", count=1))
    page.locator("#own-prompts textarea").fill("What is 3?\n<b>hi</b>\nWhat is 3?")
    go.click()

    table = page.locator("#own-prompts-table")
    expect(page.locator("#own-prompts-proof .good")).to_be_visible()
    expect(note).to_contain_text(text("ui.own_prompts.repeated", "ko", count=1))
    page.wait_for_timeout(5000)  # the page looks for what others do, and draws again
    expect(note).to_contain_text(text("ui.own_prompts.repeated", "ko", count=1))
    expect(page.locator("#own-prompts-progress .scan")).to_have_count(0)
    open_prompts()
    expect(table.locator("tbody tr")).to_have_count(2)
    expect(table.locator("tbody th")).to_have_text(["What is 3?", "<b>hi</b>"])
    expect(table.locator("td").first).not_to_have_text(re.compile("^…$"))
    expect(page.locator("#own-prompts textarea")).to_have_value("What is 3?\n<b>hi</b>")
    expect(go).to_be_enabled()
    page.wait_for_function("document.documentElement.scrollWidth <= 390")


def test_a_list_typed_while_the_kept_one_is_read_stays(page_url, browser, finished_run, monkeypatch):
    gpu.thread().compare(CompareRequest(finished_run.id, ("kept",), GREEDY), batch=True).result()
    read, is_read, may_answer = own_prompts._text, threading.Event(), threading.Event()
    monkeypatch.setattr(own_prompts, "_text", lambda batch: (is_read.set(), may_answer.wait(60), read(batch))[-1])
    page = browser.new_context(locale="en-US").new_page()
    page.goto(page_url)
    page.get_by_role("tab", name=text("ui.tabs.compare")).click()
    page.get_by_role("tab", name=text("ui.compare.tabs.prompts")).click()
    written = page.locator("#own-prompts textarea")
    while not is_read.is_set():
        page.wait_for_timeout(50)

    written.fill("typed")
    may_answer.set()
    expect(page.locator("#own-prompts-table tbody th")).to_have_text(["kept"])
    page.wait_for_timeout(500)
    expect(written).to_have_value("typed")
