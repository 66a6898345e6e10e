"""Tokens with a label each: what the model is trained on, what it only reads, and what is cut off.

Both the preview and the trainer use the result of `tokenize`.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any

from studio.model.template import ChatTemplate, TemplateRefusal, source_of

IGNORED = -100
"""The label that PyTorch's cross-entropy leaves out (its default `ignore_index`)."""
Span = tuple[int, int]
"""Start and end of a part of a text, in characters."""

_NAME = "\ue000{}\ue001"
"""The name of a special token in a copy of a tokenizer: private-use characters, which no text should have."""

_BYTE = re.compile("<0x[0-9A-F]{2}>")
"""What SentencePiece calls a byte: some tokenizers list these as special, and need them for ordinary text."""


@dataclass(frozen=True)
class Segment:
    """A piece of text that is trained as a whole, or not at all."""

    text: str
    trained: bool
    withheld: bool = False
    """Whether it is not to be trained on even where prompts are."""
    plain: tuple[Span, ...] = ()
    """Where the text spells special tokens that are ordinary text, in order."""


@dataclass(frozen=True)
class Rendering:
    """A row as text."""

    segments: tuple[Segment, ...]
    notes: tuple[str, ...] = ()
    """Kinds of problems that the row has although it is used, by their names in the catalogues under `problems`."""

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(segment.text for segment in self.segments)


@dataclass(frozen=True)
class Part:
    """A part of a text that is trained, or withheld from training, from `start` to `end`."""

    start: int
    end: int
    trained: bool = True


def cut(text: str, parts: Iterable[Part], plain: Sequence[Span] = ()) -> tuple[Segment, ...]:
    """Cut a text at its parts; what is between them is context. Empty pieces are left out."""
    segments: list[Segment] = []

    def add(start: int, end: int, trained: bool, withheld: bool) -> None:
        if start < end:
            inside = tuple((a - start, b - start) for a, b in plain if start <= a and b <= end)
            segments.append(Segment(text[start:end], trained, withheld, inside))

    done = 0
    for part in parts:
        start, end = max(part.start, done), max(part.end, done)
        add(done, start, trained=False, withheld=False)
        add(start, end, part.trained, not part.trained)
        done = end
    add(done, len(text), trained=False, withheld=False)
    return tuple(segments)


class Label(StrEnum):
    """What happens to a token."""

    TRAINED, CONTEXT, CUT = "trained", "context", "cut"


@dataclass(frozen=True)
class Tokens:
    """A row as the model sees it: token ids and one label each, the cut ones included."""

    ids: tuple[int, ...]
    labels: tuple[Label, ...]
    joined: bool = False
    """Whether the first token of an answer also holds the end of its prompt, so that the prompt alone has others."""

    @cached_property
    def length(self) -> int:
        """Number of tokens that are not cut."""
        return len(self.labels) - self.labels.count(Label.CUT)

    @property
    def trained(self) -> int:
        """Number of tokens that a loss is computed for: not the first, which has nothing before it."""
        return self.labels[1:].count(Label.TRAINED)

    @property
    def cut(self) -> bool:
        """Whether the row was longer than the limit."""
        return self.length < len(self.ids)

    def for_training(self) -> dict[str, list[int]]:
        """Return `input_ids` and `labels`, both without what is cut; only trained tokens have a label."""
        length = self.length
        pairs = zip(self.ids[:length], self.labels[:length], strict=True)
        return {
            "input_ids": list(self.ids[:length]),
            "labels": [token if label is Label.TRAINED else IGNORED for token, label in pairs],
        }


def tokenize(rows: Sequence[Sequence[Segment]], tokenizer: Any, max_length: int, train_on: str) -> list[Tokens]:
    """Tokenize rows of segments, each row's text as a whole; `train_on` is `completion` or `all`.

    The ids are those of the whole text. A token that holds the end of one segment and the beginning of the next belongs
    to the trained one.
    """
    labelled = []
    for row, (ids, ends, shared) in zip(rows, _encode(rows, tokenizer), strict=True):
        labels: list[Label] = []
        joined = False
        for number, segment in enumerate(row):
            trained = segment.trained or (train_on == "all" and not segment.withheld)
            first = len(labels)
            labels += [Label.TRAINED if trained else Label.CONTEXT] * (ends[number] - first)
            if segment.trained and shared[number] and not joined:
                joined = prompt_ids(row[:number], tokenizer) != ids[:first]
        labels[max_length:] = [Label.CUT] * (len(labels) - max_length)
        labelled.append(Tokens(tuple(ids), tuple(labels), joined))
    return labelled


_Encoded = tuple[list[int], list[int], list[bool]]


def _encode(rows: Sequence[Sequence[Segment]], tokenizer: Any) -> list[_Encoded]:
    """Return ids, the tokens up to the end of each segment, and whether its first one begins in the one before it."""
    if not rows:
        return []
    batch = tokenizer(["".join([segment.text for segment in row]) for row in rows], add_special_tokens=False)
    if not getattr(batch, "encodings", None):
        return [_encode_slowly(row, tokenizer) for row in rows]
    encoded = []
    for row, encoding in zip(rows, batch.encodings, strict=True):
        texts = [segment.text for segment in row]
        if any(segment.plain for segment in row):
            texts = [_with_private_names(tokenizer, segment.text, segment.plain) for segment in row]
            encoding = _literal_encoder(tokenizer).encode("".join(texts), add_special_tokens=False)
        encoded.append(_split(row, encoding, [len(text) for text in texts]))
    return encoded


def _split(row: Sequence[Segment], encoding: Any, lengths: Sequence[int]) -> _Encoded:
    """Find the tokens at which the segments begin; the encoding knows which token a character is in."""
    ids, total = encoding.ids, sum(lengths)
    ends, shared = [], [False]
    position = 0
    for number, length in enumerate(lengths[:-1]):
        position += length
        characters = range(position, total)
        token = next((at for c in characters if (at := encoding.char_to_token(c)) is not None), len(ids))
        is_shared = 0 < position < total and token < len(ids) and encoding.token_to_chars(token)[0] < position
        if is_shared and not row[number + 1].trained:
            while token < len(ids) and encoding.token_to_chars(token)[0] < position:
                token += 1
            is_shared = False
        ends.append(max(token, ends[-1] if ends else 0))
        shared.append(is_shared)
    return ids, [*ends, len(ids)], shared


def _encode_slowly(row: Sequence[Segment], tokenizer: Any) -> _Encoded:
    """Encode with a tokenizer that has no offsets: tokens of each beginning are compared with those of the whole."""
    if any(segment.plain for segment in row):
        ids: list[int] = []
        ends = []
        for segment in row:
            done = 0
            for start, end in (*segment.plain, (len(segment.text),) * 2):
                ids += tokenizer(segment.text[done:start], add_special_tokens=False)["input_ids"]
                piece = segment.text[start:end]
                ids += tokenizer(piece, add_special_tokens=False, split_special_tokens=True)["input_ids"]
                done = end
            ends.append(len(ids))
        return ids, ends, [False] * len(row)
    text = "".join(segment.text for segment in row)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    ends, shared = [], [False]
    position = 0
    for segment in row[:-1]:
        position += len(segment.text)
        before = tokenizer(text[:position], add_special_tokens=False)["input_ids"]
        alike = next((n for n, pair in enumerate(zip(before, ids, strict=False)) if pair[0] != pair[1]), len(before))
        ends.append(max(min(alike, len(ids)), ends[-1] if ends else 0))
        shared.append(alike < len(before))
    return ids, [*ends, len(ids)], shared


def common_prefix(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Return how many tokens, or characters, two texts begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (first, second) in pairs if first != second), min(len(one), len(other)))


def prompt_ids(segments: Sequence[Segment], tokenizer: Any) -> list[int]:
    """Tokenize the prompt of a comparison as the same text is tokenized for training."""
    return list(_encode([segments], tokenizer)[0][0])


def spans(row: Tokens, tokenizer: Any) -> list[tuple[str, str]]:
    """Return text and label of each token; tokens that are parts of one character are joined to it.

    The texts together are the text of all ids: a token is decoded behind those before it, since the decoders of many
    tokenizers drop the space that a text begins with.
    """
    parts: list[tuple[str, str]] = []
    before = done = 0  # tokens from `before` on are decoded again, those up to `done` are returned
    known = ""
    for number, label in enumerate(row.labels, start=1):
        text = tokenizer.decode(row.ids[before:number], clean_up_tokenization_spaces=False)
        incomplete = text.endswith("\ufffd") and number - done <= 8
        if number < len(row.ids) and (incomplete or not text.startswith(known)):
            continue
        parts.append((text[len(known) :], label.value))
        before, done = done, number
        known = tokenizer.decode(row.ids[before:done], clean_up_tokenization_spaces=False)
    return parts


def stop_ids(tokenizer: Any, generation_config: Any = None) -> frozenset[int]:
    """Return the tokens that end an answer: end of text, end of turn, and what the model's own settings add."""
    configured = getattr(generation_config, "eos_token_id", None)
    more = configured if isinstance(configured, list | tuple) else [configured]
    return frozenset({tokenizer.eos_token_id, end_of_turn(tokenizer), *more} - {None})


def end_of_turn(tokenizer: Any) -> int | None:
    """Return the added token that the chat template puts after an answer; None without one."""
    if not source_of(tokenizer):
        return None
    template = ChatTemplate(tokenizer)
    for roles in (("user", "assistant"), ("system", "user", "assistant")):
        try:
            text = template.render([(role, f"\ue000{role}\ue001") for role in roles], ask=False)
        except TemplateRefusal:
            continue
        tail = tokenizer(text.rpartition("\ue000assistant\ue001")[2], add_special_tokens=False)["input_ids"]
        added = set(tokenizer.all_special_ids) | set(getattr(tokenizer, "added_tokens_decoder", {}))
        return next((token for token in tail if token in added), None)
    return None


def ends_by_itself(tokens: Tokens, tokenizer: Any, stops: frozenset[int]) -> bool:
    """Whether the last trained token but white space is one that ends an answer."""
    if tokens.cut:
        return False
    trained = (token for token, label in zip(tokens.ids, tokens.labels, strict=True) if label is Label.TRAINED)
    for token in reversed(list(trained)):
        if token in stops:
            return True
        if tokenizer.decode([token]).strip():
            return False
    return False


@lru_cache(maxsize=8)
def special_pattern(tokenizer: Any) -> re.Pattern[str]:
    """Return what matches the tokenizer's special tokens in a text, the longest first.

    Other added tokens, such as `<think>` or `<tool_call>`, are words that a model is meant to write, and are not
    matched.
    """
    names = {name for name in tokenizer.all_special_tokens if name}
    added = getattr(tokenizer, "added_tokens_decoder", {})
    names |= {token.content for token in added.values() if token.special and token.content}
    names = {name for name in names if not _BYTE.fullmatch(name)}
    return re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))) or "(?!)")


def _with_private_names(tokenizer: Any, text: str, plain: Iterable[Span]) -> str:
    """Return a text as the tokenizer of `_literal_encoder` reads it.

    Special tokens get private names, except in the spans of `plain`, which stay as they are.
    """
    literal, names = set(plain), _names(tokenizer)
    return special_pattern(tokenizer).sub(lambda match: match[0] if match.span() in literal else names[match[0]], text)


@lru_cache(maxsize=2)
def _literal_encoder(tokenizer: Any) -> Any:
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
    special, added = special_pattern(tokenizer), getattr(tokenizer, "added_tokens_decoder", {})
    names = {number: token.content for number, token in added.items() if token.content}
    return {name: _NAME.format(number) for number, name in names.items() if special.fullmatch(name)}
