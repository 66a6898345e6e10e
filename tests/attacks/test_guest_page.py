"""The guests' page in a real browser: log in, compare, vote and present; and nothing that was written runs."""

import re
from dataclasses import replace

import pytest
from playwright.sync_api import expect
from visitors import log_in

from studio import gpu
from studio.compare import comparison_history
from studio.compare.columns import ADAPTED, BASE, CompareRequest, EvaluationRequest
from studio.i18n import text
from studio.runs import metadata

HOSTILE = "<img src=x onerror=\"window.taken='name'\"><script>window.taken='script'</script>"
pytestmark = pytest.mark.timeout(300)


@pytest.mark.long
def test_a_guest_logs_in_compares_votes_and_presents(shared, two_runs, browser):
    run = two_runs.published
    metadata.rename(run, HOSTILE[:60])
    gpu.thread().evaluate(EvaluationRequest(run.id, limit=2, forgetting=False)).result()
    page = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US").new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    log_in(page, shared.url, "guest")

    expect(page.locator("#guest")).to_contain_text(text("ui.guest.about", "en"))
    assert re.search(r"/guest/$", page.url)
    for tab in ("data", "train", "runs"):
        expect(page.get_by_role("tab", name=text(f"ui.tabs.{tab}", "en"))).to_have_count(0)
    for hidden in ("#outside", "#make-card", "#add-column", "#held-out", "#device"):
        expect(page.locator(hidden)).to_be_hidden()
    expect(page.locator(".who input").first).to_have_value(re.compile("<img src=x"))

    page.locator("#prompt textarea").fill("What is 3? " + HOSTILE)
    page.get_by_role("button", name=text("ui.compare.go", "en"), exact=True).click()
    expect(page.locator("#proof .good")).to_contain_text(text("ui.proof.verified", "en"))

    page.locator("#present").click()
    expect(page.locator("dialog.stage .slide:not([hidden])")).to_contain_text("What is")
    page.keyboard.press("Escape")
    expect(page.locator("dialog.stage")).to_be_hidden()
    page.get_by_role("tab", name=text("ui.compare.tabs.vote", "en"), exact=True).click()
    page.locator("#voter input, #voter textarea").fill("Kim")
    page.get_by_role("button", name=text("ui.vote.begin", "en"), exact=True).click()
    expect(page.locator("#pair")).to_contain_text("What is")
    page.locator("#vote-1").click()
    expect(page.locator("#vote-progress")).to_contain_text("1")

    assert page.url.endswith("#vote")
    page.get_by_text("한국어").click()
    expect(page.locator("[role=tab][aria-selected=true]")).to_have_text(text("ui.compare.tabs.vote", "ko"))
    expect(page.locator("#guest")).to_contain_text(text("ui.guest.about", "ko"))
    assert page.evaluate("window.taken") is None
    assert errors == []


@pytest.mark.long
def test_no_kept_answer_or_prompt_runs_in_any_view(shared, two_runs, browser):
    run = two_runs.published
    metadata.rename(run, HOSTILE[:60])
    made = gpu.thread().compare(CompareRequest(run.id, (HOSTILE,), run.config().generation, (BASE, ADAPTED))).result()
    sides = tuple(tuple(replace(side, text=f"[Verse]\n{HOSTILE}\n**x**") for side in prompt) for prompt in made.answers)
    comparison_history.save(run, replace(made, answers=sides))
    page = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US").new_page()
    log_in(page, shared.url, "guest")

    expect(page.locator("#answer-before")).to_contain_text("<img src=x")
    for view in ("difference", "lyrics", "plain"):
        page.locator("#view").get_by_text(text(f"ui.compare.views.{view}", "en"), exact=True).click()
        expect(page.locator("#answer-after")).to_contain_text("<script>")
    page.locator("#present").click()
    expect(page.locator("dialog.stage .slide:not([hidden])")).to_contain_text("<img src=x")
    assert page.evaluate("window.taken") is None
    page.close()


@pytest.mark.long
def test_no_row_name_or_note_runs_on_the_owners_page(shared, two_runs, browser, tmp_path):
    metadata.rename(two_runs.hidden, HOSTILE[:60])
    metadata.annotate(two_runs.hidden, HOSTILE)
    rows = tmp_path / "<img src=x onerror=window.taken=1>.csv"
    rows.write_text('question,answer\n"{0}","{0}"\n'.format(HOSTILE.replace('"', '""')), encoding="utf-8")
    page = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US").new_page()
    log_in(page, shared.url, "owner")
    expect(page.locator("#device")).to_contain_text("ⓘ")

    page.get_by_text(text("config.data.source.kind.options.file", "en"), exact=True).click()
    page.locator("#upload input[type=file]").set_input_files(rows)
    expect(page.locator("#health")).to_contain_text("1")
    expect(page.get_by_text("<img src=x").first).to_be_visible()
    expect(page.locator("#path")).to_have_count(0)  # a path is for a page that only this machine reaches
    page.get_by_role("tab", name=text("ui.tabs.runs", "en"), exact=True).click()
    expect(page.locator("#runs-table")).to_contain_text("<img src=x")
    page.locator("#runs-table [data-do=open]").filter(has_text="<img").first.click()
    expect(page.locator("#run-head")).to_contain_text("<img src=x")

    published = page.locator("#run-published input[type=checkbox]")
    expect(published).not_to_be_checked()
    published.check()
    for _ in range(100):
        if metadata.is_published(two_runs.hidden):
            break
        page.wait_for_timeout(100)

    assert metadata.is_published(two_runs.hidden)
    assert page.evaluate("window.taken") is None
