"""Repositories that are quantized already load as such, placement follows memory, and every choice has its reason."""

import json
import shutil
import time

import pytest

from studio import runs
from studio.config import ModelConfig
from studio.errors import ModelError
from studio.model import estimate, load, quantization
from studio.model.hardware import placement


@pytest.fixture(scope="module")
def quantized(tmp_path_factory, tiny_model):
    """Folders of the tiny model, saved by transformers in 4 and in 8 bits."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    kinds = {
        "nf4": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16),
        "int8": BitsAndBytesConfig(load_in_8bit=True),
    }
    folders = {}
    for kind, settings in kinds.items():
        folders[kind] = shutil.copytree(tiny_model, tmp_path_factory.mktemp(kind) / "model")
        model = AutoModelForCausalLM.from_pretrained(tiny_model, quantization_config=settings, device_map={"": "cpu"})
        model.save_pretrained(folders[kind])
    return folders


def loaded(folder, **settings):
    config = ModelConfig(id=str(folder), precision="float32", **settings)
    return load.load(config, load.locate(config))


@pytest.mark.parametrize(
    ("kind", "wanted", "reason"),
    [
        ("nf4", "none", "choice.quantization.repository"),
        ("nf4", "nf4", "choice.quantization.repository"),
        ("nf4", "int8", "choice.quantization.instead"),
        ("int8", "none", "choice.quantization.repository"),
    ],
)
def test_a_quantized_repository_is_loaded_as_it_is(quantized, kind, wanted, reason):
    import bitsandbytes
    import torch

    found = loaded(quantized[kind], quantization=wanted)
    layer = found.model.model.layers[0].mlp.up_proj

    assert isinstance(layer, {"nf4": bitsandbytes.nn.Linear4bit, "int8": bitsandbytes.nn.Linear8bitLt}[kind])
    assert (found.quantization.value, found.quantization.reason.key) == (kind, reason)
    if kind == "nf4":
        assert layer.compute_dtype is torch.float32  # ours, and not the one that it was saved with


def test_a_run_on_a_quantized_repository_trains(quantized, tiny_config):
    from studio import gpu

    config = tiny_config.with_settings({"model.id": str(quantized["nf4"]), "train.max_steps": 2})
    run = gpu.thread().start_run(config)
    while run.status().state.alive:
        time.sleep(0.1)
    chosen = {event.name: event.value for event in run.events()[0] if event.type == "chosen"}

    assert run.status().state is runs.State.FINISHED, run.log.read_text(encoding="utf-8")[-2000:]
    assert chosen["quantization"] == "nf4"
    assert {"precision", "attention", "placement", "pad_token", "padding"} <= chosen.keys()
    assert run.has_adapter


def test_quantized_weights_are_counted_as_the_weights_that_they_stand_for(quantized, tiny_model):
    whole = estimate.parameters(tiny_model)
    assert {kind: estimate.parameters(folder) for kind, folder in quantized.items()} == {"nf4": whole, "int8": whole}


@pytest.mark.parametrize("method", ["gptq", "awq", "compressed-tensors"])
def test_other_methods_are_refused_by_their_name(tiny_model, tmp_path, method):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"quantization_config": {"quant_method": method}}))
    with pytest.raises(ModelError, match=method) as caught:
        loaded(folder)
    assert caught.value.key == "model.other_quantization"


@pytest.mark.parametrize(("wanted", "own"), [("nf4", None), ("int8", None), ("none", "nf4")])
def test_quantization_is_refused_where_its_library_has_no_device(monkeypatch, wanted, own):
    monkeypatch.setattr(quantization, "device", lambda: "mps")
    settings = {"quantization_config": {"load_in_4bit": True, "bnb_4bit_quant_type": own}} if own else {}
    with pytest.raises(ModelError, match="MPS"):
        quantization.choose(wanted, settings, "someone/model")
    assert quantization.choose("none", {}, "someone/model").value == "none"


@pytest.mark.parametrize(
    ("need", "free", "value", "reason"),
    [
        (10, [16], "one device", "fits"),
        (10, [16, 16], "one device", "fits"),
        (14, [16], "one device", "tight"),
        (14, [16, 16], "auto", "spread"),
        (14, [2, 40], "one device", "other_card"),
        (14, [2, 16, 16], "auto", "spread"),
        (40, [16, 16], "auto", "too_large"),
    ],
)
def test_weights_are_spread_only_over_cards_of_which_one_cannot_hold_them(need, free, value, reason):
    chosen = placement(need * 10**9, [card * 10**9 for card in free])
    assert (chosen.value, chosen.reason.key) == (value, f"choice.placement.{reason}")
    assert all(chosen.reason.text(language) for language in ("en", "ko"))


@pytest.mark.parametrize(("free", "device_map"), [([10**9], None), ([100, 10**6], "auto")])
def test_the_placement_is_what_transformers_is_told(monkeypatch, tiny_model, free, device_map):
    from transformers import AutoModelForCausalLM

    told = {}
    from_pretrained = AutoModelForCausalLM.from_pretrained

    def spy(*args, **kwargs):
        told.update(kwargs)
        return from_pretrained(*args, **kwargs | {"device_map": None})

    where = None if device_map == "auto" else "cpu"
    monkeypatch.setattr(load, "_place", lambda *_: (placement(10**6, free), where))
    monkeypatch.setattr(load, "free_memory_of_cards", lambda: free)
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", spy)
    found = loaded(tiny_model)

    assert told["device_map"] == device_map
    assert found.placement in found.choices


def test_the_need_for_memory_follows_width_and_quantization(monkeypatch, tiny_model):
    needs = []
    monkeypatch.setattr(load, "device", lambda: "cuda")
    monkeypatch.setattr(load, "free_memory_of_cards", lambda: [10**9])
    monkeypatch.setattr(load, "placement", lambda need, free: needs.append(need))
    for width, kind in ((4, "none"), (2, "none"), (2, "int8"), (2, "nf4")):
        load._place(tiny_model, width, kind)

    assert needs == sorted(needs, reverse=True)
    assert needs[0] == 4 * estimate.parameters(tiny_model)


@pytest.mark.parametrize(
    ("removed", "value", "reason"),
    [
        ((), "<|pad|>", "own"),
        (("pad_token",), "<|im_end|>", "eos"),
        (("pad_token", "eos_token"), "<|im_start|>", "unk"),
    ],
)
def test_the_padding_token_is_told_with_its_reason(tiny_model, tmp_path, removed, value, reason):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings = {name: token for name, token in settings.items() if name not in removed}
    if reason == "unk":
        settings["unk_token"] = "<|im_start|>"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    found = loaded(folder)

    assert (found.pad_token.value, found.pad_token.reason.key) == (value, f"choice.pad_token.{reason}")
    assert found.tokenizer.pad_token == value


def test_a_tokenizer_without_any_token_to_pad_with_is_refused(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    kept = {name: token for name, token in settings.items() if name not in ("pad_token", "eos_token", "unk_token")}
    (folder / "tokenizer_config.json").write_text(json.dumps(kept))
    with pytest.raises(ModelError) as caught:
        loaded(folder)
    assert caught.value.key == "model.no_tokenizer"


def test_training_pads_on_the_right_as_the_choice_says(tiny_model):
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    padding = next(choice for choice in loaded(tiny_model).choices if choice.name == "padding")
    rows = [{"input_ids": [5], "labels": [5]}, {"input_ids": [5, 6, 7], "labels": [5, 6, 7]}]
    batch = DataCollatorForLanguageModeling(pad_token_id=2)(rows)

    assert batch["input_ids"][0].tolist() == [5, 2, 2]
    assert padding.value == "right"


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_a_quantized_run_goes_the_way_of_a_card_from_loading_to_comparing(tiny_config, kind, monkeypatch):
    """Nothing is replaced: not the device map, nor the placement. Its answers are proven, side by side or in turn."""
    import torch
    from following import wait_until_over
    from transformers import AutoModelForCausalLM

    from studio import gpu
    from studio.compare.columns import CompareRequest

    told = []
    real = AutoModelForCausalLM.from_pretrained
    monkeypatch.setattr(
        AutoModelForCausalLM, "from_pretrained", lambda *args, **named: (told.append(named), real(*args, **named))[1]
    )
    settings = {"model.quantization": kind, "train.max_steps": 4, "lora.dropout": 0.1, "samples.mode": "off"}
    settings |= {"data.validation": {"kind": "fraction", "fraction": 0.25}, "train.eval_steps": 2}
    run = gpu.thread().start_run(tiny_config.with_settings(settings))
    assert wait_until_over(run) is runs.State.FINISHED, run.log.read_text(encoding="utf-8")[-2000:]
    assert told[0]["device_map"] == {"": "cpu"}
    assert told[0]["max_memory"] is None
    compared = gpu.thread().compare(CompareRequest(run.id, ("What is 3?", "Where is the sea?"), tiny_config.generation))
    result = compared.result()
    assert result.proof.base_is_untouched
    assert [note.key for note in result.notes] == (["compare.note.in_turn_int8"] if kind == "int8" else [])
    assert torch.get_default_dtype() is torch.float32


def test_rows_in_8_bit_change_each_other_as_on_a_card(quantized):
    """An outlier in one row lets a column be computed in 16 bits for all: so base and adapter answer in turn."""
    import torch

    layer = loaded(quantized["int8"]).model.model.layers[0].mlp.up_proj
    torch.manual_seed(0)
    row, other = torch.randn(2, 1, 32)
    other[0, 3] = 60.0
    alone, beside = layer(row), layer(torch.cat([row, other]))[:1]
    assert (alone - beside).abs().max() > 0
    assert quantization.couples_rows(layer)


def test_rows_in_4_bit_do_not(quantized):
    assert not quantization.couples_rows(loaded(quantized["nf4"]).model)
