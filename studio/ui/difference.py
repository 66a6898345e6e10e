"""What two answers share, word by word: pure, without Gradio.

Korean words carry their particles and endings (`바다는`, `바다를`), so where one Hangul word stands for another that
begins in the same way, only what differs in it is marked.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_PART = re.compile(r"\s+|\w+(?:['’]\w+)*|[^\w\s]")
_HANGUL = re.compile(r"[가-힣]+")
LONGEST = 4000
"""Words of an answer that are compared; matching takes the square of it at worst."""


@dataclass(frozen=True)
class Piece:
    """A stretch of one answer."""

    text: str
    own: bool
    """Whether the other answer lacks it."""


@dataclass(frozen=True)
class Difference:
    """Two answers in pieces. The pieces of a side, joined, are its answer (in NFC)."""

    one: tuple[Piece, ...]
    two: tuple[Piece, ...]
    shared: float
    """Share of the words of both answers that they have in common, 0 to 1; 1 for two empty ones."""


def compare(one: str, two: str) -> Difference:
    """Compare two answers by words; white space follows the word before it."""
    parts = [_parts(side) for side in (one, two)]
    heads = [side[:LONGEST] for side in parts]
    matcher = SequenceMatcher(None, *heads, autojunk=False)
    pieces: tuple[list[Piece], list[Piece]] = ([], [])
    for kind, a, b, c, d in matcher.get_opcodes():
        for side, pair in zip(pieces, _stretch(kind == "equal", heads[0][a:b], heads[1][c:d]), strict=True):
            side.extend(pair)
    for side, words in zip(pieces, parts, strict=True):
        side.append(Piece("".join(words[LONGEST:]), True))
    words = [sum(not part.isspace() for part in side) for side in parts]
    same = sum(not part.isspace() for a, _, size in matcher.get_matching_blocks() for part in heads[0][a : a + size])
    return Difference(_joined(pieces[0]), _joined(pieces[1]), 2 * same / sum(words) if sum(words) else 1.0)


def _parts(answer: str) -> list[str]:
    return _PART.findall(unicodedata.normalize("NFC", answer))


def _stretch(equal: bool, one: Sequence[str], two: Sequence[str]) -> tuple[list[Piece], list[Piece]]:
    if equal:
        return [Piece(part, False) for part in one], [Piece(part, False) for part in two]
    if len(one) == len(two):
        pairs = [_pair(*each) for each in zip(one, two, strict=True)]
        return [piece for first, _ in pairs for piece in first], [piece for _, second in pairs for piece in second]
    return [Piece(part, True) for part in one], [Piece(part, True) for part in two]


def _pair(one: str, two: str) -> tuple[list[Piece], list[Piece]]:
    """Return a word and the word in its place; of two Hangul words that begin alike, the beginning is shared."""
    same = 0
    if _HANGUL.fullmatch(one) and _HANGUL.fullmatch(two):
        while same < min(len(one), len(two)) and one[same] == two[same]:
            same += 1
    sides = [[Piece(word[:same], False), Piece(word[same:], True)] for word in (one, two)]
    return sides[0], sides[1]


def _joined(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """Join neighbours of one kind; white space between two marked words is marked too, and none at a mark's end."""
    joined: list[Piece] = []
    for piece in _without_edges(pieces):
        if joined and joined[-1].own == piece.own:
            joined[-1] = Piece(joined[-1].text + piece.text, piece.own)
        else:
            joined.append(piece)
    return tuple(joined)


def _without_edges(pieces: Sequence[Piece]) -> Iterator[Piece]:
    words = [piece for piece in pieces if piece.text]
    for place, piece in enumerate(words):
        if not piece.text.isspace():
            yield piece
            continue
        neighbours = [words[at].own for at in (place - 1, place + 1) if 0 <= at < len(words)]
        yield Piece(piece.text, len(neighbours) == 2 and all(neighbours))
