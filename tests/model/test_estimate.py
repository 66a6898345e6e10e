"""The time that training will take, before it starts."""

import pytest

from studio.data import prepare
from studio.model import estimate


def test_the_parameters_are_read_from_the_files_headers(tiny_model):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    assert estimate.parameters(tiny_model) == sum(weights.numel() for weights in model.parameters())


def test_the_estimate_follows_what_is_computed(tiny_model):
    def seconds(tokens=1000, upper_half=False, checkpointing=False):
        passes = estimate.operations(upper_half=upper_half, checkpointing=checkpointing)
        return estimate.epoch_seconds(tokens, tiny_model, "float32", passes)

    assert seconds(2000) == pytest.approx(2 * seconds())
    assert seconds(upper_half=True) == pytest.approx(0.75 * seconds())
    assert seconds(checkpointing=True) == pytest.approx(1.5 * seconds())


def test_a_report_tells_it_where_the_model_is_here(tiny_config):
    assert prepare.inspect(tiny_config).epoch_seconds > 0
    assert prepare.inspect(tiny_config.with_settings({"model.id": "nobody/nothing"})).epoch_seconds is None
