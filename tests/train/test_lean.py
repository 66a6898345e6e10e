"""A step that leaves useless work out has the loss and the gradients of one that does not."""

import pytest
import torch
import transformers
from architectures import tiny_config
from following import losses, wait_until_over
from peft import LoraConfig, get_peft_model
from torch.nn import functional

from studio import gpu
from studio.model import memory
from studio.train import packed_trainer
from studio.train.packed_trainer import IGNORE_INDEX, Collator, micro_batches

LENGTHS = [5, 30, 12, 7, 21, 9]
SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "pad_token_id": 0,
}
MODELS = {
    "Llama": {},
    "Qwen2": {},
    "Mistral": {"sliding_window": 8},
    "Gemma2": {"final_logit_softcapping": 2.0, "sliding_window": 8, "query_pre_attn_scalar": 8},
    "Gemma3": {
        "sliding_window": 8,
        "query_pre_attn_scalar": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "Cohere": {"logit_scale": 0.3},
    "Granite": {"logits_scaling": 4.0},
    "HyperCLOVAX": {"logits_scaling": 0.125},
}
PACKED = {"Llama", "Qwen2", "Mistral", "Gemma3", "Cohere", "Granite", "HyperCLOVAX"}
"""Gemma 2's attention has a soft cap, which `sdpa` has not: its rows are padded."""


def made(kind, **adapter):
    """Return a tiny random model with an adapter that has an effect."""
    torch.manual_seed(1)
    described = getattr(transformers, f"{kind}TextConfig", None) or getattr(transformers, f"{kind}Config")
    config = described(**SIZES, **MODELS[kind])
    base = getattr(transformers, f"{kind}ForCausalLM")(config)
    for weights in base.parameters():
        weights.data.normal_(0, 0.2)
    wrapped = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", **adapter))
    for name, weights in wrapped.named_parameters():
        if "lora_B" in name:
            weights.data.normal_(0, 0.2)
    return wrapped


def rows():
    torch.manual_seed(2)
    found = []
    for length in LENGTHS:
        ids = torch.randint(1, SIZES["vocab_size"], (length,)).tolist()
        found.append({"input_ids": ids, "labels": [IGNORE_INDEX] * (length // 3) + ids[length // 3 :]})
    return found


def gradients(model):
    return {name: weights.grad for name, weights in model.named_parameters() if weights.requires_grad}


def row_by_row(model):
    """Return the sum of the losses from the model's own logits, each row alone, and the gradients."""
    model.train()
    total = 0.0
    for row in rows():
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"])
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0]
        loss = functional.cross_entropy(logits[:-1], labels[1:], reduction="sum")
        loss.backward()
        total += loss.item()
    return total, gradients(model)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("most", [40, 1_000])
def test_loss_and_gradients_are_those_of_each_row_alone(kind, most):
    known, known_gradients = row_by_row(made(kind))
    model = made(kind)
    base = model.get_base_model()
    packed_trainer.patch_fused_loss(base)
    packed, scored = packed_trainer.capabilities(base)
    assert (packed, scored) == (kind in PACKED, True)
    assert packed_trainer.patch_adapter_forward(model, "default") == 14
    model.train()
    parts = Collator(most, 0, packed=packed, scored=scored)(rows())["parts"]
    assert len(parts) > 1 or most == 1_000
    total = 0.0
    for part in parts:
        with packed_trainer.varlen_attention(base):
            loss = model(**part)
            loss.backward()
        total += loss.item()
    assert total == pytest.approx(known, rel=1e-5)
    for name, gradient in gradients(model).items():
        assert torch.allclose(gradient, known_gradients[name], rtol=1e-3, atol=1e-4), name


def test_logits_are_computed_for_trained_tokens_alone(monkeypatch):
    model = made("Llama").get_base_model()
    packed_trainer.patch_fused_loss(model)
    computed = []
    real = functional.linear

    def counting(x, weight, bias=None):
        if weight is model.lm_head.weight:
            computed.append(len(x))
        return real(x, weight, bias)

    monkeypatch.setattr(functional, "linear", counting)
    (part,) = Collator(1_000, 0, packed=False, scored=True)(rows())["parts"]
    model(**part)
    assert sum(computed) == sum(label != IGNORE_INDEX for row in rows() for label in row["labels"][1:])


def test_the_forecast_knows_how_many_logits_there_are_at_once():
    assert memory.LOGITS_PER_CHUNK == packed_trainer.LOGIT_CHUNK_TOKENS


def test_packed_rows_have_no_padding_and_padded_ones_are_of_like_length():
    packed = Collator(60, 0, packed=True, scored=True)(rows())["parts"]
    assert sum(part["input_ids"].numel() for part in packed) == sum(LENGTHS)
    padded = Collator(60, 0, packed=False, scored=True)(rows())["parts"]
    assert [tuple(part["input_ids"].shape) for part in padded] == [(2, 30), (4, 12)]


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("most", [1, 13, 30, 31, 60, 1_000])
def test_every_row_is_in_one_micro_batch_that_is_small_enough(padded, most):
    found = micro_batches(LENGTHS, most, padded=padded)
    assert sorted(row for part in found for row in part) == list(range(len(LENGTHS)))
    for part in found:
        held = [LENGTHS[row] for row in part]
        assert len(part) == 1 or (len(part) * max(held) if padded else sum(held)) <= most


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 4, 6])
def test_the_number_of_micro_batches_may_follow_from_that_of_the_rows(padded, rows):
    found = micro_batches(LENGTHS, 10, rows, padded=padded)
    assert len(found) == -(-len(LENGTHS) // rows)
    assert max(map(len, found)) <= rows
    assert sorted(row for part in found for row in part) == list(range(len(LENGTHS)))


def test_a_model_that_mixes_packed_rows_gets_them_padded(monkeypatch):
    model = made("Llama").get_base_model()
    packed_trainer.patch_fused_loss(model)
    real = packed_trainer.sdpa_attention_forward

    def mixing(module, query, key, value, mask, cu_seq_lens_q=None, **settings):
        return real(module, query, key, value, None, **settings)

    monkeypatch.setitem(transformers.AttentionInterface._global_mapping, packed_trainer.SDPA_VARLEN, mixing)
    assert packed_trainer.capabilities(model) == (False, True)


def test_a_model_whose_logits_are_not_its_output_layers_is_left_to_trl():
    model = made("Llama").get_base_model()
    real = model.forward

    def forward(*args, **kwargs):
        made = real(*args, **kwargs)
        made.logits = made.logits * 1.5
        return made

    model.forward = forward
    packed_trainer.patch_fused_loss(model)
    assert packed_trainer.capabilities(model) == (False, False)


@pytest.mark.parametrize("kind", ["llama4_text", "llama"])
def test_the_layers_are_found_in_a_model_that_names_them_wrong(kind):
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(tiny_config(kind, 97))
    packed_trainer.patch_fused_loss(model)
    assert model.base_model is model.model


@pytest.mark.parametrize("adapter", [{"use_dora": True}, {"lora_dropout": 0.1}])
def test_an_adapter_that_does_more_is_left_to_peft(adapter):
    assert packed_trainer.patch_adapter_forward(made("Llama", **adapter), "default") == 0


@pytest.mark.parametrize("shape", [(1, 6, 32), (6, 32), (0, 32)], ids=["a batch", "tokens", "an expert without any"])
def test_a_model_may_change_an_output_in_place(shape):
    def step(fast):
        model = made("Llama").train()
        assert not fast or packed_trainer.patch_adapter_forward(model, "default")
        torch.manual_seed(3)
        x = torch.randn(shape, requires_grad=True)
        module = model.get_base_model().model.layers[0].self_attn.q_proj
        module(x).mul_(0.5).sum().backward()
        return [x.grad, *(weights.grad for weights in module.parameters() if weights.requires_grad)]

    for fast, known in zip(step(fast=True), step(fast=False), strict=True):
        assert torch.allclose(fast, known, atol=1e-5)


def test_the_model_is_as_it_was_afterwards():
    model = made("Llama")
    before = model.get_base_model().config._attn_implementation
    with pytest.raises(ZeroDivisionError), packed_trainer.varlen_attention(model.get_base_model()):
        raise ZeroDivisionError
    assert model.get_base_model().config._attn_implementation == before


def test_the_losses_do_not_depend_on_how_a_step_is_cut(tiny_config, monkeypatch):
    config = tiny_config.with_settings({"train.batch_size": 8, "train.max_steps": 8, "train.learning_rate": 1e-3})
    whole = gpu.thread().start_run(config)
    wait_until_over(whole)
    cut = gpu.thread().start_run(config.with_settings({"train.batch_size": 1, "train.gradient_accumulation": 8}))
    wait_until_over(cut)
    assert cut.resolved()["most_tokens"] * 8 == whole.resolved()["most_tokens"]
    assert losses(cut) == pytest.approx(losses(whole), abs=1e-5)
