"""What the tests share: a home of their own, and a tiny model that is real."""

import json
import os
from pathlib import Path

import pytest

from studio.model.hardware import prepare_process

prepare_process()
os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks the Hub; those about its absence say so themselves
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A home that belongs to one test."""
    folder = tmp_path / "home"
    monkeypatch.setenv("RESTYLE_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """The folder of a random Llama with two layers and a byte-level ChatML tokenizer; made in under a second."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny-model"), seed=0)


def make_tiny_model(folder: Path, seed: int, chat_template: str | None = CHATML) -> Path:
    """Save a random Llama of 40,000 parameters and its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer(chat_template)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tokenizer(chat_template: str | None = CHATML):
    """Make a byte-level tokenizer without merges: every text is representable, one token a byte."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<|im_start|>", "<|im_end|>", "<|pad|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special, *letters])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(token, special=True) for token in special])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|pad|>"
    )
    tokenizer.chat_template = chat_template
    return tokenizer


@pytest.fixture
def style_file(tmp_path) -> Path:
    """A data set of 24 short rows, instruction and output."""
    path = tmp_path / "style.jsonl"
    rows = [{"instruction": f"What is {n}?", "output": f"Aye, {n} it be, says the sea."} for n in range(24)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def tiny_config(tiny_model, style_file):
    """The settings of a run that takes a second."""
    from studio.config import RunConfig

    return RunConfig().with_settings(
        {
            "name": "tiny",
            "data.source": {"kind": "file", "name": str(style_file)},
            "data.max_length": 128,
            "model.id": str(tiny_model),
            "model.precision": "float32",
            "lora.r": 4,
            "train.max_steps": 6,
            "train.learning_rate": 1e-2,
            "generation.max_new_tokens": 12,
            "generation.temperature": 0.0,
        }
    )
