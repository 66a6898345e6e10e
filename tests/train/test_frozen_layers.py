"""Layers below the first adapter that are kept over the epochs: the same training to the last bit."""

import pytest
import torch
import transformers
from following import losses, wait_for, wait_until_over
from peft import LoraConfig, get_peft_model

from studio import gpu
from studio.model import estimate, load
from studio.runs import State
from studio.train import frozen_layers, packed_trainer, preflight
from studio.train.frozen_layers import FrozenLayers
from studio.train.packed_trainer import Collator

SETTINGS = {
    "lora.layers": "upper-half",
    "train.max_steps": 9,  # three epochs
    "train.batch_size": 4,
    "train.gradient_accumulation": 2,
    "data.validation": {"kind": "fraction", "fraction": 0.25},
    "train.eval_steps": 2,
    "train.logging_steps": 1,
    "train.save": "no",
}


@pytest.fixture
def config(tiny_config):
    return tiny_config.with_settings(SETTINGS)


def weights(run) -> bytes:
    return (run.adapter / "adapter_model.safetensors").read_bytes()


def evaluations(run) -> dict[int, float]:
    return {event.step: event.loss for event in run.events()[0] if event.type == "evaluated"}


def choice(run) -> str:
    (chosen,) = (event for event in run.events()[0] if event.type == "chosen" and event.name == "frozen_layers")
    return chosen.reason.key.removeprefix("choice.frozen_layers.")


def finished(config):
    run = gpu.thread().start_run(config)
    assert wait_until_over(run) is State.FINISHED, run.status().error
    return run


def count_passes(monkeypatch) -> list[int]:
    """Return a list that gets the tokens of each pass through the lowest layer."""
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer

    passes: list[int] = []
    real = LlamaDecoderLayer.forward

    def counting(self, hidden_states, *args, **kwargs):
        if self.self_attn.layer_idx == 0:
            passes.append(hidden_states.shape[1])
        return real(self, hidden_states, *args, **kwargs)

    monkeypatch.setattr(LlamaDecoderLayer, "forward", counting)
    return passes


def test_losses_and_adapter_are_the_same_bits_and_the_lower_half_is_computed_once(config, monkeypatch):
    with monkeypatch.context() as patched:
        passes = count_passes(patched)
        patched.setattr(frozen_layers, "is_supported", lambda *_: False)
        without, computed = finished(config), sum(passes)
    assert choice(without) == "unsupported"
    passes = count_passes(monkeypatch)
    kept = finished(config)
    assert choice(kept) == "on"
    assert losses(kept) == losses(without)
    assert evaluations(kept) == evaluations(without)
    assert weights(kept) == weights(without)
    assert sum(passes) < computed / 2


def test_without_memory_the_same_bits_are_computed_each_time(config, monkeypatch):
    kept = finished(config)
    real = FrozenLayers.__init__
    monkeypatch.setattr(FrozenLayers, "__init__", lambda self, *args: real(self, *args[:-1], 0))
    assert weights(finished(config)) == weights(kept)


@pytest.mark.long
def test_a_run_paused_in_the_second_epoch_goes_on_to_the_same_bits(config, monkeypatch):
    from studio.train.run_trainer import RunCallback

    config = config.with_settings({"train.max_steps": 12})
    whole = finished(config)
    real = RunCallback.on_step_begin
    paused: list[int] = []

    def pausing(self, args, state, control, **kwargs):
        if state.global_step in (1, 4) and state.global_step not in paused:
            paused.append(state.global_step)
            self._run.request("pause")
        return real(self, args, state, control, **kwargs)

    monkeypatch.setattr(RunCallback, "on_step_begin", pausing)
    run = gpu.thread().start_run(config)
    for _ in range(2):
        wait_for(run, lambda status: status.state is State.PAUSED)
        gpu.thread().resume_run(run.id)
    assert wait_until_over(run) is State.FINISHED
    assert paused == [1, 4]
    assert weights(run) == weights(whole)
    assert evaluations(run) == evaluations(whole)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"train.max_steps": 3}, "once"),
        ({"train.gradient_checkpointing": "on"}, "elsewhere"),
        ({"train.neftune_alpha": 5.0}, "elsewhere"),
    ],
)
def test_where_it_does_not_pay_or_cannot_be_it_is_off(config, settings, why):
    assert choice(finished(config.with_settings(settings))) == why


@pytest.mark.parametrize(
    ("settings", "saving"),
    [
        ({}, 1 / 2 * 2 / 3),  # of the lower half of the layers, in the second and third epoch
        ({"train.max_steps": 3}, 0),
        ({"train.gradient_checkpointing": "on"}, 0),
        ({"train.neftune_alpha": 5.0}, 0),
        ({"lora.layers": "all"}, 0),
    ],
)
def test_the_forecast_of_the_time_knows_what_will_not_be_computed(config, settings, saving, monkeypatch):
    config = config.with_settings({"samples.mode": "off", **settings})
    monkeypatch.setattr(estimate, "matmul_speed", lambda precision: 1e9)
    checked = preflight.check(config, 8e9)
    expected = frozen_layers.expected_saving(config, checked.plan, checked.report, load.locate(config.model))
    sizes = checked.plan.skeleton
    saving *= sizes.in_layers / sizes.total
    assert expected == pytest.approx(saving)
    monkeypatch.setattr(frozen_layers, "expected_saving", lambda *_: 0.0)
    assert checked.seconds / preflight.check(config, 8e9).seconds == pytest.approx((3 - 2 * saving) / 3)


def test_the_forecast_knows_where_memory_is_short(config, monkeypatch):
    monkeypatch.setattr(frozen_layers, "MEMORY_SHARE", 0.0)
    checked = preflight.check(config, 8e9)
    assert frozen_layers.expected_saving(config, checked.plan, checked.report, load.locate(config.model)) == 0


def test_the_two_trial_steps_know_it_too(config, monkeypatch):
    config = config.with_settings({"samples.mode": "off"})

    sizes = preflight.check(config, 8e9).plan.skeleton

    def seconds_a_step() -> float:
        measured = gpu.thread().measure(config).result()
        return measured.seconds / measured.step_seconds

    saved = seconds_a_step()
    monkeypatch.setattr(frozen_layers, "expected_saving", lambda *_: 0.0)
    assert saved / seconds_a_step() == pytest.approx((3 - 2 / 3 * sizes.in_layers / sizes.total) / 3)


def test_it_is_off_where_memory_is_short(config, monkeypatch):
    monkeypatch.setattr(frozen_layers, "MEMORY_SHARE", 0.0)
    assert choice(finished(config)) == "memory"


def test_a_run_with_adapters_in_all_layers_says_nothing_of_it(config):
    run = finished(config.with_settings({"lora.layers": "all", "train.max_steps": 3}))
    assert not [event for event in run.events()[0] if event.type == "chosen" and event.name == "frozen_layers"]


def made(layers=(1,), **settings):
    torch.manual_seed(1)
    sizes = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    config = transformers.LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, **settings)
    chosen = {"target_modules": ["q_proj", "down_proj"], "layers_to_transform": list(layers)}
    lora = LoraConfig(r=4, task_type="CAUSAL_LM", **chosen)
    return get_peft_model(transformers.LlamaForCausalLM(config), lora)


def rows(*lengths: int):
    torch.manual_seed(2)
    each = (torch.randint(1, 97, (length,)).tolist() for length in lengths)
    return [{"input_ids": ids, "labels": ids} for ids in each]


def test_a_row_keeps_the_numbers_of_its_first_micro_batch(monkeypatch):
    """Even where a matrix product rounds a row otherwise beside others, as this layer does."""
    model = made().train()
    body, layers, count = frozen_layers.find(model)
    real = layers[0].forward

    def by_neighbours(hidden_states, *args, **kwargs):
        return real(hidden_states, *args, **kwargs) + hidden_states.mean()

    layers[0].forward = by_neighbours
    first, second, third, fourth = rows(5, 9, 7, 4)
    collator = Collator(1_000, 0, packed=True, scored=True)

    def hidden(frozen, *chosen):
        (part,) = collator(list(chosen))["parts"]
        arguments = {name: part[name] for name in part if name not in ("index", "targets")}
        with torch.no_grad(), packed_trainer.varlen_attention(model.get_base_model()), frozen.patched():
            return body(**arguments, use_cache=False).last_hidden_state[0]

    whole = FrozenLayers(body, layers, count, 1e9)
    begun = [hidden(whole, first, second), hidden(whole, third, fourth)]
    mixed = hidden(whole, first, third)
    assert torch.equal(mixed[:5], begun[0][:5])
    assert torch.equal(mixed[5:], begun[1][:7])
    for most in (1e9, 0):
        resumed = FrozenLayers(body, layers, count, most)
        order = ([first, second], [third, fourth])
        resumed.add_first_epoch(part for each in order for part in collator(each)["parts"])
        assert torch.equal(hidden(resumed, first, third), mixed)
        assert resumed.bytes <= most
    assert not torch.equal(hidden(FrozenLayers(body, layers, count, 1e9), first, third), mixed)
    assert layers[0].forward is by_neighbours
    assert "forward" not in vars(body)


def test_what_is_below_the_first_adapter():
    assert frozen_layers.find(made())[2] == 1
    assert frozen_layers.find(made(layers=(0, 1))) is None
    model = made()
    model.get_input_embeddings().weight.requires_grad_(True)
    assert frozen_layers.find(model) is None


def test_a_base_with_dropout_is_random():
    assert frozen_layers.is_random(made(attention_dropout=0.1).config)
    assert not frozen_layers.is_random(made().config)
