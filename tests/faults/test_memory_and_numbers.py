"""Out of memory in the middle of training, and numbers that are none."""

import gc
import weakref

import pytest
import torch
from following import losses, wait_until_over
from peft import PeftModel
from transformers import PreTrainedModel
from trl import SFTTrainer

from studio import gpu
from studio.job import Job
from studio.model.hardware import collect_garbage
from studio.runs import State, checkpoints
from studio.train.packed_trainer import PackedTrainer
from tests.faults.conftest import weights


@pytest.mark.parametrize("happens_in", ["training_step", "prediction_step"])
def test_out_of_memory_frees_the_model_and_the_next_run_starts(config, undisturbed, monkeypatch, happens_in):
    real = getattr(PackedTrainer, happens_in)
    seen: list[weakref.ref] = []

    def step(self, model, *args, **kwargs):
        if self.state.global_step == 3:
            seen.append(weakref.ref(model))
            seen.extend(weakref.ref(part) for part in model.modules() if isinstance(part, PreTrainedModel))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(self, model, *args, **kwargs)

    monkeypatch.setattr(PackedTrainer, happens_in, step)
    run = gpu.thread().start_run(config)
    assert wait_until_over(run) is State.FAILED
    assert run.status().error.key == "errors.device.memory"
    what, _, todo = run.status().error.text().splitlines()
    assert "ran out of memory" in what
    assert todo.index("batch size") < todo.index("checkpointing") < todo.index("maximum length")
    assert gpu.thread().submit(Job(lambda *given: None)).done.wait(60)  # the thread has left the run
    collect_garbage()
    assert len(seen) > 1
    assert [_referrers(reference()) for reference in seen if reference() is not None] == []
    assert [_referrers(thing) for thing in gc.get_objects() if isinstance(thing, PeftModel)] == []
    monkeypatch.undo()


def _referrers(model: torch.nn.Module) -> list[str]:
    return [type(model).__name__, *(f"{type(holder)} {str(holder)[:200]}" for holder in gc.get_referrers(model))]


def test_after_it_the_same_run_goes_on_and_another_starts(config, undisturbed, monkeypatch):
    real = SFTTrainer.training_step

    def step(self, *args, **kwargs):
        if self.state.global_step == 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(SFTTrainer, "training_step", step)
        run = gpu.thread().start_run(config)
        assert wait_until_over(run) is State.FAILED
    another = gpu.thread().start_run(config)
    assert wait_until_over(another) is State.FINISHED
    assert weights(another) == undisturbed
    assert wait_until_over(gpu.thread().resume_run(run.id)) is State.FINISHED
    assert weights(run) == undisturbed


def test_a_number_that_is_none_stops_the_run_and_says_at_which_step_and_what_to_lower(config):
    settings = {"train.learning_rate": 1e30, "train.schedule": "constant", "train.max_grad_norm": 1e30}
    run = gpu.thread().start_run(config.with_settings(settings | {"train.save_steps": 1}))
    assert wait_until_over(run) is State.FAILED
    error = run.status().error
    assert error.key == "errors.run.not_finite"
    assert error.values["step"] == len(losses(run)) + 1
    assert "learning rate" in error.text()
    assert f"{error.values['rate']}" in error.text()
    assert all(checkpoints.is_complete(folder) for folder in checkpoints.all_of(run.path))


def test_the_best_adapter_from_before_is_kept(config, monkeypatch):
    from safetensors.torch import load_file

    real = SFTTrainer.training_step

    def step(self, *args, **kwargs):
        loss = real(self, *args, **kwargs)
        return loss * float("nan") if self.state.global_step == 4 else loss

    monkeypatch.setattr(SFTTrainer, "training_step", step)
    run = gpu.thread().start_run(config.with_settings({"train.keep": "best"}))
    assert wait_until_over(run) is State.FAILED
    assert run.status().error.values["step"] == 5
    [best] = (run.path / "best").iterdir()
    assert best.name == "step-000003"
    kept = load_file(best / "adapter_model.safetensors")
    assert all(torch.isfinite(values).all() for values in kept.values())
