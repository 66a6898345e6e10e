"""Passages of documents, which end at natural borders: chapter, scene, stanza, paragraph, then line and sentence."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from studio.material.documents import Document
from studio.material.tokens import TokenCounter

_SENTENCE = re.compile(r"(?<=[.!?。…])[\"'”’)]?\s+")


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
