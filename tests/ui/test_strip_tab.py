"""The sample timeline's card in a real browser: it follows a live run, stays where it is put, and survives a reload."""

import re

import pytest
from following import wait_for, wait_until_over
from playwright.sync_api import expect
from test_journey import open_page, tab

from studio import gpu, runs
from studio.i18n import text

pytestmark = [pytest.mark.timeout(400), pytest.mark.usefixtures("unhurried")]


def move_until(page, move, words: str) -> None:
    """Move the scrubber; a tick that was in flight may have put it back once."""
    for _ in range(20):
        move()
        page.wait_for_timeout(1500)
        if words in page.locator("#strip-at").inner_text():
            return
    raise AssertionError(page.locator("#strip-at").inner_text())


@pytest.mark.long
def test_the_scrubber_follows_the_run_stays_where_it_is_put_and_survives_a_reload(page_url, browser, preset):
    settings = {"train.max_steps": 100_000, "samples.every": 30, "samples.prompts": ("What is 3?", "What is 4?")}
    run = gpu.thread().start_run(preset.with_settings(settings))
    wait_for(run, lambda status: status.step >= 3)
    page = open_page(browser, page_url)
    tab(page, "train")
    expect(page.locator("#strip-answers .one small")).to_have_text(text("ui.strip.base"))
    newest = re.compile(r"Step (?!0 |30 )\d+ of")
    expect(page.locator("#strip-at")).to_contain_text(newest)  # by itself

    scrubber = page.locator("#strip-at input[type=range]")
    height = page.locator("#strip").bounding_box()["height"]
    move_until(page, lambda: scrubber.press("Home"), "Step 0 of")
    move_until(page, lambda: scrubber.fill("1"), "Step 30 of")
    done = run.status().step
    wait_for(run, lambda status: status.step >= done + 70)
    page.wait_for_timeout(2500)
    expect(page.locator("#strip-at")).to_contain_text("Step 30 of")  # new frames do not pull it away
    assert page.locator("#strip").bounding_box()["height"] == height
    page.get_by_text("한국어").click()
    expect(page.locator("#strip-at")).to_contain_text(re.compile(r"중 \d+스텝"))
    run.request("stop")
    wait_until_over(run)

    again = open_page(browser, page_url)
    tab(again, "train")
    expect(again.locator("#strip-answers .one small")).to_have_text(text("ui.strip.base"))
    assert again.errors == page.errors == []
    assert runs.find("last").id == run.id
