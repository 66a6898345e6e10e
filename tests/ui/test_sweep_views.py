"""A sweep in words, as a table and as a picture; and what the form of one says."""

import pytest

from studio.config import RunConfig
from studio.errors import ConfigError
from studio.i18n import LANGUAGES, message, text
from studio.sweep import axes, plan
from studio.sweep.forecast import Forecast
from studio.sweep.trial import Trial
from studio.ui import sweep_views
from studio.ui.tabs import sweep_form

BASE = RunConfig().with_settings({"data.validation.kind": "fraction"})
PLAN = plan.make(BASE, [axes.parse("lora.r=2,4"), axes.parse("train.schedule=linear,cosine")])
FIELDS = ("finished", 2.0), ("pruned", 2.5), ("finished", 1.5), ("failed", None)
TRIALS = [
    Trial(number=n, settings=settings, run=f"run-{n}", state=state, score=score, seconds=90.0)
    for n, (settings, (state, score)) in enumerate(zip(PLAN.grid(), FIELDS, strict=True))
]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sentence_says_how_far_it_is_and_which_run_is_the_best(language):
    said = sweep_views.sentence(PLAN, TRIALS, "finished", language)

    assert text("ui.sweep.now.finished", language, done=4, count=4) in said
    assert text("ui.sweep.named.loss", language, value="1.500") in said
    assert text("ui.sweep.counted", language, count=2, state=text("ui.sweep.trial.finished", language)) in said


def test_the_sentence_tells_the_time_left_and_why_a_sweep_failed():
    assert "About 3 min left" in sweep_views.sentence(PLAN, TRIALS[:2], "running", "en")
    problem = message("errors.device.restart")
    assert problem.text().splitlines()[0] in sweep_views.sentence(PLAN, TRIALS[:2], "failed", "en", problem)
    assert "Stopped after 0 of 4 runs" in sweep_views.sentence(PLAN, [], "stopped", "en")


def test_the_table_has_the_best_first_and_opens_the_runs_that_are_there():
    table = sweep_views.table(PLAN, TRIALS, {"run-0": None, "run-2": None}, "en")
    rows = table.split("<tr")[2:]

    assert ["★ 3" in rows[0], 'data-run="run-2"' in rows[0], "1.500" in rows[0]] == [True] * 3
    assert ["cosine" in row for row in rows] == [False, False, True, True]
    assert 'data-run="run-1"' not in table
    assert ["–" in rows[3], "Failed" in rows[3]] == [True] * 2
    assert sweep_views.table(PLAN, [], {}, "en") == ""


def test_values_are_plain_text_in_table_and_picture():
    hostile = plan.make(BASE, [axes.parse('data.prompt.system="<b>x</b>","<i>y</i>"')])
    trials = [
        Trial(number=n, settings=settings, run=f"run-{n}", state="finished", score=1.0 + n)
        for n, settings in enumerate(hostile.grid())
    ]
    both = sweep_views.table(hostile, trials, {}, "en") + sweep_views.drawing(hostile, trials, "en")

    assert "&lt;b&gt;x&lt;/b&gt;" in both
    assert "<b>x" not in both


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_picture_has_its_words_and_comes_with_the_second_result(language):
    drawn = sweep_views.drawing(PLAN, TRIALS, language)
    assert drawn.count("<polyline") == 3
    assert drawn.count(text("ui.sweep.score.loss", language)) >= 2
    assert "<svg" not in sweep_views.drawing(PLAN, TRIALS[2:], language)


def test_a_style_is_shown_as_a_share_of_the_authors():
    by_style = plan.make(RunConfig(), [axes.parse("lora.r=2,4")])
    trial = Trial(number=0, settings={"lora.r": 2}, run="run-0", state="finished", score=8.0, strength=92.0)
    assert "style 92 % of the author&#x27;s" in sweep_views.sentence(by_style, [trial], "finished", "en")
    unsound = trial.model_copy(update={"score": 1008.0})
    assert "not sound" in sweep_views.table(by_style, [unsound], {}, "en")
    assert "best" not in sweep_views.sentence(by_style, [unsound], "finished", "en")


def test_what_a_sweep_will_take_is_said_or_what_stands_in_its_way():
    assert "6 runs, about 2 min" in sweep_views.foretold(Forecast(6, 120.0), "en")
    assert "cannot be estimated" in sweep_views.foretold(Forecast(6, None), "en")
    blocked = sweep_views.foretold(
        Forecast(6, None, (message("cli.sweep.conflict", settings="a=<1>", reason="no"),)), "en"
    )
    assert "a=&lt;1&gt;: no" in blocked
    many = [message("cli.sweep.conflict", settings=str(n), reason="no") for n in range(20)]
    assert "And 8 more." in sweep_views.problems(many, "en")


def test_the_form_offers_settings_to_vary_and_refuses_others():
    offered = {path for _, path in sweep_views.offered("en")}
    assert {"train.learning_rate", "lora.r", "lora.target_modules", "data.max_length"} <= offered
    assert not {"name", "model.id", "data.source.name", "train.trackers"} & offered

    given = ("lora.r", "model.id", "train.schedule", "2, 4", "a, b", "", "loss", "none", "")
    read = sweep_form.read(BASE, given)
    assert [axis.path for axis in read.over] == ["lora.r"]  # the model is not offered, the schedule has no values
    assert (read.by, read.prune, read.count) == ("loss", "none", 2)
    with pytest.raises(ConfigError, match="nothing to vary"):
        sweep_form.read(BASE, ("lora.r", None, None, " ", "", "", "", "median", "3"))


@pytest.mark.parametrize("written", ["0", "-1", "many", "1001", "2.5"])
def test_a_number_of_runs_that_is_none_is_refused(written):
    with pytest.raises(ConfigError) as refused:
        sweep_form.read(BASE, ("lora.r", None, None, "2, 4", "", "", "", "median", written))
    assert refused.value.key == "sweep.trials"
