"""The slides of the presentation."""

from dataclasses import replace

from test_compare_views import comparison

from studio.compare.columns import ADAPTED, BASE, Column
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
    called = ("base", "run")
    [pair] = present.pairs(comparison("one", "two"), None, called, "en")
    assert pair == AnswerPair("How?", "one", "two", (), called)
    assert present.pairs(None, None, called, "en") == []


def test_a_slide_has_the_columns_that_were_compared_with_their_names():
    columns = (BASE, replace(ADAPTED, strength=0.5), Column("base", system="Be brief."))
    [pair] = present.pairs(comparison("one", "two", columns), None, ("base", "run"), "en")
    slide = present_views.stage([pair], "base", "run", "en")
    assert 'data-columns="3"' in slide
    assert slide.count('class="shown') == 3
    assert "run · Adapter of this run at 50 %" in slide
    assert "base · Base model, with a system prompt" in slide
