"""Adapters: which modules they sit in, and how a visit leaves everything as it was."""

import random

import numpy
import pytest
import torch
from architectures import tiny_config
from peft import get_peft_model
from transformers import AutoModelForCausalLM

from studio.config import LoraSettings
from studio.errors import RunError
from studio.model import adapter


@pytest.fixture
def model(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model)


def test_a_visit_leaves_no_trace(model):
    model.train()
    model.lm_head.eval()  # one module is in another mode than the rest
    for seed in (random.seed, numpy.random.seed, torch.manual_seed):
        seed(7)
    expected = [random.random(), numpy.random.rand(), torch.rand(1).item()]
    for seed in (random.seed, numpy.random.seed, torch.manual_seed):
        seed(7)
    with adapter.preserve_state(model):
        assert not any(part.training for part in model.modules())
        assert not torch.is_grad_enabled()
        random.random(), numpy.random.rand(), torch.rand(9)
        model.config.use_cache = False
    assert [random.random(), numpy.random.rand(), torch.rand(1).item()] == expected
    assert model.training
    assert not model.lm_head.training
    assert model.config.use_cache
    assert torch.is_grad_enabled()


def test_a_visit_that_fails_leaves_no_trace_either(model):
    model.train()
    torch.manual_seed(7)
    expected = torch.get_rng_state()

    def visit() -> None:
        with adapter.preserve_state(model):
            torch.rand(9)
            raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        visit()
    assert model.training
    assert torch.get_rng_state().equal(expected)


def test_all_linear_means_every_linear_module_but_the_output(model):
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    assert adapter.linear_modules(model) == names
    everywhere = get_peft_model(model, adapter.lora_config(LoraSettings(r=2), model))
    assert sum(name.endswith("lora_A.default.weight") for name, _ in everywhere.named_parameters()) == 14


@pytest.mark.parametrize(
    ("kind", "excluded", "included"),
    [
        ("phimoe", "router", "q_proj"),
        ("llama4_text", "router", "q_proj"),
        ("deepseek_v4", "o_a_proj", "o_b_proj"),
        ("falcon", "lm_head", "query_key_value"),  # a class with its own forward that is a projection all the same
        ("bamba", "out_proj", "in_proj"),  # the fused kernel leaves an adapter there out
    ],
)
def test_modules_that_are_no_projection_get_no_adapter(kind, excluded, included):
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(tiny_config(kind, 300))
    names = adapter.linear_modules(empty)
    assert excluded not in names
    assert included in names


def test_a_module_that_does_not_exist_is_refused_with_the_closest_ones(model):
    with pytest.raises(RunError, match=r'"q_prog".*first: q_proj'):
        adapter.lora_config(LoraSettings(target_modules=("q_prog", "k_proj")), model)


def test_a_model_of_several_stacks_of_layers_is_refused():
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(tiny_config("blt", 300))
    with pytest.raises(RunError, match="several stacks"):
        adapter.lora_config(LoraSettings(), empty)
