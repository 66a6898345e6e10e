"""The shapes of the presets' models, with random weights."""

from pathlib import Path
from typing import Any

from tests.tiny import CHATML, make_tokenizer

LARGEST_BYTES = 3e9
"""Weights in 16 bits that are written for a model; a larger one has fewer layers, which the table says."""

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "instruct": ("Qwen2", {
        "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
        "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True,
    }),
    "socratic": ("Gemma3", {
        "hidden_size": 1152, "intermediate_size": 6912, "num_hidden_layers": 26, "num_attention_heads": 4,
        "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 262144, "query_pre_attn_scalar": 256,
    }),
    "textbook": ("Qwen2", {
        "hidden_size": 2048, "intermediate_size": 5504, "num_hidden_layers": 24, "num_attention_heads": 16,
        "num_key_value_heads": 16, "vocab_size": 151936, "tie_word_embeddings": False,
    }),
    "lyrics": ("Gemma2", {
        "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26, "num_attention_heads": 8,
        "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 256000, "query_pre_attn_scalar": 256,
    }),
    "chat": ("Qwen2", {
        "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "vocab_size": 152064, "tie_word_embeddings": False,
    }),
}  # fmt: skip
TINY = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 300,
}  # fmt: skip


def make(preset: str, folder: Path, *, tiny: bool) -> tuple[Path, int]:
    """Save a random model of a preset's shape in bfloat16, in `folder`; return its folder and its layers."""
    import torch
    import transformers

    kind, shape = SHAPES[preset]
    small = {"head_dim": 16, "query_pre_attn_scalar": 16} if "head_dim" in shape else {}
    shape = {**shape, **(TINY | small if tiny else {})}
    described = getattr(transformers, f"{kind}TextConfig", None) or getattr(transformers, f"{kind}Config")
    special = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "max_position_embeddings": 4096}

    def config(layers: int) -> Any:
        return described(**{**shape, "num_hidden_layers": layers}, **special)

    def size(layers: int) -> float:
        with torch.device("meta"):
            model = getattr(transformers, f"{kind}ForCausalLM")(config(layers))
        return 2.0 * sum(weights.numel() for weights in model.parameters())

    one = size(2) - size(1)
    layers = min(shape["num_hidden_layers"], max(2, int((LARGEST_BYTES - size(1)) / one) + 1))
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForCausalLM")(config(layers)).to(torch.bfloat16)
    model.save_pretrained(folder / preset)
    make_tokenizer(CHATML).save_pretrained(folder / preset)
    return folder / preset, layers
