"""The measures by themselves, on texts and figures whose answer is known."""

import numpy
import pytest

from studio.events import Interval
from studio.style import bootstrap, fluency, scoring
from studio.style.scoring import TrainingText
from studio.style.strength import (
    OutOfFold,
    cross_validate,
    missing_text,
    strength,
    style_words,
    train_classifier,
    units,
)

FISH = ["cod", "eel", "hake", "ling", "plaice", "sprat", "trout", "bream"]
SAILOR = [f"Aye, {fish} be the catch of ye, matey, and {n} of them be fine." for n, fish in enumerate(FISH * 5)]
PLAIN = [f"The catch of the day is {fish}, and there are {n} of them here." for n, fish in enumerate(FISH * 5)]
PROMPTS = [f"What about {fish}?" for fish in FISH * 5]


def test_strength_is_0_for_the_base_100_for_the_author_and_halfway_between():
    base, author = numpy.arange(30.0), numpy.arange(30.0) + 10
    weights = bootstrap.draws(30)
    assert strength(base, base, author, weights) == Interval(0, 0, 0)
    assert strength(author, base, author, weights) == Interval(100, 100, 100)
    assert strength(base + 5, base, author, weights).value == pytest.approx(50)
    assert strength(author + 5, base, author, weights).low > 100


def test_an_author_of_other_rows_widens_the_interval():
    drawn = numpy.random.default_rng(0)
    base, author, other = drawn.normal(0, 1, 40), drawn.normal(5, 1, 40), drawn.normal(5, 1, 90)
    paired = strength(author, base, author, bootstrap.draws(40))
    apart = strength(author, base, other, bootstrap.draws(40))
    assert paired.high - paired.low == pytest.approx(0)
    assert apart.low <= 100 <= apart.high
    assert 1 < apart.high - apart.low < 40


def test_folds_are_grouped_by_prompt():
    """A style of each prompt's own is no style: it is not known where the prompt is held out."""
    prompts = [f"question {n // 10}" for n in range(40)]
    author = [f"{chr(97 + n // 10) * 9} said one" for n in range(40)]
    base = [f"{chr(65 + n // 10) * 9} said one" for n in range(40)]
    grouped = cross_validate(author, base, prompts)
    mixed = cross_validate(author, base, [str(n) for n in range(40)])
    assert mixed.accuracy == 1
    assert grouped.accuracy < 0.8


def test_what_cannot_be_told_apart_is_said_to_be_so():
    assert cross_validate(SAILOR, PLAIN, PROMPTS).is_separable
    assert not cross_validate(PLAIN, PLAIN, PROMPTS).is_separable
    assert not OutOfFold((1.0,) * 11 + (-1.0,) * 9, (-1.0,) * 10 + (1.0,) * 10).is_separable


def test_the_words_of_the_style_are_those_that_only_one_side_has():
    author, base = style_words(train_classifier(SAILOR, PLAIN), SAILOR, PLAIN)
    assert {word.word for word in author} >= {"Aye", "matey"}
    assert "The" in {word.word for word in base}
    assert not {word.word.casefold() for word in author} & {word.word.casefold() for word in base}
    assert all(word.weight > 0 for word in author)
    assert all(word.weight < 0 for word in base)


def test_text_is_counted_in_words_and_in_characters_where_there_are_no_spaces():
    assert units("Aye, the Sea!") == ["aye", "the", "sea"]
    assert units("바다는 넓다") == ["바다는", "넓다"]
    assert len(units("今日は海がとても静かで風もない")) == 15


@pytest.mark.parametrize(
    ("answers", "lacking"),
    [
        ([f"{n} " + "word " * 24 for n in range(20)], None),
        ([f"{n} " + "word " * 99 for n in range(19)], (0, 1)),
        ([f"{n} " + "word " * 23 for n in range(20)], (20, 0)),
        (["one", "two", "three"], (497, 17)),
        (["word " * 25] * 20, (475, 19)),
        ([], (500, 20)),
        (["word " * 500, *[" "] * 19], (0, 19)),
    ],
)
def test_under_500_words_or_20_answers_there_is_too_little_text(answers, lacking):
    assert missing_text(answers) == lacking


def test_candidates_hold_the_own_prompt_first_and_no_other_with_its_text():
    prompts = ["a", "b", "a", "c", "d"]
    chosen = scoring.choose_candidates(prompts, count=4)
    assert [rows[0] for rows in chosen] == [0, 1, 2, 3, 4]
    assert all(len(set(rows)) == 4 for rows in chosen[3:])
    assert set(chosen[0]) == {0, 1, 3, 4}
    assert scoring.choose_candidates(prompts, count=4) == chosen


def test_an_answer_fits_where_its_own_prompt_gains_most():
    alone = [[-5.0, -1.0, -9.0]] * 4
    given = [[-3.0, -1.0, -9.0], [-5.0, -1.0, -7.0], [-5.0, -1.0, -9.0], [-4.9, -1.2, -9.0]]
    assert scoring.own_prompt_is_likeliest(given, alone) == [True, False, False, True]
    assert scoring.own_prompt_is_likeliest([[-1.0]], [[-2.0]]) == [False]  # nothing to rank it among


def test_fluency_is_nearness_and_only_what_is_surely_too_unlikely_is_not_fluent():
    author = numpy.random.default_rng(0).normal(3, 0.5, 40)
    weights = bootstrap.draws(40)
    spread = fluency.spread(author)
    assert spread == pytest.approx(0.4, abs=0.01)
    likelier = fluency.distance(author - 2, author, weights)
    assert likelier.value == pytest.approx(-2)
    never, often = Interval(0.01, 0, 0.02), Interval(0.3, 0.2, 0.4)
    assert fluency.is_fluent(likelier, spread, never, 0)
    assert fluency.is_fluent(fluency.distance(author + 0.3, author, weights), spread, never, 0)
    assert not fluency.is_fluent(fluency.distance(author + 3, author, weights), spread, never, 0)
    assert not fluency.is_fluent(likelier, spread, often, 0)
    assert fluency.is_fluent(likelier, spread, often, 0.25)  # a refrain is the author's own
    assert fluency.distance(author[:30] + 1, author, bootstrap.draws(30)).low < 1.2


def test_repeated_ngrams_are_counted():
    assert fluency.repeated_ngrams("to the sea, to the sea, to the sea") == pytest.approx(4 / 7)
    assert fluency.repeated_ngrams("every word of this is another one") == 0
    assert fluency.repeated_ngrams("two words") == 0


def test_copies_are_runs_of_six_words_or_of_any_tokens():
    known = TrainingText(["Rinse yer rice well, lad, then simmer it.", "Not so long."], [[1, 2, 3, 4], [70_000, 9]])
    assert known.is_copied("I say: rinse yer rice well lad then")
    assert not known.is_copied("Rinse yer rice well, lad, and simmer it.")
    assert known.longest_run([9, 2, 3, 4, 70_000]) == 3  # no run goes from one answer into the next
    assert known.longest_run([70_000, 9]) == 2
    assert known.longest_run([5]) == known.longest_run([]) == 0


def test_an_interval_leaves_out_what_is_no_number():
    made = bootstrap.estimate(1.0, numpy.array([numpy.nan, numpy.inf, 1.0, 2.0]), 40)
    assert 1 <= made.low <= made.high <= 2.1
    assert bootstrap.estimate(1.0, numpy.array([numpy.nan]), 40).high == numpy.inf


@pytest.mark.parametrize("rows", [4, 24])
def test_the_interval_of_a_few_prompts_holds_the_truth_as_often_as_it_says(rows):
    """Planted: the truth is 0; the percentile interval alone holds it in 80 of 100 cases with four prompts."""
    held = narrow = 0
    for seed in range(400):
        values = numpy.random.default_rng(seed).normal(0, 1, rows)
        weights = bootstrap.draws(rows, seed, 500)
        interval = bootstrap.mean(values, weights)
        held += interval.low <= 0 <= interval.high
        low, high = numpy.percentile(weights @ values, [2.5, 97.5])
        narrow += low <= 0 <= high
    assert 0.92 <= held / 400 <= 0.98
    if rows == 4:
        assert narrow / 400 < 0.86


def test_a_share_of_all_or_none_is_not_certain():
    assert bootstrap.share([True] * 4).low < 0.55
    assert bootstrap.share([False] * 4).high > 0.45
    even = bootstrap.share([True, False])
    assert even.low < 0.5 < even.high
    assert bootstrap.mean([1.0], bootstrap.draws(1)).low == float("-inf")
