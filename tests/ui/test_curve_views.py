"""The curves of a run, and the words beside them."""

import pytest

from studio.i18n import text
from studio.ui import curve_views
from studio.ui.charts import Curve

TRAIN = Curve("train", [1, 40], [3.1, 1.42])
NONE = Curve("validation", [], [])
RATE = Curve("rate", [1, 2, 3], [0.0, 2e-4, 1.5e-4])


def test_the_chart_has_the_same_series_whatever_it_shows():
    kinds = [curve_views.frame([TRAIN, NONE]), curve_views.frame([RATE], smoothing=0.9), curve_views.frame([])]

    assert len({tuple(sorted(set(frame["series"]))) for frame in kinds}) == 1


def test_the_learning_rate_is_not_smoothed():
    drawn = curve_views.frame([RATE], smoothing=0.9).dropna()

    assert list(drawn["value"]) == RATE.values
    assert text("ui.series.raw", "en") not in curve_views.legend([RATE], "en", smoothing=0.9)


def test_the_legend_names_the_series_that_are_drawn():
    legend = curve_views.legend([TRAIN, NONE], "ko", smoothing=0.5)

    assert text("ui.series.train", "ko") in legend
    assert text("ui.series.raw", "ko") in legend
    assert text("ui.series.validation", "ko") not in legend


def test_the_learning_rate_is_told_in_words():
    legend = curve_views.legend([RATE], "en")

    assert "0.00015 at step 3; the highest was 0.0002 at step 2." in legend


@pytest.mark.parametrize(
    ("value", "words"), [(1.4159, "1.42"), (0.0002, "0.0002"), (3.21e-05, "3.21e-5"), (2e10, "2e10"), (0.0, "0")]
)
def test_figures_are_short(value, words):
    assert curve_views.short(value) == words


def test_the_loss_in_words():
    assert curve_views.loss_sentence(TRAIN, NONE, 56, "en") == "Step 40 of 56: loss 1.42, down from 3.10."
    assert "1.42" in curve_views.loss_sentence(TRAIN, NONE, 56, "ko")
    assert curve_views.loss_sentence(NONE, NONE, 56, "en") == text("ui.loss.none", "en")
    assert "up from" in curve_views.loss_sentence(Curve("train", [1, 2], [1.0, 2.0]), NONE, 56, "en")
    assert "validation" in curve_views.loss_sentence(TRAIN, Curve("validation", [20], [1.9]), 56, "en")


@pytest.mark.parametrize("log", [False, True])
def test_a_tick_of_the_longest_curves_is_small(log):
    import numpy

    steps = numpy.arange(50_000)
    noise = numpy.random.default_rng(0).random(50_000) + 0.5
    frame = curve_views.frame([Curve("train", steps, noise), Curve("validation", steps, noise)], 0.6, log)

    assert len(frame.to_json(orient="values")) < 35_000
