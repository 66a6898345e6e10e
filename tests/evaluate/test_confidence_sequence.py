"""The rule when to stop voting: how often it errs when somebody looks after every vote, and what it finds."""

import math

import numpy
import pytest

from studio.evaluate import confidence_sequence as sequence

WIN, LOSS, TIE = "after", "before", "tie"


def sessions(win: float, loss: float, votes: int, count: int = 1000, seed: int = 0):
    """Return the wins, losses and ties of simulated sessions after each of their votes: (sessions, votes, 3)."""
    drawn = numpy.random.default_rng(seed).random((count, votes))
    each = numpy.stack([drawn < win, (drawn >= win) & (drawn < win + loss), drawn >= win + loss], axis=-1)
    return each.cumsum(axis=1)


@pytest.mark.parametrize("ties", [0.0, 0.3, 0.7])
def test_it_errs_in_at_most_five_of_a_hundred_sessions_of_base_against_base_that_peek_after_every_vote(ties):
    counts = sessions((1 - ties) / 2, (1 - ties) / 2, votes=200)

    assert sequence.passes(counts).any(axis=-1).sum() <= 50


def test_an_interval_of_a_fixed_number_of_votes_would_err_far_more_often_when_one_peeks():
    counts = sessions(0.5, 0.5, votes=200)[:, 5:]
    total = counts.sum(-1)
    wins = counts[..., 0] / total
    assert (abs(wins - 0.5) > 1.96 * numpy.sqrt(0.25 / total)).any(axis=1).mean() > 0.2


@pytest.mark.parametrize(("mean", "win", "loss"), [(0.7, 0.6, 0.2), (0.2, 0.1, 0.7), (0.9, 0.9, 0.1)])
def test_the_true_mean_is_left_out_at_any_time_in_at_most_five_of_a_hundred(mean, win, loss):
    counts = sessions(win, loss, votes=80)
    left_out = (sequence.log_capital(counts, mean)[..., 0] >= -math.log(sequence.ERROR)).any(axis=1)

    assert left_out.sum() <= 50


@pytest.mark.parametrize(
    ("win", "loss", "votes", "power"), [(0.8, 0.2, 40, 0.8), (0.7, 0.3, 100, 0.8), (0.64, 0.1, 30, 0.8)]
)
def test_a_true_preference_is_found(win, loss, votes, power):
    assert sequence.passes(sessions(win, loss, votes)).any(axis=-1).mean() >= power


def test_ties_neither_win_nor_cost_and_eight_wins_in_a_row_decide():
    assert sequence.standing([WIN] * 7, 9).winner is None
    assert sequence.standing([WIN] * 8, 9).winner == WIN
    assert sequence.standing([LOSS] * 8, 9).winner == LOSS
    assert sequence.standing([TIE] * 50 + [LOSS] * 8, 9).winner == LOSS


def test_a_decision_stays_and_keeps_its_side():
    assert sequence.standing([WIN] * 8 + [LOSS] * 7, 0).winner == WIN


def test_the_interval_narrows_and_holds_what_was_voted():
    before = (0.0, 1.0)
    assert sequence.interval([]) == before
    outcomes = [WIN, WIN, LOSS, TIE, WIN] * 12
    for votes in (5, 20, 60):
        low, high = sequence.interval(outcomes[:votes])
        assert before[0] <= low < 0.7 < high <= before[1]
        before = low, high
    assert before[0] > 0.5
    assert sequence.standing(outcomes, 0).winner == WIN


def test_the_closed_form_against_one_half_is_the_mixture():
    counts = numpy.array([[8, 0, 3], [5, 4, 0], [0, 0, 0]])
    closed = sequence._log_uniform(counts[:, 0], counts[:, 1])
    assert sequence.log_capital(counts, 0.5)[:, 0] == pytest.approx(closed, abs=0.02)


def test_votes_that_would_probably_decide_are_fewer_the_clearer_the_lead():
    clear, faint = (sequence.standing([WIN] * wins + [LOSS] * losses, 99).more for wins, losses in ((6, 0), (12, 8)))
    assert clear <= 9
    assert faint is None or faint > 40
    even = sequence.standing([WIN, LOSS] * 60, 99)
    assert (even.winner, even.more) == (None, None)
    assert sequence.standing([], 40).more is None or sequence.standing([], 40).more > 20


def test_agreement_is_counted_where_several_voted_on_the_same_pair():
    assert sequence.agreement([{WIN: 1}, {}]) is None
    same = sequence.agreement([{WIN: 2}, {LOSS: 3}, {TIE: 1}])
    assert (same.pairs, same.share, same.kappa) == (2, 1.0, 1.0)
    assert sequence.agreement([{WIN: 2}, {WIN: 2}]).kappa is None
    mixed = sequence.agreement([{WIN: 2}, {LOSS: 2}, {WIN: 1, LOSS: 1}, {WIN: 1, LOSS: 1}])
    assert mixed.share == 0.5
    assert mixed.kappa == pytest.approx(0.0)


def test_kappa_is_that_of_the_published_example():
    # Fleiss 1971, table 1 as reprinted in textbooks: ten subjects, fourteen raters, five categories
    rows = [
        (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
        (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
    ]  # fmt: skip
    counted = [{str(place): count for place, count in enumerate(row) if count} for row in rows]
    assert sequence.agreement(counted).kappa == pytest.approx(0.210, abs=0.001)
