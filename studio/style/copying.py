"""Copying: what the answers take over word for word from the training answers. A memorizer scores high on style."""

from collections.abc import Iterable, Sequence

from studio.style.strength import units

WORDS_IN_A_ROW = 6
_SEPARATOR = "\0"


class TrainingText:
    """The training answers, to be searched for runs of tokens and of words."""

    def __init__(self, texts: Iterable[str], ids: Iterable[Sequence[int]] = ()):
        """`ids` are the tokens of the answers; each becomes one character, so that a run of tokens is a substring."""
        self._tokens = _SEPARATOR.join(map(_characters, ids))
        self._runs: set[tuple[str, ...]] = set()
        for text in texts:
            self._runs.update(_runs(units(text)))

    def longest_run(self, ids: Sequence[int]) -> int:
        """Return the length of the longest run of an answer's tokens that is in a training answer."""
        characters, longest = _characters(ids), 0
        for start in range(len(characters)):
            while start + longest < len(characters) and characters[start : start + longest + 1] in self._tokens:
                longest += 1
        return longest

    def is_copied(self, text: str) -> bool:
        """Whether six words in a row of an answer are in a training answer."""
        return not self._runs.isdisjoint(_runs(units(text)))


def _runs(tokens: Sequence[str]) -> set[tuple[str, ...]]:
    return {tuple(tokens[at : at + WORDS_IN_A_ROW]) for at in range(len(tokens) - WORDS_IN_A_ROW + 1)}


def _characters(ids: Sequence[int]) -> str:
    return "".join([chr(token + 1) for token in ids])
