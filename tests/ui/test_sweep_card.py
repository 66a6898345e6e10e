"""A sweep on the Runs tab, in a real browser: foretold, started, watched to its picture, and its winner used."""

import pytest
from playwright.sync_api import expect

from studio import runs
from studio.i18n import text
from studio.runs import State
from studio.sweep import directory
from studio.sweep.directory import SweepState
from studio.sweep.trial import winner

pytestmark = pytest.mark.timeout(580)


@pytest.mark.long
def test_a_sweep_is_started_from_a_run_and_its_winner_is_used(page_url, browser, tiny_config):
    language = "ko"
    validated = {
        "data.validation": {"kind": "fraction", "fraction": 0.25},
        "train.eval_steps": 3,
        "samples.mode": "off",
    }
    run = runs.create(tiny_config.with_settings(validated | {"name": "first"}))
    run.enter(State.FINISHED, step=8, total=8, started=1_000.0, ended=1_090.0)
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, locale={"en": "en-US", "ko": "ko-KR"}[language]
    )
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(page_url + "ko")
    expect(page.locator("#device")).to_contain_text("ⓘ")
    page.get_by_role("tab", name=text("ui.tabs.runs", language), exact=True).click()
    page.locator(f"#open-{run.id}").click()
    expect(page.locator("#sweep-card")).to_have_count(0)
    page.locator("#sweep-form .label-wrap").click()

    # What cannot be is said for each combination
    values = [page.locator(f"#sweep-values-{at}").get_by_role("textbox") for at in range(2)]
    values[0].fill("1e-4, 1e-2")
    values[1].fill("2, 4, 600")
    page.locator("#sweep-start").click()
    expect(page.locator("#sweep-told li")).to_have_count(2)
    assert directory.all_sweeps() == []

    # What can be is foretold, and carried out
    values[1].fill("2, 4")
    page.locator("#sweep-check").click()
    expect(page.locator("#sweep-told [role=status]")).to_contain_text("4")
    page.locator("#sweep-start").click()
    expect(page.locator("#sweep-sentence")).to_be_visible()
    finished = text("ui.sweep.now.finished", language, done=4, count=4)
    expect(page.locator("#sweep-sentence")).to_contain_text(finished, timeout=240_000)
    expect(page.locator("#sweep-picture polyline")).to_have_count(4)
    expect(page.locator("#sweep-table tbody tr")).to_have_count(4)
    [sweep] = directory.all_sweeps()
    best = winner(sweep.trials())
    assert sweep.state() is SweepState.FINISHED
    expect(page.locator("#sweep-table tbody tr").first).to_contain_text(f"★ {best.number + 1}")

    # The winner's settings fill the form; a row opens its run
    page.locator("#sweep-apply").click()
    rank = page.get_by_label(text("config.lora.r.title", language)).first
    expect(rank).to_have_value(str(best.settings["lora.r"]))
    name = page.get_by_role("textbox", name=text("config.name.title", language))  # a list of settings has it too
    expect(name.first).to_have_value("first")
    page.get_by_role("tab", name=text("ui.tabs.runs", language), exact=True).click()
    page.locator(f"#sweep-{best.run}").click()
    expect(page.locator("#run-head")).to_contain_text(f"first {best.number + 1}")
    assert errors == []
