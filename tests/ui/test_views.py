"""What the page shows of events, status and rows."""

import html
import re

import pytest

from studio.events import Chosen, Evaluated, Note, PhaseChanged, StateChanged, Step
from studio.i18n import LANGUAGES, Message, text
from studio.runs import State, Status
from studio.ui import views
from studio.ui.views import TRAIN, VALIDATION, Point

RUN = "20261121-230100-sea-captain-1f2e"
EVIL = '<img src=x onerror="alert(1)">'


def step(number: int, loss: float, total: int = 56) -> Step:
    return Step(step=number, total=total, epoch=0.1, loss=loss, learning_rate=1e-3, tokens=100 * number)


def status(state: State = State.TRAINING, **changes) -> Status:
    values = {"state": state, "created": 0.0, "heartbeat": 100.0, "phase": "training"}
    return Status(**{**values, **changes})


def test_steps_and_evaluations_become_points_of_two_series():
    events = [StateChanged(state="training"), step(1, 3.1), Evaluated(step=1, loss=3.0), step(2, 2.5)]

    assert views.points(events) == [Point(1, 3.1, TRAIN), Point(1, 3.0, VALIDATION), Point(2, 2.5, TRAIN)]


def test_a_long_curve_is_thinned_but_keeps_its_ends():
    found = [Point(number, 1000.0 - number, TRAIN) for number in range(1, 1001)]

    kept = views.thinned(found, most=100)

    assert len(kept) <= 101
    assert (kept[0], kept[-1]) == (found[0], found[-1])
    assert [point.step for point in kept] == sorted({point.step for point in kept})


def test_a_thinned_point_is_the_mean_of_its_stretch():
    found = [Point(number, float(number % 2), TRAIN) for number in range(202)]

    assert all(point.loss == pytest.approx(0.5) for point in views.thinned(found, most=102)[1:-1])


def test_the_frame_has_both_series_from_the_start():
    empty = views.loss_frame([])
    frame = views.loss_frame([Point(1, 3.1, TRAIN), Point(2, 3.0, VALIDATION)])

    assert list(frame.columns) == ["step", "loss", "series"]
    assert set(empty["series"]) == set(frame["series"]) == {TRAIN, VALIDATION} == set(views.SERIES_COLOURS)
    assert empty.dtypes.equals(frame.dtypes)
    assert list(frame.dropna()["loss"]) == [3.1, 3.0]


def test_the_legend_names_the_series_that_are_drawn():
    legend = views.loss_legend([Point(1, 3.1, TRAIN)], "ko")

    assert text("ui.series.train", "ko") in legend
    assert text("ui.series.validation", "ko") not in legend


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_of_event_has_a_line_in_the_log(language):
    events = [
        StateChanged(state="preparing"),
        PhaseChanged(phase="tokenizing"),
        Chosen(name="precision", value="float32", reason=Message("choice.precision.asked")),
        Note(message=Message("log.rows", {"rows": 10, "usable": 9, "validation": 1})),
        step(1, 3.1),
        Evaluated(step=1, loss=3.0),
    ]

    lines = views.log_lines(events)

    assert len(lines) == len(events)
    assert views.log_html(lines, language).count("<li") == len(events)


def test_the_log_is_thinned_to_about_twenty_steps():
    lines = views.log_lines(step(number, 1.0, total=1000) for number in range(1, 1001))

    assert 20 <= len(lines) <= 22


def test_a_message_of_a_later_version_is_shown_as_its_key():
    assert views.said(Message("later.words", {"n": 1}), "en") == "later.words"


def test_what_comes_from_outside_is_escaped():
    log = [Note(message=Message(EVIL)), Chosen(name=EVIL, value=EVIL, reason=Message(EVIL))]
    shown = [
        views.log_html(views.log_lines(log), "en"),
        views.choices_html([(EVIL, EVIL, Message(EVIL))], "en"),
        views.paragraph(Message(EVIL), "en"),
    ]

    for markup in shown:
        assert "<img" not in markup
        assert html.escape(EVIL) in markup


def test_the_time_left_follows_the_speed_so_far():
    training = status(step=10, total=40, started=60.0)

    assert views.time_left(training, now=100.0) == pytest.approx(120.0)
    assert views.time_left(training, now=500.0) == pytest.approx(120.0)  # it does not grow while nothing is heard
    assert views.time_left(status(step=0, total=40, started=60.0), now=100.0) is None
    assert views.time_left(status(State.FINISHED, step=40, total=40, started=60.0), now=100.0) is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (42, "42 s"), (100, "2 min"), (3600, "1 h 0 min"), (7000, "1 h 57 min")]
)
def test_durations_are_in_the_coarsest_unit_that_says_something(seconds, words):
    assert views.duration(seconds, "en") == words


def test_a_run_reads_as_its_name_and_local_time():
    assert re.fullmatch(r"sea-captain · \d\d-\d\d \d\d:\d\d", views.run_name(RUN))


def test_the_status_line_tells_phase_step_time_and_loss():
    line = views.status_line(RUN, status(step=10, total=40, started=60.0), [Point(10, 1.4, TRAIN)], "en", now=100.0)

    assert 'aria-valuenow="25"' in line
    for words in ("Training", "sea-captain", "step 10/40", "2 min left", "loss 1.40"):
        assert words in line


def test_a_phase_without_known_share_has_a_bar_that_only_moves():
    line = views.status_line(RUN, status(State.PREPARING, phase="loading"), [], "en")

    assert "Loading the model" in line
    assert "aria-valuenow" not in line


def test_the_run_bar_says_that_it_is_stopping():
    assert "Stopping" in views.run_bar(RUN, status(step=1, total=4, started=1.0), [], "en", stopping="stopping")


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_state_has_words_in_a_list_of_runs(state, language):
    assert RUN[16:27] in views.run_choice(RUN, status(state, step=3, total=9), language)
