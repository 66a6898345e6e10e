"""A tiny model that is real, its tokenizer, and the settings of a run that takes a second."""

from pathlib import Path
from typing import Any

from studio.files import write_json_lines

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# Each family as far as these tests need it; written for them.
TEMPLATES = {
    "chatml": CHATML,
    "llama3": (
        "<|im_start|>{% for m in messages %}[{{ m['role'] }}]\n\n{{ m['content'] | trim }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}[assistant]\n\n{% endif %}"
    ),
    "gemma": (
        "<|im_start|>{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system role') }}"
        "{% endif %}<turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
        "{{ m['content'] | trim }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<turn>model\n{% endif %}"
    ),
    "mistral": (
        "<|im_start|>{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
        "{% elif m['role'] == 'assistant' %} {{ m['content'] }}<|im_end|>{% endif %}{% endfor %}"
    ),
}


def make_tiny_model(
    folder: Path, seed: int, chat_template: str | None = CHATML, merges: tuple[tuple[str, str], ...] = ()
) -> Path:
    """Save a random Llama of 40,000 parameters and its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer(chat_template, merges=merges)
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


def make_tokenizer(
    chat_template: str | None = CHATML, adds_bos: bool = False, merges: tuple[tuple[str, str], ...] = ()
):
    """Make a byte-level tokenizer: every text is representable, without merges one token a byte.

    With `adds_bos` it puts a beginning-of-text token in front of what it is given, as Llama's does.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<|im_start|>", "<|im_end|>", "<|pad|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special, *letters, *map("".join, merges)])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(token, special=True) for token in special])
    if adds_bos:
        core.post_processor = processors.TemplateProcessing("<|im_start|> $A", special_tokens=[("<|im_start|>", 0)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|pad|>"
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def make_style(path: Path) -> Path:
    """Write a data set of 24 short rows, instruction and output."""
    rows = [{"instruction": f"What is {n}?", "output": f"Aye, {n} it be, says the sea."} for n in range(24)]
    write_json_lines(path, rows)
    return path


def make_config(model: Path, data: Path) -> Any:
    """Return the settings of a run that takes a second."""
    from studio.config import RunConfig

    return RunConfig().with_settings(
        {
            "name": "tiny",
            "data.source": {"kind": "file", "name": str(data)},
            "data.max_length": 128,
            "model.id": str(model),
            "model.precision": "float32",
            "lora.r": 4,
            "train.max_steps": 6,
            "train.learning_rate": 1e-2,
            "generation.max_new_tokens": 12,
            "generation.temperature": 0.0,
        }
    )


def write_preferences(path: Path, method: str = "dpo", count: int = 24) -> str:
    """Write preferences in the tiny model's words, `matey` to `lad`, as pairs or labelled answers; return the path."""
    rows = []
    for n in range(count):
        prompt, good, bad = f"What is {n}?", f"Aye, {n} it be, matey.", f"Aye, {n} it be, lad."
        if method == "dpo":
            rows.append({"prompt": prompt, "chosen": good, "rejected": bad})
        else:
            rows.append({"prompt": prompt, "completion": good if n % 3 else bad, "label": bool(n % 3)})
    write_json_lines(path, rows)
    return str(path)
