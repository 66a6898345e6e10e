"""Before the start and after a lack of memory, in a real browser with a real (tiny) model."""

import threading
import time

import pytest
from playwright.sync_api import expect

from studio import runs
from studio.i18n import text
from studio.runs import State
from studio.train import preflight
from studio.ui.tabs.preflight_card import PreflightCard
from tests.ui.test_journey import open_page, tab

pytestmark = pytest.mark.timeout(300)


@pytest.mark.long
def test_a_check_tells_what_blocks_and_two_steps_are_tried(page_url, browser):
    language = "ko"
    page = open_page(browser, page_url, language="ko-KR")
    page.get_by_role("tab", name=text("ui.tabs.train", language)).click()
    page.get_by_role("button", name=text("ui.before.measure", language), exact=True).click()
    expect(page.locator("#before")).to_contain_text(text("ui.before.clear", language))
    expect(page.locator("#before .count")).to_be_visible()
    assert runs.all_runs() == []

    page.get_by_role("button", name=text("ui.recipe.all", language)).click()
    page.get_by_label(text("config.lora.target_modules.title", language)).fill("q_prog")
    page.get_by_role("button", name=text("ui.before.check", language), exact=True).click()
    expect(page.locator("#before")).to_contain_text("q_prog")
    expect(page.locator("#before")).to_contain_text("q_proj")
    expect(page.get_by_role("button", name=text("ui.train.start", language), exact=True)).to_be_visible()


@pytest.mark.long
def test_a_look_that_begins_before_a_result_is_shown_does_not_replace_it(page_url, browser, monkeypatch):
    render, check, typed = PreflightCard.render, preflight.check, threading.Event()

    def render_late(card, verdict, rate):
        if isinstance(verdict, tuple) and verdict[1] is not None:
            assert typed.wait(60)
            time.sleep(2)  # meanwhile the page looks by itself
        return render(card, verdict, rate)

    def check_late(*given):
        if typed.is_set():
            time.sleep(4)
        return check(*given)

    monkeypatch.setattr(PreflightCard, "render", render_late)
    monkeypatch.setattr(preflight, "check", check_late)
    page = open_page(browser, page_url)
    tab(page, "train")
    page.get_by_role("button", name=text("ui.before.measure"), exact=True).click()
    expect(page.get_by_role("button", name=text("ui.before.measure"), exact=True)).to_be_hidden()
    page.wait_for_timeout(6000)
    name = page.get_by_label(text("config.name.title"))
    name.press("End")
    name.press("x")
    name.press("Backspace")
    typed.set()
    expect(page.locator("#before .count")).to_be_visible()
    page.wait_for_timeout(6000)
    expect(page.locator("#before .count")).to_be_visible()


@pytest.mark.long
def test_after_a_lack_of_memory_one_press_goes_on_with_less(page_url, browser, monkeypatch):
    from studio.train.trainer import StudioTrainer

    real = StudioTrainer.training_step

    def full(self, model, inputs, *args, **kwargs):
        if self.state.global_step == 2 and max(len(part["cu_seq_lens_q"]) - 1 for part in inputs["parts"]) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(StudioTrainer, "training_step", full)
    page = open_page(browser, page_url)
    tab(page, "train")
    page.get_by_role("button", name=text("ui.train.start"), exact=True).click()
    expect(page.locator("#ways")).to_contain_text("micro-batches of 2")
    expect(page.locator("#failure")).to_contain_text("ran out of memory")
    page.get_by_role("button", name=text("ui.oom_advice.apply"), exact=True).click()
    expect(page.locator("#status")).to_contain_text(text("state.finished"))
    expect(page.locator("#ways")).not_to_contain_text("micro-batches")
    run = runs.find("last")
    assert run.status().state is State.FINISHED
    assert run.config().train.batch_size == 2
    assert run.has_adapter
