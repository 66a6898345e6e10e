"""What the page shows of the meter's report."""

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest

from studio.compare.columns import ADAPTED, BASE, Column
from studio.data.conversation import Turn
from studio.events import Interval, Resumed, Step, StyleKept, StyleMeasured
from studio.i18n import message
from studio.runs import Run
from studio.runs.curve import Curve
from studio.style import bootstrap, measurement, prompted_store
from studio.style.report import Anchors, AnswerScores, CurvePoint, StyleReport, column_report
from studio.style.request import StyleProgress
from studio.style.strength import StyleWord
from studio.style.verdict import Verdict
from studio.train.diagnosis import Diagnosis
from studio.ui import reading_views, style_views

N = 40
SCORES = AnswerScores(
    (4.6,) * N, (True,) * 37 + (False,) * 3, (3.0,) * N, (0.0,) * N, (True,) * N, (3,) * N, (False,) * N
)
ANCHORS = Anchors((-5.0,) * N, (5.0,) * N, (3.0,) * N, bootstrap.draws(N))
RIVAL = Column("base", system="Talk <like> a sailor.", shots=(Turn("user", "Who?"), Turn("assistant", "Me, matey.")))


def point(factor, style, fluent=True):
    return CurvePoint(
        factor, Interval(style, style - 8, style + 8), Interval(0.7, 0.6, 0.8), Interval(0, 0, 0), fluent, 0, 0
    )


@pytest.fixture
def report():
    base = column_report(replace(SCORES, style=(-5.0,) * N), ANCHORS, column=BASE)
    rival = column_report(SCORES, ANCHORS, column=RIVAL, prompt_tokens=812)
    adapter = column_report(SCORES, ANCHORS, column=replace(ADAPTED, strength=0.5))
    reason = message("style.verdict.prompt", style="+0", fit="+0")
    return StyleReport(
        "run", "id", ("?",) * N, "sha", columns=(base, rival, adapter), candidates=8, separable=True,
        author_words=(StyleWord("<matey>", "mat", 1.0),), base_words=(StyleWord("certainly", "ert", -1.0),),
        verdict=Verdict("prompt", Interval(0, -5, 5), Interval(0, -1, 1), None, reason),
        curve=measurement.recommend_strength(
            [point(0, 0), point(0.5, 96), point(1, 130, fluent=False)], wanted_fit=0.6),
    )  # fmt: skip


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_report_has_its_headline_verdict_columns_words_and_curve(report, language):
    shown = style_views.report(report, language)

    for part in ("[96–96]", "96 %", "812", "&lt;matey&gt;", "certainly", "<polyline", "✕"):
        assert part in shown, part
    assert "<matey>" not in shown
    assert "<like>" not in shown
    assert shown.index('class="headline"') < shown.index("<table")
    assert "50" in style_views.use(report, language)


def test_the_columns_say_at_which_strength_they_were_measured(report):
    assert "at 50 %" in style_views.report(report, "en")


def test_the_prompt_that_does_as_well_is_there_to_be_copied(report):
    assert prompted_store.to_text(RIVAL) == "Talk <like> a sailor.\n\nuser: Who?\n\nassistant: Me, matey."
    adapter_wins = replace(report, verdict=replace(report.verdict, winner="adapter"))
    assert "style-prompt" in style_views.report(report, "en")
    assert "style-prompt" not in style_views.report(adapter_wins, "en")


def test_too_little_text_is_all_that_is_said(report):
    short = StyleReport(
        "run", "id", (), "sha", too_little=message("style.too_little.prompts", prompts=3, needed=20, more=17)
    )

    shown = style_views.report(short, "en")

    assert "Too little text" in shown
    assert "<table" not in shown
    assert style_views.use(short, "en") == ""


def test_without_a_report_it_says_what_will_be_here_and_progress_has_its_figures():
    assert "Measure the style" in style_views.report(None, "en")
    assert "3 of 12 answers" in style_views.progress(StyleProgress(3, 12), "en")
    assert "moving" in style_views.progress(StyleProgress(0, 0), "en")


def test_words_that_carry_a_style_are_underlined_and_say_whose(report):
    words = (StyleWord("ye", " ye ", 3.0), StyleWord("matey", "atey", 2.0)), (StyleWord("you", "you", -2.5),)
    found = replace(report, author_words=words[0], base_words=words[1])
    shown = style_views.underlined("Aye, ye <mateys> say\nyou, ye ", found, "en")
    assert shown.count("<mark") == 4
    assert "Aye, <mark" in shown
    assert "&lt;mateys&gt;</mark> say\n<mark" in shown
    assert 'class="carries base"' in shown
    assert "“ ye ” (+3.0)" in shown
    assert re.sub("<[^>]*>", "", shown) == html.escape("Aye, ye <mateys> say\nyou, ye ")
    assert style_views.underlined("ye <b>", None, "en") == "ye &lt;b&gt;"
    assert style_views.underlined("", found, "en") == ""


def test_the_data_say_what_their_style_is_by_the_meter_of_a_run(report):
    run = Run(Path("20261129-054436-quickstart-e781"))
    found = replace(report, author_words=(StyleWord("<ye>", " ye ", 3.0),))
    assert "&lt;ye&gt;" in style_views.words_of_data((run, found), "en")
    assert style_views.words_of_data(None, "en") == ""


# The points of a run


def measured(step, style, fluent=True):
    return StyleMeasured(
        step=step,
        answers=4,
        strength=Interval(value=style, low=style - 20, high=style + 20),
        fit=Interval(value=0.75, low=0.25, high=1),
        perplexity_distance=Interval(value=0, low=-1, high=1),
        fluent=fluent,
        sound=fluent,
    )


def test_the_points_of_a_run_are_drawn_with_the_step_that_is_kept():
    assert style_views.points([measured(0, 0)], None, "en") == ""
    shown = style_views.points([measured(0, 0), measured(10, 60), measured(20, 90, fluent=False)], 10, "en")
    assert shown.count("<circle") == 2
    assert shown.count("✕</text>") == 1
    assert 'class="band"' in shown
    assert 'class="chosen"' in shown
    assert ">10</text>" in shown
    assert 'class="chosen"' not in style_views.points([measured(0, 0), measured(10, 60)], 5, "en")


def test_the_curve_holds_the_points_and_a_resume_drops_the_later_ones():
    steps = [Step(step=n, total=20, epoch=1, loss=1.0, learning_rate=1e-3, tokens=n) for n in range(1, 13)]
    points = [measured(0, 0), measured(5, 30), measured(10, 60)]
    whole = Curve().after([*steps, *points, StyleKept(step=10, strength=60)])
    assert [point.step for point in whole.styles] == [0, 5, 10]
    assert whole.best_step == 10
    resumed = whole.after([Resumed(step=6), measured(10, 61)])
    assert [(point.step, point.strength.value) for point in resumed.styles] == [(0, 0), (5, 30), (10, 61)]
    assert resumed.updates > whole.updates
    shown = reading_views.reading_html(whole, Diagnosis(), "en")
    assert "Style at step 10: 60 % of the author" in shown
    assert "3 of 4 answers fit their question, fluent." in shown
