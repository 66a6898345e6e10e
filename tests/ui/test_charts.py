"""Curves for the charts: thinned, smoothed, on a log scale."""

import math

import numpy
import pytest

from studio.ui import charts
from studio.ui.charts import Series


def test_a_short_curve_stays_as_it_is():
    steps, values = charts.thinned([1, 2, 3], [3.0, 1.0, 2.0])

    assert list(steps) == [1, 2, 3]
    assert list(values) == [3.0, 1.0, 2.0]


@pytest.mark.parametrize("points", [501, 502, 997, 1_000, 1_001, 50_000])
def test_a_long_curve_keeps_its_ends_and_its_peaks(points):
    values = numpy.sin(numpy.arange(points) / 40)
    values[points // 3], values[points // 2] = 9.0, -9.0

    steps, kept = charts.thinned(range(points), values)

    assert len(steps) <= charts.MOST_POINTS
    assert (steps[0], steps[-1]) == (0, points - 1)
    assert kept[list(steps).index(points // 3)] == 9.0
    assert kept[list(steps).index(points // 2)] == -9.0
    assert list(steps) == sorted(set(steps))
    assert [values[int(step)] for step in steps] == list(kept)


def test_a_curve_of_one_height_has_no_two_points_at_one_step():
    steps, _ = charts.thinned(range(5_000), [1.0] * 5_000)

    assert len(set(steps)) == len(steps) <= charts.MOST_POINTS


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_left_out(bad):
    values = [float(number) for number in range(2_000)]
    values[0] = values[700] = values[-1] = bad
    values[100:200] = [bad] * 100

    steps, kept = charts.thinned(range(2_000), values)

    assert (steps[0], steps[-1]) == (1, 1_998)
    assert numpy.isfinite(kept).all()
    assert len(charts.thinned([1, 2], [bad, bad])[0]) == 0


def test_smoothing_is_corrected_for_its_start():
    assert charts.smoothed([4.0, 4.0, 4.0], 0.99) == pytest.approx([4.0, 4.0, 4.0])
    assert charts.smoothed([1.0, 2.0], 0.5) == pytest.approx([1.0, (0.5 * 1 + 2) / 1.5])
    assert charts.smoothed([3.0, 1.0], 0.0) == pytest.approx([3.0, 1.0])


def test_a_frame_holds_every_series_from_the_start():
    empty = charts.frame([], ["train", "validation"])
    full = charts.frame([Series("train", [1, 2], [3.0, 2.0])], ["train", "validation"])

    assert set(empty["series"]) == {"train", "train_raw", "validation", "validation_raw"}
    assert set(empty["series"]) == set(charts.colour_map({"train": "#0d9488", "validation": "#d97706"}))
    assert empty.dtypes.equals(full.dtypes)
    assert list(full.dropna()["value"]) == [3.0, 2.0]


def test_a_smoothed_curve_stands_before_the_raw_one():
    raw = [3.0, 1.0, 3.0, 1.0]

    frame = charts.frame([Series("train", range(4), raw)], ["train"], smoothing=0.9).dropna()

    assert list(frame[frame["series"] == "train_raw"]["value"]) == raw
    drawn = frame[frame["series"] == "train"]["value"]
    assert drawn.std() < numpy.std(raw)
    assert list(dict.fromkeys(frame["series"])) == ["train_raw", "train"]


def test_a_log_scale_shows_logarithms_and_leaves_out_what_has_none():
    frame = charts.frame([Series("rate", [1, 2, 3, 4], [0.0, 0.01, 100.0, -1.0])], ["rate"], log=True).dropna()

    assert list(frame["step"]) == [2, 3]
    assert list(frame["value"]) == pytest.approx([-2.0, 2.0])


def test_values_are_rounded_to_what_can_be_seen():
    frame = charts.frame([Series("rate", [1, 2, 3], [0.000123456789, 0.0, 12345.6789])], ["rate"]).dropna()

    assert list(frame["value"]) == [0.00012346, 0.0, 12346.0]


def test_the_axis_reaches_as_far_as_it_is_told_without_a_point_there():
    curve = Series("train", [1, 2], [3.0, 2.0])
    frame = charts.frame([curve], ["train", "validation"], until=400)

    assert frame["step"].max() == 400
    assert list(frame.dropna()["step"]) == [1, 2]


def test_no_point_without_a_value_cuts_off_the_last_step():
    frame = charts.frame([Series("train", [1, 2, 3], [3.0, 2.0, 1.0])], ["train", "validation"], until=3)

    drawn = frame[frame["series"] == "train"].sort_values("step", kind="stable")  # as Vega connects them
    assert list(drawn["value"].iloc[1:-1]) == [3.0, 2.0, 1.0]
    assert drawn["value"].iloc[[0, -1]].isna().all()


def test_a_single_value_is_a_dash_that_ends_at_its_step():
    series = [Series("train", [1, 2], [3.0, 2.0]), Series("validation", [200], [2.5])]
    frame = charts.frame(series, ["train", "validation"], until=400).dropna()

    dash = frame[frame["series"] == "validation"]
    assert list(dash["step"]) == [192, 200]
    assert list(dash["value"]) == [2.5, 2.5]
    early = charts.frame([Series("train", [1], [3.0])], ["train"], until=400).dropna()
    assert list(early["step"]) == [0, 1]
