"""Rows longer than a model's positions are cut at them; a tokenizer may not have more tokens than embeddings."""

import json
import shutil

import pytest
from architectures import make, tiny_config
from tiny import make_tokenizer

from studio.config import ModelConfig
from studio.data import prepare
from studio.data.preview import preview_row
from studio.errors import ModelError
from studio.files import write_json_lines
from studio.model import limits, load
from studio.train import preflight


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    """A GPT-2 of 128 positions."""
    return make("gpt2", tmp_path_factory.mktemp("gpt2"))


@pytest.fixture
def long_rows(tmp_path):
    path = tmp_path / "long.jsonl"
    rows = [{"instruction": f"Tell {n}.", "output": "the sea is wide " * (2 if n < 3 else 30)} for n in range(6)]
    write_json_lines(path, rows)
    return path


def with_model(config, model, data, length=512):
    return config.with_settings(
        {"model.id": str(model), "data.source": {"kind": "file", "name": str(data)}, "data.max_length": length}
    )


def test_rows_are_cut_at_the_positions_and_counted(tiny_config, gpt2, long_rows):
    config = with_model(tiny_config, gpt2, long_rows)
    found = preflight.check(config, 1e12)
    prepared = prepare.prepare(config, load.load_tokenizer(config.model))

    assert not found.blocks
    assert found.report.max_length == 128
    assert (found.report.lengths > 128).sum() == 3
    print([(p.kind, p.count) for p in found.report.problems])
    assert max(map(len, prepared.train["input_ids"])) == prepared.longest == 128
    chosen = next(choice for choice in found.choices if choice.name == "max_length")
    assert chosen.value == "128"
    assert "128 positions" in chosen.reason.text()
    assert ("cut" in {kind for _, kind in preview_row(config, 5).spans}) is True


@pytest.mark.parametrize("length", [64, 128])
def test_a_length_within_the_positions_stays(tiny_config, gpt2, long_rows, length):
    config = with_model(tiny_config, gpt2, long_rows, length)
    assert limits.within_positions(config) is config
    assert limits.choices(config) == ()


def test_rows_longer_than_rotary_positions_are_warned_of_and_not_cut(tiny_config, tiny_model, long_rows):
    config = with_model(tiny_config, tiny_model, long_rows, 4096)
    found = preflight.check(config, 1e12)
    assert found.report.max_length == 4096
    assert any("made for 1024" in warning.text() for warning in found.warnings)


def test_a_model_that_is_not_here_has_no_positions_yet(tiny_config):
    config = tiny_config.with_settings({"model.id": "nobody/nothing"})
    assert limits.within_positions(config) is config


@pytest.mark.parametrize("kind", sorted(limits._POSITIONS))
def test_the_models_with_a_table_of_positions_take_no_longer_row(kind):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(tiny_config(kind, 64), dtype=torch.float32).eval()
    most = limits.positions(model.config.to_dict())

    with torch.no_grad():
        model(input_ids=torch.ones((1, most), dtype=torch.long))
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.ones((1, most + 1), dtype=torch.long))


def test_the_usual_positions_are_those_of_transformers():
    from transformers import CONFIG_MAPPING

    for kind in limits._POSITIONS:
        assert limits.positions({"model_type": kind}) == limits.positions(CONFIG_MAPPING[kind]().to_dict()), kind


def test_a_tokenizer_with_ordinary_tokens_beyond_the_embeddings_is_refused_with_both_numbers():
    tokenizer = make_tokenizer()
    limits.require_embeddings(tokenizer, len(tokenizer), "some/model")
    limits.require_embeddings(tokenizer, len(tokenizer) + 64, "some/model")
    with pytest.raises(ModelError) as refused:
        limits.require_embeddings(tokenizer, len(tokenizer) - 9, "some/model")
    assert (refused.value.values["tokens"], refused.value.values["rows"]) == (259, 250)


@pytest.mark.parametrize(
    "added",
    [
        {"pad_token": "<pad>"},
        {"eos_token": "<image>"},
        {"extra_special_tokens": ["<think>"]},
    ],
    ids=["padding", "the end", "another one"],
)
def test_special_tokens_that_were_added_without_embeddings_are_refused(added):
    tokenizer = make_tokenizer()
    rows = len(tokenizer)
    tokenizer.add_special_tokens(added)
    with pytest.raises(ModelError, match=f"{rows + 1} tokens"):
        limits.require_embeddings(tokenizer, rows, "some/model")


def test_words_that_were_added_without_embeddings_are_refused():
    tokenizer = make_tokenizer()
    rows = len(tokenizer)
    tokenizer.add_tokens(["restyle", "studio"])
    with pytest.raises(ModelError, match="'restyle', 'studio'"):
        limits.require_embeddings(tokenizer, rows, "some/model")


def test_a_token_for_pictures_may_lack_an_embedding_unless_the_template_writes_it():
    tokenizer = make_tokenizer()
    rows = len(tokenizer)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<image_soft_token>"]})
    limits.require_embeddings(tokenizer, rows, "some/model")
    tokenizer.chat_template += "<image_soft_token>"
    with pytest.raises(ModelError, match="image_soft_token"):
        limits.require_embeddings(tokenizer, rows, "some/model")


def test_the_check_refuses_a_tokenizer_that_is_too_large(tiny_config, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["restyle"])
    tokenizer.save_pretrained(folder)
    found = preflight.check(tiny_config.with_settings({"model.id": str(folder)}), 1e12)
    assert [block.key for block in found.blocks] == ["errors.model.fewer_embeddings"]


def test_a_model_is_never_loaded_with_a_tokenizer_that_is_too_large(tiny_model, tmp_path):
    from studio.model.adapter import ModelHost

    folder = shutil.copytree(tiny_model, tmp_path / "model")
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["restyle"])
    tokenizer.save_pretrained(folder)
    config = ModelConfig(id=str(folder))
    with pytest.raises(ModelError, match="has embeddings for 259"):
        ModelHost().base(config, load.locate(config))


QWEN25 = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>"),
    *("<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
    *("<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>"),
    *("<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
)
"""The tokens that Qwen2.5 has added to its vocabulary of 151,643, in this order."""
QWEN3 = (*QWEN25, "<tool_response>", "</tool_response>", "<think>", "</think>")


def save_qwen(folder, kind, added, rows, tokenizer_class="Qwen2Tokenizer"):
    """Save the tokenizer of a Qwen repository, with words of no meaning, and the config.json beside it."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"word{number}" for number in range(151643 - len(letters)))]
    core = Tokenizer(models.BPE(vocab={word: number for number, word in enumerate(words)}, merges=[]))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    core.add_tokens([AddedToken(token, special=token.startswith("<|"), normalized=False) for token in added])
    folder.mkdir()
    core.save(str(folder / "tokenizer.json"))
    names = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "tokenizer_class": tokenizer_class}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    (folder / "config.json").write_text(json.dumps({"model_type": kind, "vocab_size": rows}))
    return folder


@pytest.mark.parametrize(
    ("kind", "added", "rows"),
    [
        ("qwen2", QWEN25[:3], 151936),
        ("qwen2", QWEN25, 151936),
        ("qwen2", QWEN25, 151665),  # embeddings resized to the tokenizer
        ("qwen3", QWEN3, 151669),
    ],
)
def test_the_tokenizers_of_qwen_fit_their_embeddings(kind, added, rows, tmp_path):
    tokenizer, _ = load._tokenizer(save_qwen(tmp_path / "qwen", kind, added, rows))
    assert type(tokenizer).__name__ == "Qwen2Tokenizer"
    assert len(tokenizer) == 151643 + len(added)
    limits.require_embeddings(tokenizer, rows, "some/qwen")


@pytest.mark.parametrize("kind", ["qwen2", "qwen3_5_moe_text"])
def test_a_token_that_transformers_class_adds_to_a_vocabulary_without_it_is_left_out(kind, tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "vocab_size": len(tokenizer)}))
    loaded, _ = load._tokenizer(tmp_path)
    limits.require_embeddings(loaded, len(tokenizer), "some/model")
    assert len(loaded) == len(tokenizer)
    assert (loaded.bos_token, loaded.eos_token, loaded.pad_token) == ("<|im_start|>", "<|im_end|>", "<|pad|>")
    assert loaded.chat_template == tokenizer.chat_template


@pytest.mark.parametrize("kind", ["qwen2", "qwen3_5_moe_text"])
def test_a_token_of_the_repository_itself_is_never_left_out(kind, tmp_path):
    tokenizer = make_tokenizer()
    rows = len(tokenizer)
    tokenizer.add_tokens(["restyle"])
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "vocab_size": rows}))
    with pytest.raises(ModelError, match="'restyle'"):
        limits.require_embeddings(load._tokenizer(tmp_path)[0], rows, "some/model")
