"""Votes in the verdict: those on the measured columns, whichever stood first, and none on any other."""

from dataclasses import replace

import numpy
import pytest
from planted import scored
from sea import GREEDY

from studio import runs
from studio.compare.columns import ADAPTED, BASE, Column, CompareRequest, column_id
from studio.compare.comparison import AnswerPair, Comparison
from studio.compare.proof import Proof
from studio.evaluate.blind_vote import Ballot
from studio.events import Interval
from studio.i18n import message
from studio.style import bootstrap, votes
from studio.style.report import AnswerScores, ColumnReport, StyleReport
from studio.style.verdict import Verdict, Votes, verdict, with_votes
from studio.ui.tabs import pair_vote

PROMPTED = Column("base", system="Talk like a sailor.")
SHA, BASE_SHA = "a" * 64, "b" * 64
NOTHING = Interval(0.0, -1.0, 1.0)
PROMPTS = tuple(f"What is {n}?" for n in range(12))
COLUMNS = (BASE, ADAPTED, PROMPTED)


def column(each, adapter, name):
    scores = AnswerScores(*[(0.0,) * 12] * 7)
    answers = tuple(f"{name} {n}" for n in range(12))
    return ColumnReport(each, adapter, answers, scores, *[NOTHING] * 3, True, *[NOTHING] * 3, 0, None, 0.0)


@pytest.fixture
def run(tiny_config):
    return runs.create(tiny_config)


def report(run, winner="undecided", prompted=PROMPTED):
    made = Verdict(winner, NOTHING, NOTHING, 5, message("style.verdict.undecided", style=0, fit=0, more=5))
    columns = (column(BASE, None, "plain"), column(prompted, None, "rival"), column(ADAPTED, SHA, "mine"))
    return StyleReport(run.id, "id", PROMPTS, BASE_SHA, columns=columns, verdict=made)


def compared(run, n, columns=COLUMNS):
    """A comparison of a prompt that the report does not have, with answers of its own."""
    proof = Proof(
        ("p",) * len(columns), tuple(None if c.is_base else SHA for c in columns), BASE_SHA, *["", True], 0, 0, 0, None
    )
    sides = tuple(Answered(f"answer {n} of {number}") for number in range(len(columns)))
    return Comparison(CompareRequest(run.id, (f"Other {n}?",), GREEDY, columns), (sides,), proof=proof)


class Answered:
    def __init__(self, text):
        self.text = text


@pytest.fixture(autouse=True)
def ids(monkeypatch):
    monkeypatch.setattr(pair_vote, "comparison_id", lambda comparison: "c")


def vote(run, choice, columns=COLUMNS, count=12):
    for n in range(count):
        made = compared(run, n, columns)
        pair_vote._vote(made, pair_vote._columns(made), choice, "Kim")


@pytest.mark.parametrize(
    ("choice", "against_prompt", "against_base"),
    [
        ("2", Votes(12, 0, 0, 12), Votes(12, 0, 0, 12)),
        ("3", Votes(0, 12, 0, 12), Votes()),
        ("1", Votes(), Votes(0, 12, 0, 12)),
        ("tie", Votes(0, 0, 12, 12), Votes(0, 0, 12, 12)),
    ],
)
def test_the_best_of_three_columns_wins_its_pairs(run, choice, against_prompt, against_base):
    vote(run, choice)
    made = report(run)
    assert votes.count(run, made, made.prompted) == against_prompt
    assert votes.count(run, made, made.base_column) == against_base


@pytest.mark.parametrize(
    "other",
    [
        (BASE, replace(ADAPTED, strength=0.5), PROMPTED),
        (BASE, ADAPTED, Column("base", system="Talk like a sailor!")),
        (BASE, ADAPTED, replace(PROMPTED, system=None)),
    ],
    ids=["strength", "prompt", "no prompt"],
)
def test_votes_on_other_columns_do_not_count(run, other):
    vote(run, "2", other)
    made = report(run)
    assert votes.count(run, made, made.prompted) == Votes()


def test_another_checkpoint_or_base_is_another_column():
    assert column_id(ADAPTED, SHA, BASE_SHA) == column_id(Column(adapter="step-000009"), SHA, BASE_SHA)
    ids = {
        column_id(*each)
        for each in [(ADAPTED, SHA, BASE_SHA), (ADAPTED, "c", BASE_SHA), (ADAPTED, SHA, "c"), (BASE, None, BASE_SHA)]
    }
    assert len(ids) == 4
    assert column_id(Column(strength=0.0), SHA, BASE_SHA) == column_id(BASE, None, BASE_SHA)


def test_blind_votes_on_the_measured_answers_count_in_either_order(run):
    pairs = [AnswerPair(PROMPTS[n], *sorted((f"rival {n}", f"mine {n}"), reverse=n % 2 == 0)) for n in range(12)]
    ballot = Ballot(run.path / "compare", [*pairs, AnswerPair("Other?", "rival 1", "mine 1")])
    for pair in pairs:
        for voter, better in (("Kim", "mine"), ("Lee", "mine"), ("Park", "rival")):
            shown = ballot.item(voter, pair.id)
            ballot.vote(voter, pair.id, "1" if shown.answers[0].startswith(better) else "2")
    made = report(run)
    assert votes.count(run, made, made.prompted) == Votes(12, 0, 0)


def test_blind_votes_of_three_count_as_blind_and_decide(run):
    made = report(run)
    triples = votes.three_way(made)
    assert triples[3].answers == ("plain 3", "rival 3", "mine 3")
    ballot = Ballot(run.path / "compare", triples)
    for triple in triples:
        for voter, better in (("Kim", "mine"), ("Lee", "mine"), ("Park", "plain")):
            place = next(n for n, words in enumerate(ballot.item(voter, triple.id).answers) if words.startswith(better))
            ballot.vote(voter, triple.id, str(place + 1), evaluation=made.id, sides=votes.three_sides(made))
    assert votes.count(run, made, made.prompted) == Votes(12, 0, 0, 0)
    assert votes.count(run, made, made.base_column) == Votes(12, 0, 0, 0)
    assert votes.with_current_votes(run, made).verdict.winner == "adapter"
    assert "Not blind: 0" in votes.describe(run, made)[0].text()
    vote(run, "3", count=4)
    assert votes.count(run, made, made.prompted) == Votes(12, 4, 0, 4)
    other = report(run, prompted=Column("base", system="Talk like a pirate."))
    assert votes.three_sides(other) != votes.three_sides(made)


def test_a_report_without_a_rival_has_nothing_for_three(run):
    made = report(run)
    assert votes.three_way(None) == votes.three_way(replace(made, columns=made.columns[:2])) == []
    assert votes.three_way(replace(made, columns=(made.columns[0], made.columns[2]))) == []


def test_base_against_base_is_seldom_better_with_the_votes_counted(run):
    """The meter and twelve voted pairs (of 4 to 24) on three columns that are all the base."""
    better = {"adapter": 0, "prompt": 0}
    for seed in range(100):
        drawn = numpy.random.default_rng(seed)
        base, asked, again = drawn.normal(-2, 1, (3, 40))
        fits = drawn.random((3, 40)) < 0.6
        sides = [scored(style, fit) for style, fit in zip((again, asked, base), fits, strict=True)]
        made = verdict(*sides, drawn.normal(2, 1, 40), bootstrap.draws(40, seed, 400))
        counted = [drawn.multinomial(drawn.integers(4, 25), [0.4, 0.4, 0.2]) for _ in range(2)]
        winner = with_votes(made, *(Votes(*map(int, each)) for each in counted)).winner
        better[winner] = better.get(winner, 0) + 1
    assert better["adapter"] <= 5


def test_votes_decide_and_disagree_in_words(run):
    made = report(run)
    assert votes.with_current_votes(run, made) == made
    assert votes.describe(run, made) == []
    vote(run, "3")
    decided = votes.with_current_votes(run, made).verdict
    assert (decided.winner, decided.more_prompts) == ("prompt", None)
    assert "by the votes" in decided.reason.text()
    [line] = votes.describe(run, made)
    assert "adapter 0, prompt 12, ties 0" in line.text()
    assert "Not blind: 12" in line.text()
    against = votes.with_current_votes(run, report(run, "adapter")).verdict
    assert against.winner == "undecided"
    assert "the meter and the votes disagree" in against.reason.text()


def test_votes_for_the_base_alone_contradict_a_win_of_the_adapter(run):
    won = report(run, "adapter").verdict
    assert with_votes(won, Votes(), Votes(1, 20)).winner == "undecided"
    assert with_votes(won, Votes(), Votes(20, 1)) == won
    assert with_votes(won, Votes(3, 3, 3), Votes(5, 5)) == won
