"""float16 on the processor, with the casts and the gradient scaler that a card has: overflow, counts, and resuming."""

import pytest
import torch
from following import losses, wait_until_over
from safetensors.torch import load_file

from studio import gpu
from studio.runs import State, checkpoints
from studio.train import trainer
from studio.train.packed_trainer import PackedTrainer
from studio.train.run_trainer import MAX_SKIPPED_STEPS


@pytest.fixture
def half(tiny_config):
    return tiny_config.with_settings({"model.precision": "float16", "samples.mode": "off", "train.logging_steps": 1})


@pytest.fixture
def scale(monkeypatch):
    """Let the scaler begin with a scale; 2 ** 40 overflows in the first steps."""

    def begin_with(initial, growth=2000):
        def prepare(accelerator):
            accelerator.native_amp = True
            accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=initial, growth_interval=growth)

        monkeypatch.setattr(trainer, "_scale_gradients_on_processor", prepare)

    return begin_with


def weights(run):
    return load_file(run.adapter / "adapter_model.safetensors")


def notes(run, key):
    return [event for event in run.events()[0] if event.type == "note" and event.message.key == key]


def test_the_scale_and_the_casts_are_those_of_a_card(half, monkeypatch):
    seen = []
    real = PackedTrainer.training_step

    def step(self, *args, **kwargs):
        loss = real(self, *args, **kwargs)
        seen.append((self.accelerator.scaler.get_scale(), self.accelerator.native_amp))
        return loss

    monkeypatch.setattr(PackedTrainer, "training_step", step)
    run = gpu.thread().start_run(half)
    assert wait_until_over(run) is State.FINISHED, run.log.read_text(encoding="utf-8")[-2000:]
    assert seen[0] == (65536.0, True)
    assert all(part.dtype is torch.float32 for part in weights(run).values())


def test_steps_that_overflow_are_skipped_counted_and_told_from_the_first_one_on(half, scale):
    scale(2.0**30)
    run = gpu.thread().start_run(half.with_settings({"train.max_steps": 20}))
    assert wait_until_over(run) is State.FINISHED, run.log.read_text(encoding="utf-8")[-2000:]
    skipped = notes(run, "log.skipped_step")
    assert [note.message.values["step"] for note in skipped[:5]] == [1, 2, 3, 4, 5]
    assert [note.message.values["count"] for note in skipped] == list(range(1, len(skipped) + 1))
    [total] = notes(run, "log.skipped_steps")
    assert (total.message.values["count"], total.message.values["total"]) == (len(skipped), 20)
    assert losses(run)[-1] < losses(run)[0]


def test_an_overflow_in_mid_run_changes_no_weight_and_does_not_end_the_run(half, scale):
    scale(2.0**16, growth=1)  # it doubles after every step, until it is too much
    run = gpu.thread().start_run(half.with_settings({"train.max_steps": 60, "train.learning_rate": 1e-3}))
    assert wait_until_over(run) is State.FINISHED, run.log.read_text(encoding="utf-8")[-2000:]
    skipped = [note.message.values["step"] for note in notes(run, "log.skipped_step")]
    assert skipped[0] > 3
    assert len(skipped) > MAX_SKIPPED_STEPS  # in all, not in a row
    assert all(torch.isfinite(part).all() for part in weights(run).values())


def test_a_run_that_never_fits_into_float16_ends_and_names_float32(half, monkeypatch):
    real = torch.amp.GradScaler.unscale_

    def unscale(self, optimizer):
        optimizer.param_groups[0]["params"][0].grad.fill_(float("inf"))
        return real(self, optimizer)

    monkeypatch.setattr(torch.amp.GradScaler, "unscale_", unscale)
    run = gpu.thread().start_run(half.with_settings({"train.max_steps": 100}))
    assert wait_until_over(run) is State.FAILED
    error = run.status().error
    assert error.key == "errors.run.not_finite_float16"
    assert error.values["skipped"] == MAX_SKIPPED_STEPS + 1
    assert "float32" in error.text()


def test_a_loss_that_is_no_number_ends_the_run_at_once_also_after_a_skipped_step(half, scale, monkeypatch):
    scale(2.0**40)
    real = PackedTrainer.training_step

    def step(self, *args, **kwargs):
        loss = real(self, *args, **kwargs)
        return loss * float("nan") if self.state.global_step == 2 else loss

    monkeypatch.setattr(PackedTrainer, "training_step", step)
    run = gpu.thread().start_run(half)
    assert wait_until_over(run) is State.FAILED
    assert run.status().error.values["step"] == 3


@pytest.mark.long
@pytest.mark.parametrize("at", [2, 9], ids=["amid skipped steps", "after them"])
def test_a_resumed_run_goes_on_with_its_scale_and_is_bit_equal(half, scale, at, monkeypatch):
    scale(2.0**24, growth=4)
    config = half.with_settings({"train.max_steps": 14, "train.learning_rate": 1e-3})
    whole = gpu.thread().start_run(config)
    assert wait_until_over(whole) is State.FINISHED, whole.log.read_text(encoding="utf-8")[-2000:]
    skipped = [note.message.values["step"] for note in notes(whole, "log.skipped_step")]
    assert skipped[:2] == [1, 2]
    real = PackedTrainer.training_step

    def step(self, *args, **kwargs):
        if self.state.global_step == at:
            self._run.request("pause")
        return real(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(PackedTrainer, "training_step", step)
        cut = gpu.thread().start_run(config)
        assert wait_until_over(cut) is State.PAUSED
    paused_at = checkpoints.step_of(checkpoints.newest_complete(cut.path))
    assert (checkpoints.newest_complete(cut.path) / "scaler.pt").exists()
    gpu.thread().resume_run(cut.id)
    assert wait_until_over(cut) is State.FINISHED, cut.log.read_text(encoding="utf-8")[-2000:]
    assert paused_at in (at, at + 1)
    assert losses(cut) == losses(whole)
    assert all(torch.equal(part, weights(whole)[name]) for name, part in weights(cut).items())
