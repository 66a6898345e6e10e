"""Score answers with the classifier, the base and the training text: all that the meter needs of a text."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from studio.errors import PromptError
from studio.evaluate.metrics import detect_language
from studio.files import replace_file
from studio.generation import held_out
from studio.generation.generate import ModelSet
from studio.generation.held_out import HeldOutRow
from studio.journal import digest
from studio.runs import Run
from studio.style import fluency, prompt_likelihood, question_fit
from studio.style.copying import TrainingText
from studio.style.prompt_likelihood import Text, common_prefix
from studio.style.report import AnswerScores
from studio.style.strength import StyleClassifier

_SCORES = TypeAdapter(AnswerScores)
MAX_ANSWER_TOKENS = 48
"""Tokens of an answer that are read for its fit and its fluency; what follows tells little more, and costs time."""
MAX_PROMPT_TOKENS = 48


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
        try:
            return _SCORES.validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            scores = self._score(texts, ended, chosen)
            self.store.mkdir(exist_ok=True)
            replace_file(path, _SCORES.dump_json(scores))
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
        given = [[self._prompt_ids[row] for row in ranked] for ranked in candidates]
        readings = prompt_likelihood.read(self.base, framed, given, self.on_progress)
        alone = [[self._prior[row] for row in ranked] for ranked in candidates]
        fits = question_fit.own_prompt_is_likeliest([reading.candidates for reading in readings], alone)
        return fits, [reading.loss for reading in readings]

    def log_perplexities(self, texts: Sequence[str]) -> list[float]:
        """Return the log-perplexity of each text under the base, in nats a token, as `read` does."""
        return prompt_likelihood.losses(self.base, [self._framed(text) for text in texts])

    @cached_property
    def candidates(self) -> list[list[int]]:
        """For each row the rows whose prompts its own one is ranked among."""
        return question_fit.candidates([row.prompt for row in self.rows])

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
        """The language of the prompts, `en` or `ko`: which words the base is asked with."""
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
        question = question_fit.FRAMES[self.language].format(answer=text)
        try:
            return list(held_out.from_prompts(self.run, [question], self.base.tokenizer)[0].ids)
        except PromptError:  # a text template with more columns than a question
            return self._ids(f"{question}\n\n")

    def _ids(self, text: str) -> list[int]:
        encoded: Any = self.base.tokenizer(text, add_special_tokens=False)
        return encoded["input_ids"]
