"""The Export tab in a real browser: from a finished run to an adapter that is verified and downloaded."""

import json
import zipfile

import pytest
from playwright.sync_api import expect
from test_cockpit import open_page
from test_first_screen import AT_MOST_3, go_to, hidden_below

from studio import gpu
from studio.compare.columns import CompareRequest
from studio.export import gguf_file
from studio.i18n import text
from studio.ui import exporting

TOKEN = "hf_canary7e41"

pytestmark = pytest.mark.timeout(400)


def test_a_finished_run_is_exported_verified_downloaded_and_sent(
    finished_run, hub_stand_in, home, page_url, browser, monkeypatch
):
    hub_stand_in.account(TOKEN, "me")
    monkeypatch.setattr(gguf_file, "has_llama_cpp", lambda: False)

    def tab(name):
        page.get_by_role("tab", name=text(f"ui.tabs.{name}"), exact=True).click()

    gpu.thread().compare(CompareRequest(finished_run.id, ("What is 3?",), finished_run.config().generation)).result()
    page = open_page(browser, page_url, "en")

    # From the end of Train, and from the run's own page
    tab("train")
    page.get_by_role("button", name=text("ui.train.export"), exact=True).click()
    chosen = page.get_by_label(text("ui.export.run"), exact=True)
    expect(chosen).to_be_visible()
    expect(page.locator("#export-facts")).to_contain_text("30")
    tab("runs")
    page.locator(f"#open-{finished_run.id}").click()
    page.locator("#run-export").click()
    expect(chosen).to_be_visible()

    # What it will be is told before; the kinds are chosen by keyboard
    page.locator("#export-kind input[value=adapter]").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.locator("#export-title")).to_have_text("Merged model")
    expect(page.get_by_label(text("ui.export.precision"), exact=True)).to_be_visible()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    expect(page.locator("#export-holds")).to_contain_text("adapter_model.safetensors")
    expect(page.locator("#export-result")).to_be_hidden()

    # One's own comparison is in the model card once it is chosen
    page.locator("#ui-export-comparisons > button").click()
    page.locator("#card-comparisons input").click()
    page.get_by_role("option", name="What is 3?").click()
    expect(page.locator("#card-comparisons .token")).to_have_count(1)

    # Made, and checked in a fresh process; a page that is opened meanwhile shows it too
    page.locator("#export-go").click()
    expect(page.locator("#export-progress [role=progressbar]")).to_be_visible()
    other = open_page(browser, page_url, "ko")
    other.get_by_role("tab", name=text("ui.tabs.export", "ko"), exact=True).click()
    found = page.locator("#export-verified .finding")
    expect(found).to_contain_text(text("ui.export.verified", time="").rstrip(" ,"))
    expect(found).to_contain_text("6 of 6 greedy answers")
    expect(found).to_contain_text("Perplexity")
    expect(page.locator("#export-kind")).to_contain_text("Adapter · ✓ verified")
    expect(page.locator("#export-files")).to_contain_text("chat_template.jinja")
    expect(page.locator("#export-usage")).to_contain_text("python ask.py")
    expect(other.locator("#export-verified .finding")).to_contain_text("새 프로세스에서 확인했어요")
    assert not exporting.of(finished_run.id).failure
    go_to("phone", other)
    other.reload()  # as on a phone, what can be folded is folded
    for each in (page, other):  # what was made, and the way to take it home, are on the first screen
        expect(each.locator("#export-verified .finding")).to_be_visible()
        expect(each.locator("#export-progress .scan")).to_have_count(0)
        each.evaluate("scrollTo(0, 0)")
        assert hidden_below(each, "#export-verified .finding", "#export-download") == []
    other.wait_for_function(AT_MOST_3)

    # Taken home
    with page.expect_download() as download:
        page.locator("#export-download").click()
    assert download.value.suggested_filename == "tiny-adapter.zip"
    with zipfile.ZipFile(download.value.path()) as packed:
        assert packed.testzip() is None
        assert json.loads(packed.read("adapter/restyle.json"))["run"] == finished_run.id
        assert "adapter/adapter_model.safetensors" in packed.namelist()
        assert "What is 3?" in packed.read("adapter/README.md").decode()

    # Sent to the Hub, with a token for this once
    page.locator("#push > button").click()
    page.locator("#push-repository input, #push-repository textarea").fill("me/captain")
    page.locator("#push-token input").fill(TOKEN)
    page.locator("#push-go").click()
    expect(page.locator("#export-progress")).to_contain_text(f"{hub_stand_in.url}/me/captain")
    expect(page.locator("#push-token input")).to_have_value("")
    sent = hub_stand_in.repositories["me/captain"]
    assert sent.private
    assert "adapter_model.safetensors" in sent.files()
    assert not [path for path in home.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]

    # What cannot be made says why; a format of GGUF alone is not kept for another kind
    page.locator("#export-kind input[value=gguf]").check()
    expect(page.locator("#export-title")).to_have_text(text("ui.export.kinds.gguf.name"))
    expect(page.locator("#export-holds")).to_contain_text("model.gguf")
    chosen_format = page.get_by_label(text("ui.export.precision"), exact=True)
    chosen_format.click()
    page.get_by_role("option", name=text("ui.export.formats.q4_k_m")).click()
    expect(page.locator("#export-holds .failure")).to_contain_text("pip install cyllama")
    expect(page.locator("#export-go")).to_be_disabled()
    page.locator("#export-kind input[value=merged]").check()
    expect(page.locator("#export-title")).to_have_text("Merged model")
    expect(chosen_format).to_have_value(text("config.model.precision.options.auto"))
    assert page.errors == other.errors == []
