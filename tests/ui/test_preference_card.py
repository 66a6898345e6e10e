"""Votes become training on the page: they are counted, what is wrong with them is said, and a run starts on them."""

from types import SimpleNamespace

import gradio as gr
import pytest
from following import wait_until_over
from playwright.sync_api import expect

from studio import runs
from studio.compare import comparison_history
from studio.compare.columns import ADAPTED, BASE, CompareRequest
from studio.compare.comparison import AnswerPair, Comparison
from studio.config import GenerationConfig
from studio.data.preview import Preview
from studio.evaluate.blind_vote import Ballot
from studio.generation.generate import ColumnAnswer
from studio.i18n import text
from studio.runs import State
from studio.ui import row_views
from studio.ui.tabs.preference_card import PreferenceCard
from studio.ui.words import Words

PAIRS = [AnswerPair(f"What is {n}?", f"It is {n}, lad.", f"It is {n}, me matey.") for n in range(6)]


@pytest.fixture
def voted(finished_run):
    """A finished run with six votes on comparisons: five for the adapter, one tie."""
    for pair in PAIRS:
        request = CompareRequest(finished_run.id, (pair.prompt,), GenerationConfig(), (BASE, ADAPTED))
        sides = tuple(ColumnAnswer(answer, (1,) * 5, 1.0, 0.1, "turn") for answer in pair.answers)
        comparison_history.save(finished_run, Comparison(request, (sides,)))
    ballot = Ballot(finished_run.path / "compare", PAIRS)
    for number, pair in enumerate(PAIRS):
        ballot.vote("ann", pair.id, "2" if number else "tie", comparison="x")
    return finished_run


def test_votes_are_counted_and_trained_on(browser, voted, page_url):
    language = "en"
    page = browser.new_page(locale="en-US", viewport={"width": 1440, "height": 900})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(page_url)
    expect(page.locator("#device")).to_contain_text("ⓘ")
    page.get_by_role("tab", name=text("ui.tabs.compare", language)).click()
    expect(page.get_by_label(text("ui.compare.run", language), exact=True)).not_to_have_value("")
    page.get_by_role("tab", name=text("ui.compare.tabs.vote", language), exact=True).click()
    expect(page.locator("#train-on-votes")).to_be_hidden()
    page.locator("#count-votes").click()
    counted = page.locator("#votes-counted")
    expect(counted).to_contain_text(text("log.votes.rows", language, votes=6, readings=0, pairs=5, verdicts=12))
    expect(counted).to_contain_text(text("log.votes.tie", language, count=1))
    expect(counted).to_contain_text(
        text("problems.few_preferences.what", language, count="5", share="", rows="", names="", detail="")
    )
    expect(counted).to_contain_text(text("problems.longer_preferred.effect", language))
    page.locator("#train-on-votes").click()
    run = None
    for _ in range(200):
        page.wait_for_timeout(100)
        run = runs.find("last")
        if run.id != voted.id:
            break
    expect(counted).to_contain_text(run.id)
    assert wait_until_over(run) is State.FINISHED, run.status().error
    assert (run.config().train.method, run.config().model.adapter) == ("dpo", voted.id)
    assert errors == []


def test_a_change_event_of_the_same_run_takes_no_count_back():
    with gr.Blocks() as blocks:
        head, card = SimpleNamespace(run=gr.Dropdown()), PreferenceCard(Words("en"))
        card.connect(head)
    clear = next(function.fn for function in blocks.fns.values() if function.targets[0][1] == "change")
    assert clear("run", "run") == gr.skip()
    assert clear("other", "run")[card.counted] == ""


@pytest.mark.long
@pytest.mark.parametrize("language", ["en", "ko"])
def test_from_pairs_to_votes_to_a_run_on_them_to_votes_again(browser, finished_run, page_url, language):
    page = browser.new_page(locale={"en": "en-US", "ko": "ko-KR"}[language], viewport={"width": 1440, "height": 900})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def vote(count: int, total: int) -> None:
        for number in range(count):
            expect(page.locator("#vote-progress")).to_contain_text(
                text("ui.vote.progress", language, done=number, total=total)
            )
            expect(page.locator("#vote-1")).to_be_enabled()
            page.keyboard.press("12"[number % 2])
        progress = text("ui.vote.progress", language, done=count, total=total)
        expect(page.locator("#vote-progress")).to_contain_text(progress)

    def make(prompts: int) -> None:
        page.locator("#pairs-prompts input").fill(str(prompts))
        page.locator("#pairs-seeds input").fill("2")
        page.locator("#pairs-go").click()
        expect(page.locator("#pairs-progress")).to_contain_text(text("ui.pairs.done", language, pairs=prompts))
        page.locator("#voter input, #voter textarea").fill("민지")
        page.locator("#voter input, #voter textarea").press("Enter")
        expect(page.locator("#pair .blind")).to_have_count(2)
        page.locator("#voter input, #voter textarea").blur()  # keys vote while nothing is typed

    page.goto(f"{page_url}{'' if language == 'en' else language}#compare/vote")
    expect(page.locator("#device")).to_contain_text("ⓘ")
    make(12)
    vote(12, 12)
    expect(page.locator("#pair")).to_contain_text(text("ui.vote.over", language))
    page.locator("#count-votes").click()
    expect(page.locator("#votes-counted")).to_contain_text(
        text("log.votes.rows", language, votes=12, readings=0, pairs=12, verdicts=24)
    )
    page.locator("#train-on-votes").click()
    expect(page.locator("#train-on-votes")).to_be_hidden()
    trained = runs.find("last")
    expect(page.locator("#votes-counted")).to_contain_text(trained.id)
    assert trained.id != finished_run.id
    assert wait_until_over(trained) is State.FINISHED, trained.status().error
    page.reload()
    expect(page.locator("#device")).to_contain_text("ⓘ")
    chosen = page.get_by_label(text("ui.compare.run", language), exact=True)
    chosen.click()
    page.get_by_role("option").first.click()
    make(4)
    vote(2, 4)
    assert len((trained.path / "compare" / "votes.jsonl").read_text("utf-8").splitlines()) == 2
    assert errors == []


def test_both_answers_of_a_pair_stand_beside_each_other():
    spans = [("What?", "context"), ("Aye<", "trained")]
    shown = row_views.answers_html(Preview({}, spans, 2, 1, True, 1, rejected=(("No<", "trained"),)), "en")
    assert shown.index("Better answer") < shown.index("Aye&lt;") < shown.index("Worse answer") < shown.index("No&lt;")
    alone = row_views.answers_html(Preview({}, spans, 2, 1, True, 1), "en")
    assert alone == row_views.tokens_html(spans, "en")
    assert "Bad answer" in row_views.answers_html(Preview({}, spans, 2, 1, True, 1, good=False), "en")
