"""The rule of the first screen: what a tab exists for, and the next step's button, are in view without scrolling."""

from dataclasses import replace

import pytest
from following import wait_until_over
from playwright.sync_api import Page, expect
from test_journey import open_page

from studio import gpu, presets, runs
from studio.compare import comparison_history
from studio.i18n import text
from studio.journal import Journal
from studio.ui.views import run_name

pytestmark = pytest.mark.timeout(400)
LOCALES = {"en": "en-US", "ko": "ko-KR"}
SCREENS = {"desktop": (1440, 900), "phone": (390, 844)}


def hidden_below(page: Page, *selectors: str) -> list[str]:
    """Return which of the elements are not whole on the screen."""
    height = page.viewport_size["height"]
    boxes = {selector: page.locator(selector).first.bounding_box() for selector in selectors}
    return [name for name, box in boxes.items() if not box or box["y"] < 0 or box["y"] + box["height"] > height]


def button(key: str, language: str) -> str:
    return f'button:has-text("{text(key, language)}")'


def tab(page: Page, name: str, language: str) -> None:
    page.get_by_role("tab", name=text(f"ui.tabs.{name}", language), exact=True).click()


def labels(page: Page, axis: str) -> list[str]:
    """Return the labels of an axis of the loss chart."""
    return page.locator(f'#loss [aria-label^="{axis}-axis"] .role-axis-label text').all_text_contents()


def screens(page: Page) -> float:
    """Return how many screens long the page is."""
    return page.evaluate("document.documentElement.scrollHeight / innerHeight")


AT_MOST_3 = "() => document.documentElement.scrollHeight <= 3 * innerHeight"
"""Of a page on which what can be folded is folded a moment after it was drawn."""


def go_to(screen: str, page: Page) -> None:
    width, height = SCREENS[screen]
    page.set_viewport_size({"width": width, "height": height})


@pytest.mark.long
@pytest.mark.parametrize(("language", "screen", "other"), [("en", "desktop", "phone"), ("ko", "phone", "desktop")])
def test_what_a_tab_is_for_is_in_view(page_url, browser, preset, language, screen, other):
    page = open_page(browser, page_url, LOCALES[language], SCREENS[screen][0])
    go_to(screen, page)
    is_phone = screen == "phone"
    warnings = []
    page.on("console", lambda said: warnings.append(said.text) if said.type == "warning" else None)

    # A first visit: what this is, and the two ways to begin
    ways = [button("ui.hero.start", language), button("ui.hero.own", language)]
    expect(page.locator("#hero")).to_be_visible()
    for each in (other, screen):
        go_to(each, page)
        assert hidden_below(page, "#hero h2", "#hero .two-sides", *ways, "#hero-presets") == [], each
    shape = page.locator("#hero-presets").bounding_box()
    assert shape["width"] <= 320
    assert shape["height"] == page.locator("#hero-ways button").first.bounding_box()["height"] == 42
    page.locator(ways[1]).click()  # where a file is dropped comes into view, and what has led there goes
    expect(page.locator("#hero")).to_have_count(0)
    page.wait_for_function("() => document.querySelector('#upload')?.getBoundingClientRect().bottom < innerHeight")
    page.goto(page_url)
    expect(page.locator("#hero")).to_be_visible()
    tab(page, "train", language)
    start = page.get_by_role("button", name=text("ui.train.start", language), exact=True)
    expect(start).to_be_visible()
    expect(page.locator("#hero")).to_be_hidden()  # on other tabs it stands above what they are for
    assert hidden_below(page, "#preset input:checked + span") == []
    opened = page.locator("#tabs [role=tab][aria-selected=true]:visible")
    page.keyboard.press("ArrowRight")
    expect(opened.first).to_have_text(text("ui.tabs.compare", language))
    page.keyboard.press("ArrowLeft")
    expect(opened).to_have_text(text("ui.tabs.train", language))
    expect(opened).to_be_focused()
    page.locator("#brand").click()  # the page's top
    for _ in range(10):
        page.keyboard.press("Tab")
        if start.evaluate("start => start === document.activeElement"):
            break
    expect(start).to_be_focused()
    expect(page.locator("#progress")).to_have_count(0)  # nothing is shown of a run that is not there
    tab(page, "data", language)
    page.locator("#hero-presets input").click()
    page.get_by_role("option", name=text("presets.chat", language)).click()
    expect(page.locator("#preset input[value=chat]")).to_be_checked()
    expect(page.locator("#hero")).to_have_count(0)
    page.locator("#preset input[value=quickstart]").check()
    assert page.locator("#preset input").first.evaluate("dot => getComputedStyle(dot).opacity") == "0"
    theme = page.locator("#theme")
    for name in ("system", "light", "dark"):
        expect(theme).to_have_accessible_name(text(f"ui.theme.{name}", language))
        assert page.evaluate("document.body.classList.contains('dark')") is (name == "dark")
        if name != "dark":
            theme.click()

    # With a run
    held_out = {"evaluation.prompts": "captain-heldout", "generation.max_new_tokens": 20}
    wait_until_over(gpu.thread().start_run(preset.with_settings(held_out)))
    page.goto(page_url)
    expect(page.locator("#spans")).to_be_visible()
    expect(theme).to_have_accessible_name(text("ui.theme.dark", language))
    assert page.evaluate("document.body.classList.contains('dark')")
    expect(page.locator("#hero")).to_have_count(0)
    data_and_train_are_in_view(page, language, is_phone)

    # Steps are whole numbers; a log scale is labelled in its own units
    if not is_phone:
        assert all(label.isdecimal() for label in labels(page, "X") if label)
        page.get_by_role("button", name=text("ui.curves.settings", language)).click()
        page.locator("#log-scale input").check()
        expect(page.locator("#loss")).to_contain_text(text("ui.curves.y.loss_log", language))
        losses = [event.loss for event in runs.find("last").events()[0] if event.type == "step"]
        expect(page.locator("#legend [data-log='1']")).to_be_attached()
        page.wait_for_timeout(1000)
        assert all(0.5 * min(losses) < float(label) < 2 * max(losses) for label in labels(page, "Y"))
        raw = page.locator('#loss path[stroke$="59"]').first
        assert raw.evaluate("line => getComputedStyle(line).filter") == "brightness(1.8)"
        page.locator("#log-scale input").uncheck()
        page.evaluate("scrollTo(0, 0)")

    # Compare opens with the first held-out prompt answered, each answer under its question
    page.locator(button("ui.train.continue", language)).click()
    asked = compare_is_in_view(page, language, is_phone)

    # One press votes on what is shown, in the form of the blind session
    page.get_by_role("button", name=text("ui.vote.shown.2", language), exact=True).click()
    expect(page.locator("#pair-voted")).to_have_text(text("ui.vote.shown.kept", language, before=0, after=1, tie=0))
    [vote] = Journal(runs.find("last").path / "compare" / "votes.jsonl").entries()
    assert {"first": "before", "choice": "2"}.items() <= vote.items()
    assert vote["comparison"] == comparison_history.load_all(runs.find("last"))[0].id

    # What is no longer asked for is dimmed, and no longer called verified
    page.locator("#prompt textarea").fill("something else")
    expect(page.locator("#stale")).to_be_visible()
    expect(page.locator("#proof")).to_be_hidden()
    page.locator("#prompt textarea").fill(asked)
    expect(page.locator("#stale")).to_be_hidden()
    expect(page.locator("#proof .good")).to_be_visible()

    if is_phone:
        no_tab_is_long(page, language)
    assert not [line for line in warnings if "WARN" in line]

    assert page.errors == []
    page.context.close()

    # The same on another screen, where the page opens with the run and its answers: not with one that was stopped
    run = runs.find("last")
    shown = comparison_history.load_all(run)[0].comparison
    [sides] = shown.answers
    request = replace(shown.request, prompts=("What was stopped?",))
    stopped = replace(shown, request=request, answers=(tuple(replace(side, end="stopped") for side in sides),))
    comparison_history.save(run, stopped)
    again = open_page(browser, page_url, LOCALES[language], SCREENS[other][0])
    go_to(other, again)
    expect(again.locator("#spans")).to_be_visible()
    data_and_train_are_in_view(again, language, not is_phone)
    again.locator(button("ui.train.continue", language)).click()
    assert compare_is_in_view(again, language, not is_phone) == asked
    if not is_phone:
        no_tab_is_long(again, language)
    assert again.errors == []
    assert len(runs.all_runs()) == 1


@pytest.mark.long
@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize(("language", "screen"), [("en", "desktop"), ("ko", "phone")])
def test_a_run_that_trains_is_in_view_with_its_curve(page_with, browser, preset, monkeypatch, language, screen):
    longer, load = preset.with_settings({"train.max_steps": 4000, "data.limit": None}), presets.load
    monkeypatch.setattr(presets, "load", lambda name: longer if name == presets.QUICKSTART else load(name))
    page = open_page(browser, page_with(longer), LOCALES[language], SCREENS[screen][0])
    go_to(screen, page)
    expect(page.locator("#health .good")).to_be_visible()
    page.locator(button("ui.hero.own", language)).click()
    page.wait_for_function(AT_MOST_3)
    tab(page, "train", language)
    expect(page.locator("#before .parts")).to_be_visible()

    # A rate with which nothing can be learned is warned of at its control, and blocks nothing
    rate, warning = page.locator(".setting-train-learning-rate input"), page.locator(".problem")
    start, usual = page.get_by_role("button", name=text("ui.train.start", language), exact=True), rate.input_value()
    rate.fill("50")
    expect(page.locator(".setting-train-learning-rate .problem")).to_contain_text("25,000")
    expect(rate).not_to_have_attribute("aria-invalid", "true")
    expect(start).to_be_enabled()
    rate.fill("-1")
    expect(rate).to_have_attribute("aria-invalid", "true")
    expect(start).to_be_disabled()
    expect(warning).to_have_count(1)
    expect(warning).not_to_contain_text("⚠")
    rate.fill(usual)
    expect(page.locator(".setting-train-learning-rate .problem")).to_have_count(0)

    # What it does, its figures and the curve share the first screen with what can be pressed
    start.click()
    expect(page.locator("#legend .key").first).to_be_visible()
    page.evaluate("scrollTo(0, 0)")
    pressed = [button(f"ui.train.{key}", language) for key in ("try", "pause", "stop")]
    assert hidden_below(page, "#status", "#loss", *pressed) == []
    for name in ("left", "loss"):
        expect(page.locator("#status dt", has_text=text(f"ui.status.names.{name}", language)).first).to_be_visible()

    # What can be exported, and when
    run = runs.find("last")
    tab(page, "export", language)
    facts = page.locator("#export-facts")
    expect(facts).to_have_text(text("ui.export.trains", language, run=run_name(run.id)))
    run.request("cancel")
    expect(facts).to_have_text(text("ui.export.no_runs", language))
    assert page.errors == []


def data_and_train_are_in_view(page: Page, language: str, is_phone: bool) -> None:
    assert hidden_below(page, "#spans", button("ui.data.continue", language)) == []
    continues = page.locator(button("ui.data.continue", language)).bounding_box()
    behind = f"document.elementFromPoint(innerWidth >> 2, {continues['y'] + 5}).closest('.next')"
    assert is_phone or page.evaluate(behind) is None  # what stands beside the button can be seen and pressed
    tab(page, "train", language)
    expect(page.locator("#loss svg, #loss canvas").first).to_be_visible()
    expect(page.locator("#strip-answers div.two")).to_be_visible()
    expect(page.locator("#notify")).to_be_hidden()  # of a run that is over
    expect(page.locator("#curve-kind input[value=margin]")).to_be_hidden()  # of a training on answers
    shown = ["#status", button("ui.train.continue", language)]
    shown += [] if is_phone else ["#loss", "#strip-answers div.one", "#strip-answers div.two"]
    assert hidden_below(page, *shown) == []
    tops = [page.locator(part).bounding_box()["y"] for part in ("#status", "#loss", "#strip-answers", "#setup")]
    assert not is_phone or tops == sorted(tops)


def compare_is_in_view(page: Page, language: str, is_phone: bool) -> str:
    """Return the prompt that is answered."""
    for side in ("before", "after"):
        expect(page.locator(f"#answer-{side} .asked")).to_have_count(1)
    expect(page.locator("#proof .good")).to_be_visible()
    asked = page.locator("#prompt textarea").input_value()
    assert asked
    assert page.locator("#answer-after .asked").inner_text() == asked
    shown = ["#prompt", "#answer-before"] if is_phone else ["#prompt", "#answer-before", "#answer-after"]
    assert hidden_below(page, *shown, button("ui.compare.go", language)) == []
    return asked


def no_tab_is_long(page: Page, language: str) -> None:
    for name in ("data", "train", "compare"):
        tab(page, name, language)
        page.wait_for_timeout(1500)
        assert screens(page) <= 3, name
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    tab(page, "runs", language)
    page.locator("#runs-table .row-link").first.click()
    expect(page.locator("#run-loss svg, #run-loss canvas").first).to_be_visible()
    page.wait_for_timeout(1500)
    assert screens(page) <= 3
    page.locator("#runs-back").click()
