"""Recipes: how a passage becomes a prompt and an answer."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from studio.data.language import is_hangul
from studio.i18n import Message, message
from studio.material.passages import Passage

KEYWORDS = 5
_PARTICLES = re.compile(
    r"(?<=[가-힣]{2})(?:에서는|에게서|으로는|이라고|에서|에게|한테|으로|라고|까지|부터|처럼|보다|이나|이랑|하고|은|는|이|가|을|를|의|에|로|도|만|와|과|랑)$"
)
_WORD = re.compile(r"[^\W\d_]{2,30}")
_SENTENCE_END = re.compile(r"[.!?。…][\"'”’)]?(?=\s)")


class KeywordsRecipe:
    """The five most telling words of a passage become its prompt: columns `key1` to `key5`, and `text`.

    Telling words are those of the largest TF-IDF against all passages.
    """

    name = "keywords"

    def __init__(self) -> None:
        self.notes: list[Message] = []
        self._nouns = _noun_reader()

    def rows(self, passages: Sequence[Passage], left_out: Counter[str]) -> Iterator[dict[str, Any]]:
        """Yield rows with `key1` … `key5` and `output`; passages with fewer words are counted as `no_keywords`."""
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

        if self._nouns is None and any(is_hangul(letter) for passage in passages for letter in passage.text[:200]):
            self.notes.append(message("material.notes.no_nouns"))
        vectorizer = TfidfVectorizer(
            analyzer=lambda text: [w for w in self._words(text) if w not in ENGLISH_STOP_WORDS]
        )
        try:
            weights = vectorizer.fit_transform([passage.text for passage in passages])
        except ValueError:  # no passage has a word
            left_out["no_keywords"] += len(passages)
            return
        names = vectorizer.get_feature_names_out()
        for number, passage in enumerate(passages):
            row = weights[number]
            ranked = sorted(zip(-row.data, row.indices, strict=True), key=lambda pair: (pair[0], names[pair[1]]))
            keys = [str(names[index]) for _, index in ranked[:KEYWORDS]]
            if len(keys) < KEYWORDS:
                left_out["no_keywords"] += 1
                continue
            columns = {f"key{place}": key for place, key in enumerate(keys, 1)}
            yield {**columns, "output": passage.text, "source": source_of_row(passage, self.name)}

    def _words(self, text: str) -> list[str]:
        if self._nouns is not None and any(map(is_hangul, text)):
            return self._nouns(text)
        words = _WORD.findall(text)
        return [without_particle(word) if is_hangul(word[0]) else word.lower() for word in words]


class BeginningRecipe:
    """The first line or sentence of a passage, below its title, becomes the prompt; the rest is the answer."""

    name = "beginning"

    def __init__(self) -> None:
        self.notes: list[Message] = []

    def rows(self, passages: Sequence[Passage], left_out: Counter[str]) -> Iterator[dict[str, Any]]:
        """Yield rows with `prompt` and `completion`; passages of one sentence are counted as `no_rest`."""
        for passage in passages:
            beginning, rest = _split(passage.text)
            if not rest:
                left_out["no_rest"] += 1
                continue
            prompt = f"{passage.title}\n\n{beginning}" if passage.title else beginning
            yield {"prompt": prompt, "completion": rest, "source": source_of_row(passage, self.name)}


RECIPES: dict[str, type[KeywordsRecipe] | type[BeginningRecipe]] = {
    recipe.name: recipe for recipe in (KeywordsRecipe, BeginningRecipe)
}


def _split(text: str) -> tuple[str, str]:
    """Return the first line, or the first sentence where there is one line or it is long; and the rest."""
    line, _, rest = text.partition("\n")
    if not rest.strip() or len(line) > 200:
        match = _SENTENCE_END.search(text)
        if not match:
            return (line, rest.strip()) if rest.strip() else (text, "")
        return text[: match.end()], text[match.end() :].strip()
    return line, rest.strip()


def without_particle(word: str) -> str:
    """Return a Korean word without the particle behind it, by simple rules."""
    return _PARTICLES.sub("", word)


def source_of_row(passage: Passage, recipe: str) -> dict[str, str]:
    """Return where a row comes from."""
    return {"file": passage.file, "place": passage.place, "recipe": recipe}


def _noun_reader() -> Any:
    """Return what lists the nouns of a Korean text, where kiwipiepy is installed."""
    try:
        from kiwipiepy import Kiwi
    except ImportError:
        return None
    kiwi = Kiwi()
    return lambda text: [
        token.form for token in kiwi.tokenize(text) if token.tag in ("NNG", "NNP", "SL") and len(token.form) > 1
    ]
