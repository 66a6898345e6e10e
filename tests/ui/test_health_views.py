"""The report about all rows: problems with their fixes, lengths, and the split."""

import html
import itertools
from types import SimpleNamespace

import numpy
import pytest

from studio.data.health import Problem, Report
from studio.i18n import LANGUAGES, Message, text
from studio.ui import data_state, health_views
from studio.ui.data_state import Checked, DataState

EVIL = '<img src=x onerror="alert(1)">'


def report(*problems: Problem, **changes) -> Report:
    values = {
        "rows": 200,
        "usable": 197,
        "problems": list(problems),
        "detected": None,
        "train": 180,
        "validation": 17,
        "lengths": numpy.array([10, 20, 30, 40]),
        "row_numbers": numpy.array([1, 3, 5, 9]),
        "trained_each": numpy.array([5, 15, 3, 30]),
        "max_length": 64,
        "batch_size": 2,
    }
    return Report(**{**values, **changes})


DUPLICATE = Problem("duplicate", 9, list(range(10, 19)), EVIL, 0.045)
MENDED = Problem("duplicate", 9, [10], EVIL, 0.045, fixed=True)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_problem_has_count_rows_example_effect_and_fix(language):
    markup = health_views.health_html(Checked(report(DUPLICATE)), language)

    assert "4.5%" in markup
    assert 'data-do="row" data-row="10"' in markup
    assert markup.count('data-do="row"') == 6
    assert html.escape(EVIL) in markup
    assert "<img" not in markup
    assert text("problems.duplicate.effect", language) in markup
    assert f'data-fix="deduplicate">{text("fixes.deduplicate", language)}<' in markup


def test_a_mended_problem_can_be_undone():
    markup = health_views.health_html(Checked(report(MENDED)), "en")

    assert "✓" in markup
    assert text("problems.mended") in markup
    assert f'data-fix="deduplicate">{text("ui.health.undo")}<' in markup


def test_what_blocks_the_start_is_told_twice():
    blocked = Checked(report(blocks=[Message("errors.data.none_usable", {"rows": 3, "kinds": EVIL})], usable=0))

    assert "0 of 3 rows" in health_views.health_html(blocked, "en")
    assert "<img" not in health_views.health_html(blocked, "en")
    assert text("ui.health.blocked") in health_views.blocked_html(DataState(), blocked, "en")
    assert health_views.blocked_html(DataState(), Checked(report()), "en") == ""


def test_a_cancelled_scan_can_be_started_again():
    assert 'data-do="scan"' in health_views.health_html(Checked(cancelled=True), "en")


def test_bars_hold_all_rows_and_are_not_squeezed_by_a_few_long_ones():
    lengths = numpy.array([*range(20, 120), 100_000])

    found = health_views.bars(lengths, max_length=256)

    assert sum(bar.rows for bar in found) == 101
    assert found[-1].stop < 1000
    assert found[-1].stop > 256  # the cut line is on it
    assert all(first.stop == second.start for first, second in itertools.pairwise(found))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_chart_has_its_sentence_as_text_and_marks_where_rows_are_cut(language):
    markup = health_views.lengths_html(Checked(report(max_length=32)), language)

    assert 'role="img"' in markup
    assert markup.count("25.0%") == 2  # for the eye, and for who cannot see the chart
    assert 'class="cut-line"' in markup
    assert text("ui.lengths.limit", language, limit="32") in markup


def test_the_cost_marks_how_the_settings_pad():
    grouped = health_views.lengths_html(Checked(report(), grouped=True), "en")
    shuffled = health_views.lengths_html(Checked(report(), grouped=False), "en")

    assert grouped.index(text("ui.lengths.in_use")) < shuffled.index(text("ui.lengths.in_use"))


def test_without_tokens_the_chart_says_what_will_be_there():
    assert text("ui.lengths.empty") in health_views.lengths_html(Checked(report(lengths=None)), "en")


def test_the_split_tells_both_sides():
    markup = health_views.split_html(Checked(report()), "en")

    assert "180" in markup
    assert "17" in markup


def test_jumps_find_the_longest_the_shortest_and_the_worst_row():
    cut = Problem("answer_cut", 1, [77])
    assert data_state.jump("longest", report()) == 9
    assert data_state.jump("shortest", report()) == 1
    assert data_state.jump("worst", report(DUPLICATE, cut)) == 77
    assert data_state.jump("worst", report(DUPLICATE)) == 10
    assert data_state.jump("worst", report()) == 5  # the least of it is trained
    assert data_state.jump("longest", None) is None
    assert data_state.jump("longest", SimpleNamespace(problems=[], lengths=None)) is None
