"""What the page shows of a curve's reading."""

import re

import pytest

from studio.i18n import LANGUAGES, Message, text
from studio.runs import State, Status
from studio.runs.curve import Curve
from studio.train.diagnosis import SEVERITY_MARKS, Diagnosis, diagnose
from studio.train.diagnosis_rules import Finding
from studio.ui import reading_views
from tests.train.curves.made import events, falling

EVIL = '<img src=x onerror="alert(1)">'


def shown(curve: Curve, language: str, state: State = State.TRAINING) -> str:
    reading = diagnose(curve, Status(state=state, created=0.0, heartbeat=0.0))
    return reading_views.reading_html(curve, reading, language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_before_the_first_loss_it_says_what_will_be_here(language):
    assert text("ui.loss.none", language) in shown(Curve(), language)


def test_it_begins_with_where_the_run_is():
    made = shown(Curve().after(events(falling(40), total=56, validation=[2.5])), "en")

    assert "Step 40 of 56: loss 2.00. On validation rows: 2.50 at step 40. Fast fall" in made.replace("1.99", "2.00")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("severity", SEVERITY_MARKS)
def test_a_finding_has_a_sign_a_name_of_its_severity_and_what_to_try(severity, language):
    finding = Finding("good", severity, Message("diagnosis.spikes.try"), Message("diagnosis.too_early.try"), {})
    made = reading_views.reading_html(Curve().after(events(falling(20))), Diagnosis(findings=(finding,)), language)

    assert f'aria-label="{text(f"ui.reading.{severity}", language)}">{SEVERITY_MARKS[severity]}<' in made
    assert re.search(f"<strong>{re.escape(text('diagnosis.spikes.try', language))}</strong> <span>", made)
    assert text("diagnosis.too_early.try", language) in made


def test_what_comes_from_outside_is_escaped():
    finding = Finding("x", "note", Message(EVIL), Message(EVIL), {})
    made = reading_views.reading_html(Curve().after(events(falling(20))), Diagnosis(findings=(finding,)), "en")

    assert "<img" not in made


def test_a_live_run_and_a_finished_one_are_told_apart():
    curve = Curve().after(events(falling(100)))

    assert shown(curve, "en") != shown(curve, "en", State.FINISHED)
