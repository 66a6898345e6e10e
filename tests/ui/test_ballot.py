"""Many sessions vote on one ballot at once: each in its own order, and nobody takes another's votes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest

from studio import runs
from studio.compare.columns import Column
from studio.compare.comparison import AnswerPair
from studio.evaluate import vote_pairs
from studio.evaluate.confidence_sequence import VoteStanding
from studio.evaluate.evaluation_store import Evaluation
from studio.evaluate.metrics import Sample
from studio.evaluate.vote_pairs import VotePair, VotePairs
from studio.i18n import text
from studio.ui import ballot_views, vote_state
from studio.ui.tabs import ballot, sheet
from studio.ui.vote_state import VoteState
from studio.ui.words import Words

PAIRS = tuple((Sample(f"{n}?", None, f"plain {n}"), Sample(f"{n}?", None, f"styled {n}")) for n in range(8))
FOUND = Evaluation("id", Path("."), 8, 8, PAIRS)


@pytest.fixture
def session(tiny_config):
    """What a session knows whose voter is called `name`, in a browser of its own."""
    run = runs.create(tiny_config)
    return lambda name, mark: VoteState(run.id, FOUND, name, mark)


@pytest.fixture(scope="module")
def tab():
    with gr.Blocks():
        return ballot.BallotTab(Words())


def test_twelve_sessions_at_once_lose_no_vote_and_the_result_covers_all(session):
    def vote(number):
        now = session("Kim" if number < 2 else f"voter {number}", f"{number:08x}")  # two people of one name
        now, seen = now.went_on(now.ballot()), []
        while now.item:
            made = now.ballot()  # as every press of a button does
            seen.append(now.item)
            made.vote(now.who, now.item, "1" if made.first(now.who, now.item) == "after" else "2")
            now = now.went_on(made)
        return seen

    with ThreadPoolExecutor(12) as pool:
        orders = list(pool.map(vote, range(12)))
    made = session("Kim", "").ballot()
    assert all(sorted(order) == sorted(orders[0]) and len(order) == 8 for order in orders)
    assert len({tuple(order) for order in orders}) == 12
    assert made.turnout() == (96, 12)
    result = made.result()
    assert (result.votes, result.voters, result.after, result.win_rate) == (96, 12, 96, 1.0)


def test_progress_shows_mine_and_everybodys_and_goes_on_under_ones_eyes(session, tab):
    mine, other = session("민지", "a"), session("민지", "b")
    mine = mine.went_on(mine.ballot())
    before = tab.render(mine)
    assert text("ui.vote.progress", done=0, total=8) in before[tab.progress]
    assert not before[tab.reveal]["interactive"]
    mine = mine._replace(known=before[tab.stamp])
    assert tab.news(mine) == {}

    other.ballot().vote(other.who, mine.item, "tie")
    after = tab.news(mine)
    assert tab.item not in after
    assert text("ui.vote.progress", done=0, total=8) in after[tab.progress]
    assert text("ui.vote.turnout", votes=1, voters=1) in after[tab.progress]
    assert text("ui.vote.hidden") in after[tab.result]
    assert after[tab.reveal]["interactive"]
    shown = tab.render(mine._replace(revealed=True))
    assert "95 %" in shown[tab.result]


def test_whoever_has_no_name_yet_sees_how_many_have_voted_and_is_asked_for_one(session, tab):
    somebody = session("Ann", "a")
    somebody.ballot().vote(somebody.who, somebody.went_on(somebody.ballot()).item, "1")
    shown = tab.render(session("  ", "c"))
    assert text("ui.vote.ready") in shown[tab.pair]
    assert text("ui.vote.turnout", votes=1, voters=1) in shown[tab.progress]
    assert text("ui.vote.empty") in tab.render(VoteState())[tab.pair]


def test_a_reading_sheet_without_answers_says_where_they_come_from():
    with gr.Blocks():
        tab = sheet.SheetTab(Words("en"))

    assert text("ui.sheet.empty") in tab.answer.value
    assert text("ui.sheet.empty") in tab.render(None, None, "Ann", True)[tab.answer]


def test_three_answers_are_voted_on_where_the_meter_has_them(session, tab, monkeypatch):
    triples = [AnswerPair(f"{n}?", f"plain {n}", f"asked {n}", (f"styled {n}",)) for n in range(8)]
    monkeypatch.setattr(vote_state.votes, "three_way", lambda report: triples if report else [])
    monkeypatch.setattr(ballot.views, "three_way", lambda report, language: "")
    two = session("Kim", "a")._replace(chosen="three")
    assert two.ways == "two"  # without a report
    three = two._replace(report="a report")
    assert three._replace(chosen="two").ways == "two"
    assert three._replace(chosen="two", evaluation=None).ways == "three"
    three = three.went_on(three.ballot())
    shown = tab.render(three)
    assert all(shown[tab.buttons[choice]]["visible"] for choice in ("1", "2", "3", "tie", "bad"))
    assert shown[tab.buttons["tie"]]["value"] == text("ui.vote.say.three.tie")
    assert all(text("ui.vote.answer", number=n) in shown[tab.pair] for n in (1, 2, 3))
    assert not tab.render(two)[tab.buttons["3"]]["visible"]
    three.ballot().vote(three.who, three.item, "tie")
    shown = tab.render(three._replace(revealed=True))
    for rival in ("alone", "prompt"):
        assert text(f"ui.vote.rate.{rival}", rate=50, low=5, high=95)[:30] in shown[tab.result]


def test_pairs_that_were_made_are_voted_on_in_their_order_and_have_no_winner(session, tab):
    two = session("Kim", "a")
    run = runs.find(two.run_id)
    before = tab.render(two)
    assert not before[tab.ways]["visible"]
    two = two._replace(known=before[tab.stamp])
    pairs = tuple(VotePair(f"{n}?", (f"one {n}", f"other {n}"), ("a", "a"), 1 - n / 10) for n in range(8))
    vote_pairs.write(run, VotePairs("0" * 16, pairs, 0))
    assert tab.news(two)[tab.ways]["visible"]  # in a page that was open already
    assert two.ways == "two"
    made = two._replace(chosen="made")
    for number in range(3):
        made = made.went_on(made.ballot())
        assert made.ballot().item(made.who, made.item).prompt == f"{number}?"
        assert made.sides == ("a", "a")
        made.ballot().vote(made.who, made.item, "1", sides=made.sides)
    shown = tab.render(made)  # nothing is to be revealed
    assert not shown[tab.reveal]["visible"]
    assert shown[tab.export]["interactive"]
    assert text("ui.pairs.of", pairs=8, columns=Column().title("en")) in shown[tab.progress]
    weaker = [replace(pair, columns=(Column(strength=0.7), Column())) for pair in pairs]
    assert "70" in ballot.views.describe_pairs(weaker, "ko")
    assert "95 %" not in shown[tab.result]
    assert text("ui.vote.kept", rows=3, left_out=5) in shown[tab.result]
    assert shown[tab.buttons["bad"]]["value"] == text("ui.vote.say.two.bad")
    assert two._replace(evaluation=None).ways == "made"


def test_a_browser_keeps_its_mark():
    assert ballot.marked("abc", None) == "abc"
    assert ballot.marked("", None) != ballot.marked("", None)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_page_says_when_voting_can_stop_without_saying_who_leads(language):
    def said(winner=None, more=None, left=20, votes=9):
        return ballot_views.stopping([VoteStanding(winner, (0.2, 0.9), more, left, votes)], language)

    assert text("ui.vote.stop.more", language, more=9) in said(more=9)
    assert said("after") == said("before") != ""
    assert text("ui.vote.stop.too_few", language, more=30, left=20) in said(more=30)
    assert text("ui.vote.stop.no_difference", language) in said()
    assert said(more=3, votes=4) == ""
    both = [VoteStanding("after", (0.6, 1), None, 3, 9), VoteStanding(None, (0.3, 0.9), 4, 9, 9)]
    assert text("ui.vote.stop.more", language, more=4) in ballot_views.stopping(both, language)


def test_a_decision_and_the_agreement_are_shown_once_sides_are_revealed(session, tab):
    for name, mark in (("Ann", "a"), ("Ben", "b")):
        now = session(name, mark)
        now = now.went_on(now.ballot())
        while now.item:
            made = now.ballot()
            made.vote(now.who, now.item, "1" if made.first(now.who, now.item) == "after" else "2")
            now = now.went_on(made)
    shown = tab.render(now)
    assert text("ui.vote.stop.decided") in shown[tab.progress]
    assert text("ui.vote.agreement_alone", share=100, pairs=8) in shown[tab.progress].replace("&#x27;", "'")
    assert "prefer the adapter" not in shown[tab.result]
    assert "Decided: people prefer the adapter." in tab.render(now._replace(revealed=True))[tab.result]
