"""A mix of two runs on the Compare tab: compared, weighed anew by a slider, saved, and measured."""

import re

import pytest
from following import trained
from playwright.sync_api import expect
from test_compare_tab import Session

from studio.files import write_json_lines
from studio.model import adapter_files, uploaded_adapters

pytestmark = pytest.mark.timeout(600)


SETTINGS = {
    "data.validation": {"kind": "fraction", "fraction": 0.5},
    "data.max_length": 256,
    "train.max_steps": 2,
}


def write_rows(path, word):
    rows = [
        {
            "instruction": f"What is {n}?",
            "output": f"Aye, {n} it be, says the {word}, and sings to the sea all night, for it knows the song of {n} "
            f"and of {n + 1} as well as any sailor.",
        }
        for n in range(44)
    ]
    write_json_lines(path, rows)
    return {"data.source": {"kind": "file", "name": str(path)}}


@pytest.fixture
def pair(tiny_config, tmp_path, home):
    first = trained(tiny_config, **SETTINGS, **write_rows(tmp_path / "lake.jsonl", "heron"))
    more = {"train.seed": 5, "lora.r": 2, "generation.max_new_tokens": 8, "train.learning_rate": 0.03}
    return first, trained(tiny_config, **SETTINGS, **write_rows(tmp_path / "sea.jsonl", "gull"), **more)


@pytest.mark.long
def test_two_runs_become_one_column_and_one_adapter(pair, page_url, browser):
    language = "en"
    one = Session(browser, page_url, language)
    one.at("#add-column").click()
    one.at("#extra-3 input").first.click()
    one.page.get_by_role("option", name=one.say("ui.compare.who.mix"), exact=True).click()
    expect(one.at("#mix-1 input").first).to_have_value(one.say("compare.column.now"))
    expect(one.at("#mix-2 input").first).not_to_have_value("")
    one.compare("What is 3?")
    one.verified()
    title = one.at(".side-3 .heading .name")
    expect(title).to_contain_text("70 %")
    expect(title).to_contain_text("(cat)")

    # A weight of 0 leaves an adapter out; the slider asks again
    one.at("#mix-2 input[type=range]").evaluate(
        "slider => { slider.value = 60; slider.dispatchEvent(new Event('input', {bubbles: true}));"
        " slider.dispatchEvent(new PointerEvent('pointerup', {bubbles: true})); }"
    )
    expect(title).to_contain_text("60 %")
    one.verified()

    # Ranks of two sizes cannot be joined matrix by matrix: the reason stands where the proof stood
    one.at("#mix-combination input").click()
    one.page.get_by_role("option", name=one.say("ui.mix.combinations.linear"), exact=True).click()
    expect(one.at("#proof [role=alert]")).to_contain_text("linear")
    one.at("#mix-combination input").click()
    one.page.get_by_role("option", name=one.say("ui.mix.combinations.svd"), exact=True).click()
    one.at("#mix-save").click()
    expect(one.at("#mix-said")).to_contain_text("mix-svd")
    [kept] = uploaded_adapters.all_uploads()
    ranks = {shape.rank for shape in adapter_files.read(kept.folder).modules.values()}
    assert ranks == {max(each.config().lora.r for each in pair)}
    expect(one.button("ui.mix.download")).to_be_visible()

    one.at("#mix-measure").click()
    said = one.at("#mix-said")
    expect(said.locator("table")).to_have_count(2, timeout=180_000)
    expect(said).to_contain_text(re.compile(r"70 %"))
    assert one.errors == []
