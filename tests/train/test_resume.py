"""Checkpoints, and runs that go on after anything: to the last bit what they would have been."""

import json
import os
import re
import subprocess
import sys
import time

import pytest
from following import carried_out, loss_by_step, losses, trained, wait_for, wait_until_over

from studio import gpu, runs
from studio.errors import RunError, StudioError
from studio.runs import State, checkpoints

SETTINGS = {
    "train.max_steps": 60,
    "train.save": "steps",
    "train.save_steps": 10,
    "train.gradient_accumulation": 2,
    "lora.dropout": 0.2,
    "data.validation": {"kind": "fraction", "fraction": 0.25},
    "train.eval_steps": 20,
}


def weights(run) -> bytes:
    return (run.adapter / "adapter_model.safetensors").read_bytes()


@pytest.fixture
def config(tiny_config):
    return tiny_config.with_settings(SETTINGS)


@pytest.fixture
def uninterrupted(config):
    return trained(config, **SETTINGS)


def train_in_a_process(config, tmp_path) -> subprocess.Popen:
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    return subprocess.Popen([sys.executable, "-m", "studio", "train", str(path), "--json"], stdout=subprocess.DEVNULL)


def wait_for_step(name: str, step: int, seconds: float = 120):
    """Wait until the run called `name` has reached a step, and return the run."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for run in runs.all_runs():
            if f"-{name}-" in run.id and (status := runs.try_status(run)) and status.step >= step:
                return run
        time.sleep(0.005)
    raise AssertionError(f"step {step} was not reached in {seconds} s")


def test_a_paused_run_goes_on_to_the_same_bits(config, uninterrupted, monkeypatch):
    from studio.train.run_trainer import RunCallback

    real = RunCallback.on_step_begin

    def slowly(self, args, state, control, **kwargs):  # so that there is time to press pause
        time.sleep(0.05)
        return real(self, args, state, control, **kwargs)

    monkeypatch.setattr(RunCallback, "on_step_begin", slowly)
    run = gpu.thread().start_run(config)
    for step in (3, 17):
        wait_for(run, lambda status, step=step: status.step >= step)
        run.request("pause")
        assert wait_until_over(run) is State.PAUSED
        gpu.thread().resume_run(run.id)
    assert wait_until_over(run) is State.FINISHED
    assert loss_by_step(run) == loss_by_step(uninterrupted)
    assert weights(run) == weights(uninterrupted)


@pytest.mark.long
@pytest.mark.parametrize(
    ("moment", "step"),
    [("on_step_begin", 33), ("on_substep_end", 34), ("on_prediction_step", 40), ("on_substep_end", 0)],
    ids=["before a step", "within a step", "within an evaluation", "within the first step"],
)
def test_a_pause_within_a_step_or_an_evaluation_leaves_no_trace(config, uninterrupted, monkeypatch, moment, step):
    from studio.train.run_trainer import RunCallback

    real = getattr(RunCallback, moment)
    passes = []

    def pausing(self, args, state, control, **kwargs):
        if state.global_step == step and not passes:
            self._run.request("pause")
            passes.append(1)
        elif passes == [1]:
            passes.append(2)  # one more forward pass would be one too many
        return real(self, args, state, control, **kwargs)

    monkeypatch.setattr(RunCallback, moment, pausing)
    run = gpu.thread().start_run(config)
    assert wait_until_over(run) is State.PAUSED
    assert passes == [1]
    assert [checkpoints.step_of(folder) for folder in checkpoints.all_of(run.path)][:1] == ([step] if step else [])
    gpu.thread().resume_run(run.id)
    assert wait_until_over(run) is State.FINISHED
    assert loss_by_step(run) == loss_by_step(uninterrupted)
    assert weights(run) == weights(uninterrupted)
    assert evaluations(run) == evaluations(uninterrupted)


def evaluations(run) -> dict[int, float]:
    return {event.step: event.loss for event in run.events()[0] if event.type == "evaluated"}


def test_how_often_is_evaluated_and_saved_does_not_change_the_training(config, uninterrupted):
    run = gpu.thread().start_run(config.with_settings({"train.eval_steps": 7, "train.save": "no"}))
    assert wait_until_over(run) is State.FINISHED
    assert loss_by_step(run) == loss_by_step(uninterrupted)


@pytest.mark.long
def test_a_resumed_run_may_take_smaller_batches_and_more_of_them(config):
    calm = config.with_settings({"lora.dropout": 0.0, "train.learning_rate": 1e-3, "train.max_steps": 60})
    whole = gpu.thread().start_run(calm)
    assert wait_until_over(whole) is State.FINISHED
    run = gpu.thread().start_run(calm)
    wait_for(run, lambda status: status.step > 15)
    run.request("pause")
    assert wait_until_over(run) is State.PAUSED
    changes = {"train.batch_size": 1, "train.gradient_accumulation": 8, "train.gradient_checkpointing": "on"}
    gpu.thread().resume_run(run.id, {**changes, "train.eval_steps": 20})
    assert wait_until_over(run) is State.FINISHED
    assert list(loss_by_step(run)) == list(loss_by_step(whole))
    assert list(loss_by_step(run).values()) == pytest.approx(list(loss_by_step(whole).values()), abs=1e-4)
    assert run.resolved()["changes"][0]["settings"] == changes
    assert [event.settings for event in run.events()[0] if event.type == "changed"] == [changes]
    assert run.config().train.batch_size == 1
    assert run.started_config().train.batch_size == 4


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lora.r": 8}, "other values of: lora.r."),
        ({"train.learning_rate": 0.02, "data.max_length": 64}, "data.max_length, train.learning_rate"),
        ({"train.batch_size": 8}, "It took 8 rows a step; these settings make 16."),
        ({"train.max_steps": 119}, "can only be made longer"),
        ({"train.batch_sizes": 8}, "no setting called"),
    ],
)
def test_what_may_not_change_is_refused_by_name(interrupted, settings, said):
    before = interrupted.status()
    with pytest.raises(StudioError, match=re.escape(said)):
        gpu.thread().resume_run(interrupted.id, settings)
    assert interrupted.status() == before


def test_a_finished_run_can_be_made_longer(config):
    short = config.with_settings({"train.max_steps": 20})
    run = gpu.thread().start_run(short)
    assert wait_until_over(run) is State.FINISHED
    gpu.thread().resume_run(run.id, {"train.max_steps": 30})
    assert wait_until_over(run) is State.FINISHED
    assert list(loss_by_step(run)) == list(range(1, 31))
    assert run.status().total == 30


@pytest.mark.usefixtures("warm_python")
def test_a_run_that_was_cut_off_before_its_first_checkpoint_begins_again(config, uninterrupted, tmp_path):
    process = train_in_a_process(config.with_settings({"name": "early", "train.save_steps": 100_000}), tmp_path)
    run = wait_for_step("early", 3)
    process.kill()
    process.wait()
    wait_for(run, lambda status: status.state is State.INTERRUPTED, seconds=10)
    gpu.thread().resume_run(run.id)
    assert wait_until_over(run) is State.FINISHED
    assert weights(run) == weights(uninterrupted)


def test_out_of_memory_tells_what_helps_and_the_run_goes_on_with_it(config, uninterrupted, monkeypatch):
    from studio.train import plan
    from studio.train.trainer import StudioTrainer

    real = StudioTrainer.training_step

    def full(self, model, inputs, *args, **kwargs):
        if self.state.global_step == 13 and max(len(part["cu_seq_lens_q"]) - 1 for part in inputs["parts"]) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(StudioTrainer, "training_step", full)
    run = gpu.thread().start_run(config)
    assert wait_until_over(run) is State.FAILED
    assert plan.is_out_of_memory(run)
    first, *others = plan.oom_advice(run)
    assert first.settings == {"train.batch_size": 2, "train.gradient_accumulation": 4}
    assert first.resumes
    assert not any(way.resumes for way in others)
    assert [way.settings for way in others if "data.max_length" in way.settings]
    gpu.thread().resume_run(run.id, first.settings)
    assert wait_until_over(run) is State.FINISHED
    assert list(loss_by_step(run)) == list(loss_by_step(uninterrupted))


def pause(run) -> None:
    wait_for(run, lambda status: status.step > 20)  # after two checkpoints
    run.request("pause")
    assert wait_until_over(run) is State.PAUSED


@pytest.fixture
def interrupted(config):
    """A run that was stopped after some checkpoints."""
    return carried_out(config.with_settings({"name": "interrupted", "train.max_steps": 100_000}), pause)


def test_old_checkpoints_are_pruned(interrupted):
    found = checkpoints.all_of(interrupted.path)
    assert len(found) == 2
    assert all(checkpoints.is_complete(folder) for folder in found)
    assert not list(checkpoints.folder_of(interrupted.path).glob(".*"))
    assert not list(interrupted.path.rglob("training_args.bin"))


def test_a_damaged_checkpoint_is_passed_over_for_an_older_one(interrupted):
    newest, older = checkpoints.all_of(interrupted.path)
    with open(newest / "optimizer.pt", "rb+") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\0\1")
    assert checkpoints.newest_complete(interrupted.path) == older
    for folder in (newest, older):
        (folder / "complete.json").unlink()
    with pytest.raises(RunError, match="no complete checkpoint"):
        gpu.thread().resume_run(interrupted.id)


def change_data(run, style_file):
    lines = style_file.read_text(encoding="utf-8").splitlines()
    style_file.write_text("\n".join([*lines[1:], lines[0]]) + "\n", encoding="utf-8")


def change_config(run, style_file):
    path = run.path / "run.yaml"
    path.write_text(path.read_text().replace("learning_rate: 0.01", "learning_rate: 0.02"))


def change_base(run, style_file):
    from tiny import make_tiny_model

    other = make_tiny_model(run.path / "other", seed=9)
    folder = run.config().model.id
    (other / "model.safetensors").replace(run.path / "other.safetensors")
    known = json.loads((run.path / "resolved.json").read_text())
    known["base"]["weights"] = "0" * 64
    (run.path / "resolved.json").write_text(json.dumps(known))
    assert folder


@pytest.mark.parametrize(
    ("change", "named"), [(change_data, "data"), (change_config, "train.learning_rate"), (change_base, "base")]
)
def test_a_run_whose_ground_has_changed_does_not_go_on(interrupted, style_file, change, named):
    change(interrupted, style_file)
    resumed = gpu.thread().resume_run(interrupted.id)
    assert wait_until_over(resumed) is State.FAILED
    assert f"has changed since it began: {named}." in resumed.status().error.text()


def test_a_finished_run_is_not_resumed(uninterrupted):
    with pytest.raises(RunError, match="is finished"):
        gpu.thread().resume_run(uninterrupted.id)


@pytest.mark.parametrize("failing", ["fsync", "replace", "rename"])
def test_whatever_write_fails_the_older_checkpoint_stays_whole(tmp_path, monkeypatch, failing):
    def fill(folder):
        (folder / "a.bin").write_bytes(b"a" * 1000)
        (folder / "b.bin").write_bytes(b"b" * 1000)

    checkpoints.write(tmp_path, 1, fill)
    real = getattr(os, failing)
    for allowed in range(20):
        calls = []

        def sometimes(*args, allowed=allowed, calls=calls, **kwargs):
            calls.append(args)
            if len(calls) > allowed:
                raise OSError(5, "Input/output error")
            return real(*args, **kwargs)

        monkeypatch.setattr(os, failing, sometimes)
        try:
            checkpoints.write(tmp_path, 2, fill)
        except OSError:
            assert checkpoints.is_complete(tmp_path / "checkpoints" / "step-000001")
            assert all(checkpoints.is_complete(folder) for folder in checkpoints.all_of(tmp_path))
        else:
            break
        finally:
            monkeypatch.setattr(os, failing, real)
    assert allowed > 0
    assert [folder.name for folder in checkpoints.all_of(tmp_path)] == ["step-000002", "step-000001"]


def test_the_best_adapter_is_kept_and_training_ends_early(tiny_config):
    settings = {
        "train.max_steps": 400, "train.eval_steps": 5, "train.keep": "best", "train.early_stopping": 3,
        "train.learning_rate": 0.05, "data.validation": {"kind": "fraction", "fraction": 0.25},
    }  # fmt: skip
    run = gpu.thread().start_run(tiny_config.with_settings(settings))
    assert wait_until_over(run) is State.FINISHED
    seen = {event.step: event.loss for event in run.events()[0] if event.type == "evaluated"}
    best = min(seen, key=seen.get)
    assert [event.step for event in run.events()[0] if event.type == "best"][-1] == best
    assert max(seen) == best + 15 or max(seen) == 400
    assert weights(run) == (run.path / "best" / f"step-{best:06}" / "adapter_model.safetensors").read_bytes()
    assert len(losses(run)) == max(seen)


@pytest.mark.long
@pytest.mark.parametrize(
    ("length", "asked", "key", "advice"),
    [
        ({"train.max_steps": 2}, {}, "run.finished", {"train.max_steps": 3}),
        ({"train.max_steps": 2}, {"train.epochs": 50.0}, "run.counts_steps", {"train.max_steps": 3}),
        ({"train.max_steps": 2}, {"train.max_steps": 1}, "run.shorter", {"train.max_steps": 3}),
        ({"train.max_steps": None, "train.epochs": 0.25}, {}, "run.finished", {"train.epochs": 0.5}),
    ],
)
def test_what_is_advised_for_a_finished_run_makes_it_longer(tiny_config, length, asked, key, advice):
    run = trained(tiny_config, **length)
    with pytest.raises(RunError) as caught:
        gpu.thread().resume_run(run.id, asked)
    assert caught.value.key == key
    assert next(iter(advice)) in str(caught.value).split(". ")[-1]
    gpu.thread().resume_run(run.id, advice)
    assert wait_until_over(run) is State.FINISHED
    assert run.status().step == 3
