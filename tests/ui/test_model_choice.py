"""The choice of a model in a real browser: facts first, progress, cancelling, and a token that stays nowhere."""

import logging
import threading

import pytest
from playwright.sync_api import Page, expect

from studio.config import RunConfig
from studio.errors import ModelError
from studio.i18n import text
from studio.model import catalogue
from studio.model.catalogue import KnownModel, ModelFacts
from studio.ui import form, launch, model_views

CANARY = "hf_canarycanarycanary"

pytestmark = pytest.mark.timeout(300)


def open_tab(browser, url: str, language: str = "en", width: int = 1280) -> Page:
    locale = {"en": "en-US", "ko": "ko-KR"}[language]
    page = browser.new_context(viewport={"width": width, "height": 900}, locale=locale).new_page()
    page.set_default_timeout(60_000)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(url)
    page.get_by_role("tab", name=text("ui.tabs.train", language)).click()
    expect(said(page)).to_contain_text(text("model.folder", language))  # the tiny run's own model
    return page


def said(page: Page):
    return page.locator("#model-said")


def choose(page: Page, model_id: str) -> None:
    box = page.locator("#model input")
    box.click()
    box.fill(model_id)
    box.press("Enter")


def button(page: Page, key: str, language: str = "en"):
    return page.locator("#model-fetch").get_by_role("button", name=text(key, language), exact=True)


@pytest.mark.long
def test_a_model_of_the_hub_is_described_fetched_and_then_offered(hub_stand_in, page_url, browser):
    language, width = "ko", 390
    page = open_tab(browser, page_url, language, width)
    choose(page, "someone/tiny")
    expect(said(page)).to_contain_text("mit")
    expect(said(page)).to_contain_text(text("model.hub", language))
    expect(page.locator("#model-token")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert hub_stand_in.fetched() == []

    button(page, "ui.model.fetch", language).click()
    expect(said(page)).to_contain_text(text("model.cache", language))
    expect(page.locator("#model-token")).to_be_hidden()
    expect(button(page, "ui.model.fetch", language)).to_be_hidden()
    assert "model.safetensors" in hub_stand_in.fetched()
    page.locator("#model input").click()
    expect(page.get_by_role("option", name="someone/tiny ·")).to_be_visible()
    assert page.errors == []


@pytest.mark.long
def test_a_gated_model_says_where_to_accept_and_a_token_opens_it_and_stays_nowhere(
    browser, hub_stand_in, page_url, home, cache, tmp_path, caplog
):
    caplog.set_level(logging.DEBUG)
    repository = hub_stand_in.repositories["someone/tiny"]
    repository.gated, repository.readers = True, {CANARY}
    hub_stand_in.tokens.add(CANARY)
    page = open_tab(browser, page_url)
    choose(page, "someone/tiny")
    expect(said(page).locator(".failure")).to_contain_text(f"{hub_stand_in.url}/someone/tiny")

    page.locator("#model-token input").fill("hf_wrong")
    button(page, "ui.model.fetch").click()
    expect(said(page).locator(".failure")).to_contain_text("does not accept the token")
    page.locator("#model-token input").fill(CANARY)
    button(page, "ui.model.fetch").click()
    expect(said(page)).to_contain_text(text("model.cache"))

    assert CANARY in {request.token for request in hub_stand_in.requests}
    assert CANARY not in page.content() + caplog.text
    kept = [path for folder in (home, cache, tmp_path) for path in folder.rglob("*") if path.is_file()]
    assert [path for path in kept if CANARY.encode() in path.read_bytes()] == []
    choose(page, "someone/other")
    expect(page.locator("#model-token input")).to_have_value("")


@pytest.mark.long
def test_a_fetch_is_cancelled_at_once_and_can_be_begun_again(hub_stand_in, page_url, browser, tmp_path):
    hub_stand_in.hold = threading.Event()
    page = open_tab(browser, page_url)
    choose(page, "someone/tiny")
    button(page, "ui.model.fetch").click()
    expect(page.locator("#model-progress [role=progressbar]")).to_be_visible()
    expect(page.locator("#model-progress")).to_contain_text("of 150 kB")
    assert hub_stand_in.halfway.wait(60)
    page.locator("#model-token input").press("Enter")  # looks at the same model
    page.wait_for_timeout(1500)

    button(page, "ui.model.cancel").click()
    expect(page.locator("#model-progress")).to_contain_text(text("ui.model.cancelled"))
    assert list(tmp_path.rglob("*.incomplete")) == []
    hub_stand_in.hold.set()
    button(page, "ui.model.fetch").click()
    expect(said(page)).to_contain_text(text("model.cache"))


@pytest.mark.long
def test_the_hub_is_asked_for_a_choice_and_not_for_every_letter(hub_stand_in, page_url, browser):
    page = open_tab(browser, page_url)
    box = page.locator("#model input")
    box.click()
    box.fill("")
    box.press_sequentially("someone/tiny", delay=40)
    page.wait_for_timeout(1000)
    assert hub_stand_in.requests == []
    box.press("Enter")
    expect(said(page)).to_contain_text("mit")
    assert {request.path for request in hub_stand_in.requests} == {"/api/models/someone/tiny"}


@pytest.mark.long
def test_without_a_network_the_page_says_so_and_says_it_again_in_the_other_language(page_url, browser):
    page = open_tab(browser, page_url)
    choose(page, "someone/tiny")
    expect(said(page).locator(".failure")).to_contain_text("cannot be reached")

    page.get_by_text("한국어", exact=True).click()
    expect(said(page).locator(".failure")).to_contain_text("Hub에도 연결되지 않아요")
    expect(page.locator("#model input")).to_have_value("someone/tiny")


def test_a_folder_is_for_a_page_that_only_this_machine_reaches(monkeypatch, tiny_model, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    base = RunConfig()
    folders = [str(tiny_model), "~", "../secrets", "owner/name"]
    for folder in folders:
        assert form.read({"model.id": folder}, base).model.id == folder
    monkeypatch.setenv("SPACE_ID", "someone/studio")
    for folder in folders:
        with pytest.raises(ModelError) as caught:
            form.read({"model.id": folder}, base)
        assert caught.value.key == "ui.no_folders"
    for allowed in ("builtin", "someone/model", "gpt2"):
        launch.refuse_folder(allowed)
    own = base.with_settings({"model.id": str(tiny_model)})  # the settings of a run that the command line began
    assert form.read({"model.id": str(tiny_model)}, own).model.id == str(tiny_model)


def test_everything_from_outside_is_escaped():
    facts = ModelFacts("<b>", "hub", here=False, licence="<script>", quantized="<i>")
    shown = model_views.facts(facts, "en") + model_views.progress(0.5, facts, "en")
    assert "<script>" not in shown
    assert "<i>" not in shown.replace("<i style", "")


def test_progress_is_told_in_bytes_where_it_is_one_of_bytes(tmp_path):
    hub = ModelFacts("a/b", "hub", here=False, bytes=2 * 10**9)
    assert "500 MB of 2.0 GB" in model_views.progress(0.25, hub, "en")
    assert "25%" in model_views.progress(0.25, ModelFacts("builtin", "builtin", here=False, bytes=1), "en")
    name, value = model_views.choice(KnownModel("a/b", tmp_path, 10**6, True, True), "en")
    assert (name, value) == (f"a/b · {catalogue.size(10**6)}", "a/b")
