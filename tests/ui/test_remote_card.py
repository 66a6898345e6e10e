"""Training on a job of the Hub from the page: its price, its errors, its start, pause and resume, and what it shows."""

import gradio as gr
import job_runner
import pytest
from following import wait_for
from playwright.sync_api import expect

from studio import presets, runs
from studio.config import RunConfig
from studio.i18n import text
from studio.remote import follow, hub_jobs, record
from studio.remote.record import JobRecord
from studio.runs import State
from studio.ui import active_runs, remote_views
from studio.ui.form import Form
from studio.ui.tabs import train
from studio.ui.words import Words

TOKEN = "hf_of_alice"
RECORD = JobRecord(
    repository="alice/restyle-x", flavor="t4-small", seconds=7200, dollars_per_hour=0.4, attempt=1, job="7"
)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_run_says_where_it_is_and_what_stays_there(language):
    assert remote_views.place(None, True, language) == ""
    alive = remote_views.place(RECORD, True, language)
    assert all(part in alive for part in ("t4-small", "$0.40", "$0.80", "/jobs/alice/7", "/alice/restyle-x"))
    assert "/settings" not in alive
    over = remote_views.place(RECORD, False, language)
    assert text("ui.remote.stays", language) in over
    assert "/alice/restyle-x/settings" in over
    gone = remote_views.place(RECORD.model_copy(update={"deleted": True}), False, language)
    assert text("ui.remote.deleted", language) in gone
    assert "restyle-x" not in gone


def test_machines_are_offered_with_their_prices_the_cheapest_first():
    offered = remote_views.offered({"h200": 5.0, "odd": None, "t4-small": 0.4}, "en")
    assert offered == [("t4-small · $0.40 an hour", "t4-small"), ("h200 · $5.00 an hour", "h200"), ("odd", "odd")]
    assert "$0.80" in remote_views.start_label(RECORD, "en")
    assert "$" not in remote_views.start_label(RECORD.model_copy(update={"dollars_per_hour": None}), "en")


def test_a_run_elsewhere_keeps_no_device_of_this_machine(tiny_config):
    here, there = (runs.create(tiny_config.with_settings({"name": name})) for name in ("here", "there"))
    record.save(there.path, RECORD)
    now = active_runs.current()
    assert now.here == (here.id,)
    assert now.elsewhere == (there.id,)
    assert set(now.all) == {here.id, there.id}


@pytest.fixture
def hub(hub_stand_in, monkeypatch):
    hub_stand_in.account(TOKEN, "alice")
    hub_stand_in.folder.mkdir(parents=True)
    hub_stand_in.jobs.waiting = True
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.3)
    monkeypatch.setattr(hub_jobs, "RETRY_SECONDS", 0.2)
    return hub_stand_in


@pytest.mark.long
def test_a_job_is_priced_started_paused_and_resumed(hub, tiny_config, page_with, browser, home, monkeypatch):
    load = presets.load
    config = tiny_config.with_settings({"model.id": "someone/tiny", "name": "afar"})
    monkeypatch.setattr(presets, "load", lambda name: config if name == presets.QUICKSTART else load(name))
    page = browser.new_context(viewport={"width": 390, "height": 844}, locale="en-US").new_page()
    page.set_default_timeout(30_000)
    page.goto(page_with(config) + "#train")
    expect(page.locator("#device")).to_contain_text("ⓘ")
    page.get_by_role("tab", name=text("ui.tabs.train")).click()
    card, timeout = page.locator("#remote-card"), page.locator("#remote-timeout").get_by_role("textbox")
    expect(card).to_be_visible()
    assert card.bounding_box()["height"] < 48, "one line until it is opened"
    page.locator("#remote-card > .label-wrap").click()

    # errors stand at their control, and start nothing
    page.locator("#remote-ask").click()
    expect(page.locator("#remote-token-failure")).to_contain_text("There is no token")
    page.locator("#remote-token input").fill("hf_wrong")
    expect(page.locator("#remote-token-failure .failure")).to_have_count(0)
    page.locator("#remote-ask").click()
    expect(page.locator("#remote-token-failure")).to_contain_text("refused (401)")
    page.locator("#remote-token input").fill(TOKEN)
    timeout.fill("2 weeks")
    expect(page.locator("#remote-timeout-failure")).to_contain_text("no time limit")
    expect(page.locator("#remote-start")).to_be_disabled()
    timeout.fill("1h")
    expect(page.locator("#remote-timeout-failure .failure")).to_have_count(0)

    # the price follows the choice
    page.locator("#remote-ask").click()
    expect(page.locator("#remote-start")).to_have_text("Start there for at most $0.40")
    timeout.fill("2h")
    expect(page.locator("#remote-said")).to_contain_text("alice pays at most $0.80")
    expect(page.locator("#remote-start")).to_have_text("Start there for at most $0.80")
    monkeypatch.setattr(job_runner, "HARDWARE", (("t4-small", 0.01, "minute"),))
    page.locator("#remote-start").click()
    expect(page.locator("#remote-card-failure")).to_contain_text("The price has changed")
    expect(page.locator("#remote-start")).to_have_text("Start there for at most $1.20")
    assert hub.jobs.all == runs.all_runs() == []

    page.locator("#remote-start").click()
    place = page.locator("#status .place")
    expect(place).to_contain_text("On Hugging Face Jobs, t4-small")
    expect(page.locator("#status")).to_contain_text(text("phase.remote_queue"))
    expect(page.get_by_role("button", name=text("ui.train.start"), exact=True)).to_be_visible()
    [run] = runs.all_runs()
    assert record.load(run).seconds == 7200
    page.reload()
    page.get_by_role("tab", name=text("ui.tabs.train")).click()
    expect(place).to_contain_text("On Hugging Face Jobs, t4-small")

    page.get_by_role("button", name=text("ui.train.pause"), exact=True).click()
    wait_for(run, lambda status: status.state is State.PAUSED)
    assert [job.stage for job in hub.jobs.all] == ["CANCELED"]
    expect(place).to_contain_text("It stays, with your rows")
    page.locator("#remote-card > .label-wrap").click()
    page.locator("#remote-token input").fill(TOKEN)
    page.get_by_role("button", name=text("ui.train.resume"), exact=True).click()
    wait_for(run, lambda status: len(hub.jobs.all) == 2)
    assert [job.stage for job in hub.jobs.all] == ["CANCELED", "SCHEDULING"]

    page.get_by_role("tab", name=text("ui.tabs.runs")).click()
    page.locator(f"#open-{run.id}").click()
    expect(page.locator("#run-head .place")).to_contain_text("On Hugging Face Jobs, t4-small")
    kept = [path for path in home.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert kept == []
    assert TOKEN not in page.evaluate("JSON.stringify(localStorage)")
    run.request("cancel")
    wait_for(run, lambda status: status.state is State.STOPPED)


def test_a_space_has_no_such_card(monkeypatch):
    monkeypatch.setenv("SPACE_ID", "alice/studio")
    words = Words("en")
    with gr.Blocks():
        assert train.TrainTab(words, Form(words, RunConfig()), None).remote is None
