"""The slides of the presentation."""

from test_compare_views import comparison

from studio.compare.comparison import AnswerPair
from studio.ui import present_views
from studio.ui.tabs import present

EVIL = '<img src=x onerror="alert(1)">'


def test_nothing_on_a_slide_is_taken_for_markup():
    assert "<img" not in present_views.stage([AnswerPair(EVIL, EVIL, EVIL)], EVIL, EVIL, "ko")


def test_long_answers_are_set_smaller_and_slides_are_limited():
    shown = present_views.stage([AnswerPair("q", "a", "b" * n) for n in (10, 400, 900)], "base", "run", "en")

    assert [f'"slide {size}"' in shown for size in ("short", "long", "longer")] == [True] * 3
    assert present_views.stage([AnswerPair("q", "a", str(n)) for n in range(99)], "", "", "en").count("<section") == 40


def test_the_last_comparison_comes_first_and_nothing_twice():
    assert present.pairs(comparison("one", "two"), None) == [AnswerPair("How?", "one", "two")]
    assert present.pairs(None, None) == []
