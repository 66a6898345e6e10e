"""Passages of documents, with their tokens. They end at borders: chapter, scene, stanza, paragraph, line, sentence."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from studio.config import ModelConfig
from studio.data.language import count_hangul
from studio.errors import ModelError
from studio.i18n import Message, message
from studio.material.documents import Document

_SENTENCE = re.compile(r"(?<=[.!?。…])[\"'”’)]?\s+")
_TOKENS_PER_HANGUL, _TOKENS_PER_OTHER = 1.0, 0.3
"""About what current tokenizers need for a letter; those of models for English need more for Hangul."""
_SAMPLE = 200_000


class TokenCounter:
    """Counts tokens: by the model's tokenizer where it is on this machine, else estimated, and `notes` say so."""

    def __init__(self, model: str, sample: Sequence[str]):
        from studio.model.load import load_tokenizer

        self.notes: list[Message] = []
        self._tokenizer: Any = None
        try:
            self._tokenizer = load_tokenizer(ModelConfig(id=model))
        except ModelError:
            if model != "builtin":
                raise
            self.notes.append(message("material.notes.estimated"))
        text = "\n".join(sample)[:_SAMPLE]
        self._per_character = max(0.05, self.count(text) / len(text)) if text else 1.0

    def count(self, text: str) -> int:
        """Return the tokens of a text."""
        if self._tokenizer is not None:
            return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        korean = count_hangul(text)
        return round(_TOKENS_PER_HANGUL * korean + _TOKENS_PER_OTHER * (len(text) - korean))

    def characters(self, tokens: int) -> int:
        """Return about how many characters of the sample's language have this many tokens."""
        return round(tokens / self._per_character)


@dataclass(frozen=True)
class Passage:
    """A text of a length that is good to train on."""

    text: str
    file: str
    place: str
    title: str = ""
    """The heading under which it stands, if any."""


def passages(
    documents: list[Document], tokens: TokenCounter, least: int, most: int, left_out: Counter[str]
) -> Iterator[Passage]:
    """Yield passages of `least` to `most` tokens; shorter ones and repeated ones are counted in `left_out`.

    A passage never spans two chapters. A sentence of more than `most` tokens is cut between words.
    """
    known: set[str] = set()
    for document in documents:
        for passage, size in _of_document(document, tokens, most):
            if size < least:
                left_out["short"] += 1
            elif passage.text in known:
                left_out["repeated"] += 1
            else:
                known.add(passage.text)
                yield passage


def _of_document(document: Document, tokens: TokenCounter, most: int) -> Iterator[tuple[Passage, int]]:
    title, texts, sizes, place = "", [], 0, ""

    def current() -> tuple[Passage, int]:
        return Passage("\n\n".join(texts), document.file, place, title), sizes

    for block in document.blocks:
        if block.is_heading:
            if texts:
                yield current()
            title, texts, sizes = block.text, [], 0
            continue
        for text in _pieces(block.text, tokens, most):
            size = tokens.count(text)
            if texts and sizes + size + 2 > most:
                yield current()
                texts, sizes = [], 0
            if not texts:
                place = block.place
            texts.append(text)
            sizes += size + (2 if len(texts) > 1 else 0)
    if texts:
        yield current()


def _pieces(text: str, tokens: TokenCounter, most: int) -> Iterator[str]:
    """Yield a paragraph, in parts where it is too long: of lines, then of sentences, then of words."""
    if len(text) <= most // 2 or tokens.count(text) <= most:
        yield text
        return
    units, joint = text.split("\n"), "\n"
    if len(units) < 2:
        units, joint = [unit for unit in _SENTENCE.split(text) if unit], " "
    if len(units) < 2:
        units = text.split()
    if len(units) < 2:
        size = max(1, tokens.characters(most) // 2)
        units, joint = [text[start : start + size] for start in range(0, len(text), size)], ""
    piece, length = "", 0
    for unit in units:
        size = tokens.count(unit) + 1
        if piece and length + size > most:
            yield piece
            piece, length = "", 0
        if size > most and 1 < len(unit) < len(text):
            yield from _pieces(unit, tokens, most)
        else:
            piece, length = (piece + joint + unit if piece else unit), length + size
    if piece:
        yield piece
