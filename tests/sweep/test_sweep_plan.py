"""Settings are read as lists or ranges, combinations that cannot be are named, and the time is foretold."""

import pytest

from studio.config import RunConfig
from studio.errors import ConfigError
from studio.sweep import axes, forecast, plan
from studio.sweep.axes import Axis
from studio.sweep.trial import Trial

VALIDATED = RunConfig().with_settings({"data.validation.kind": "fraction"})


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("train.learning_rate=1e-4,3e-4, 1e-3", (1e-4, 3e-4, 1e-3)),
        ("lora.r=8,16", (8, 16)),
        ("train.schedule=linear, cosine", ("linear", "cosine")),
        ("lora.rslora=true,false", ("true", "false")),
        ("train.max_steps=20,null", (20, None)),
        ("lora.target_modules=all-linear,[q_proj, v_proj]", ("all-linear", ("q_proj", "v_proj"))),
        ('data.prompt.system="Be brief, please.",Be kind.', ("Be brief, please.", "Be kind.")),
    ],
)
def test_a_list_is_read_by_the_type_of_its_setting(written, values):
    axis = axes.parse(written)

    assert axis.values == values
    assert not axis.is_range
    assert len(plan.make(VALIDATED, [axis]).grid()) == len(values)


@pytest.mark.parametrize(
    ("written", "axis"),
    [
        ("train.learning_rate=1e-5..1e-3:log", {"low": 1e-5, "high": 1e-3, "log": True}),
        ("lora.r=4..64:step4", {"low": 4, "high": 64, "step": 4, "whole": True}),
        ("lora.r=4..65:step4", {"low": 4, "high": 64, "step": 4, "whole": True}),
        ("lora.dropout=0..0.3:step0.1", {"low": 0, "high": 0.3, "step": 0.1}),
        ("train.weight_decay=0..0.1", {"low": 0, "high": 0.1}),
    ],
)
def test_a_range_is_read_with_its_scale_and_step(written, axis):
    assert axes.parse(written) == Axis(path=written.split("=")[0], **axis)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("lora.r", "sweep.over"),
        ("lora.r=", "sweep.over"),
        ("lora.rank=4,8", "config.unknown"),
        ("lora=4,8", "config.unknown"),
        ("name=a,b", "config.unknown"),
        ("lora.r=8", "sweep.one_value"),
        ("lora.r=8,16,8", "sweep.twice"),
        ("train.learning_rate=1e-4,0.0001", "sweep.twice"),
        ("lora.r=64..4", "sweep.range.order"),
        ("lora.dropout=0..0.3:log", "sweep.range.log"),
        ("lora.r=4..64:step100", "sweep.range.step"),
        ("lora.r=4..6.5", "sweep.range.whole"),
        ("lora.target_modules=[a,b", "config.list"),
    ],
)
def test_what_is_no_axis_is_refused_with_its_reason(written, key):
    with pytest.raises(ConfigError) as refused:
        axes.parse(written)
    assert refused.value.key == key


def test_every_combination_that_cannot_be_is_named_before_anything_starts():
    over = [axes.parse("lora.init=default,orthogonal"), axes.parse("lora.r=7,8,9")]
    with pytest.raises(ConfigError) as refused:
        plan.make(VALIDATED, over)
    assert [problem.text() for problem in refused.value.problems] == [
        "lora.init=orthogonal lora.r=7: Orthogonal initialization needs an even rank",
        "lora.init=orthogonal lora.r=9: Orthogonal initialization needs an even rank",
    ]
    assert "2 combinations of 6" in refused.value.text()


def test_a_value_out_of_its_bounds_is_named_also_at_the_end_of_a_range():
    with pytest.raises(ConfigError, match=r"lora\.r=1000: lora\.r may be a whole number from 1 to 512"):
        plan.make(VALIDATED, [axes.parse("lora.r=4..1000:log")])


def test_runs_are_compared_by_what_they_have():
    over = [axes.parse("lora.r=4,8")]
    assert plan.make(VALIDATED, over).by == "loss"
    by_style = plan.make(RunConfig(), over)
    assert by_style.by == "style"
    assert by_style.config({"lora.r": 4}).samples.meter == "on"
    with pytest.raises(ConfigError, match="no validation loss"):
        plan.make(RunConfig(), over, by="loss")
    with pytest.raises(ConfigError, match="no style"):
        plan.make(VALIDATED.with_settings({"samples.mode": "off"}), over, by="style")


def test_a_setting_is_varied_once_and_the_combinations_have_a_bound():
    with pytest.raises(ConfigError, match="varied twice"):
        plan.make(VALIDATED, [axes.parse("lora.r=4,8"), axes.parse("lora.r=16,32")])
    numbers = ",".join(map(str, range(1, 41)))
    with pytest.raises(ConfigError, match="1600 combinations"):
        plan.make(VALIDATED, [axes.parse(f"lora.r={numbers}"), axes.parse(f"lora.alpha={numbers}")])


def test_fewer_runs_than_combinations_are_the_same_ones_every_time():
    over = [axes.parse("lora.r=2,4,8"), axes.parse("lora.alpha=8,16,32")]
    few = plan.make(VALIDATED, over, trials=4, seed=3)

    assert few.count == len(few.grid()) == 4
    assert few.grid() == plan.make(VALIDATED, over, trials=4, seed=3).grid()
    assert few.grid() != plan.make(VALIDATED, over, trials=4, seed=4).grid()


def test_a_plan_survives_its_file():
    made = plan.make(VALIDATED, [axes.parse("lora.target_modules=all-linear,[q_proj]"), axes.parse("lora.r=4..8")])
    again = plan.SweepPlan.model_validate_json(made.model_dump_json())

    assert again.config(axes.product(again.over)[0]) == made.config(axes.product(made.over)[0])
    assert again.count == plan.DEFAULT_TRIALS


def test_the_time_is_foretold_from_one_check_of_each_kind_of_run(tiny_config, monkeypatch):
    base = tiny_config.with_settings({"data.validation.kind": "fraction"})
    over = [axes.parse("train.learning_rate=1e-4,1e-3,1e-2"), axes.parse("train.max_steps=10,30")]
    checked = []
    real = forecast.preflight.check
    monkeypatch.setattr(
        forecast.preflight, "check", lambda config, *more: checked.append(config) or real(config, *more)
    )

    expected = forecast.forecast(plan.make(base, over), 8e9)

    assert [config.train.max_steps for config in checked] == [10, 30]
    assert (expected.runs, expected.blocks) == (6, ())
    assert expected.seconds > 0
    assert expected.measured(2 * expected.first_seconds).seconds == pytest.approx(2 * expected.seconds)


def test_what_stands_in_the_way_of_a_run_is_foretold_with_its_settings(tiny_config):
    base = tiny_config.with_settings({"data.validation.kind": "fraction"})
    over = [axes.parse("lora.target_modules=all-linear,[no_such_module]")]

    expected = forecast.forecast(plan.make(base, over), 8e9)

    assert [block.text().startswith("lora.target_modules=[no_such_module]") for block in expected.blocks] == [True]


def test_the_time_left_follows_the_runs_that_have_ended():
    made = plan.make(VALIDATED, [axes.parse("lora.r=2,4,8,16")])
    ended = [Trial(number=n, settings={}, run="", state="finished", seconds=60.0 + n) for n in range(2)]
    going = Trial(number=2, settings={}, run="", seconds=5.0)

    assert forecast.seconds_left(made, []) is None
    assert forecast.seconds_left(made, [*ended, going]) == pytest.approx(2 * 60.5)
