"""The meter's card on the Scores tab, in a real browser."""

import pytest
from following import trained
from playwright.sync_api import expect

from studio.files import write_json_lines
from studio.i18n import text
from studio.journal import Journal

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def run(tiny_config, tmp_path):
    rows = [
        {
            "instruction": f"What is {n}?",
            "output": f"Aye, {n} it be, says the gull, and the mast sings of {n} and of {n + 1} to the sea all night, "
            f"for it knows that song as well as any sailor who has been {n} years away from home.",
        }
        for n in range(44)
    ]
    path = tmp_path / "sea.jsonl"
    write_json_lines(path, rows)
    return trained(
        tiny_config,
        **{"data.validation": {"kind": "fraction", "fraction": 0.5}, "data.max_length": 256, "train.max_steps": 2},
        **{"data.source": {"kind": "file", "name": str(path)}, "generation.max_new_tokens": 8},
    )


@pytest.mark.long
def test_the_style_is_measured_shown_on_every_page_and_its_strength_used(browser, page_url, run):
    page = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US").new_page()
    other = browser.new_context(viewport={"width": 390, "height": 844}, locale="ko-KR", has_touch=True).new_page()
    errors = []
    for each, language in ((page, "en"), (other, "ko")):
        each.on("pageerror", lambda error: errors.append(str(error)))
        each.goto(f"{page_url}{language if language != 'en' else ''}?language={language}#compare/score")
        expect(each.locator("#style")).to_contain_text(text("ui.style.empty", language)[:20])
        expect(each.locator("#style-go")).to_be_enabled()

    page.get_by_label(text("ui.style.curve"), exact=True).check()
    page.locator("#style-go").click()

    expect(page.locator("#style table.style")).to_be_visible(timeout=300_000)
    expect(page.locator("#style svg")).to_be_visible()
    expect(page.locator("#style .headline")).to_be_visible()
    expect(other.locator("#style table.style")).to_contain_text("%", timeout=60_000)
    expect(other.locator("#style .headline")).not_to_contain_text("style")
    use = page.get_by_role("button", name="Use ", exact=False)
    percent = use.inner_text().split()[1]
    use.click()
    expect(page.locator("#strength input[type=number]")).to_have_value(percent)
    if percent != "100":  # of a strength that was not measured it says so, and shows no other's figures
        expect(page.locator("#style")).to_contain_text("not measured yet")
        expect(page.locator("#style table.style")).to_have_count(0)
        expect(page.locator("#style svg")).to_be_visible()
    page.reload()
    expect(page.locator("#style table.style")).to_be_visible(timeout=60_000)
    # Three answers to each prompt are voted on blind: by keys, and on a phone; the verdict counts them
    for each, language, name in ((page, "en", "Kim"), (other, "ko", "민지")):
        each.get_by_role("tab", name=text("ui.compare.tabs.vote", language), exact=True).click()
        each.locator("#voter input, #voter textarea").fill(name)
        each.get_by_role("button", name=text("ui.vote.begin", language), exact=True).click()
        expect(each.locator("#pair .blind")).to_have_count(3)
    for done, key in enumerate("1234"):
        page.locator("#pair").click()
        page.keyboard.press(key)
        expect(page.locator("#vote-progress")).to_contain_text(text("ui.vote.progress", done=done + 1, total=22))
    other.locator("#vote-3").tap()
    expect(page.locator("#vote-progress")).to_contain_text(text("ui.vote.turnout", votes=5, voters=2), timeout=60_000)
    page.get_by_role("button", name=text("ui.vote.reveal"), exact=True).click()
    expect(page.locator("#vote-result")).to_contain_text("Against the base with a good prompt")
    entries = Journal(run.path / "compare" / "votes.jsonl").entries()
    assert len(entries) == 15
    assert all("comparison" not in entry and len(entry["sides"]) == 2 for entry in entries)
    page.get_by_role("tab", name=text("ui.compare.tabs.score"), exact=True).click()
    expect(page.locator("#style")).to_contain_text("Votes against the prompt")
    expect(page.locator("#style")).to_contain_text("Not blind: 0")
    assert errors == []
