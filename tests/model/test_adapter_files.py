"""An adapter's folder is read without trust: damage, contradictions and more than LoRA are told before it is loaded."""

import json
import struct

import outside
import pytest
import torch
from safetensors.torch import load_file, save_file

from studio.errors import CompareError
from studio.model import adapter_files

WEIGHTS = "adapter_model.safetensors"
ENDLESS = (
    "(a+)+$",
    "(a|a)*$",
    "(" * 12 + "a" + ")?a" * 12,
    "a?" * 40 + "a" * 40,
    "(?:a?){40}",
    "a.*b.*c.*",
    "[qv]_proj",
    "q_proj|v_proj",
)
"""Patterns, of which some never end without a single `*`, `+` or `{`."""


@pytest.fixture
def folder(tmp_path, tiny_model):
    return outside.make(tmp_path / "made", tiny_model, "someone/tiny")


def rewrite(folder, change):
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)


def test_an_adapter_of_peft_is_read_with_its_base_and_its_modules(folder):
    found = adapter_files.read(folder)
    assert found.base == {"id": "someone/tiny", "revision": None, "weights": None}
    assert set(found.modules) == {f"model.layers.{n}.self_attn.{part}_proj" for n in (0, 1) for part in "qv"}
    assert found.modules["model.layers.0.self_attn.q_proj"] == adapter_files.LoraShape(32, 32, 4)
    assert found.modules["model.layers.0.self_attn.v_proj"] == adapter_files.LoraShape(32, 16, 4)


def test_sixteen_bit_weights_are_read_too(folder):
    rewrite(folder, lambda weights: {name: part.to(torch.bfloat16) for name, part in weights.items()})
    assert len(adapter_files.read(folder).modules) == 4


def test_dora_and_ranks_by_module_are_read(tmp_path, tiny_model):
    settings = {"use_dora": True, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 16}}
    found = adapter_files.read(outside.make(tmp_path / "made", tiny_model, "someone/tiny", **settings))
    assert found.modules["model.layers.1.self_attn.q_proj"].rank == 2
    config = found.lora_config()
    assert config.use_dora
    alphas = config.alpha_pattern
    assert alphas == {rf"^model\.layers\.{n}\.self_attn\.q_proj": 16 for n in (0, 1)}
    assert config.rank_pattern == dict.fromkeys(alphas, 2)


@pytest.mark.parametrize("size", [0, 7, 100, -1], ids=["empty", "torn head length", "torn head", "torn weights"])
def test_weights_that_are_cut_off_are_damaged(folder, size):
    file = folder / WEIGHTS
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(CompareError, match="damaged"):
        adapter_files.read(folder)


def test_a_head_that_claims_gigabytes_is_not_read(folder):
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", 10**12) + b"{}")
    with pytest.raises(CompareError, match="damaged"):
        adapter_files.read(folder)


def test_a_matrix_without_its_other_half_is_damaged(folder):
    rewrite(
        folder,
        lambda weights: {
            name: part for name, part in weights.items() if "layers.0.self_attn.q_proj.lora_B" not in name
        },
    )
    with pytest.raises(CompareError, match="damaged"):
        adapter_files.read(folder)


@pytest.mark.parametrize(
    "name",
    ["base_model.model.lm_head.weight", "base_model.model.model.embed_tokens.weight", "model.q_proj.lora_A.weight"],
)
def test_weights_that_are_no_lora_matrices_are_refused(folder, name):
    rewrite(folder, lambda weights: weights | {name: torch.zeros(4, 4)})
    with pytest.raises(CompareError, match="more than add") as caught:
        adapter_files.read(folder)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"bias": "all"},
        {"layer_replication": [[0, 2], [0, 2]]},
        {"trainable_token_indices": [1]},
        {"megatron_config": {"tensor_model_parallel_size": 1}, "megatron_core": "antigravity"},
        {"init_lora_weights": "olora"},
        {"peft_type": "LOHA"},
    ],
)
def test_what_does_more_than_add_is_refused(folder, settings):
    with pytest.raises(CompareError, match="more than add"):
        adapter_files.read(outside.change(folder, **settings))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("r", "4"),
        ("r", 10**9),
        ("r", None),
        ("lora_alpha", -1),
        ("lora_alpha", float("nan")),
        *((field, {pattern: 4}) for field in ("rank_pattern", "alpha_pattern") for pattern in ENDLESS),
        ("rank_pattern", ["q_proj"]),
        ("alpha_pattern", {"q_proj": "16"}),
        ("lora_dropout", 2),
    ],
)
def test_settings_that_cannot_be_right_are_named(folder, field, value):
    with pytest.raises(CompareError, match=field):
        adapter_files.read(outside.change(folder, **{field: value}))


def test_a_pattern_of_modules_is_never_searched_with(folder):
    outside.change(folder, target_modules="(.*)*" * 30 + "x", exclude_modules="(a+)+$", layers_pattern="(a+)+")
    found = adapter_files.read(folder)
    assert set(found.lora_config().target_modules) == set(found.modules)
    assert found.lora_config().layers_pattern is None


@pytest.mark.parametrize("content", ["", "[]", "{}", "[" * 100_000, "\ud800".encode("utf-16", "surrogatepass")])
def test_settings_that_cannot_be_read_are_no_adapter(folder, content):
    path = folder / "adapter_config.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CompareError, match="holds no adapter"):
        adapter_files.read(folder)


@pytest.mark.parametrize("record", ["{}", '{"base": "x"}', '{"base": {"id": 1, "weights": "a"}}', "nothing"])
def test_a_record_that_cannot_be_right_is_told(folder, record):
    (folder / "restyle.json").write_text(record)
    with pytest.raises(CompareError, match=r"restyle\.json"):
        adapter_files.read(folder)


def test_the_template_beside_it_is_found_in_both_places(folder):
    assert adapter_files.read(folder).template is None
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "one"}))
    assert adapter_files.read(folder).template == "one"
    (folder / "chat_template.jinja").write_text("two")
    assert adapter_files.read(folder).template == "two"


def test_a_table_by_module_names_whole_modules_or_their_last_parts_and_the_first_entry_holds(tmp_path, tiny_model):
    table = {r"^model\.layers\.0\.self_attn\.q_proj": 3, "layers.1.self_attn.q_proj": 5, "q_proj": 7, "proj": 9}
    folder = outside.make(tmp_path / "made", tiny_model, "someone/tiny")
    found = adapter_files.read(outside.change(folder, alpha_pattern=table))
    by_module = {path: adapter_files._of_module(path, table) for path in found.modules}
    assert by_module == {
        "model.layers.0.self_attn.q_proj": 3,
        "model.layers.1.self_attn.q_proj": 5,
        "model.layers.0.self_attn.v_proj": None,
        "model.layers.1.self_attn.v_proj": None,
    }


def test_peft_scales_each_module_as_the_file_says(tmp_path, tiny_model):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    tables = {
        "rank_pattern": {"layers.0.self_attn.q_proj": 2},
        "alpha_pattern": {r"^model\.layers\.1\.self_attn\.v_proj": 32},
    }
    folder = outside.make(tmp_path / "made", tiny_model, str(tiny_model), **tables)

    def scales(config):
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), folder, config=config)
        return {
            name: part.scaling["default"]
            for name, part in model.named_modules()
            if isinstance(getattr(part, "scaling", None), dict)
        }

    assert scales(adapter_files.read(folder).lora_config()) == scales(None)
    assert len(set(scales(None).values())) == 3


def test_ranks_are_those_of_the_weights_whatever_the_table_says(tmp_path, tiny_model):
    folder = outside.make(tmp_path / "made", tiny_model, "someone/tiny", rank_pattern={"q_proj": 2})
    outside.change(folder, rank_pattern={"nothing": 7})
    assert adapter_files.read(folder).modules["model.layers.0.self_attn.q_proj"].rank == 2
    assert set(adapter_files.read(folder).lora_config().rank_pattern.values()) == {2}


def test_many_targets_beside_many_modules_are_looked_through_once(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    parts = {
        f"base_model.model.layers.{n}.q_proj.lora_{side}.weight": torch.zeros(1, 1)
        for n in range(8000)
        for side in "AB"
    }
    save_file(parts, folder / WEIGHTS)
    settings = {
        "peft_type": "LORA",
        "r": 1,
        "lora_alpha": 1,
        "target_modules": [f"x{n}" for n in range(50_000)] + ["q_proj"],
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    assert len(adapter_files.read(folder).modules) == 8000


@pytest.mark.parametrize("name", ["a/" + "-4bit" * 100_000 + "x", "models--" * 100_000, "/" * 10**6])
def test_a_name_without_measure_is_refused_before_it_is_searched(folder, name):
    with pytest.raises(CompareError, match="base_model_name_or_path"):
        adapter_files.read(outside.change(folder, base_model_name_or_path=name))
