"""What cannot take effect in a short run is shortened with a reason, or told, however the length is given."""

import pytest
from following import wait_until_over

from studio import gpu
from studio.config import ModelConfig, TrainConfig
from studio.model import load
from studio.train import plan, preflight

LENGTHS = [
    ({"train.max_steps": None, "train.epochs": 1, "train.batch_size": 6}, 24, 4),
    ({"train.max_steps": None, "train.epochs": 0.5}, 24, 3),
    ({"train.max_steps": None, "train.epochs": 2, "train.gradient_accumulation": 8}, 24, 2),
    ({"train.max_steps": None, "train.epochs": 3}, 2, 3),
    ({"train.max_steps": None, "train.epochs": 25, "train.batch_size": 24}, 24, 25),
]


@pytest.fixture
def make(tiny_config, tiny_model):
    def made(settings, rows=24):
        config = tiny_config.with_settings(settings)
        return plan.make(config, load.locate(ModelConfig(id=str(tiny_model))), rows=rows, longest=100, free=1e9)

    return made


def keys(planned):
    return [choice.reason.key for choice in planned.choices] + [told.key for told in planned.warnings]


@pytest.mark.parametrize(("settings", "rows", "steps"), LENGTHS)
@pytest.mark.parametrize("warmup", [{"train.warmup_steps": 500}, {"train.warmup_ratio": 0.99}])
def test_a_warmup_that_never_ends_is_shortened_with_a_reason(make, settings, rows, steps, warmup):
    planned = make(settings | warmup, rows)
    assert planned.steps == steps
    assert (planned.settings.warmup_steps, planned.settings.warmup_ratio) == (steps // 10, 0.0)
    (choice,) = (choice for choice in planned.choices if choice.name == "warmup_steps")
    assert choice.reason.key == "choice.warmup.shortened"
    assert f"{steps} steps" in choice.reason.text()


def test_a_ratio_never_takes_the_only_step(make):
    planned = make({"train.max_steps": 1, "train.warmup_ratio": 0.03})  # rounded up, it would be that step, at rate 0
    assert plan.warmup_steps(planned.settings, planned.steps) == 0


@pytest.mark.parametrize(
    "settings", [{"train.warmup_steps": 5}, {"train.warmup_ratio": 0.03}, {"train.warmup_steps": 0}]
)
def test_a_warmup_that_ends_stays(make, settings):
    planned = make({"train.max_steps": 20} | settings)
    assert {f"train.{name}": getattr(planned.settings, name) for name in ("warmup_steps", "warmup_ratio")} == {
        "train.warmup_steps": 0, "train.warmup_ratio": 0.0} | settings  # fmt: skip
    assert "choice.warmup.shortened" not in keys(planned)
    assert "log.schedule.long_warmup" not in keys(planned)


def test_a_warmup_of_most_of_the_run_is_told(make):
    assert "log.schedule.long_warmup" in keys(make({"train.max_steps": 20, "train.warmup_steps": 11}))


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"train.eval_steps": 6}, "log.schedule.one_evaluation"),
        ({"train.eval_steps": 600, "train.keep": "best"}, "log.schedule.one_evaluation_best"),
        ({"train.eval_steps": 6, "train.early_stopping": 1}, "log.schedule.one_evaluation_best"),
        ({"train.eval_steps": 2, "train.early_stopping": 2}, "log.schedule.no_early_stop"),
        ({"train.save": "steps", "train.save_steps": 6}, "log.schedule.no_checkpoint"),
        ({"train.logging_steps": 7}, "choice.logging.shortened"),
    ],
)
def test_what_has_no_effect_in_six_steps_is_told(make, settings, key):
    planned = make({"data.validation.kind": "fraction", "train.max_steps": 6, "train.eval_steps": 1} | settings)
    assert [found for found in keys(planned) if found.startswith(("log.", "choice.logging"))] == [key]


@pytest.mark.parametrize(
    "settings",
    [
        {"train.eval_steps": 5},
        {"train.eval_steps": 1, "train.early_stopping": 4},
        {"train.save": "steps", "train.save_steps": 5},
        {"train.save": "epoch", "train.save_steps": 500},
        {"train.logging_steps": 6},
        {"data.validation.kind": "none", "train.eval_steps": 600},
    ],
)
def test_what_has_an_effect_is_not_told(make, settings):
    planned = make({"data.validation.kind": "fraction", "train.max_steps": 6, "train.eval_steps": 1} | settings)
    assert planned.warnings == ()


def test_several_processes_make_no_other_number_of_steps(make, monkeypatch):
    monkeypatch.setattr("studio.model.processes.world_size", lambda: 4)
    planned = make({"train.max_steps": None, "train.epochs": 1, "train.batch_size": 8, "train.warmup_steps": 3})
    assert (planned.steps, planned.settings.warmup_steps) == (3, 0)


def test_the_check_says_it_and_the_run_does_it(tiny_config):
    settings = {
        "train.max_steps": None,
        "train.epochs": 1,
        "train.warmup_steps": 500,
        "train.schedule": "constant_with_warmup",
    }
    config = tiny_config.with_settings(settings)
    found = preflight.check(config, 8e9)
    assert found.blocks == ()
    assert "choice.warmup.shortened" in [choice.reason.key for choice in found.choices]
    run = gpu.thread().start_run(config)
    wait_until_over(run)
    events = run.events()[0]
    assert "choice.warmup.shortened" in [event.reason.key for event in events if event.type == "chosen"]
    assert {event.learning_rate for event in events if event.type == "step"} == {config.train.learning_rate}
    assert run.resolved()["carried_out"]["warmup_steps"] == 0


def test_a_run_that_is_made_longer_has_the_warmup_that_fits_then(tiny_config):
    settings = {
        "train.max_steps": None,
        "train.epochs": 0.5,
        "train.warmup_steps": 4,
        "train.schedule": "constant_with_warmup",
    }
    run = gpu.thread().start_run(tiny_config.with_settings(settings))
    wait_until_over(run)
    assert run.resolved()["carried_out"]["warmup_steps"] == 0
    gpu.thread().resume_run(run.id, {"train.epochs": 1.0})
    wait_until_over(run)
    assert run.status().step == 6
    assert run.resolved()["carried_out"]["warmup_steps"] == 4


def test_steps_of_a_warmup_are_counted_as_transformers_does():
    from transformers import TrainingArguments

    for ratio in (0.0, 0.01, 0.3, 0.99):
        for steps in (1, 2, 9, 100):
            arguments = TrainingArguments(warmup_steps=ratio)
            assert plan.warmup_steps(TrainConfig(warmup_ratio=ratio), steps) == arguments.get_warmup_steps(steps)
