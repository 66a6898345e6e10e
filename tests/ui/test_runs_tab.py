"""The Runs tab in a real browser: list, overlay, one run's page, name, clean-up, trash, and the ways out of it."""

import re

import pytest
from following import wait_until_over
from playwright.sync_api import Page, expect

from studio import gpu, runs
from studio.events import Step
from studio.i18n import text
from studio.runs import State, checkpoints, metadata, trash

pytestmark = pytest.mark.timeout(580)


def open_tab(browser, url: str, width: int = 1440) -> Page:
    page = browser.new_context(viewport={"width": width, "height": 900}, locale="en-US").new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(url)
    show_runs(page)
    return page


def show_runs(page: Page) -> None:
    expect(page.locator("#device")).to_contain_text("ⓘ")
    page.get_by_role("tab", name=text("ui.tabs.runs"), exact=True).click()
    expect(page.locator("#runs-table table")).to_be_visible()


def made(config, name: str, rank: int):
    run = runs.create(config.with_settings({"name": name, "lora.r": rank}))
    for number in range(1, 9):
        run.emit(Step(step=number, total=8, epoch=1, loss=3 / number, learning_rate=1e-3, tokens=5))
    for step in (4, 8):
        checkpoints.write(run.path, step, lambda folder: (folder / "optimizer.pt").write_bytes(b"x" * 200_000))
    run.enter(State.FINISHED, step=8, total=8, started=1_000.0, ended=1_090.0)
    return run


@pytest.mark.long
def test_a_box_that_is_told_late_takes_no_later_one_back(page_url, browser, tiny_config):
    first, second = made(tiny_config, "first", 4), made(tiny_config, "second", 8)
    page = open_tab(browser, page_url)
    held = []

    def hold_the_first(route):
        if '"do":"choose"' in (route.request.post_data or "") and not held:
            held.append(route)
        else:
            route.continue_()

    page.route("**/queue/join*", hold_the_first)
    for run in (first, second):
        page.locator(f"#choose-{run.id}").check()
    expect(page.locator("#overlay-card")).to_be_visible()
    held[0].continue_()
    page.wait_for_timeout(1500)
    expect(page.locator("#overlay-card")).to_be_visible()
    expect(page.locator(f"#choose-{second.id}")).to_be_checked()

    # The next one counts again
    page.locator(f"#choose-{first.id}").uncheck()
    expect(page.locator("#overlay-card")).to_be_hidden()
    expect(page.locator(f"#choose-{second.id}")).to_be_checked()
    assert page.errors == []


def test_an_event_sent_before_a_box_was_ticked_does_not_untick_it(page_url, browser, tiny_config):
    first, second, stopped = (made(tiny_config, name, 4) for name in ("first", "second", "stopped"))
    stopped.enter(State.STOPPED)
    page = open_tab(browser, page_url)
    held = []

    def hold_the_filter(route):
        if f',"{State.FINISHED}"]' in (route.request.post_data or ""):  # a list sends its choice twice
            held.append(route)
        else:
            route.continue_()

    page.route("**/queue/join*", hold_the_filter)
    page.locator("#runs-state input").click()
    page.get_by_role("option", name=text(f"state.{State.FINISHED}"), exact=True).click()
    for run in (first, second):
        page.locator(f"#choose-{run.id}").check()
    expect(page.locator("#overlay-card")).to_be_visible()
    expect(page.locator("#runs-table tbody tr")).to_have_count(3)
    while held:
        held.pop().continue_()
    expect(page.locator("#runs-table tbody tr")).to_have_count(2)
    for run in (first, second):
        expect(page.locator(f"#choose-{run.id}")).to_be_checked()
    assert page.errors == []


@pytest.mark.long
def test_from_the_list_to_a_runs_page_and_back(page_url, browser, tiny_config):
    def say(key, **values):
        return text(f"ui.runs.{key}", "en", **values)

    def button(key):
        return page.get_by_role("button", name=text(key), exact=True)

    real = gpu.thread().start_run(tiny_config)
    wait_until_over(real)
    first, second = made(tiny_config, "first", 4), made(tiny_config, "second", 8)
    page = open_tab(browser, page_url)
    rows = page.locator("#runs-table tbody tr")
    expect(rows).to_have_count(3)

    # Search, sort, and a run that another process adds
    page.locator("#runs-query input, #runs-query textarea").press_sequentially("sec")
    expect(rows).to_have_count(1)
    page.locator("#runs-query input, #runs-query textarea").fill("")
    expect(rows).to_have_count(3)
    page.locator("#sort-name").click()
    expect(rows.first.locator("th button")).to_have_text("first")
    expect(page.locator("#sort-name")).to_be_focused()
    third = made(tiny_config, "third", 4)
    expect(rows).to_have_count(4)

    # Two curves in one chart, told apart by their dashes; only what differs is in the table
    press = "([id, wait]) => setTimeout(() => document.getElementById('choose-' + id).click(), wait)"
    page.evaluate(press, [first.id, 0])
    page.evaluate(press, [second.id, 30])
    expect(page.locator("#overlay-card")).to_be_visible()  # two quick clicks are two
    expect(page.locator("#overlay-sentence")).to_contain_text("A 0.375")
    expect(page.locator("#differences tbody tr")).to_have_count(1)
    expect(page.locator("#differences")).to_contain_text(text("config.lora.r.title"))
    dashed = page.locator('#overlay path[stroke="#d97706"]').first
    expect(dashed).to_have_css("stroke-dasharray", "8px, 4px")

    # Cleared, the boxes that were clicked are empty; what was chosen survives a reload
    button("ui.runs.forget").click()
    expect(page.locator("#runs-table input:checked")).to_have_count(0)
    for run in (first, second):
        page.locator(f"#choose-{run.id}").check()
    expect(page.locator("#overlay-card")).to_be_visible()
    page.reload()
    show_runs(page)
    expect(page.locator(f"#choose-{second.id}")).to_be_checked()
    expect(page.locator("#overlay-card")).to_be_visible()

    # A page of its own: rename, note, clean up; the other browser sees it
    page.locator(f"#open-{first.id}").click()
    expect(page.locator("#run-head")).to_contain_text("first")
    page.locator("#run-name input, #run-name textarea").first.fill("Renamed <b>")
    page.locator("#run-note textarea").fill("for the talk")
    button("ui.runs.save").click()
    expect(page.locator("#run-head")).to_contain_text("Renamed <b>")
    assert metadata.load(first) == metadata.Metadata(name="Renamed <b>", note="for the talk")
    button("ui.runs.clean").click()
    button("ui.runs.clean_now").click()
    expect(page.locator("#run-spare")).to_contain_text(say("nothing_spare"))
    assert [path.name for path in checkpoints.all_of(first.path)] == ["step-000008"]
    other = open_tab(browser, page_url, width=390)
    expect(other.locator("#runs-table")).to_contain_text("Renamed <b>")
    assert other.evaluate("document.documentElement.scrollWidth") <= 390

    # Delete and undo at once; delete again and empty the trash
    button("ui.runs.delete").click()
    expect(page.locator("#undone")).to_contain_text("Renamed <b>")
    expect(other.locator("#runs-table tbody tr")).to_have_count(3)
    page.locator("#undo").click()
    expect(page.locator("#run-head")).to_contain_text("Renamed <b>")
    button("ui.runs.back").click()
    expect(rows).to_have_count(4)
    page.locator(f"#open-{third.id}").click()
    expect(page.locator("#run-head")).to_contain_text("third")
    button("ui.runs.delete").click()
    expect(rows).to_have_count(3)
    page.locator("#trash-card .label-wrap").click()
    page.locator("#empty-trash").click()
    expect(page.locator("#empty-sure")).to_contain_text("1 run")
    assert len(trash.deleted_runs()) == 1
    button("ui.runs.empty_now").click()
    expect(page.locator("#trash")).to_contain_text(say("trash_empty"))
    assert trash.deleted_runs() == []

    # Ways out: the form holds a clone's settings, Compare and Train show the run
    page.locator(f"#open-{second.id}").click()
    expect(page.locator("#run-head")).to_contain_text("second")
    button("ui.runs.clone").click()
    expect(page.get_by_label(text("config.name.title")).first).to_have_value("second")
    page.get_by_role("tab", name=text("ui.tabs.runs"), exact=True).click()
    page.locator("#runs-back").click()
    page.locator(f"#open-{real.id}").click()
    expect(page.locator("#run-head")).to_contain_text("tiny")
    button("ui.runs.open_train").click()
    expect(page.locator("#status")).to_contain_text("tiny")
    page.get_by_role("tab", name=text("ui.tabs.runs"), exact=True).click()
    button("ui.runs.compare").click()
    expect(page.get_by_label(text("ui.compare.run"), exact=True)).to_have_value(re.compile("^tiny"))
    assert page.errors == other.errors == []
