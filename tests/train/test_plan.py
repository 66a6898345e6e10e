"""What a run will do is decided before its model is loaded, and each choice has its reason."""

import pytest

from studio.config import ModelConfig, TrainConfig
from studio.errors import RunError
from studio.model import hardware, load
from studio.train import plan, preflight


@pytest.fixture
def make(tiny_config, tiny_model):
    def made(settings=None, free=1e9, rows=24):
        config = tiny_config.with_settings(settings or {})
        return plan.make(config, load.locate(ModelConfig(id=str(tiny_model))), rows=rows, longest=100, free=free)

    return made


def choice(planned, name):
    return next(c for c in planned.choices if c.name == name)


def test_with_room_everything_stays_as_asked(make):
    planned = make({"train.batch_size": 8})
    assert planned.fits
    assert (planned.settings.batch_size, planned.settings.gradient_accumulation) == (8, 1)
    assert planned.settings.gradient_checkpointing == "off"
    assert choice(planned, "batches").reason.key == "choice.batches.as_asked"


def test_with_less_room_batches_are_split_first_and_stay_the_same_sum(make):
    smaller = make({"train.batch_size": 2}).memory.total
    planned = make({"train.batch_size": 8}, free=smaller / plan.MEMORY_SHARE * 1.0001)
    settings = planned.settings
    assert settings.batch_size in (1, 2, 4)
    assert settings.batch_size * settings.gradient_accumulation == 8
    assert settings.gradient_checkpointing == "off"
    assert choice(planned, "batches").value == f"{settings.batch_size} × {settings.gradient_accumulation}"
    assert choice(planned, "batches").reason.key == "choice.batches.split"


def test_with_almost_no_room_activations_are_computed_twice_and_the_plan_says_that_it_may_not_fit(make):
    planned = make({"train.batch_size": 6, "train.gradient_accumulation": 2}, free=1e6)
    settings = planned.settings
    assert (settings.batch_size, settings.gradient_accumulation) == (1, 12)
    assert settings.gradient_checkpointing == "on"
    assert not planned.fits
    assert any("may run out of memory" in warning.text() for warning in planned.warnings)


def test_layers_over_two_cards_are_planned_with_the_card_that_is_filled_most(make):
    weights = make().memory.weights
    planned = make(free=[1.1 * weights, 0.8 * weights])  # neither holds them and trains
    assert planned.free == 0.8 * weights
    assert make(free=[1.1 * weights, 9 * weights]).free == 9 * weights  # the second does


def test_a_resumed_run_does_as_it_did_whatever_is_free_now(tiny_config, tiny_model):
    config = tiny_config.with_settings({"train.batch_size": 8})
    before = {"batch_size": 4, "gradient_accumulation": 2, "gradient_checkpointing": "off"}
    located = load.locate(ModelConfig(id=str(tiny_model)))
    for free in (1e6, 1e12):
        planned = plan.make(config, located, rows=24, longest=100, free=free, before=before)
        assert (planned.settings.batch_size, planned.settings.gradient_accumulation) == (4, 2)
        assert planned.settings.gradient_checkpointing == "off"
        assert {c.reason.key for c in planned.choices} == {"choice.as_before"}


def test_what_the_user_has_fixed_stays(make):
    settings = {"train.batch_size": 8, "train.batch_split": "off", "train.gradient_checkpointing": "off"}
    planned = make(settings, free=1e6)
    assert planned.settings.batch_size == 8
    assert planned.settings.gradient_checkpointing == "off"


def test_the_next_smaller_settings_halve_the_micro_batch_then_save_activations_then_there_are_none():
    settings = TrainConfig(batch_size=6, gradient_accumulation=2, gradient_checkpointing="off")
    _, *smaller = plan.ever_smaller(settings)
    seen = [(s.batch_size, s.gradient_accumulation, s.gradient_checkpointing) for s in smaller]
    assert seen == [(3, 4, "off"), (1, 12, "off"), (1, 12, "on")]


@pytest.mark.parametrize(
    ("where", "wanted", "usable"),
    [
        ("cpu", "paged_adamw_8bit", "adamw_8bit"),
        ("cpu", "paged_adamw_32bit", "adamw_torch"),
        ("mps", "adamw_8bit", "adamw_torch"),
        ("mps", "paged_adamw_8bit", "adamw_torch"),
        ("cuda", "paged_adamw_8bit", "paged_adamw_8bit"),
        ("cpu", "adamw_torch", "adamw_torch"),
        ("cuda", "adamw_torch", "adamw_torch_fused"),
    ],
)
def test_an_optimizer_is_replaced_by_the_same_arithmetic_that_the_device_has(monkeypatch, where, wanted, usable):
    monkeypatch.setattr(plan, "device", lambda: where)
    settings, told = plan._with_optimizer(TrainConfig(optimizer=wanted))
    assert settings.optimizer == usable
    assert bool(told) == (usable != wanted)


def test_a_run_that_the_disk_cannot_hold_is_refused(make):
    planned = make({"train.save": "steps"})
    preflight.require_disk(planned, room=1e12)
    with pytest.raises(RunError, match=r"0\.00 GB are free"):
        preflight.require_disk(planned, room=1e4)
    assert planned.disk_bytes < make({"train.save": "steps", "train.keep_checkpoints": 9}).disk_bytes


@pytest.mark.parametrize(("rows", "batch", "times", "steps"), [(24, 4, 1, 18), (25, 4, 2, 12), (3, 4, 8, 3)])
def test_the_steps_are_those_that_the_trainer_takes(make, rows, batch, times, steps):
    settings = {"train.max_steps": None, "train.epochs": 3, "train.batch_size": batch}
    assert make({**settings, "train.gradient_accumulation": times}, rows=rows).steps == steps


def test_steps_of_a_real_run_agree_with_the_plan(tiny_config):
    from following import wait_until_over

    from studio import gpu

    settings = {"train.max_steps": None, "train.epochs": 1.5, "train.batch_size": 5, "train.gradient_accumulation": 2}
    config = tiny_config.with_settings(settings)
    found = preflight.check(config, free=hardware.free_memory())
    run = gpu.thread().start_run(config)
    wait_until_over(run)
    assert run.status().total == found.plan.steps
    assert run.resolved()["carried_out"]["batch_size"] == 5
    assert run.resolved()["trained_parameters"] == found.plan.skeleton.trained
