"""What a model cannot take: rows with more tokens than it has positions, tokens that it has no embedding of."""

import re
from collections.abc import Mapping
from typing import Any

from studio.config import RunConfig
from studio.errors import ModelError
from studio.i18n import message
from studio.model import load
from studio.model.hardware import Choice
from studio.model.weight_files import list_names

_POSITIONS: Mapping[str, tuple[str, int]] = {
    "biogpt": ("max_position_embeddings", 1024),
    "codegen": ("n_positions", 2048),
    "ctrl": ("n_positions", 256),
    "gpt-sw3": ("n_positions", 1024),
    "gpt2": ("n_positions", 1024),
    "gpt_bigcode": ("n_positions", 1024),
    "gpt_neo": ("max_position_embeddings", 2048),
    "gptj": ("n_positions", 2048),
    "mpt": ("max_seq_len", 2048),
    "openai-gpt": ("n_positions", 512),
    "opt": ("max_position_embeddings", 2048),
}
"""Where the config.json of a model type says how many positions it has in a table, and transformers' default.

A longer row raises an error in these; rotary and other computed positions have no such limit (see
`tests/model/test_limits.py`)."""

_NOT_TEXT = re.compile(r"image|img|vision|video|audio|speech", re.IGNORECASE)
"""Tokens that stand for what is not text. Gemma 3 of 1 B has one that its embeddings lack."""


def positions(settings: Mapping[str, Any]) -> int | None:
    """Return how many tokens a model takes at most, from its config.json; None where it takes longer rows too."""
    name, usual = _POSITIONS.get(str(settings.get("model_type")), ("", 0))
    return int(settings.get(name) or usual) or None


def within_positions(config: RunConfig) -> RunConfig:
    """Return the settings with rows no longer than the model's positions; the same where it is not here yet."""
    try:
        located = load.locate(config.model)
    except ModelError:  # reported where the model is shown
        return config
    most = located and positions(located.settings)
    if most is None or config.data.max_length <= most:
        return config
    return config.model_copy(update={"data": config.data.model_copy(update={"max_length": most})})


def choices(config: RunConfig) -> tuple[Choice, ...]:
    """Return the row length that is used in the place of a longer one, with its reason."""
    used, wanted = within_positions(config).data.max_length, config.data.max_length
    reason = message("choice.max_length.positions", most=used, wanted=wanted)
    return () if used == wanted else (Choice("max_length", str(used), reason),)


def embedding_rows(model: Any) -> int:
    """Return of how many tokens a model has an embedding."""
    return int(model.get_input_embeddings().weight.shape[0])


def require_embeddings(tokenizer: Any, rows: int, model_id: str) -> None:
    """Raise ModelError for a tokenizer with a token that may occur in a text and has no row in the embeddings.

    Special tokens for pictures and sound may lack one, unless the chat template writes them.
    """
    special = set(tokenizer.all_special_ids) | {n for n, t in tokenizer.added_tokens_decoder.items() if t.special}
    roles = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id)
    template = str(tokenizer.chat_template or "")
    beyond = sorted((number, token) for token, number in tokenizer.get_vocab().items() if number >= rows)
    may_occur = [
        repr(token[:40])
        for number, token in beyond
        if number not in special or number in roles or token in template or not _NOT_TEXT.search(token)
    ]
    if may_occur:
        count, names = beyond[-1][0] + 1, list_names(may_occur)
        raise ModelError("model.fewer_embeddings", id=model_id, tokens=count, rows=rows, names=names)
