"""Prompts of the user's own as text, and a batch of answers as a table."""

import html
from dataclasses import replace

import pytest

from studio.compare.columns import ADAPTED, BASE, CompareRequest
from studio.compare.comparison import Comparison
from studio.config import GenerationConfig
from studio.errors import CompareError
from studio.generation.generate import ColumnAnswer
from studio.i18n import LANGUAGES, text
from studio.ui import own_prompts_views as views

EVIL = '<img src=x onerror="alert(1)">'


def batch(*answers, settings=None):
    request = CompareRequest(
        "run", ("How?", EVIL), settings or GenerationConfig(temperature=0), (BASE, replace(ADAPTED, strength=0.5))
    )
    return Comparison(request, answers)


def test_a_prompt_is_a_line_whatever_it_holds_and_is_taken_once():
    prompts = ["What is\n3?", "print('a\\n')", "안녕?"]
    assert views.from_text(views.to_text(prompts)) == (prompts, 0)
    assert views.from_text("  one \n\ntwo\none\n") == (["one", "two"], 1)


@pytest.mark.parametrize(("written", "why"), [(" \n", "no prompts"), ("\n".join(map(str, range(201))), "201")])
def test_none_and_too_many_are_refused(written, why):
    with pytest.raises(CompareError, match=why):
        views.from_text(written)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_table_has_a_row_a_prompt_and_says_what_each_column_was(language):
    table = views.table(batch(), "base", "run", language)
    assert table.count("<tr>") == 3
    assert "50" in table
    assert EVIL not in table
    assert html.escape(EVIL) in table
    assert table.count(html.escape(text("ui.own_prompts.unanswered", language))) == 4
    assert text("ui.compare.greedy", language) in table


def test_answers_that_are_cut_have_a_mark_and_progress_counts_whole_rows():
    done, cut, going = ColumnAnswer("So.", (1,), end="turn"), ColumnAnswer("And", (1,), end="length"), ColumnAnswer()
    made = batch((done, cut), (done, going))
    assert "<td data-head" in views.table(made, "base", "run", "en")
    assert ">And …</td>" in views.table(made, "base", "run", "en")
    assert ">So.</td>" in views.table(made, "base", "run", "en")
    assert "1 of 2" in views.progress(made, "en", True)
    assert views.progress(made, "en", False) == ""
