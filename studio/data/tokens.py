"""Tokens with a label each: what the model is trained on, what it only reads, and what is cut off.

The preview shows the result of `tokenize`, and the trainer trains on it: there is no second way.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from studio.data.prompt import Segment
from studio.errors import PromptError

IGNORED = -100
"""The label that PyTorch's cross-entropy leaves out (its default `ignore_index`)."""


class Label(StrEnum):
    """What happens to a token."""

    TRAINED = "trained"
    CONTEXT = "context"
    CUT = "cut"


@dataclass(frozen=True)
class Tokens:
    """A row as the model sees it: token ids and one label each, the cut ones included."""

    ids: tuple[int, ...]
    labels: tuple[Label, ...]

    @cached_property
    def kept(self) -> int:
        """Number of tokens that are not cut."""
        return len(self.labels) - self.labels.count(Label.CUT)

    @property
    def trained(self) -> int:
        """Number of tokens that a loss is computed for: not the first, which has nothing before it."""
        return self.labels[1:].count(Label.TRAINED)

    @property
    def cut(self) -> bool:
        """Whether the row was longer than the limit."""
        return self.kept < len(self.ids)

    def for_training(self) -> dict[str, list[int]]:
        """Return `input_ids` and `labels`, both of length `kept`; only trained tokens have a label."""
        kept = self.kept
        pairs = zip(self.ids[:kept], self.labels[:kept], strict=True)
        return {
            "input_ids": list(self.ids[:kept]),
            "labels": [token if label is Label.TRAINED else IGNORED for token, label in pairs],
        }


def tokenize(rows: Sequence[Sequence[Segment]], tokenizer: Any, max_length: int, train_on: str) -> list[Tokens]:
    """Tokenize rows of segments, each segment by itself; `train_on` is `completion` or `all`."""
    texts = [segment.text for row in rows for segment in row]
    ids = iter(tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else [])
    return [_label([(next(ids), segment.trained) for segment in row], max_length, train_on) for row in rows]


def _label(pieces: Iterable[tuple[list[int], bool]], max_length: int, train_on: str) -> Tokens:
    ids: list[int] = []
    labels: list[Label] = []
    for piece, trained in pieces:
        ids += piece
        labels += [Label.TRAINED if trained or train_on == "all" else Label.CONTEXT] * len(piece)
    labels[max_length:] = [Label.CUT] * (len(labels) - max_length)
    return Tokens(tuple(ids), tuple(labels))


def prompt_ids(segments: Sequence[Segment], tokenizer: Any) -> list[int]:
    """Tokenize the prompt of a comparison exactly as the same text was tokenized for training."""
    return [
        token
        for piece in tokenizer([s.text for s in segments], add_special_tokens=False)["input_ids"]
        for token in piece
    ]


def spans(row: Tokens, tokenizer: Any) -> list[tuple[str, str]]:
    """Return text and label of each token; tokens that are parts of one character are joined to it."""
    found: list[tuple[str, str]] = []
    held: list[int] = []
    for token, label in zip(row.ids, row.labels, strict=True):
        held.append(token)
        text = tokenizer.decode(held)
        if not text.endswith("\ufffd") or len(held) > 8:
            found.append((text, label.value))
            held = []
    if held:
        found.append((tokenizer.decode(held), row.labels[-1].value))
    return found


def stop_ids(tokenizer: Any, generation_config: Any = None) -> frozenset[int]:
    """Return the tokens that end an answer: end of text, end of turn, and what the model's own settings add."""
    found = {tokenizer.eos_token_id}
    configured = getattr(generation_config, "eos_token_id", None)
    found.update(configured if isinstance(configured, (list, tuple)) else [configured])
    found.add(end_of_turn(tokenizer))
    return frozenset(token for token in found if token is not None)


def end_of_turn(tokenizer: Any) -> int | None:
    """Return the special token that the chat template puts after an answer, or None without one."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    turns = [{"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    tail = tokenizer(text[text.rindex("answer") + len("answer") :], add_special_tokens=False)["input_ids"]
    special = set(tokenizer.all_special_ids) | set(getattr(tokenizer, "added_tokens_decoder", {}))
    return next((token for token in tail if token in special), None)


def ends_by_itself(tokens: Tokens, tokenizer: Any, stops: frozenset[int]) -> bool:
    """Whether the last trained token but white space is one that ends an answer."""
    if tokens.cut:
        return False
    for token, label in zip(reversed(tokens.ids), reversed(tokens.labels), strict=True):
        if label is not Label.TRAINED:
            return False
        if token in stops:
            return True
        if tokenizer.decode([token]).strip():
            return False
    return False


def require_end(tokens: Tokens, tokenizer: Any, stops: frozenset[int]) -> None:
    """Raise PromptError when a row that is not cut does not train the end of its turn."""
    if not tokens.cut and not ends_by_itself(tokens, tokenizer, stops):
        raise PromptError("prompt.no_end", tail=tokenizer.decode(list(tokens.ids[-8:])))
