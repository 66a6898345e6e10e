"""Events are lines of JSON that come back as they were."""

import pytest

from studio.events import (
    Chosen,
    Evaluated,
    Interval,
    Note,
    PhaseChanged,
    StateChanged,
    Step,
    StyleKept,
    StyleMeasured,
    from_line,
    to_line,
)
from studio.i18n import message

EVENTS = [
    StateChanged(state="training"),
    PhaseChanged(phase="loading"),
    Chosen(name="precision", value="float32", reason=message("choice.precision.cpu_float32")),
    Note(level="warning", message=message("problems.duplicate", count=2, rows="3, 4")),
    Step(step=1, total=2, epoch=0.5, loss=1.5, learning_rate=1e-4, grad_norm=None, tokens=10),
    Evaluated(step=1, loss=2.0),
    StyleMeasured(
        step=1,
        answers=4,
        strength=Interval(value=40.5, low=-10, high=80),
        fit=Interval(value=0.75, low=0.25, high=1),
        perplexity_distance=Interval(value=-0.5, low=-1, high=0),
        fluent=True,
        sound=False,
    ),
    StyleKept(step=1, strength=40.5),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_an_event_comes_back_as_it_was(event):
    line = to_line(event)
    assert line.count("\n") == 1
    assert from_line(line) == event


@pytest.mark.parametrize("line", ["", "{", '{"type": "of a later version"}', "[]", '{"type": "step"}'])
def test_a_line_that_is_no_event_is_none(line):
    assert from_line(line) is None
