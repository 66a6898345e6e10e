"""Planted truths: what is known of a text is what the meter says of it, in the column that should say it."""

import random
from dataclasses import replace

import numpy
import pytest
from planted import (
    AUTHOR,
    BASE,
    HELD_OUT,
    PROMPTS,
    TRAINING,
    adapter,
    anchors,
    classifier,
    cut_base,
    gibberish,
    measured,
    scored,
    scorer,
)

from studio.style import bootstrap, fluency
from studio.style.report import column_report
from studio.style.strength import cross_validate, strength
from studio.style.verdict import verdict


def sides():
    return [row["author"] for row in TRAINING], [row["base"] for row in TRAINING]


@pytest.fixture(scope="module")
def folds():
    return cross_validate(*sides(), [row["prompt"] for row in TRAINING])


def test_strength_grows_with_the_strength_of_the_adapter():
    read = [measured(texts).strength for texts in (BASE, *(adapter(percent) for percent in (33, 66, 100, 150)))]
    values = [estimate.value for estimate in read]
    assert values[0] == 0
    assert values == sorted(values)
    assert read[1].low > 0
    assert values[1] < 75
    assert read[3].high > 85
    assert read[4].value > 100


def test_author_and_base_are_told_apart_on_prompts_that_were_not_trained_on(folds):
    assert folds.accuracy >= 0.95
    assert folds.is_separable


def test_the_authors_held_out_rows_read_100_against_the_training_rows(folds):
    scores = classifier().scores(AUTHOR)
    read = strength(scores, anchors().base_style, folds.author, anchors().weights)
    assert read.low <= 100 <= read.high
    assert read.high - read.low < 30


def test_shuffled_labels_read_0_within_the_interval():
    author, base = sides()
    for seed in range(3):
        swapped = [random.Random(f"{seed} {row}").random() < 0.5 for row in range(len(author))]
        pairs = [(b, a) if swap else (a, b) for a, b, swap in zip(author, base, swapped, strict=True)]
        one, other = ([pair[side] for pair in pairs] for side in (0, 1))
        folds = cross_validate(one, other, [row["prompt"] for row in TRAINING])
        assert 0.3 < folds.accuracy < 0.6
        shuffled = replace(anchors(), separable=folds.is_separable)
        read = column_report(scorer().score(adapter(100), [True] * 40), shuffled).strength
        assert read.low <= 0 <= read.high
        assert read.value == 0


def test_a_copier_is_caught_by_copying_and_by_nothing_else_of_its_own_text():
    copies = [row["author"] for row in TRAINING[:40]]
    copier, author = measured(copies), measured(AUTHOR)
    assert copier.strength.high > 85
    assert copier.fluent
    assert copier.copied.value > 0.9
    assert copier.longest_run >= 10
    assert author.copied.value < 0.1


def test_gibberish_in_the_favourite_words_is_caught_by_fit():
    """Its fluency needs a real model, see `tests/test_quickstart.py`: a model of words does not mind any order."""
    babble, author = measured(gibberish()), measured(AUTHOR)
    assert babble.strength.value > 100
    assert babble.fit.high < author.fit.value


def test_an_answer_that_loops_is_not_fluent_however_likely_it_is():
    loops = [" ".join(text.split()[:4] * 5) for text in AUTHOR]
    looping, author = measured(loops), measured(AUTHOR)
    assert not looping.fluent
    assert looping.repeated.low > 0.5
    assert author.fluent


def test_base_answers_cut_to_length_have_little_style_and_did_not_end():
    cut = measured(cut_base(), ended=False)
    assert cut.strength.high < 50
    assert cut.ended.value == 0


def test_the_right_style_for_the_wrong_question_is_caught_by_fit_alone():
    wrong, author = measured([*AUTHOR[1:], AUTHOR[0]]), measured(AUTHOR)
    assert wrong.strength.value == pytest.approx(100)
    assert wrong.fluent
    assert wrong.copied.value < 0.1
    assert wrong.fit.high < author.fit.value
    assert wrong.fit.low <= 1 / 8 <= wrong.fit.high


def test_answers_of_the_right_style_to_the_wrong_questions_are_not_worth_training():
    wrong, half, base = (measured(texts) for texts in ([*AUTHOR[1:], AUTHOR[0]], adapter(33), BASE))
    assert wrong.strength.low > half.strength.high
    made = verdict(wrong, half, base, anchors().author_style, anchors().weights)
    assert made.winner == "undecided"


@pytest.mark.parametrize(
    ("loss", "repeated"),
    [(3.5, 0.05), (4.6, 0.05), (3.5, 0.1)],
    ids=["fluent", "hardly likely enough", "hardly varied enough"],
)
def test_base_against_base_is_seldom_better(loss, repeated):
    """All that a verdict reads is drawn anew for each of three columns that are all the base."""
    better, fluent, winners = 0, 0, []
    for seed in range(100):
        drawn = numpy.random.default_rng(seed)
        weights, losses = bootstrap.draws(40, seed, 400), drawn.normal(3.5, 0.8, 40)
        sides = []
        for _ in range(3):
            own, repeats = drawn.normal(loss, 0.8, 40), drawn.normal(repeated, 0.1, 40).clip(0, 1)
            distance, spread = fluency.distance(own, losses, weights), fluency.spread(losses)
            is_fluent = fluency.is_fluent(distance, spread, bootstrap.mean(repeats, weights), 0.03)
            sides.append(scored(drawn.normal(-2, 1, 40), drawn.random(40) < 0.6, is_fluent, repeats, own))
        author = drawn.normal(2, 1, 40)
        better += strength(sides[0].scores.style, sides[2].scores.style, author, weights).low > 0
        fluent += sides[0].fluent
        winners.append(verdict(*sides, author, weights).winner)
    assert better <= 5
    assert winners.count("adapter") <= 5
    assert fluent > 95 if loss + repeated < 3.6 else 20 < fluent < 80  # else nothing hangs on it


def test_base_texts_against_base_texts_are_seldom_better():
    scores = numpy.array(classifier().scores([row["base"] for row in TRAINING]))
    author = numpy.array(anchors().author_style)
    better = 0
    for seed in range(100):
        drawn = numpy.random.default_rng(seed).permutation(len(scores))
        base, again = scores[drawn[:40]], scores[drawn[40:80]]
        better += strength(again, base, author, bootstrap.draws(40, seed, 400)).low > 0
    assert better <= 5


def test_the_recorded_answers_are_of_the_bundled_prompts():
    from studio.data import prepare

    assert prepare.held_out("captain-heldout") == PROMPTS
    assert len(HELD_OUT) == 40
