"""The verdict on planted cases: the adapter wins, the prompt wins, a tie; and the strength to use."""

import numpy
import pytest
from planted import scored

from studio.compare.columns import Column
from studio.events import Interval
from studio.style import bootstrap, measurement
from studio.style.prompted_store import choose_examples, prompted_column
from studio.style.report import CurvePoint
from studio.style.strength import train_classifier
from studio.style.verdict import Votes, verdict, with_votes

N = 40
UNCLEAR = {"n": 12, "noise": 6, "seed": 1}
"""So few prompts, and answers so different, that nothing can be seen."""


def judged(adapter, prompt, *, n=N, noise=1.5, adapter_fits=0.7, prompt_fits=0.7, base_fits=None, votes=None, seed=0):
    """Judge columns whose style is some percent of the way from the base (−5) to the author (5)."""
    drawn = numpy.random.default_rng(seed)
    base, author = (drawn.normal(mean, 1, n) for mean in (-5, 5))
    sides = [
        scored(drawn.normal(-5 + percent / 10, noise, n), drawn.permutation(n) < share * n)
        for percent, share in ((adapter, adapter_fits), (prompt, prompt_fits))
    ]
    fits = sides[0].scores.fits if base_fits is None else drawn.permutation(n) < base_fits * n
    measured = verdict(*sides, scored(base, fits), author, bootstrap.draws(n))
    return with_votes(measured, votes) if votes else measured


def test_an_adapter_with_more_of_the_style_was_worth_training():
    made = judged(95, 50)
    assert made.winner == "adapter"
    assert made.style.low <= 45 <= made.style.high
    assert made.more_prompts is None
    assert "worth it" in made.reason.text()


@pytest.mark.parametrize(("adapter", "prompt"), [(50, 95), (95, 95), (120, 100)])
def test_a_prompt_that_is_no_margin_behind_does_as_well(adapter, prompt):
    made = judged(adapter, prompt, n=300)
    assert made.winner == "prompt"
    assert "does as well" in made.reason.text()


def test_a_tie_on_few_prompts_is_a_tie_and_names_the_prompts_that_would_tell():
    made = judged(90, 88, **UNCLEAR)
    assert made.winner == "undecided"
    assert 1 <= made.more_prompts <= 1000
    assert str(made.more_prompts) in made.reason.text()


def test_ties_are_hardly_ever_wins_of_the_adapter():
    winners = [judged(80, 80, n=24, noise=4, seed=seed).winner for seed in range(40)]
    assert winners.count("adapter") <= 2
    assert winners.count("undecided") >= 10


def test_style_that_costs_the_question_is_no_win():
    made = judged(95, 50, adapter_fits=0.2, prompt_fits=0.9)
    assert made.winner == "undecided"
    assert made.fit.high < 0
    assert made.more_prompts is None


def test_equal_style_with_answers_that_fit_better_is_a_win():
    assert judged(95, 95, n=300, adapter_fits=0.9, prompt_fits=0.4).winner == "adapter"


@pytest.mark.parametrize(
    ("percents", "fits", "winner", "words"),
    [
        ((95, 50), (3 / 40, 4 / 40), "undecided", "the adapter has as much of the style"),
        ((50, 95), (3 / 40, 3 / 40), "undecided", "a prompt has as much of the style"),
        ((95, 50), (0.5, 0.5), "adapter", "worth it"),
        ((95, 95), (0.9, 3 / 40), "adapter", "worth it"),
    ],
)
def test_a_side_whose_answers_fit_by_chance_wins_nothing(percents, fits, winner, words):
    given = dict(zip(("adapter_fits", "prompt_fits"), fits, strict=True))
    made = judged(*percents, n=40 if winner == "undecided" else 300, base_fits=0.95, **given)
    assert made.winner == winner
    assert words in made.reason.text()
    assert ("no better than chance" in made.reason.text()) == (winner == "undecided")


def test_where_not_even_the_base_fits_its_questions_nothing_is_worth_it_either():
    assert judged(95, 50, adapter_fits=3 / 40, prompt_fits=4 / 40, base_fits=5 / 40).winner == "undecided"


def test_an_adapter_that_is_the_base_and_fits_better_than_a_prompt_was_not_worth_it():
    made = judged(0, 0, n=300, adapter_fits=0.9, prompt_fits=0.4)
    assert made.winner == "undecided"
    assert "more of the style than the base" in made.reason.text()


def fluency(adapter, prompted, shift, seed=0):
    """Judge two columns with all of the style of which one may repeat itself, by `shift`, and not be fluent."""
    drawn = numpy.random.default_rng(seed)
    base, author, style, other = (drawn.normal(mean, 1, 300) for mean in (-5, 5, 5, 5))
    fits, repeated = drawn.random(300) < 0.7, drawn.random((2, 300)) / 10
    sides = (
        scored(style, fits, adapter, repeated[0] + max(0, shift), repeated[0]),
        scored(other, fits, prompted, repeated[1] + max(0, -shift), repeated[0]),
        scored(base, fits),
    )
    return verdict(*sides, author, bootstrap.draws(300))


def test_a_prompt_whose_answers_are_not_fluent_does_not_do_as_well():
    assert fluency(True, True, 0).winner == "prompt"
    made = fluency(True, False, -0.2)
    assert made.winner == "adapter"
    assert "not fluent" in made.reason.text()
    assert fluency(True, False, 0).winner == "prompt"  # which it missed by chance
    assert fluency(False, False, -0.2).winner == "prompt"


def test_an_adapter_with_more_style_that_is_not_fluent_wins_nothing():
    n, drawn = 40, numpy.random.default_rng(0)
    base, author = drawn.normal(-5, 1, n), drawn.normal(5, 1, n)
    loops = scored(author, [True] * n, False, [0.5] * n, [3.0] * n)
    rival = scored(base, [True] * n, True, drawn.random(n) / 10, [3.0] * n)
    made = verdict(loops, rival, scored(base, [True] * n), author, bootstrap.draws(n))
    assert made.winner == "undecided"
    assert "not fluent" in made.reason.text()


def test_an_adapter_without_any_style_was_not_worth_it():
    assert judged(0, -30).winner != "adapter"


def test_votes_decide_what_the_meter_does_not_and_a_contradiction_decides_nothing():
    assert judged(90, 88, votes=Votes(30, 4), **UNCLEAR).winner == "adapter"
    assert judged(90, 88, votes=Votes(4, 30), **UNCLEAR).winner == "prompt"
    assert judged(90, 88, votes=Votes(10, 9, 20), **UNCLEAR).winner == "undecided"
    assert judged(95, 50, votes=Votes(4, 30)).winner == "undecided"
    assert judged(95, 50, votes=Votes(30, 4)).winner == "adapter"
    assert Votes(0, 0).winner == "undecided"


def point(factor, style, *, fit=0.7, fluent=True):
    around = Interval(style, style - 8, style + 8)
    return CurvePoint(factor, around, Interval(fit, fit - 0.15, fit + 0.15), Interval(0, 0, 0), fluent, 0, 0)


@pytest.mark.parametrize(
    ("points", "factor", "reason"),
    [
        ([point(1, 97), point(0.5, 60), point(0, 0), point(1.5, 130)], 1, "exaggerates"),
        ([point(0, 0), point(0.5, 60), point(0.75, 94), point(1, 96), point(1.25, 99)], 0.75, "nearest"),
        ([point(0, 0), point(0.5, 60), point(1, 97, fluent=False)], 0.5, "costs fit or fluency"),
        ([point(0, 0), point(0.5, 60), point(1, 97, fit=0.2)], 0.5, "costs fit or fluency"),
        ([point(0, 0), point(0.5, 30, fit=0), point(1, 70, fit=0), point(1.5, 90, fit=0)], 1, "Every strength costs"),
    ],
)
def test_the_strength_to_use_is_the_nearest_to_the_author_that_costs_nothing(points, factor, reason):
    made = measurement.recommend_strength(points, wanted_fit=0.65)
    assert made.recommended == factor
    assert reason in made.reason.text()
    assert [each.factor for each in made.points] == sorted(each.factor for each in points)


AUTHOR = ["Aye, ye be right, matey.", "Aye, ye be right, matey!", "Arr, yer sails be torn.", "It is so."]
BASE = ["You are right.", "That is correct.", "The sails are torn.", "It is so."]


def test_examples_are_typical_and_unlike_each_other_and_fit():
    classifier = train_classifier(AUTHOR, BASE)
    both = choose_examples(classifier, AUTHOR, [10] * 4, room=100, count=2)
    assert 2 in both  # the twin of the first is left out
    assert 3 not in both
    assert sorted(choose_examples(classifier, AUTHOR, [10] * 4, room=100, count=9)) == [0, 1, 2, 3]
    assert len(choose_examples(classifier, AUTHOR, [10] * 4, room=25)) == 2
    assert choose_examples(classifier, AUTHOR, [60, 60, 5, 60], room=50) == [2]
    assert choose_examples(classifier, AUTHOR, [60] * 4, room=50) == []


def test_the_rival_is_a_base_with_the_runs_system_prompt_and_the_examples():
    column = prompted_column([("Why?", "Aye.")], "Answer briefly.", "en")
    assert column.kind == "base"
    assert column.system.startswith("Answer briefly.\n")
    assert [(turn.role, turn.content) for turn in column.shots] == [("user", "Why?"), ("assistant", "Aye.")]
    assert "말투" in prompted_column([("왜?", "그렇소.")], None, "ko").system
    assert not column.is_plain
    assert isinstance(column, Column)
