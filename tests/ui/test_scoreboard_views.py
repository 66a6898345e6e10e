"""What the scoreboard shows of an evaluation."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from studio.compare.columns import ADAPTED
from studio.evaluate.evaluation_store import Evaluation
from studio.evaluate.metrics import Sample
from studio.evaluate.scoreboard import score
from studio.i18n import LANGUAGES, text
from studio.ui import scoreboard_views as views

EVIL = '<img src=x onerror="alert(1)">'


def evaluation(count=12, reference="Aye, the sea!", scored=True):
    before = [Sample(f"{EVIL} {n}", reference, f"The sea is large. {EVIL}", False, 9) for n in range(count)]
    after = [Sample(f"{EVIL} {n}", reference, "Aye, the sea!" if n % 3 else "no", True, 5) for n in range(count)]
    board = score(before, after, resamples=50) if scored else None
    return Evaluation("id", Path("."), count, count, tuple(zip(before, after, strict=True)), board)


def opened(shown):
    return [int(number) - 1 for number in re.findall(r"<summary><span>(\d+)</span>", shown)]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("order", views.ORDERS)
def test_nothing_of_a_row_is_taken_for_markup(language, order):
    made = evaluation()

    assert "<img" not in views.rows(made, order, language) + views.measures(made.board, language)


def test_wins_and_losses_come_with_the_biggest_first():
    made = evaluation()

    assert opened(views.rows(made, "wins", "en")) == made.board.rows_by_gain(12)
    assert opened(views.rows(made, "losses", "en")) == made.board.rows_by_gain(12, worse=True)
    assert opened(views.rows(made, "all", "en")) == list(range(12))
    assert "▲" in views.rows(made, "wins", "en")


def test_rows_stream_in_before_anything_is_scored():
    assert opened(views.rows(evaluation(3, scored=False), "wins", "en")) == [0, 1, 2]
    assert text("ui.score.no_rows") in views.rows(None, "wins", "en")


def test_rows_without_references_are_shown_in_their_own_order_and_say_why():
    made = evaluation(4, reference=None)

    assert opened(views.rows(made, "wins", "en")) == [0, 1, 2, 3]
    assert views.unit(made, "en") == text("ui.score.no_references")


def test_a_long_list_is_cut_and_counted():
    shown = views.rows(evaluation(views.MOST_ROWS + 5), "all", "en")

    assert len(opened(shown)) == views.MOST_ROWS
    assert text("ui.score.more", count=5) in shown


@pytest.mark.parametrize("language", LANGUAGES)
def test_verdicts_are_words_and_signs(language):
    shown = views.measures(evaluation().board, language)

    assert f"▲ {text('compare.verdict.better', language)}" in shown
    assert views.measures(None, language) == ""


def test_progress_says_what_is_going_on():
    made = evaluation(scored=False)

    assert "12 of 12" not in views.progress(made, "en", is_running=True)
    assert text("ui.score.scoring", done=12) in views.progress(made, "en", is_running=True)
    assert text("ui.score.stopped", done=12, total=12) in views.progress(made, "en", is_running=False)
    assert text("ui.score.done", done=12) in views.progress(evaluation(), "en", is_running=False)


def test_a_reference_stands_only_where_closer_to_it_is_better():
    board = evaluation().board
    shown = views.measures(board, "en")
    title, direction = f'data-head="{text("card.reference")}"', text("compare.direction.closer")
    lines = shown.split("<tr>")[2:]

    assert len(lines) == len(board.scores)
    assert any(direction in line for line in lines)
    for line in lines:
        assert (title in line) == (direction in line)
        assert "–" not in line


def test_scores_say_what_was_measured_and_others_are_only_named():
    half = replace(ADAPTED, strength=0.5)
    made = replace(evaluation(), column=half)
    assert "at 50 %" in views.measured_at(made, "en")
    assert views.measured_at(None, "en") == ""
    about = views.others(ADAPTED, [half], "en")
    assert "Adapter of this run. There are scores of: Adapter of this run at 50 %" in about
    assert text("ui.score.empty", "ko") in views.others(ADAPTED, [], "ko")
