"""Recorded answers of the quickstart, texts in which a fault is planted, and a scorer that needs no model.

`answers.json` has real texts: 100 training prompts with the author's answer and the base's, and 40 held-out prompts
with the author's answer, the base's, and the adapter's at 33, 66, 100 and 150 %.
"""

import itertools
import json
import math
import random
from collections import Counter
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from studio.generation.held_out import HeldOutRow
from studio.style import bootstrap, scoring
from studio.style.report import Anchors, column_report
from studio.style.scoring import AnswerScorer, TrainingText
from studio.style.strength import train_classifier, units

RECORDED = json.loads((Path(__file__).parent / "answers.json").read_text(encoding="utf-8"))
TRAINING, HELD_OUT = RECORDED["training"], RECORDED["held_out"]
PROMPTS = [row["prompt"] for row in HELD_OUT]
AUTHOR = [row["author"] for row in HELD_OUT]
BASE = [row["base"] for row in HELD_OUT]


def scored(style, fits, fluent=True, repeated=(), log_perplexity=()):
    """Return what the verdict reads of a column's report."""
    scores = SimpleNamespace(style=style, fits=fits, repeated=repeated, log_perplexity=log_perplexity)
    return SimpleNamespace(scores=scores, fluent=fluent)


class WordModel:
    """A bigram model of words, interpolated with unigrams: enough to tell sentences from shuffled words."""

    def __init__(self, texts):
        split = [["<s>", *units(text)] for text in texts]
        self.words = Counter(word for text in split for word in text)
        self.pairs = Counter(pair for text in split for pair in itertools.pairwise(text))
        self.total = sum(self.words.values())

    def word(self, word):
        return (self.words[word] + 0.5) / (self.total + 0.5 * (len(self.words) + 1000))

    def log_perplexity(self, text):
        words = ["<s>", *units(text)]
        losses = [
            -math.log(0.6 * self.pairs[a, b] / max(1, self.words[a]) + 0.4 * self.word(b))
            for a, b in itertools.pairwise(words)
        ]
        return sum(losses) / max(1, len(losses))

    def likelihood(self, prompt, text):
        """Return log p of a prompt whose words come from a text half of the time."""
        own = Counter(units(text))
        count = max(1, sum(own.values()))
        return sum(math.log(0.5 * own[word] / count + 0.5 * self.word(word)) for word in units(prompt))


class WordScorer(AnswerScorer):
    """Scores as the meter does, with the word model in the place of the base."""

    def read(self, texts, numbers):
        prompts = [row.prompt for row in self.rows]
        candidates = [self.candidates[number] for number in numbers]
        given = [
            [self.base.likelihood(prompts[row], text) for row in ranked]
            for text, ranked in zip(texts, candidates, strict=True)
        ]
        alone = [[self.base.likelihood(prompts[row], "") for row in ranked] for ranked in candidates]
        fits = scoring.own_prompt_is_likeliest(given, alone)
        return fits, [self.base.log_perplexity(text) for text in texts]

    def _ids(self, text):
        return [number % 50_000 for number in map(hash, units(text))]


@cache
def classifier():
    return train_classifier([row["author"] for row in TRAINING], [row["base"] for row in TRAINING])


@cache
def scorer():
    """The scorer of the recorded texts."""
    author, base = ([row[side] for row in TRAINING] for side in ("author", "base"))
    rows = [HeldOutRow(row["prompt"], row["author"], (1,), (1,)) for row in HELD_OUT]
    ids = [[number % 50_000 for number in map(hash, units(text))] for text in author]
    model = WordModel([*author, *base, *(row["prompt"] for row in TRAINING)])
    return WordScorer(None, model, rows, classifier(), TrainingText(author, ids))


@cache
def anchors():
    base, author = scorer().score(BASE, [False] * 40), scorer().score(AUTHOR, [True] * 40)
    return Anchors(base.style, author.style, author.log_perplexity, bootstrap.draws(40), 0.0)


def measured(texts, ended=True):
    """Return the report of a column that has answered the held-out prompts with these texts."""
    return column_report(scorer().score(texts, [ended] * len(texts)), anchors(), answers=texts)


def adapter(percent):
    """Return the adapter's answers at a strength in percent."""
    return [row[str(percent)] for row in HELD_OUT]


def gibberish():
    """Return answers made of the author's favourite words in any order, as long as the author's."""
    favourites = Counter(word for row in TRAINING for word in row["author"].split())
    usual = {word for row in TRAINING for word in row["base"].split()}
    words = [word for word, _ in favourites.most_common() if word not in usual][:60]
    drawn = random.Random(5)
    return [" ".join(drawn.choices(words, k=len(text.split()))) for text in AUTHOR]


def cut_base():
    """Return the base's answers, each cut to the length of the author's."""
    return [base[: len(author)] for base, author in zip(BASE, AUTHOR, strict=True)]
