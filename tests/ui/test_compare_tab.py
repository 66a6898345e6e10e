"""The Compare tab in a real browser: compare, strength, scoreboard, vote and card, in both languages."""

import json
import re
import time

import outside
import pytest
from following import wait_until_over
from playwright.sync_api import Page, expect

from studio import gpu
from studio.compare import generate
from studio.errors import ModelError
from studio.i18n import text
from studio.ui.tabs import compare_events

SLOW = 60_000

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def run(tiny_config):
    """A finished run that kept six rows from its training."""
    held = {"train.max_steps": 30, "data.validation": {"kind": "fraction", "fraction": 0.25}}
    made = gpu.thread().start_run(tiny_config.with_settings(held))
    wait_until_over(made)
    return made


def open_page(browser, url: str, locale: str, width: int = 1440) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        locale=locale,
        accept_downloads=True,
        permissions=["clipboard-read", "clipboard-write"],
    )
    page = context.new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(url)
    expect(page.locator("#device")).to_contain_text("ⓘ", timeout=30_000)
    return page


def strength_to(page: Page, percent: int) -> None:
    """Move the slider by its keys, as a hand does: every press ends in a release."""
    slider = page.locator("#strength input[type=range]")
    slider.evaluate(
        "(slider, percent) => { slider.value = percent; slider.dispatchEvent(new Event('input', {bubbles: true}));"
        " slider.dispatchEvent(new PointerEvent('pointerup', {bubbles: true})); }",
        percent,
    )


@pytest.mark.parametrize(("language", "locale"), [("en", "en-US"), ("ko", "ko-KR")])
def test_compare_strength_scoreboard_vote_and_card(browser, page_url, run, language, locale):
    def say(key, **values):
        return text(key, language, **values)

    def button(key):
        return page.get_by_role("button", name=say(key), exact=True)

    page = open_page(browser, page_url, locale)
    page.get_by_role("tab", name=say("ui.tabs.compare")).click()
    expect(page.locator("#make-card")).to_be_visible()

    # Compare, with a third column; the proof says verified and shows its hashes
    page.locator("#add-column").click()
    page.locator("#prompt textarea").fill("What is <b>3</b>?")
    button("ui.compare.go").click()
    expect(page.locator("#proof .good")).to_contain_text(say("ui.proof.verified"), timeout=SLOW)
    for name in ("before", "after", "3"):
        expect(page.locator(f"#caption-{name}")).to_contain_text(say("ui.answer.first", s="0.")[:-4])
    expect(page.locator("#answer-4")).to_be_hidden()
    page.locator("#proof summary").click()
    expect(page.locator("#proof code").first).to_be_visible()

    # Strength 0 is the base, and the badge says loudly that the sides are the same
    strength_to(page, 0)
    expect(page.locator("#proof [role=alert]")).to_contain_text(say("ui.proof.wrong"), timeout=SLOW)
    assert page.locator("#answer-after .answer").inner_text() == page.locator("#answer-before .answer").inner_text()
    strength_to(page, 150)
    expect(page.locator("#proof .good")).to_be_visible(timeout=SLOW)

    # The chat goes on in all columns; what differs is marked
    page.locator("#follow textarea").fill("And 4?")
    button("ui.compare.follow_go").click()
    expect(page.locator("#answer-3 .asked").last).to_have_text("And 4?", timeout=SLOW)
    expect(page.locator("#proof .good")).to_be_visible(timeout=SLOW)
    page.locator("#view").get_by_text(say("ui.compare.views.difference"), exact=True).click()
    expect(page.locator("#told")).to_contain_text("%")
    expect(page.locator("#answer-after mark").first).to_be_visible()
    assert page.locator("#answer-before b").count() == 0
    page.locator("#view").get_by_text(say("ui.compare.views.likelihood"), exact=True).click()
    expect(page.locator("#answer-after .w").first).to_be_visible(timeout=SLOW)

    # Slides: Before and After are revealed by key, and Escape leaves
    button("ui.present.go").click()
    slide = page.locator("dialog.stage .slide")
    expect(slide.locator("h2")).to_be_visible(timeout=SLOW)
    expect(slide.locator("h2")).to_have_text("And 4?")
    for side in ("before", "after"):
        expect(slide.locator(f".shown.{side}")).to_be_hidden()
        page.keyboard.press("ArrowRight")
        expect(slide.locator(f".shown.{side}")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog.stage")).to_be_hidden()

    # A card, as a picture and as JSON
    with page.expect_download(timeout=SLOW) as picture:
        page.locator("#make-card").click()
    assert picture.value.path().read_bytes().startswith(b"\x89PNG")
    page.locator("#card-kind input").click()
    page.get_by_role("option", name="JSON").click()
    with page.expect_download(timeout=SLOW) as card:
        page.locator("#make-card").click()
    assert json.loads(card.value.path().read_text(encoding="utf-8"))["pairs"][0]["prompt"] == "And 4?"

    # Scoreboard: progress, measures with verdicts in words, a row side by side
    page.get_by_role("tab", name=say("ui.compare.tabs.score"), exact=True).click()
    page.locator("#score-limit input").fill("4")
    page.locator("#measure").click()
    expect(page.locator("#measures table")).to_be_visible(timeout=SLOW)
    expect(page.locator("#score-progress")).to_contain_text(say("ui.score.done", done=8))
    expect(page.locator("#measures")).to_contain_text(say("compare.measures.chrf.name"))
    expect(page.locator("#forgetting table")).to_be_visible()
    page.locator("#score-order").get_by_text(say("ui.score.orders.all"), exact=True).click()
    expect(page.locator("#score-rows summary")).to_have_count(4)
    page.locator("#score-rows summary").first.click()
    expect(page.locator("#score-rows .two-sides").first).to_be_visible()

    # Vote by keys; nothing is revealed before it is asked for
    page.get_by_role("tab", name=say("ui.compare.tabs.vote"), exact=True).click()
    page.locator("#voter input, #voter textarea").fill("민지")
    button("ui.vote.begin").click()
    for done, key in enumerate("1234"):
        expect(page.locator("#vote-progress")).to_contain_text(say("ui.vote.progress", done=done, total=4))
        expect(page.locator("#vote-1")).to_be_enabled()
        page.locator("#pair").click()
        page.keyboard.press(key)
    expect(page.locator("#pair")).to_contain_text(say("ui.vote.over"))
    expect(page.locator("#vote-result")).to_contain_text(say("ui.vote.hidden"))
    button("ui.vote.reveal").click()
    expect(page.locator("#vote-result")).to_contain_text("95 %")
    with page.expect_download(timeout=SLOW) as preferences:
        button("ui.vote.export").click()
    rows = [json.loads(line) for line in preferences.value.path().read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 2
    assert set(rows[0]) == {"prompt", "chosen", "rejected"}

    # The reading sheet
    page.get_by_role("tab", name=say("ui.compare.tabs.sheet"), exact=True).click()
    page.locator("#reader input, #reader textarea").fill("민지")
    button("ui.sheet.begin").click()
    page.locator("#sheet-natural").get_by_text(say("compare.sheet.no"), exact=True).click()
    page.locator("#sheet-note textarea").fill("=어색해요")
    page.locator("#sheet-save").click()
    expect(page.locator("#sheet-progress")).to_contain_text(say("ui.vote.progress", done=1, total=8))
    with page.expect_download(timeout=SLOW) as sheet:
        button("ui.sheet.export").click()
    assert "'=어색해요" in sheet.value.path().read_text(encoding="utf-8-sig")
    assert page.errors == []


def test_an_answer_is_stopped_and_says_so(browser, page_url, run, monkeypatch):
    put = generate._Streamer.put
    monkeypatch.setattr(generate._Streamer, "put", lambda self, value: (time.sleep(0.1), put(self, value)))
    monkeypatch.setattr("studio.data.tokens.stop_ids", lambda *given: {2})  # it never comes to its end by itself
    page = open_page(browser, page_url, "en-US")
    page.get_by_role("tab", name=text("ui.tabs.compare")).click()
    page.get_by_label(text("ui.compare.max_new_tokens"), exact=True).fill("900")
    page.locator("#prompt textarea").fill("Tell me all.")
    page.get_by_role("button", name=text("ui.compare.go"), exact=True).click()
    expect(page.locator("#caption-before")).to_contain_text("tokens", timeout=SLOW)
    page.get_by_role("button", name=text("ui.compare.stop"), exact=True).first.click()

    expect(page.locator("#caption-before")).to_contain_text(text("ui.answer.stopped"), timeout=SLOW)
    expect(page.get_by_role("button", name=text("ui.compare.go"), exact=True)).to_be_enabled()


def test_a_phone_shows_every_view_without_scrolling_sideways(browser, page_url):
    page = open_page(browser, page_url, "ko-KR", width=390)
    page.get_by_role("tab", name=text("ui.tabs.compare", "ko")).click()
    for name in ("answers", "score", "vote", "sheet"):
        page.get_by_role("tab", name=text(f"ui.compare.tabs.{name}", "ko"), exact=True).click()
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("path", ["/etc", "../runs", "~", "C:\\models", "upload/../../x"])
def test_a_path_is_no_column_on_the_page(path):
    with pytest.raises(ModelError, match="Folders"):
        list(compare_events.added((True, False), [path, 100, "", "", None, None, None, None]))


def test_adapters_from_outside_get_columns_on_a_phone_and_another_bases_is_refused(
    browser, page_url, run, hub_stand_in, tiny_model, tmp_path
):
    def say(key, **values):
        return text(key, "ko", **values)

    fits = outside.make(tmp_path / "captain", tiny_model, "/home/bob/base")
    hub_stand_in.add("someone/captain", outside.make(tmp_path / "other", tiny_model, str(tiny_model), r=2))
    page = open_page(browser, page_url, "ko-KR", width=390)
    page.get_by_role("tab", name=say("ui.tabs.compare")).click()
    page.locator("#outside").get_by_role("button", name=say("ui.outside.title")).click()
    said, files = page.locator("#outside-said"), page.locator("#outside-files input[type=file]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    # One for another base is refused with both names, and is not kept
    alien = outside.make(tmp_path / "alien", tiny_model, "someone/else")
    files.set_input_files([alien / name for name in outside.FILES])
    expect(said.locator("[role=alert]")).to_contain_text("someone/else", timeout=SLOW)
    expect(said).to_contain_text(str(tiny_model))
    expect(page.locator("#outside-remove")).to_be_disabled()

    # One that fits by its shapes gets a column, and the comparison says what is not proven
    files.set_input_files(outside.zipped(fits, tmp_path / "captain.zip"))
    expect(said.locator("[role=alert]")).to_contain_text("/home/bob/base", timeout=SLOW)
    expect(page.locator("#extra-3 input").first).to_have_value(re.compile("captain-"), timeout=SLOW)
    page.locator("#outside-id input, #outside-id textarea").fill("someone/captain")
    page.locator("#outside-fetch").click()
    expect(said).to_contain_text(say("ui.outside.known.name"), timeout=SLOW)
    expect(page.locator("#extra-4 input").first).to_have_value(re.compile("someone/captain"), timeout=SLOW)
    page.locator("#prompt textarea").fill("3이 뭐야?")
    page.get_by_role("button", name=say("ui.compare.go"), exact=True).click()
    expect(page.locator("#proof .unproven")).to_contain_text("/home/bob/base", timeout=SLOW)
    expect(page.locator("#answer-4 .answer")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    # Removed, it is chosen no more
    page.locator("#outside-remove").click()
    expect(page.locator("#extra-3 input").first).to_have_value(say("compare.column.now"), timeout=SLOW)
    expect(page.locator("#outside-remove")).to_be_disabled()
    assert page.errors == []
