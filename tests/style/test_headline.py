"""The report in one sentence, in both languages."""

from dataclasses import replace

import pytest
from pydantic import TypeAdapter

from studio.compare.columns import ADAPTED, BASE
from studio.events import Interval
from studio.files import to_json
from studio.i18n import text
from studio.style import bootstrap
from studio.style.drift import Drift, OrdinaryScores, drift
from studio.style.headline import column_headline, headline, too_few_prompts, too_little
from studio.style.report import Anchors, AnswerScores, StyleReport, column_report

N = 40
SCORES = AnswerScores(
    style=(4.6,) * N,
    fits=(True,) * 37 + (False,) * 3,
    log_perplexity=(3.0,) * N,
    repeated=(0.0,) * N,
    ended=(True,) * N,
    longest_run=(3,) * N,
    copied=(False,) * N,
)
ANCHORS = Anchors((-5.0,) * N, (5.0,) * N, (3.0,) * N, bootstrap.draws(N))
STILL = drift(OrdinaryScores((0.01,) * 24, (2.0,) * 24), OrdinaryScores((0.0,) * 24, (2.0,) * 24), bootstrap.draws(24))
COLUMN = column_report(SCORES, ANCHORS, column=ADAPTED, drift=STILL)


def report(column=COLUMN, **changes):
    base = column_report(replace(SCORES, style=(-5.0,) * N), ANCHORS, column=BASE)
    return replace(StyleReport("run", "id", ("?",) * N, "sha", columns=(base, column), separable=True), **changes)


def test_the_headline_says_all_five_things():
    assert headline(report()).text("en") == (
        "96 % of the way to the author's style [96–96]; 37 of 40 answers fit their question; fluent; nothing copied; "
        "ordinary answers unchanged."
    )
    korean = headline(report()).text("ko")
    assert "작성자 말투까지 96 % [96–96]" in korean
    assert "답변 40개 중 37개가 질문에 맞음" in korean


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"strength": Interval(122, 118, 127)}, "Exaggerates: 122 % of the author's style [118–127]"),
        ({"strength": Interval(102, 98, 106)}, "102 % of the way"),
        ({"strength": Interval(4, -3, 11)}, "No style to be seen"),
        ({"fluent": False}, "not fluent"),
        ({"scores": replace(SCORES, copied=(True,) * 5 + (False,) * 35)}, "5 of 40 answers copy six words in a row"),
        ({"drift": None}, "ordinary answers not measured"),
        ({"drift": Drift(Interval(1, 1, 1), 2.0, Interval(0.5, 0.2, 0.8))}, "ordinary answers worse"),
        ({"drift": Drift(Interval(1, 1, 1), 2.0, Interval(0.5, -0.2, 0.8))}, "ordinary answers changed"),
    ],
)
def test_it_says_what_is_wrong(changed, words):
    assert words in column_headline(replace(COLUMN, **changed)).text("en")


def test_without_figures_it_says_why():
    assert (
        headline(report(too_little=too_little(120, 0)))
        .text()
        .startswith("Too little text: the author's answers lack 120")
    )
    assert "14 more" in too_few_prompts(6).text()
    assert "cannot be told apart" in headline(report(separable=False, accuracy=0.52)).text()
    assert headline(report(columns=())).text() == text("style.headline.no_adapter")


def test_a_report_is_the_same_when_it_was_written_and_read():
    made = report(notes=[too_few_prompts(3)])
    assert to_json(TypeAdapter(StyleReport).validate_json(to_json(made))) == to_json(made)
    endless = replace(COLUMN, strength=Interval(50, float("-inf"), float("inf")))
    assert TypeAdapter(StyleReport).validate_json(to_json(report(endless))).columns[1].strength == endless.strength


def test_too_little_text_names_only_what_is_lacking():
    assert "lack 80 words and 3 answers" in too_little(80, 3).text()
    assert "lack 80 words. 500" in too_little(80, 0).text()
    assert "1 more answer of the author" in too_little(0, 1).text()
    assert "답변이 3개 모자라요" in too_little(0, 3).text("ko")
    assert "단어 8개만큼 모자라요" in too_little(8, 0).text("ko")
