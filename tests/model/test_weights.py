"""Weights that are not those of the architecture are refused before they are loaded, with names and numbers."""

import json
import shutil

import pytest
from tiny import make_tokenizer

from studio.config import ModelConfig
from studio.errors import ModelError
from studio.model import load, weight_files, weights

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 4500000\n"


@pytest.fixture
def copy(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def change(folder, changed, name="model.safetensors"):
    """Rewrite a file of weights as `changed` returns its tensors."""
    from safetensors.torch import load_file, save_file

    tensors = changed(load_file(folder / name))
    save_file({name: each.contiguous() for name, each in tensors.items()}, folder / name, metadata={"format": "pt"})


def split(folder):
    """Spread a folder's weights over two shards with an index; return the names of the files."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    files = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    parts = [dict(list(tensors.items())[number::2]) for number in (0, 1)]
    for file, part in zip(files, parts, strict=True):
        save_file(part, folder / file, metadata={"format": "pt"})
    placed = {name: file for file, part in zip(files, parts, strict=True) for name in part}
    (folder / weight_files.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    return files


def refusal(folder):
    """Return the error with which a folder is refused at check, without its path."""
    config = ModelConfig(id=str(folder))
    with pytest.raises(ModelError) as refused:
        weights.check(load.locate(config).path, "some/model")
    return refused.value


def test_whole_weights_are_taken_in_one_file_or_in_shards(copy):
    assert weights.check(copy, "some/model") == ()
    split(copy)
    config = ModelConfig(id=str(copy))
    assert weights.check(load.locate(config).path, "some/model") == ()
    load.load(config, load.locate(config))


def test_missing_weights_are_named_and_counted(copy):
    change(copy, lambda tensors: {name: each for name, each in tensors.items() if "layers.1.self_attn" not in name})
    error = refusal(copy)
    assert error.key == "model.missing_weights"
    assert (error.values["count"], error.values["total"]) == (4, 21)
    assert "model.layers.1.self_attn.k_proj.weight" in str(error)


def test_tied_weights_may_be_absent(copy):
    config = json.loads((copy / "config.json").read_text()) | {"tie_word_embeddings": True}
    (copy / "config.json").write_text(json.dumps(config))
    change(copy, lambda tensors: {name: each for name, each in tensors.items() if name != "lm_head.weight"})
    assert weights.check(copy, "some/model") == ()


def test_an_output_layer_that_is_not_tied_may_not_be_absent(copy):
    change(copy, lambda tensors: {name: each for name, each in tensors.items() if name != "lm_head.weight"})
    assert refusal(copy).values["names"] == "lm_head.weight"


def test_weights_of_another_shape_are_named_with_both_sizes(copy):
    change(
        copy,
        lambda tensors: {n: each[:40] if n.endswith("0.mlp.up_proj.weight") else each for n, each in tensors.items()},
    )
    error = refusal(copy)
    assert error.key == "model.wrong_shapes"
    assert "model.layers.0.mlp.up_proj.weight: 40 × 32 in the file, 64 × 32 by config.json" in str(error)


@pytest.mark.parametrize(
    "extra",
    ["model.layers.2.mlp.up_proj.weight", "model.layers.0.self_attn.q_proj.bias", "model.norm.weight_scale"],
    ids=["one more layer", "a bias that config.json switches off", "a scale of a quantized weight"],
)
def test_weights_that_the_model_would_need_are_not_left_out(copy, extra):
    import torch

    change(copy, lambda tensors: {**tensors, extra: torch.ones(32)})
    error = refusal(copy)
    assert (error.key, error.values["names"]) == ("model.left_over_weights", extra)


@pytest.mark.parametrize(
    ("extra", "left"),
    [
        ("vision_tower.blocks.0.weight", ("vision_tower.blocks.0.weight",)),
        ("model.layers.0.self_attn.rotary_emb.inv_freq", ()),
    ],
)
def test_weights_that_the_language_model_does_not_use_are_told_and_left_out(copy, extra, left):
    import torch

    change(copy, lambda tensors: {**tensors, extra: torch.ones(4)})
    assert weights.check(copy, "some/model") == left
    load.load(ModelConfig(id=str(copy)), load.locate(ModelConfig(id=str(copy))))


def test_what_is_missing_is_refused_at_loading_too(copy, monkeypatch):
    change(copy, lambda tensors: {name: each for name, each in tensors.items() if "norm" not in name})
    monkeypatch.setattr(weights, "check", lambda *_: ())
    with pytest.raises(ModelError, match="would be filled with random numbers"):
        load.load(ModelConfig(id=str(copy)), load.locate(ModelConfig(id=str(copy))))


@pytest.mark.parametrize("format", ["one file", "shards"])
@pytest.mark.parametrize("left", [4, 100, 3000])
def test_a_file_that_is_cut_off_is_named(copy, format, left):
    file = copy / (split(copy)[1] if format == "shards" else "model.safetensors")
    file.write_bytes(file.read_bytes()[:left])
    error = refusal(copy)
    assert (error.key, error.values["file"]) == ("model.damaged_file", file.name)


def test_shards_that_are_missing_are_named(copy):
    first, second = split(copy)
    (copy / first).unlink()
    error = refusal(copy)
    assert (error.key, error.values["count"], error.values["total"]) == ("model.missing_shards", 1, 2)
    assert first in str(error)
    assert second not in str(error)


def test_a_shard_that_is_a_copy_of_another_is_named(copy):
    first, second = split(copy)
    shutil.copy(copy / first, copy / second)
    error = refusal(copy)
    assert (error.key, error.values["file"]) == ("model.wrong_shard", second)


def test_an_index_leads_to_no_file_outside_of_the_folder(copy, tiny_model):
    (copy / "model.safetensors").unlink()
    names = weight_files.headers(tiny_model)
    outside = {"weight_map": dict.fromkeys(names, f"../{tiny_model.name}/model.safetensors")}
    (copy / weight_files.INDEX).write_text(json.dumps(outside))
    assert refusal(copy).key == "model.no_safetensors"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize(("content", "key"), [(POINTER, "model.lfs_pointer"), (b"", "model.empty_file")])
def test_files_that_were_not_fetched_are_named(copy, name, content, key):
    (copy / name).write_bytes(content)
    error = refusal(copy)
    assert name in str(error)
    assert error.key == ("model.no_config" if (name, content) == ("config.json", b"") else key)


def test_a_pointer_is_told_with_what_to_run(copy):
    (copy / "model.safetensors").write_bytes(POINTER)
    assert "git lfs pull" in str(refusal(copy))


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_weights_that_bitsandbytes_has_packed_are_taken_and_missed(tiny_model, tmp_path, kind):
    import torch
    from transformers import AutoModelForCausalLM

    from studio.model import quantization

    how = quantization.quantization_config(kind, torch.float32)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, quantization_config=how, device_map={"": "cpu"})
    model.save_pretrained(tmp_path / "packed")
    make_tokenizer().save_pretrained(tmp_path / "packed")
    assert weights.check(tmp_path / "packed", "some/model") == ()

    change(tmp_path / "packed", lambda tensors: {n: e for n, e in tensors.items() if "layers.0.mlp.up_proj" not in n})
    assert refusal(tmp_path / "packed").values["names"] == "model.layers.0.mlp.up_proj.weight"
