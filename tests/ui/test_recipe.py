"""The recipe in a real browser: a verdict by itself, suggestions, settings as text, the command, the way back."""

import re
import threading

import pytest
from playwright.sync_api import expect

from studio import command, presets, runs
from studio.config import RunConfig
from studio.i18n import text
from studio.train import suggest
from tests.ui.test_journey import open_page

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def preset(preset, monkeypatch):
    """The tiny run with a setting that does not suit it, as the quickstart."""
    unsuited = preset.with_settings({"train.logging_steps": 50})
    load = presets.load
    monkeypatch.setattr(presets, "load", lambda name: unsuited if name == presets.QUICKSTART else load(name))
    return unsuited


def open_accordion(page, key: str, language: str = "en") -> None:
    page.get_by_role("button", name=text(key, language)).click()


@pytest.mark.long
def test_from_a_preset_over_suggestions_and_a_verdict_to_yaml_and_back(page_url, browser, preset):
    page = open_page(browser, page_url)
    page.get_by_role("tab", name=text("ui.tabs.train")).click()

    # The verdict comes by itself, and the cost with a price
    expect(page.locator("#before")).to_contain_text(text("ui.before.clear"))
    expect(page.locator("#changed")).to_contain_text("As the preset quickstart has it.")
    open_accordion(page, "ui.before.rate")
    page.get_by_label(text("ui.before.price")).fill("3600000")
    page.get_by_label(text("ui.before.currency")).fill("원")
    expect(page.locator("#before")).to_contain_text(re.compile(r"about [\d,.]+ 원"))

    # Suggestions, applied and taken back
    page.get_by_role("button", name=text("ui.suggest.ask"), exact=True).click()
    expect(page.locator("#suggested")).to_contain_text("50 → 1")
    page.locator("#suggestions").get_by_role("button", name=text("ui.suggest.apply"), exact=True).click()
    expect(page.locator("#changed")).to_contain_text("50 → 1")
    page.locator("#suggestions").get_by_role("button", name=text("ui.suggest.undo"), exact=True).click()
    expect(page.locator("#changed")).to_contain_text("As the preset quickstart has it.")

    # A change is marked, said as a command, and put back by its button
    page.get_by_label(text("config.lora.r.title"), exact=True).fill("8")
    expect(page.locator("#changed")).to_contain_text("4 → 8")
    open_accordion(page, "ui.recipe.command")
    expect(page.locator("#command")).to_contain_text("--set lora.r=8")
    page.locator("#changed").get_by_role("button", name=re.compile("Rank")).click()
    expect(page.get_by_label(text("config.lora.r.title"), exact=True)).to_have_value("4")

    # A wrong text changes nothing and stays to be mended; a right one fills the form, and comes out as it went in
    open_accordion(page, "ui.recipe.yaml")
    area = page.locator("#yaml textarea")
    expect(area).to_have_value(re.compile(r"name: tiny.*\n  r: 4\n", re.DOTALL))  # the form has settled
    shown = area.input_value()
    assert RunConfig.from_yaml(shown).with_settings({"data.mapping": None, "preset": None}) == preset
    apply = page.get_by_role("button", name=text("ui.recipe.yaml_apply"), exact=True)
    area.fill("lora: {rnak: 2}")
    apply.last.click()
    expect(page.locator(".toast-wrap")).to_contain_text("lora.rnak")
    expect(area).to_have_value("lora: {rnak: 2}")
    expect(page.get_by_label(text("config.lora.r.title"), exact=True)).to_have_value("4")
    wanted = RunConfig.from_yaml(shown).with_settings({"lora.r": 2, "name": "바다 '선장'"})
    area.fill(wanted.to_yaml())
    apply.last.click()
    expect(page.locator("#yaml-note")).to_contain_text(text("ui.recipe.yaml_applied"))
    expect(page.get_by_label(text("config.lora.r.title"), exact=True)).to_have_value("2")
    expect(page.get_by_label(text("config.name.title"))).to_have_value("바다 '선장'")
    with page.expect_download() as downloading:
        page.get_by_role("button", name=text("ui.recipe.yaml_download"), exact=True).click()
    assert downloading.value.suggested_filename == command.FILE
    with open(downloading.value.path(), encoding="utf-8") as file:
        assert RunConfig.from_yaml(file.read()) == wanted

    # What cannot be is said before the start, and nothing has started
    page.get_by_label(text("config.lora.r.title"), exact=True).fill("0")
    blocked, start = page.locator("#start-blocked"), page.get_by_role("button", name=text("ui.train.start"), exact=True)
    expect(blocked).to_contain_text(text("config.lora.r.title") + " (lora.r)")
    expect(start).to_be_disabled()
    expect(page.locator(".wrong .problem")).to_have_text("It may be a whole number from 1 to 512.")
    page.get_by_role("tab", name=text("ui.tabs.data")).click()
    expect(page.get_by_role("button", name=text("ui.data.continue"))).to_be_enabled()
    page.get_by_label(text("config.data.max_length.title")).fill("3")
    page.get_by_label(text("config.data.max_length.title")).blur()
    expect(page.locator(".setting-data-max-length .problem")).to_contain_text("from 16 to 131072")
    expect(page.get_by_role("button", name=text("ui.data.continue"))).to_be_disabled()
    page.get_by_role("tab", name=text("ui.tabs.train")).click()
    expect(page.locator("#before .failure")).to_have_count(2)
    page.locator("#before .failure", has_text="lora.r").locator(".go-to").click()
    expect(page.get_by_label(text("config.lora.r.title"), exact=True)).to_be_focused()
    page.get_by_label(text("config.lora.r.title"), exact=True).fill("2")
    expect(page.locator("#before .failure")).to_have_count(1)
    blocked.locator(".go-to").click()
    expect(page.get_by_label(text("config.data.max_length.title"))).to_be_focused()
    page.get_by_label(text("config.data.max_length.title")).fill("64")
    page.get_by_label(text("config.data.max_length.title")).blur()
    expect(page.locator(".wrong")).to_have_count(0)
    page.get_by_role("tab", name=text("ui.tabs.train")).click()
    expect(start).to_be_enabled()
    expect(blocked).to_be_hidden()

    # The way leads into what is folded
    page.get_by_role("button", name=text("ui.recipe.all")).click()
    page.get_by_label(text("config.train.max_grad_norm.title")).fill("-1")
    expect(start).to_be_disabled()
    page.get_by_role("button", name=text("ui.recipe.all")).click()
    expect(page.get_by_label(text("config.train.max_grad_norm.title"))).to_be_hidden()
    blocked.locator(".go-to").click()
    expect(page.get_by_label(text("config.train.max_grad_norm.title"))).to_be_focused()

    # Presets say what they need, and can be had with the built-in model; the first one is for the user's own rows
    offered = page.locator("#preset label")
    expect(offered).to_have_count(len(presets.names()) + 1)
    expect(offered.first).to_contain_text(text("presets.my-data"))
    expect(page.locator("#preset label", has_text="quickstart")).to_contain_text("\nhere")
    expect(page.locator("#preset label", has_text="lyrics")).to_contain_text("10.5 GB · GPU · login")
    builtin = page.get_by_role("button", name=text("ui.recipe.builtin"), exact=True)
    expect(builtin).to_be_hidden()
    page.locator("#preset input[value=lyrics]").check()
    builtin.click()
    expect(page.locator("#changed")).to_contain_text("Changed from lyrics: 2")
    expect(page.locator("#changed")).to_contain_text("google/gemma-2-2b → ")
    expect(page.get_by_label(text("config.name.title"))).to_have_value("lyrics")
    page.locator(f"#preset input[value={presets.OWN}]").check()  # without rows of one's own, it asks for them
    expect(page.locator("#upload input[type=file]")).to_be_attached()
    expect(page).to_have_url(re.compile("#data$"))
    page.get_by_role("tab", name=text("ui.tabs.train")).click()
    page.locator("#preset input[value=quickstart]").check()
    expect(page.locator("#changed")).to_contain_text("As the preset quickstart has it.")
    page.locator(f"#preset input[value={presets.OWN}]").check()
    expect(page.get_by_label(text("config.name.title"))).to_have_value("style")
    expect(builtin).to_be_hidden()
    assert runs.all_runs() == []
    assert page.errors == []


@pytest.mark.long
def test_suggestions_are_about_the_form_as_it_is(page_url, browser, preset, tmp_path, monkeypatch):
    made = {
        presets.QUICKSTART: preset,
        "lyrics": preset.with_settings({"train.logging_steps": 40}),
        "chat": preset.with_settings({"data.source.name": str(tmp_path / "lost.jsonl")}),
        "socratic": preset.with_settings(
            {
                "data.source": {"kind": "hub", "name": "someone/rows"},
                "data.mapping": {"prompt": ["input"], "completion": "target"},
            }
        ),
    }
    monkeypatch.setattr(presets, "load", made.__getitem__)
    monkeypatch.setattr(presets, "names", lambda: list(made))
    page = open_page(browser, page_url)
    page.get_by_role("tab", name=text("ui.tabs.train")).click()
    expect(page.locator("#changed")).to_contain_text("As the preset quickstart has it.")

    def choose(preset: str, ask: str = "") -> None:
        page.evaluate("([css, ask]) => [css, ask].forEach(each => each && document.querySelector(each).click())",
                      [f"#preset input[value={preset}]", ask])  # fmt: skip

    # Asked for in the moment of another preset
    suggested = page.locator("#suggested")
    choose("lyrics", "#suggest")
    expect(suggested).to_contain_text("40 → 1")

    # Another preset while the list is open; what is not wanted stays so
    suggested.get_by_role("checkbox", name=re.compile(r"40 → 1\b")).uncheck()
    choose(presets.QUICKSTART)
    expect(suggested).to_contain_text("50 → 1")
    expect(suggested.get_by_role("checkbox", name=re.compile(r"50 → 1\b"))).not_to_be_checked()
    expect(suggested.get_by_role("checkbox", name=re.compile("Rank: 4 → 16"))).to_be_checked()

    # Rows that are not there are told in the list's place, not fetched unasked, and mended by what has them; what a
    # preset says of their columns stays
    alert = page.locator("#suggest-said").get_by_role("alert")
    for name, said in {"chat": "lost.jsonl", "socratic": "The rows are not here yet."}.items():
        choose(name)
        expect(alert).to_contain_text(said)
        expect(page.locator("#changed")).to_contain_text(f"As the preset {name} has it.")
        expect(suggested).to_be_hidden()
    choose(presets.QUICKSTART)
    expect(suggested).to_contain_text("50 → 1")
    expect(alert).to_have_count(0)

    # Applied while it is looked for again: what comes late does not take its place
    go_on = threading.Event()
    look = suggest.suggest
    monkeypatch.setattr(suggest, "suggest", lambda *args: go_on.wait(60) and look(*args))
    suggestions = page.locator("#suggestions")
    page.get_by_label(text("config.lora.r.title"), exact=True).fill("2")
    expect(page.get_by_role("button", name=text("ui.suggest.ask"), exact=True)).to_be_hidden()
    suggestions.get_by_role("button", name=text("ui.suggest.apply"), exact=True).click()
    undo = suggestions.get_by_role("button", name=text("ui.suggest.undo"), exact=True)
    expect(undo).to_be_visible()
    go_on.set()
    page.wait_for_timeout(1500)
    expect(suggested).to_be_hidden()
    expect(page.get_by_role("button", name=text("ui.suggest.ask"), exact=True)).to_be_visible()
    undo.click()
    expect(suggested).to_be_visible()

    # Closed, it stays so
    page.locator("#suggestions").get_by_role("button", name=text("ui.suggest.close"), exact=True).click()
    expect(page.locator("#suggestions")).to_be_hidden()
    choose("lyrics")
    expect(page.locator("#changed")).to_contain_text("As the preset lyrics has it.")
    page.get_by_label(text("config.lora.r.title"), exact=True).fill("8")
    expect(page.locator("#changed")).to_contain_text("4 → 8")
    expect(page.locator("#suggestions")).to_be_hidden()
    assert page.errors == []
