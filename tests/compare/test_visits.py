"""Comparing while a run trains: it works, and it leaves no trace in the run."""

import hashlib
from dataclasses import replace

import pytest
from following import losses, wait_for, wait_until_over

from studio import gpu
from studio.compare import comparison_history
from studio.compare.columns import ADAPTED, BASE, Column, CompareRequest
from studio.config import GenerationConfig
from studio.errors import CompareError, StudioError
from studio.runs import State

SAMPLED = GenerationConfig(max_new_tokens=8, temperature=1.0, seed=1)
SETTINGS = {
    "train.max_steps": 20,
    "train.gradient_accumulation": 2,
    "lora.dropout": 0.2,  # draws random numbers, so a visit that drew some would show
    "data.validation": {"kind": "fraction", "fraction": 0.25},
    "train.eval_steps": 5,
}


def adapter_hash(run) -> str:
    return hashlib.sha256((run.adapter / "adapter_model.safetensors").read_bytes()).hexdigest()


@pytest.mark.long
def test_twenty_losses_are_bit_equal_with_and_without_visits(tiny_config, monkeypatch):
    config = tiny_config.with_settings(SETTINGS)
    quiet = gpu.thread().start_run(config)
    wait_until_over(quiet)

    visited, answers = visit_at_every_chance(config, monkeypatch)
    assert len(answers) > 40  # two micro-batches a step, and the evaluations
    assert len(set(answers)) > 5  # the adapter changed under the visitors
    assert losses(visited) == losses(quiet)
    assert len(losses(quiet)) == 20
    assert evaluations(visited) == evaluations(quiet)
    assert adapter_hash(visited) == adapter_hash(quiet)


@pytest.mark.long
def test_visits_with_more_adapters_that_fail_or_not_leave_no_trace(tiny_config, monkeypatch):
    from studio.generation import generate

    other = gpu.thread().start_run(tiny_config.with_settings({"lora.target_modules": ["q_proj", "up_proj"]}))
    wait_until_over(other)
    settings = {"lora.target_modules": ["q_proj", "v_proj"], "train.save": "steps", "train.save_steps": 5}
    config = tiny_config.with_settings({**SETTINGS, **settings})
    quiet = gpu.thread().start_run(config)
    wait_until_over(quiet)

    counted, real = [], generate._FirstLogits.__call__

    def fail_now_and_then(self, *args):
        counted.append(args)
        if len(counted) % 29 == 0:
            raise RuntimeError("no luck")
        return real(self, *args)

    monkeypatch.setattr(generate._FirstLogits, "__call__", fail_now_and_then)
    columns = (BASE, ADAPTED, replace(ADAPTED, strength=0.5), Column("adapter", other.id))
    visited, answers = visit_at_every_chance(config, monkeypatch, columns)
    assert "no luck" in answers
    assert "changed" not in answers
    assert len(set(answers)) > 5
    assert losses(visited) == losses(quiet)
    assert evaluations(visited) == evaluations(quiet)
    assert adapter_hash(visited) == adapter_hash(quiet)
    assert everything_kept(visited) == everything_kept(quiet)


@pytest.mark.long
def test_visits_with_a_mix_that_draws_random_numbers_leave_no_trace(tiny_config, monkeypatch):
    ids = []
    for seed in (3, 4):
        other = gpu.thread().start_run(tiny_config.with_settings({"train.seed": seed, "train.max_steps": 4}))
        wait_until_over(other)
        ids.append(other.id)
    config = tiny_config.with_settings({**SETTINGS, "train.max_steps": 6})
    quiet = gpu.thread().start_run(config)
    wait_until_over(quiet)
    mix = Column(adapter=f"mix:{ids[0]}=0.6,{ids[1]}=0.6@dare_ties")
    visited, answers = visit_at_every_chance(config, monkeypatch, (BASE, ADAPTED, mix))
    assert "changed" not in answers
    assert len(set(answers)) > 1
    assert losses(visited) == losses(quiet)
    assert adapter_hash(visited) == adapter_hash(quiet)


def test_an_adapter_in_training_is_not_mixed(tiny_config):
    other = gpu.thread().start_run(tiny_config)
    wait_until_over(other)
    run = gpu.thread().start_run(tiny_config.with_settings({"train.max_steps": 100_000}))
    wait_for(run, lambda status: status.step >= 2)
    mix = Column(adapter=f"mix:now=1,{other.id}=1")
    with pytest.raises(CompareError, match="in training"):
        gpu.thread().compare(CompareRequest(run.id, ("hi",), SAMPLED, (BASE, mix))).result()
    run.request("stop")
    assert wait_until_over(run) is State.STOPPED


def everything_kept(run):
    """Return the names of all files of the checkpoints, and of the weights in them."""
    from safetensors import safe_open

    files = {str(path.relative_to(run.path)) for path in (run.path / "checkpoints").rglob("*")}
    weights = sorted((run.path / "checkpoints").rglob("adapter_model.safetensors"))
    return files, [sorted(safe_open(path, "pt").keys()) for path in weights]


def visit_at_every_chance(config, monkeypatch, columns=(BASE, ADAPTED)):
    thread = gpu.thread()
    real, answers = thread._run_interactive, []

    def visit() -> None:
        comparison = thread.compare(CompareRequest(thread._training.id, ("What is 3?",), SAMPLED, columns))
        real()
        try:
            made = comparison.result()
            answers.append(made.texts()[1] if made.proof.base_is_untouched else "changed")
        except StudioError as error:
            answers.append(error.values.get("detail", error.key))

    monkeypatch.setattr(thread, "_run_interactive", lambda: visit() if thread._training else real())
    run = thread.start_run(config)
    assert wait_until_over(run) is State.FINISHED
    return run, answers


def evaluations(run):
    return [event.loss for event in run.events()[0] if event.type == "evaluated"]


def test_a_visit_that_fails_does_not_end_the_run(tiny_config, monkeypatch):
    from studio.generation import generate

    def fail(*args):
        raise RuntimeError("no luck")

    run = gpu.thread().start_run(tiny_config.with_settings({"train.max_steps": 100_000}))
    wait_for(run, lambda status: status.step >= 2)
    monkeypatch.setattr(generate, "answer", fail)
    with pytest.raises(StudioError, match="no luck"):
        gpu.thread().compare(CompareRequest(run.id, ("hi",), SAMPLED)).result()
    step = run.status().step
    wait_for(run, lambda status: status.step > step)
    run.request("stop")
    assert wait_until_over(run) is State.STOPPED


def test_a_comparison_made_while_training_keeps_its_step(tiny_config):
    run = gpu.thread().start_run(
        tiny_config.with_settings({"train.max_steps": 100_000, "generation.max_new_tokens": 4})
    )
    wait_for(run, lambda status: status.step >= 2)
    made = gpu.thread().compare(CompareRequest(run.id, ("hi",), SAMPLED)).result()
    wait_for(run, lambda status: status.step > made.request.columns[1].at_step)
    run.request("stop")
    assert wait_until_over(run) is State.STOPPED

    base, adapter = comparison_history.load_all(run)[0].comparison.request.columns
    assert base.at_step is None
    assert 2 <= adapter.at_step == made.request.columns[1].at_step < run.status().step
    assert f"at step {adapter.at_step} of its training" in adapter.title()
    later = gpu.thread().compare(made.request).result()
    assert later.request.columns[1].at_step is None


def test_another_run_is_not_compared_while_one_trains(tiny_config):
    first = gpu.thread().start_run(tiny_config)
    wait_until_over(first)
    second = gpu.thread().start_run(tiny_config.with_settings({"train.max_steps": 100_000}))
    wait_for(second, lambda status: status.step >= 1)
    with pytest.raises(CompareError, match=second.id):
        gpu.thread().compare(CompareRequest(first.id, ("hi",), SAMPLED)).result()
    second.request("stop")
    assert wait_until_over(second) is State.STOPPED
