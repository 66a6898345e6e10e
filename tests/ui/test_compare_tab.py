"""The Compare tab in a real browser: compare, strength, scoreboard, vote and card, in both languages."""

import json
import re
import sys
import threading
import time
from types import SimpleNamespace

import outside
import pytest
from playwright.sync_api import Locator, Page, expect

from studio.compare import comparison_history
from studio.errors import ModelError
from studio.generation import generate
from studio.i18n import text
from studio.style import prompted_store
from studio.ui import comparable
from studio.ui.tabs import compare_events

pytestmark = pytest.mark.timeout(900)  # beside other work on the machine


class Session:
    """Somebody who looks at the Compare tab, with a browser of their own."""

    def __init__(self, browser, url: str, language: str, width: int = 1440):
        self.language = language
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            locale={"en": "en-US", "ko": "ko-KR"}[language],
            accept_downloads=True,
        )
        self.page: Page = context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.open(url)

    def open(self, url: str) -> None:
        self.page.goto(url)
        expect(self.page.locator("#device")).to_contain_text("ⓘ")
        self.page.get_by_role("tab", name=self.say("ui.tabs.compare")).click()
        expect(self.page.get_by_label(self.say("ui.compare.run"), exact=True)).not_to_have_value("")

    def say(self, key: str, **values: object) -> str:
        return text(key, self.language, **values)

    def at(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def button(self, key: str) -> Locator:
        return self.page.get_by_role("button", name=self.say(key), exact=True)

    def view(self, name: str) -> None:
        self.page.get_by_role("tab", name=self.say(f"ui.compare.tabs.{name}"), exact=True).click()

    def choose(self, group: str, key: str) -> None:
        self.at(group).get_by_text(self.say(key), exact=True).click()

    def compare(self, prompt: str) -> None:
        self.at("#prompt textarea").fill(prompt)
        self.button("ui.compare.go").click()

    def verified(self) -> None:
        expect(self.at("#proof .good")).to_contain_text(self.say("ui.proof.verified"))

    def strength_to(self, percent: int) -> None:
        """Move the slider and let go, and wait until the columns are asked again: till then the old proof stands."""
        self.at("#strength input[type=range]").evaluate(
            "(slider, percent) => { slider.value = percent; slider.dispatchEvent(new Event('input', {bubbles: true}));"
            " slider.dispatchEvent(new PointerEvent('pointerup', {bubbles: true})); }",
            percent,
        )
        name = expect(self.at(".side-after .heading .name"))
        if percent == 100:
            name.not_to_contain_text("%")
        else:
            name.to_contain_text(re.compile(rf"\b{percent} %"))

    def downloads(self, press: Locator) -> bytes:
        with self.page.expect_download() as download:
            press.click()
        return download.value.path().read_bytes()

    def card(self, kind: str) -> bytes:
        self.at("#card-kind input").click()
        self.page.get_by_role("option", name=kind).click()
        return self.downloads(self.at("#make-card"))

    def vote(self, name: str, keys: str, total: int) -> None:
        """Vote by keys; nothing is revealed before it is asked for."""
        self.view("vote")
        self.at("#voter input, #voter textarea").fill(name)
        self.button("ui.vote.begin").click()
        for done, key in enumerate(keys):
            expect(self.at("#vote-progress")).to_contain_text(self.say("ui.vote.progress", done=done, total=total))
            expect(self.at("#vote-1")).to_be_enabled()
            self.at("#pair").click()
            self.page.keyboard.press(key)
        expect(self.at("#pair")).to_contain_text(self.say("ui.vote.over"))
        expect(self.at("#vote-result")).to_contain_text(self.say("ui.vote.hidden"))

    def slides(self, first: str) -> None:
        """Before and After are revealed by key, and Escape leaves."""
        self.button("ui.present.go").click()
        slide = self.at("dialog.stage .slide:not([hidden])")
        expect(slide.locator("h2")).to_have_text(first)
        for side in ("before", "after"):
            expect(slide.locator(f".shown.{side}")).to_be_hidden()
            self.page.keyboard.press("ArrowRight")
            expect(slide.locator(f".shown.{side}")).to_be_visible()
        self.page.keyboard.press("Escape")
        expect(self.at("dialog.stage")).to_be_hidden()


def test_what_is_typed_while_the_first_prompt_is_chosen_stays(page_url, browser, finished_run, monkeypatch):
    begun, go_on, held_out = threading.Event(), threading.Event(), comparable.held_out

    def slowly(run_id):
        if sys._getframe(1).f_code.co_name == "answer_first":
            begun.set()
            go_on.wait(60)
        return held_out(run_id)

    monkeypatch.setattr(comparable, "held_out", slowly)
    one = Session(browser, page_url, "en")
    assert begun.wait(60)
    one.at("#prompt textarea").fill("Mine")
    go_on.set()
    expect(one.at("#held-out input:checked")).to_have_count(1)
    expect(one.at("#answer-after")).to_contain_text(held_out(finished_run.id)[0])
    expect(one.at("#prompt textarea")).to_have_value("Mine")
    assert one.errors == []


def test_compare_strength_scoreboard_vote_and_card(page_url, browser, finished_run):
    """Somebody in English goes through all views; then somebody in Korean finds it all there, and votes too."""
    one = Session(browser, page_url, "en")
    compare_in_all_columns(one)
    scoreboard(one)
    assert json.loads(one.card("JSON"))["scoreboard"] is None  # which was measured at 100 %, and this is at 150
    expect(one.at("#score-progress")).to_contain_text(one.say("compare.column.now"))  # there are scores of it alone
    expect(one.at("#measures table")).to_have_count(0)
    one.strength_to(100)
    one.vote("Kim", "1234", total=4)

    other = Session(browser, page_url, "ko")
    found_on_disk(other)
    assert one.errors == other.errors == []

    # Both are called Kim, and neither takes the other's votes; the first sees it without a reload
    other.vote("Kim", "3331", total=4)
    turnout = other.say("ui.vote.turnout", votes=8, voters=2)
    expect(other.at("#vote-progress")).to_contain_text(turnout)
    expect(one.at("#vote-progress")).to_contain_text(one.say("ui.vote.turnout", votes=8, voters=2))
    one.button("ui.vote.reveal").click()
    expect(one.at("#vote-result")).to_contain_text("95 %")
    rows = [json.loads(line) for line in one.downloads(one.button("ui.vote.export")).decode().splitlines()]
    assert rows
    assert set(rows[0]) == {"prompt", "chosen", "rejected"}

    reading_sheet(other)
    fits_a_phone(other)
    assert one.errors == other.errors == []


def compare_in_all_columns(one: Session) -> None:
    # With a third column; the proof says verified and shows its hashes
    one.at("#add-column").click()
    one.compare("What is <b>3</b>?")
    one.verified()
    for name in ("before", "after", "3"):
        expect(one.at(f"#caption-{name}")).to_contain_text(one.say("ui.answer.first", s="0.")[:-4])
    expect(one.at("#answer-4")).to_be_hidden()
    one.at("#proof summary").click()
    expect(one.at("#proof code").first).to_be_visible()

    # Strength 0 is the base, and the badge says loudly that the sides are the same
    one.strength_to(0)
    expect(one.at("#proof [role=alert]")).to_contain_text(one.say("ui.proof.wrong"))
    assert one.at("#answer-after .answer").inner_text() == one.at("#answer-before .answer").inner_text()
    one.strength_to(150)
    one.verified()

    # The chat goes on in all columns; what differs is marked
    one.at("#follow textarea").fill("And 4?")
    one.button("ui.compare.follow_go").click()
    expect(one.at("#answer-3 .asked").last).to_have_text("And 4?")
    one.verified()
    one.choose("#view", "ui.compare.views.difference")
    expect(one.at("#told")).to_contain_text("%")
    expect(one.at("#answer-after mark").first).to_be_visible()
    assert one.at("#answer-before b").count() == 0
    one.choose("#view", "ui.compare.views.likelihood")
    expect(one.at("#answer-after .w").first).to_be_visible()
    one.slides("And 4?")
    assert one.card("PNG, wide").startswith(b"\x89PNG")


def scoreboard(one: Session) -> None:
    """Progress, measures with verdicts in words, a row side by side."""
    one.strength_to(100)
    one.verified()
    one.view("score")
    one.at("#score-limit input").fill("4")
    one.at("#measure").click()
    expect(one.at("#measures table")).to_be_visible()
    expect(one.at("#score-progress")).to_contain_text(one.say("ui.score.done", done=8))
    expect(one.at("#measures")).to_contain_text(one.say("compare.measures.chrf.name"))
    at = one.say("ui.score.at", column=one.say("compare.column.now"), rows=4)
    expect(one.at("#score-sentence")).to_contain_text(at)
    expect(one.at("#forgetting table")).to_be_visible()
    one.choose("#score-order", "ui.score.orders.all")
    expect(one.at("#score-rows summary")).to_have_count(4)
    expect(one.at("#score-rows summary").first).to_contain_text(re.compile(r"^\s*1\D"))  # the new order is there
    one.at("#score-rows summary").first.click()
    expect(one.at("#score-rows .two-sides").first).to_be_visible()
    one.view("answers")
    assert json.loads(one.card("JSON"))["scoreboard"]["rows"] == 4
    one.strength_to(150)
    one.verified()


def found_on_disk(other: Session) -> None:
    """What others have compared and measured is there, in this session's language; an earlier one opens again."""
    other.verified()
    expect(other.at("#answer-before .asked").last).to_have_text("And 4?")
    other.slides("And 4?")
    other.at("#saved input").click()
    other.page.get_by_role("option", name="What is <b>3</b>? · ").first.click()
    expect(other.at("#answer-before .asked")).to_have_text(["What is <b>3</b>?"])
    expect(other.at("#prompt textarea")).to_have_value("What is <b>3</b>?")
    other.verified()
    other.strength_to(100)
    other.verified()
    other.view("score")
    expect(other.at("#score-progress")).to_contain_text(other.say("ui.score.done", done=8))
    expect(other.at("#measures")).to_contain_text(other.say("compare.measures.chrf.name"))


def reading_sheet(other: Session) -> None:
    other.view("sheet")
    other.at("#reader input, #reader textarea").fill("민지")
    other.button("ui.sheet.begin").click()
    other.choose("#sheet-natural", "compare.sheet.no")
    other.at("#sheet-note textarea").fill("=어색해요")
    other.at("#sheet-save").click()
    expect(other.at("#sheet-progress")).to_contain_text(other.say("compare.column.now"))
    expect(other.at("#sheet-progress")).to_contain_text(other.say("ui.vote.progress", done=1, total=8))
    assert "'=어색해요" in other.downloads(other.button("ui.sheet.export")).decode("utf-8-sig")


def fits_a_phone(other: Session) -> None:
    """No view scrolls sideways."""
    other.page.set_viewport_size({"width": 390, "height": 844})
    for name in ("answers", "score", "vote", "sheet"):
        other.view(name)
        other.page.wait_for_function("document.documentElement.scrollWidth <= 390")


@pytest.mark.long
def test_answers_and_a_scoreboard_are_stopped_and_a_reload_stops_neither(page_url, browser, finished_run, monkeypatch):
    put, pace = generate._Stream.put, [0.1]
    monkeypatch.setattr(generate._Stream, "put", lambda self, value: (time.sleep(pace[0]), put(self, value)))
    endless = SimpleNamespace(stop_ids=lambda *given: {2})  # it never comes to its end by itself
    monkeypatch.setattr("studio.compare.column_loading.tokens", endless)
    one = Session(browser, page_url, "en")
    one.page.get_by_role("button", name=text("ui.compare.all_settings")).click()
    one.page.get_by_label(text("ui.compare.max_new_tokens"), exact=True).fill("900")
    one.compare("Tell me all.")
    expect(one.at("#caption-before")).to_contain_text("tokens")
    one.button("ui.compare.stop").first.click()
    expect(one.at("#caption-before")).to_contain_text(text("ui.answer.stopped"))
    expect(one.button("ui.compare.go")).to_be_enabled()
    assert comparison_history.load_all(finished_run)[0].comparison.answers[0][0].end == "stopped"

    # A scoreboard goes on when the page is reloaded, and is stopped from there, before its first answers have ended
    pace[0] = 3.0
    one.view("score")
    one.at("#measure").click()
    going = one.say("ui.score.going", done=0, total=30)
    expect(one.at("#score-progress")).to_contain_text(going)
    one.open(page_url)
    one.view("score")
    expect(one.at("#score-progress")).to_contain_text(going)
    expect(one.at("#measure")).to_be_disabled()
    one.at("#measure-stop").click()
    expect(one.at("#score-progress")).to_contain_text(one.say("ui.score.stopped", done=0, total=30))
    expect(one.at("#measure")).to_be_enabled()
    assert one.errors == []


@pytest.mark.parametrize("path", ["/etc", "../runs", "~", "C:\\models", "upload/../../x"])
def test_a_path_is_no_column_on_the_page(path):
    with pytest.raises(ModelError, match="Folders"):
        list(compare_events.added("", (True, False), [path, 100, "", "", None, None, None, None, ""]))


@pytest.mark.long
def test_adapters_from_outside_get_columns_on_a_phone_and_another_bases_is_refused(
    browser, page_url, finished_run, hub_stand_in, tiny_model, tmp_path
):
    fits = outside.make(tmp_path / "captain", tiny_model, "/home/bob/base")
    hub_stand_in.add("someone/captain", outside.make(tmp_path / "other", tiny_model, str(tiny_model), r=2))
    one = Session(browser, page_url, "ko", width=390)
    page, say = one.page, one.say
    page.locator("#outside").get_by_role("button", name=say("ui.outside.title")).click()
    said, files = page.locator("#outside-said"), page.locator("#outside-files input[type=file]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    # One for another base is refused with both names, and is not kept
    alien = outside.make(tmp_path / "alien", tiny_model, "someone/else")
    files.set_input_files([alien / name for name in outside.FILES])
    expect(said.locator("[role=alert]")).to_contain_text("someone/else")
    expect(said).to_contain_text(str(tiny_model))
    expect(page.locator("#outside-remove")).to_be_disabled()

    # One that fits by its shapes gets a column, and the comparison says what is not proven
    files.set_input_files(outside.zipped(fits, tmp_path / "captain.zip"))
    expect(said.locator("[role=alert]")).to_contain_text("/home/bob/base")
    expect(page.locator("#extra-3 input").first).to_have_value(re.compile("captain-"))
    page.locator("#outside-id input, #outside-id textarea").fill("someone/captain")
    page.locator("#outside-fetch").click()
    expect(said).to_contain_text(say("ui.outside.known.name"))
    expect(page.locator("#extra-4 input").first).to_have_value(re.compile("someone/captain"))
    page.locator("#prompt textarea").fill("3이 뭐야?")
    page.get_by_role("button", name=say("ui.compare.go"), exact=True).click()
    expect(page.locator("#proof .unproven")).to_contain_text("/home/bob/base")
    expect(page.locator("#answer-4 .answer")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    # Removed, it is chosen no more
    page.locator("#outside-remove").click()
    expect(page.locator("#extra-3 input").first).to_have_value(say("compare.column.now"))
    expect(page.locator("#outside-remove")).to_be_disabled()
    assert one.errors == []


@pytest.mark.long
def test_the_base_with_a_prompt_is_a_column_whose_prompt_is_edited_and_put_back(page_url, browser, finished_run):
    one = Session(browser, page_url, "en")
    one.at("#add-column").click()
    one.at("#extra-3 input").first.click()
    one.page.get_by_role("option", name=one.say("ui.compare.who.prompted"), exact=True).click()
    box = one.at("#prompted-text textarea")
    expect(box).to_have_value(re.compile(r"user: What is \d+\?"))
    automatic = box.input_value()
    expect(one.at("#prompted-cost")).to_contain_text(re.compile(r"\d+ tokens more in every prompt"))

    box.fill("Talk like a sailor.\n\nuser: What is wind?\n\nassistant: Aye, wind it be.")
    one.compare("What is 3?")
    one.verified()
    expect(one.at(".side-3 .heading .name")).to_contain_text("with examples: 1")
    expect(one.at("#prompted-cost")).to_contain_text(one.say("ui.prompted.edited"))
    assert prompted_store.read(finished_run).edited.shots[1].content == "Aye, wind it be."

    one.button("ui.prompted.automatic").click()
    expect(box).to_have_value(automatic)
    assert prompted_store.read(finished_run).edited is None
    one.at("#extra-3").get_by_role("button", name=one.say("ui.compare.remove")).click()
    expect(one.at("#prompted-base")).to_be_hidden()
    assert one.errors == []
