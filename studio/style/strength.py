"""Style strength: how far the answers of a column are on the way from the base to the author.

A logistic regression on TF-IDF of character 2- to 4-grams learns to tell the author's answers from the base's answers
to the same training prompts, so the topic is not what is learned. Character n-grams are the strongest single feature
of authorship attribution (Stamatatos 2009; Burrows's Delta, 2002, is its ancestor), and need no word boundaries, so any
language will do. Style × content × fluency are measured apart, as in Krishna et al. 2020 (arXiv 2010.05700).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from studio.evaluate.metrics import words
from studio.events import Interval
from studio.style import bootstrap
from studio.style.bootstrap import Array

NGRAMS = (2, 4)
FOLDS = 5
MIN_WORDS = 500
"""Words of the author below which the meter gives no figures; attribution is unreliable on less (Eder 2015)."""
MIN_ANSWERS = 20


@dataclass(frozen=True)
class StyleClassifier:
    """A trained classifier of author against base."""

    vectorizer: Any
    model: Any

    def scores(self, texts: Sequence[str]) -> Array:
        """Return for each text the log-odds that the author wrote it."""
        return self.model.decision_function(self.vectorizer.transform(texts))


def ngram_vectorizer() -> Any:
    """Return a vectorizer of character n-grams, still to be trained: TF-IDF, each vector of length 1."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer="char", ngram_range=NGRAMS, lowercase=False, sublinear_tf=True)


def train_classifier(author: Sequence[str], base: Sequence[str]) -> StyleClassifier:
    """Train a classifier on the author's answers and the base's answers."""
    from sklearn.linear_model import LogisticRegression

    vectorizer = ngram_vectorizer()
    features = vectorizer.fit_transform([*author, *base])
    labels = [1] * len(author) + [0] * len(base)
    return StyleClassifier(vectorizer, LogisticRegression(C=10.0, max_iter=1000).fit(features, labels))


@dataclass(frozen=True)
class OutOfFold:
    """Scores of the training answers by classifiers that have not seen their prompt."""

    author: tuple[float, ...]
    base: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        """Share of the answers that are on their own side of 0; 0.5 is chance."""
        return float(numpy.mean([score > 0 for score in self.author] + [score <= 0 for score in self.base]))

    @property
    def is_separable(self) -> bool:
        """Whether author and base can be told apart: the accuracy is above chance by more than its 95 % interval.

        The interval is Wilson's for the prompts, not the answers, since the two of a prompt are not independent.
        """
        from studio.evaluate.blind_vote import wilson

        return wilson(self.accuracy, len(self.author))[0] > 0.5


def cross_validate(author: Sequence[str], base: Sequence[str], prompts: Sequence[str]) -> OutOfFold:
    """Score every training answer out of fold; both answers to a prompt are in the same fold."""
    from sklearn.model_selection import GroupKFold

    numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    groups = [numbers[prompt] for prompt in prompts]
    scores = numpy.zeros((2, len(prompts)))
    folds = GroupKFold(min(FOLDS, len(numbers)), shuffle=True, random_state=bootstrap.SEED)
    for fitted, held_out in folds.split(groups, groups=groups):
        fold = train_classifier([author[row] for row in fitted], [base[row] for row in fitted])
        scores[0, held_out] = fold.scores([author[row] for row in held_out])
        scores[1, held_out] = fold.scores([base[row] for row in held_out])
    return OutOfFold(tuple(scores[0].tolist()), tuple(scores[1].tolist()))


def strength(column: Sequence[float], base: Sequence[float], author: Sequence[float], weights: Array) -> Interval:
    """Return the style strength of a column in percent, from the scores of its answers.

    100 · (s(column) − s(base)) / (s(author) − s(base)), s being a mean over prompts: 0 is the base, 100 the author,
    and more than 100 exaggerates. `column` and `base` answer the same prompts; so does `author`, unless it has another
    number of scores (out-of-fold ones, where the prompts have no references), which are then drawn by themselves.
    """
    own, zero, full = (numpy.asarray(each, dtype=float) for each in (column, base, author))
    author_weights = bootstrap.matching_weights(full, weights, len(own))
    value = _percent(own.mean(), zero.mean(), full.mean())
    return bootstrap.estimate(value, _percent(weights @ own, weights @ zero, author_weights @ full), len(own))


def _percent(column: Array, base: Array, author: Array) -> Array:
    with numpy.errstate(divide="ignore", invalid="ignore"):
        return 100 * (column - base) / (author - base)


def missing_text(author: Sequence[str]) -> tuple[int, int] | None:
    """Return how many words and answers an author still lacks for a measurement; None where there is enough text.

    An answer that is given again is no more text.
    """
    texts = {text.strip() for text in author} - {""}
    count = sum(len(units(text)) for text in texts)
    lacking = max(0, MIN_WORDS - count), max(0, MIN_ANSWERS - len(texts))
    return lacking if any(lacking) else None


def units(text: str) -> list[str]:
    """Return the words of a text in lower case; its characters, where it is written without spaces."""
    tokens = words(text)
    letters = sum(map(len, tokens))
    return tokens if letters <= 12 * len(tokens) else [character for token in tokens for character in token]


@dataclass(frozen=True)
class StyleWord:
    """A word that carries the style."""

    word: str
    """The most frequent word of its side that holds the n-gram; the n-gram itself where it stands between words."""
    ngram: str
    weight: float
    """The n-gram's weight in the classifier; positive for the author, negative for the base."""


def style_words(
    classifier: StyleClassifier, author: Sequence[str], base: Sequence[str], most: int = 12
) -> tuple[tuple[StyleWord, ...], tuple[StyleWord, ...]]:
    """Return the words with the n-grams of the largest weight: those of the author, and those of the base."""
    names = classifier.vectorizer.get_feature_names_out()
    weights = classifier.model.coef_[0]
    order = numpy.argsort(-weights)
    return (
        _side(names, weights, order, author, most),
        _side(names, weights, order[::-1], base, most),
    )


def _side(names: Array, weights: Array, order: Array, texts: Sequence[str], most: int) -> tuple[StyleWord, ...]:
    counts = Counter(word for text in texts for word in text.split())
    frequent = [(f" {word} ", word.strip(".,;:!?\"'()[]…") or word) for word, _ in counts.most_common()]
    chosen: dict[str, StyleWord] = {}
    sign = numpy.sign(weights[order[0]])
    for place in order[: 50 * most]:
        ngram, weight = str(names[place]), float(weights[place])
        if len(chosen) == most or weight * sign <= 0:
            break
        word = next((word for padded, word in frequent if ngram in padded), ngram)
        if word.casefold() not in chosen:
            chosen[word.casefold()] = StyleWord(word, ngram, weight)
    return tuple(chosen.values())
