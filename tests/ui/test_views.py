"""Words and small HTML that many parts of the page share."""

import html
import re

import pytest

from studio.i18n import LANGUAGES, Message
from studio.runs import State, Status
from studio.ui import views

RUN = "20261121-230100-sea-captain-1f2e"
EVIL = '<img src=x onerror="alert(1)">'


def status(state: State = State.TRAINING, **changes) -> Status:
    values = {"state": state, "created": 0.0, "heartbeat": 100.0, "phase": "training"}
    return Status(**{**values, **changes})


def test_a_message_of_a_later_version_is_shown_as_its_key():
    assert views.one_line(Message("later.words", {"n": 1}), "en") == "later.words"


def test_what_comes_from_outside_is_escaped():
    shown = [
        views.choices_html([(EVIL, EVIL, Message(EVIL))], "en"),
        views.paragraph(Message(EVIL), "en"),
    ]

    for markup in shown:
        assert "<img" not in markup
        assert html.escape(EVIL) in markup


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (42, "42 s"), (100, "2 min"), (3600, "1 h 0 min"), (7000, "1 h 57 min")]
)
def test_durations_are_in_the_coarsest_unit_that_says_something(seconds, words):
    assert views.duration(seconds, "en") == words


def test_a_run_reads_as_its_name_and_local_time():
    assert re.fullmatch(r"sea-captain · \d\d-\d\d \d\d:\d\d", views.run_name(RUN))


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_state_has_words_in_a_list_of_runs(state, language):
    assert RUN[16:27] in views.run_choice(RUN, status(state, step=3, total=9), language)
