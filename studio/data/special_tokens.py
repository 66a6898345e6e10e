"""Special tokens that a text spells: how they are recognized, and how they are encoded as ordinary text."""

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

Span = tuple[int, int]
"""Start and end of a part of a text, in characters."""

_NAME = "\ue000{}\ue001"
"""The name of a special token in a copy of a tokenizer: private-use characters, which no text should have."""

_BYTE = re.compile("<0x[0-9A-F]{2}>")
"""What SentencePiece calls a byte: some tokenizers list these as special, and need them for ordinary text."""


@lru_cache(maxsize=8)
def pattern(tokenizer: Any) -> re.Pattern[str]:
    """Return what matches the tokenizer's special tokens in a text, the longest first.

    Other added tokens, such as `<think>` or `<tool_call>`, are words that a model is meant to write, and are not
    matched.
    """
    names = {name for name in tokenizer.all_special_tokens if name}
    added = getattr(tokenizer, "added_tokens_decoder", {})
    names |= {token.content for token in added.values() if token.special and token.content}
    names = {name for name in names if not _BYTE.fullmatch(name)}
    return re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))) or "(?!)")


def find(tokenizer: Any, text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """Return where a part of a text spells special tokens."""
    return [match.span() for match in pattern(tokenizer).finditer(text, start, len(text) if end is None else end)]


def with_private_names(tokenizer: Any, text: str, plain: Iterable[Span]) -> str:
    """Return a text as the tokenizer of `literal_encoder` reads it.

    Special tokens get private names, except in the spans of `plain`, which stay as they are.
    """
    kept, names = set(plain), _names(tokenizer)
    return pattern(tokenizer).sub(lambda match: match[0] if match.span() in kept else names[match[0]], text)


@lru_cache(maxsize=2)
def literal_encoder(tokenizer: Any) -> Any:
    """Return a copy of a fast tokenizer's core whose special tokens have private names; None for a slow tokenizer.

    Text that spells a special token is ordinary text to it; all else is encoded as the tokenizer itself does, since
    it splits the text at the same places. `split_special_tokens` would not do: it splits the template's tokens too.
    """
    core = getattr(tokenizer, "backend_tokenizer", None)
    if core is None:
        return None
    from tokenizers import Tokenizer

    described = json.loads(core.to_str())
    names = _names(tokenizer)
    for token in described["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    model = described["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(token, token): number for token, number in model["vocab"].items()}
    else:  # Unigram: pieces with scores
        model["vocab"] = [[names.get(token, token), score] for token, score in model["vocab"]]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    described |= {"post_processor": None, "truncation": None, "padding": None}
    return Tokenizer.from_str(json.dumps(described))


@lru_cache(maxsize=8)
def _names(tokenizer: Any) -> dict[str, str]:
    added = getattr(tokenizer, "added_tokens_decoder", {}).items()
    numbers = {token.content: number for number, token in added if token.content}
    return {name: _NAME.format(number) for name, number in numbers.items() if pattern(tokenizer).fullmatch(name)}
