"""The log of a run: its lines, and what a search and a level leave of them."""

import html
import re

import pytest

from studio.events import (
    Best,
    Changed,
    Chosen,
    Evaluated,
    Interval,
    Note,
    PhaseChanged,
    Resumed,
    StateChanged,
    Step,
    StyleKept,
    StyleMeasured,
)
from studio.i18n import LANGUAGES, Message, text
from studio.ui import log_views

EVIL = '<img src=x onerror="alert(1)">'


def step(number: int, total: int = 1000) -> Step:
    return Step(step=number, total=total, epoch=0.1, loss=3.1, learning_rate=1e-3, tokens=100 * number)


def note(words: str, level: str = "info") -> Note:
    return Note(level=level, message=Message(words))


def shown(events, **wanted) -> list[str]:
    """Return the words of the lines that are shown."""
    markup = log_views.log_html(log_views.log_lines(events), "en", **wanted)
    return [re.sub("<[^>]+>", "", words) for words in re.findall(r"<span>(.*?)</span></li>", markup)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_of_event_has_a_line(language):
    events = [
        StateChanged(state="preparing"),
        PhaseChanged(phase="tokenizing"),
        Chosen(name="precision", value="float32", reason=Message("choice.precision.asked")),
        Note(message=Message("log.rows", {"rows": 10, "usable": 9, "validation": 1})),
        step(1),
        Evaluated(step=1, loss=3.0),
        Best(step=1, loss=3.0),
        StyleMeasured(
            step=1,
            answers=4,
            strength=Interval(value=40, low=10, high=80),
            fit=Interval(value=0.75, low=0.25, high=1),
            perplexity_distance=Interval(value=0.5, low=0, high=1),
            fluent=True,
            sound=True,
        ),
        StyleKept(step=1, strength=40),
        Resumed(step=0),
        Changed(step=0, settings={"train.epochs": 3}),
    ]

    lines = log_views.log_lines(events)

    assert len(lines) == len(events)
    assert log_views.log_html(lines, language).count("<li") == len(events)


def test_steps_are_thinned_to_about_twenty():
    assert 20 <= len(log_views.log_lines(step(number) for number in range(1, 1001))) <= 22


def test_a_level_leaves_the_lines_that_are_worth_as_much():
    events = [note("a.note"), step(1), note("a.warning", "warning"), note("an.error", "error")]

    assert len(shown(events)) == 4
    assert shown(events, level="told") == ["a.note", "a.warning", "an.error"]
    assert shown(events, level="problems") == ["a.warning", "an.error"]


def test_every_level_has_a_sign_and_a_name_beside_its_colour():
    markup = log_views.log_html(log_views.log_lines([note("a.warning", "warning"), note("an.error", "error")]), "ko")

    for level in ("warning", "error"):
        assert f'aria-label="{text(f"ui.log.levels.{level}", "ko")}"' in markup
        assert f">{log_views.SIGNS[level]}</i>" in markup


def test_a_search_finds_words_in_any_case_and_marks_them():
    events = [note("rows.Are.here"), note("nothing"), note("no.rows")]

    assert shown(events, search="  ROWS ") == ["rows.Are.here", "no.rows"]
    markup = log_views.log_html(log_views.log_lines(events), "en", search="ARE")
    assert "rows.<mark>Are</mark>.here" in markup


@pytest.mark.parametrize("search", ["(", "[a", "\\", "<b>", "&amp;", ".*"])
def test_a_search_is_words_and_not_a_pattern(search):
    events = [note("plain"), note(f"x{search}y")]

    assert [html.unescape(words) for words in shown(events, search=search)] == [f"x{search}y"]


def test_nothing_found_says_what_to_do():
    assert text("ui.log.nothing", "en") in log_views.log_html(log_views.log_lines([note("a")]), "en", search="zzz")


def test_a_long_log_shows_the_newest_and_says_how_many_there_are():
    events = [note(f"line.{number}") for number in range(log_views.MOST_LINES + 50)]

    found = shown(events)

    assert len(found) == log_views.MOST_LINES
    assert found[-1] == f"line.{log_views.MOST_LINES + 49}"
    told = text("ui.log.shown", "en", shown=log_views.MOST_LINES, found=len(events), all=len(events))
    assert told in log_views.log_html(log_views.log_lines(events), "en")


@pytest.mark.parametrize("search", ["", "img"])
def test_what_comes_from_outside_is_escaped(search):
    log = [Note(message=Message(EVIL)), Chosen(name=EVIL, value=EVIL, reason=Message(EVIL))]

    markup = log_views.log_html(log_views.log_lines(log), "en", search=search)

    assert "<img" not in markup
    assert "&lt;" in markup
