"""What a model will take is counted without its weights, and agrees with the real model."""

import pytest

from studio.config import LoraSettings
from studio.errors import RunError
from studio.model import memory, skeleton


@pytest.mark.parametrize(
    "lora",
    [
        LoraSettings(r=4),
        LoraSettings(r=8, target_modules=("q_proj", "v_proj")),
        LoraSettings(r=4, dora=True),
        LoraSettings(r=4, layers="upper-half"),
    ],
    ids=["all", "two modules", "dora", "upper half"],
)
def test_the_trained_parameters_are_those_of_the_real_model(tiny_model, lora):
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    from studio.model import adapter

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    total = sum(weights.numel() for weights in model.parameters())
    wrapped = get_peft_model(model, adapter.lora_config(lora, model))
    sizes = skeleton.build(tiny_model, lora)
    assert sizes.trained == wrapped.get_nb_trainable_parameters()[0]
    assert sizes.total == total
    assert list(sizes.modules) == adapter.linear_modules_with_adapter(wrapped)
    assert sizes.layers_trained == (1 if lora.layers == "upper-half" else 2)


def test_a_target_that_does_not_exist_is_named_without_loading(tiny_model):
    with pytest.raises(RunError, match="q_prog"):
        skeleton.build(tiny_model, LoraSettings(target_modules=("q_prog",)))


def test_what_a_layer_keeps_is_what_autograd_keeps_of_a_real_one(tiny_model):
    import torch
    from peft import get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    from studio.model import adapter

    lora, length = LoraSettings(r=4), 64

    def kept(layers):
        config = AutoConfig.from_pretrained(tiny_model, num_hidden_layers=layers)
        model = AutoModelForCausalLM.from_config(config).requires_grad_(False)
        model = get_peft_model(model, adapter.lora_config(lora, model)).train()
        own = {weights.untyped_storage().data_ptr() for weights in model.parameters()}
        seen = {}

        def keep(tensor):
            seen[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            ids, mask = torch.ones((2, 1, length), dtype=torch.long)
            mask[0, -1] = 0  # a padded row
            model.base_model.model.model(input_ids=ids, attention_mask=mask, use_cache=False)
        return sum(tensor.untyped_storage().nbytes() for place, tensor in seen.items() if place not in own)

    counted = skeleton.saved_bytes_per_layer(tiny_model, lora, "float32", "auto", length)
    assert counted == pytest.approx(kept(2) - kept(1), rel=0.02)


@pytest.mark.parametrize("attention", ["auto", "sdpa", "eager", "flash_attention_2"])
def test_there_is_a_forecast_for_each_attention(tiny_model, monkeypatch, attention):
    from transformers import PreTrainedModel, modeling_flash_attention_utils

    # The package is for cards; the forecast does without its kernel.
    monkeypatch.setattr(PreTrainedModel, "_flash_attn_can_dispatch", lambda *args, **kwargs: True)
    monkeypatch.setattr(modeling_flash_attention_utils, "_lazy_imports", lambda *args, **kwargs: 5 * [None])
    skeleton.saved_bytes_per_layer.cache_clear()
    kept, sdpa = (
        skeleton.saved_bytes_per_layer(tiny_model, LoraSettings(r=4), "bfloat16", each, 64)
        for each in (attention, "sdpa")
    )
    assert kept is not None
    assert kept > sdpa if attention == "eager" else 0 < kept <= sdpa  # which keeps a mask; eager keeps its scores


def test_longer_rows_and_dropout_keep_more(tiny_model):
    def kept(length=64, **settings):
        return skeleton.saved_bytes_per_layer(tiny_model, LoraSettings(r=4, **settings), "float32", "auto", length)

    assert 2 * kept(64) <= kept(128) <= 2.3 * kept(64)
    assert kept(dropout=0.1) > kept()


@pytest.fixture
def forecast(tiny_model):
    sizes = skeleton.build(tiny_model, LoraSettings(r=4))

    def of(**changes):
        settings = {
            "device": "cuda", "precision": "bfloat16", "quantization": "none", "optimizer": "adamw_torch",
            "saved_per_layer": 1e6, "rows": 4, "length": 100, "checkpointing": False,
        }  # fmt: skip
        return memory.forecast(sizes, **{**settings, **changes})

    return sizes, of


def test_each_part_of_the_forecast_follows_its_cause(forecast):
    sizes, of = forecast
    plain = of()
    assert plain.weights == 2 * sizes.total
    assert of(precision="float32").weights == 4 * sizes.total
    assert of(quantization="nf4").weights < of(quantization="int8").weights < plain.weights
    assert of(optimizer="adamw_8bit").optimizer < plain.optimizer
    assert of(optimizer="sgd").optimizer == 0
    assert plain.activations == 4 * 1e6 * sizes.layers
    assert of(rows=8).activations == 2 * plain.activations
    assert of(checkpointing=True).activations < plain.activations
    parts = plain.weights + plain.adapter + plain.optimizer + plain.activations + plain.logits + plain.libraries
    assert plain.total == parts
