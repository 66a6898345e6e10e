"""The curves of a run, and the words beside them."""

import pytest

from studio.events import Evaluated, Step
from studio.i18n import text
from studio.runs.curve import Curve
from studio.ui import curve_views
from studio.ui.charts import Series

TRAIN = Series("train", [1, 40], [3.1, 1.42])
NONE = Series("validation", [], [])
RATE = Series("rate", [1, 2, 3], [0.0, 2e-4, 1.5e-4])


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


def test_a_kind_of_chart_has_its_series():
    curve = Curve().after(
        [
            Step(step=1, total=2, epoch=0.5, loss=3.0, learning_rate=1e-3, grad_norm=0.4, tokens=9),
            Evaluated(step=1, loss=2.5),
        ]
    )

    drawn = {
        kind: [(one.series, list(one.values)) for one in curve_views.series(curve, kind)] for kind in curve_views.KINDS
    }

    assert drawn == {
        "loss": [("train", [3.0]), ("validation", [2.5])],
        "rate": [("rate", [1e-3])],
        "gradient": [("gradient", [0.4])],
        "margin": [("margin", [])],
    }


@pytest.mark.parametrize(
    ("value", "words"), [(1.4159, "1.42"), (0.0002, "0.0002"), (3.21e-05, "3.21e-5"), (2e10, "2e10"), (0.0, "0")]
)
def test_figures_are_short(value, words):
    assert curve_views.short(value) == words


@pytest.mark.parametrize("log", [False, True])
def test_a_tick_of_the_longest_curves_is_small(log):
    import numpy

    steps = numpy.arange(50_000)
    noise = numpy.random.default_rng(0).random(50_000) + 0.5
    frame = curve_views.frame([Series("train", steps, noise), Series("validation", steps, noise)], 0.6, log)

    assert len(frame.to_json(orient="values")) < 35_000
