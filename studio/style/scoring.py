"""Score answers with the classifier, the base and the training text: all that the meter needs of a text."""

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy

from studio.data.tokens import common_prefix
from studio.errors import PromptError
from studio.evaluate.metrics import detect_language, ngrams
from studio.files import read_as, replace_file
from studio.generation import held_out
from studio.generation.generate import ModelSet
from studio.generation.held_out import HeldOutRow
from studio.generation.meter_cost import CANDIDATES
from studio.journal import digest
from studio.runs import Run
from studio.style import bootstrap, fluency, prompt_likelihood
from studio.style.prompt_likelihood import Text
from studio.style.report import AnswerScores
from studio.style.strength import StyleClassifier, units

MAX_ANSWER_TOKENS = 48
"""Tokens of an answer that are read for its fit and its fluency; what follows tells little more, and costs time."""
MAX_PROMPT_TOKENS = 48
WORDS_IN_A_ROW = 6
_SEPARATOR = "\0"
FRAMES = {
    "en": "Which question does this text answer?\n\n{answer}",
    "ko": "다음 글은 어떤 질문에 대한 답인가요?\n\n{answer}",
}


class TrainingText:
    """The training answers, to be searched for what answers take over from them: a memorizer scores high on style."""

    def __init__(self, texts: Iterable[str], ids: Iterable[Sequence[int]] = ()):
        """`ids` are the tokens of the answers; each becomes one character, so that a run of tokens is a substring."""
        self._tokens = _SEPARATOR.join(map(_characters, ids))
        self._runs: set[tuple[str, ...]] = set()
        for text in texts:
            self._runs.update(ngrams(units(text), WORDS_IN_A_ROW))

    def longest_run(self, ids: Sequence[int]) -> int:
        """Return the length of the longest run of an answer's tokens that is in a training answer."""
        characters, longest = _characters(ids), 0
        for start in range(len(characters)):
            while start + longest < len(characters) and characters[start : start + longest + 1] in self._tokens:
                longest += 1
        return longest

    def is_copied(self, text: str) -> bool:
        """Whether six words in a row of an answer are in a training answer."""
        return not self._runs.isdisjoint(ngrams(units(text), WORDS_IN_A_ROW))


def _characters(ids: Sequence[int]) -> str:
    return "".join([chr(token + 1) for token in ids])


@dataclass(frozen=True)
class AnswerScorer:
    """Scores the answers of any column to the same prompts."""

    run: Run
    base: ModelSet
    """The untouched base, as the only column."""
    rows: Sequence[HeldOutRow]
    classifier: StyleClassifier
    trained: TrainingText
    on_progress: Callable[[float], None] = lambda share: None
    """Called between two forward passes; may raise to end the work."""
    store: Path | None = None
    """A folder in which scores are kept, for this base, these rows and this classifier alone; None keeps none."""

    def score(self, texts: Sequence[str], ended: Sequence[bool], chosen: Sequence[int] | None = None) -> AnswerScores:
        """Return the scores of one answer for each prompt, or for some `chosen` ones (numbers of `rows`).

        Answers that were scored before, such as the base's and the author's, are not scored again.
        """
        if self.store is None:
            return self._score(texts, ended, chosen)
        name = digest(json.dumps([list(texts), list(ended), list(chosen or [])]))[:24]
        path = self.store / f"{name}.json"
        if known := read_as(AnswerScores, path):
            return known
        scores = self._score(texts, ended, chosen)
        self.store.mkdir(exist_ok=True)
        replace_file(path, json.dumps(asdict(scores)))
        return scores

    def _score(self, texts: Sequence[str], ended: Sequence[bool], chosen: Sequence[int] | None) -> AnswerScores:
        numbers = range(len(self.rows)) if chosen is None else chosen
        fits, log_perplexity = self.read(texts, numbers)
        return AnswerScores(
            style=tuple(self.classifier.scores(texts).tolist()),
            fits=tuple(fits),
            log_perplexity=tuple(log_perplexity),
            repeated=tuple(map(fluency.repeated_ngrams, texts)),
            ended=tuple(ended),
            longest_run=tuple(self.trained.longest_run(self._ids(text)) for text in texts),
            copied=tuple(map(self.trained.is_copied, texts)),
        )

    def read(self, texts: Sequence[str], numbers: Sequence[int]) -> tuple[list[bool], list[float]]:
        """Return for each answer to a row (a number of `rows`) whether it fits, and its log-perplexity.

        It fits where its own prompt is the likeliest of the candidates. The log-perplexity is in nats a token.
        """
        framed = [self._framed(text) for text in texts]
        candidates = [self.candidates[number] for number in numbers]
        prompts = [[self._prompt_ids[row] for row in ranked] for ranked in candidates]
        readings = prompt_likelihood.read(self.base, framed, prompts, self.on_progress)
        alone = [[self._prior[row] for row in ranked] for ranked in candidates]
        fits = own_prompt_is_likeliest([reading.candidates for reading in readings], alone)
        return fits, [reading.loss for reading in readings]

    def log_perplexities(self, texts: Sequence[str]) -> list[float]:
        """Return the log-perplexity of each text under the base, in nats a token, as `read` does."""
        return prompt_likelihood.losses(self.base, [self._framed(text) for text in texts])

    @cached_property
    def candidates(self) -> list[list[int]]:
        """For each row the rows whose prompts its own one is ranked among."""
        return choose_candidates([row.prompt for row in self.rows])

    @cached_property
    def _prompt_ids(self) -> list[list[int]]:
        return [self._ids(row.prompt)[:MAX_PROMPT_TOKENS] or [self.base.tokenizer.eos_token_id] for row in self.rows]

    @cached_property
    def _prior(self) -> list[float]:
        """The log-likelihood of each prompt after the question about an empty text."""
        [reading] = prompt_likelihood.read(self.base, [self._framed("")], [self._prompt_ids])
        return reading.candidates

    @cached_property
    def language(self) -> str:
        """The language of the prompts, `en` or `ko`: the words of the question to the base."""
        return detect_language([row.prompt for row in self.rows])

    def _framed(self, text: str) -> Text:
        """Return the question about a text, with where the text stands in it."""
        ids = self._ids(text)
        if len(ids) > MAX_ANSWER_TOKENS:
            text = self.base.tokenizer.decode(ids[:MAX_ANSWER_TOKENS])
        framed, empty = self._question(text), self._empty_question
        start = common_prefix(framed, empty)
        after = common_prefix(framed[start:][::-1], empty[start:][::-1])
        start = max(1, min(start, len(framed) - 2))
        return Text(framed, start, min(max(start + 1, len(framed) - after), len(framed) - 1))

    @cached_property
    def _empty_question(self) -> list[int]:
        return self._question("")

    def _question(self, text: str) -> list[int]:
        question = FRAMES[self.language].format(answer=text)
        try:
            return list(held_out.from_prompts(self.run, [question], self.base.tokenizer)[0].ids)
        except PromptError:  # a text template with more columns than a question
            return self._ids(f"{question}\n\n")

    def _ids(self, text: str) -> list[int]:
        encoded: Any = self.base.tokenizer(text, add_special_tokens=False)
        return encoded["input_ids"]


def choose_candidates(prompts: Sequence[str], count: int = CANDIDATES) -> list[list[int]]:
    """Return for each prompt the rows of the prompts that it is ranked among, its own first; the same for all columns.

    A prompt with the same text is no distractor.
    """
    chosen = []
    for row, prompt in enumerate(prompts):
        others = [other for other, text in enumerate(prompts) if text != prompt]
        picked = random.Random(bootstrap.SEED + row).sample(others, min(count - 1, len(others)))
        chosen.append([row, *picked])
    return chosen


def own_prompt_is_likeliest(after_answer: Sequence[Sequence[float]], alone: Sequence[Sequence[float]]) -> list[bool]:
    """Return for each answer whether its own prompt scores highest among its candidates.

    The score of a prompt is log p(prompt | "Which question does this text answer?" + answer) − log p(prompt | the same
    without an answer) under the base: pointwise mutual information. No reference is compared, since naive content
    metrics punish a change of style (arXiv 2502.15022). Chance is 1 in N. The upper anchor is the author, not the base:
    short answers carry less of their question.

    `after_answer` and `alone` are log p of each candidate (rows × candidates, the own prompt first) with the answer
    and without one. Equal scores do not count as fitting.
    """
    fits = []
    for with_answer, without in zip(after_answer, alone, strict=True):
        gains = numpy.asarray(with_answer, dtype=float) - numpy.asarray(without, dtype=float)
        fits.append(bool(len(gains) > 1 and gains[0] > gains[1:].max()))
    return fits
