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
from studio.generation import held_out, likelihood
from studio.generation.generate import ModelSet, PromptBatchItem
from studio.generation.held_out import HeldOutRow
from studio.journal import digest
from studio.runs import Run
from studio.style import fluency, prompt_likelihood, question_fit
from studio.style.copying import TrainingText
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
        rows = [self.rows[number] for number in numbers]
        return AnswerScores(
            style=tuple(self.classifier.scores(texts).tolist()),
            fits=tuple(self.fits(texts, numbers)),
            log_perplexity=tuple(self.log_perplexities(rows, texts)),
            repeated=tuple(map(fluency.repeated_ngrams, texts)),
            ended=tuple(ended),
            longest_run=tuple(self.trained.longest_run(self._ids(text)) for text in texts),
            copied=tuple(map(self.trained.is_copied, texts)),
        )

    def fits(self, texts: Sequence[str], numbers: Sequence[int]) -> list[bool]:
        """Return for each answer whether its own prompt (a number of `rows`) is the likeliest of the candidates."""
        framed = [self._framed(text) for text in texts]
        candidates = [self.candidates[number] for number in numbers]
        given = [[self._prompt_ids[row] for row in ranked] for ranked in candidates]
        likelihoods = prompt_likelihood.log_likelihoods(self.base, framed, given, self.on_progress)
        alone = [[self._prior[row] for row in ranked] for ranked in candidates]
        return question_fit.own_prompt_is_likeliest(likelihoods, alone)

    def log_perplexities(self, rows: Sequence[HeldOutRow], texts: Sequence[str]) -> list[float]:
        """Return the mean negative log-likelihood of each text as the answer to its row, in nats a token."""
        end = self.base.tokenizer.eos_token_id
        answers = [self._ids(text)[:MAX_ANSWER_TOKENS] or [end] for text in texts]
        order = sorted(range(len(rows)), key=lambda row: len(rows[row].ids) + len(answers[row]))
        losses: dict[int, float] = {}
        for start in range(0, len(order), 8):
            self.on_progress(start / len(order))
            batch = order[start : start + 8]
            items = [PromptBatchItem((rows[row].ids,), "") for row in batch]
            scored = likelihood.log_probabilities(self.base, items, [answers[row] for row in batch])
            losses.update((row, float(-column[0].mean())) for row, column in zip(batch, scored, strict=True))
        return [losses[row] for row in range(len(rows))]

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
        [likelihoods] = prompt_likelihood.log_likelihoods(self.base, [self._framed("")], [self._prompt_ids])
        return likelihoods

    @cached_property
    def language(self) -> str:
        """The language of the prompts, `en` or `ko`: which words the base is asked with."""
        return detect_language([row.prompt for row in self.rows])

    def _framed(self, text: str) -> Sequence[int]:
        ids = self._ids(text)
        if len(ids) > MAX_ANSWER_TOKENS:
            text = self.base.tokenizer.decode(ids[:MAX_ANSWER_TOKENS])
        question = question_fit.FRAMES[self.language].format(answer=text)
        try:
            return held_out.from_prompts(self.run, [question], self.base.tokenizer)[0].ids
        except PromptError:  # a text template with more columns than a question
            return self._ids(f"{question}\n\n")

    def _ids(self, text: str) -> list[int]:
        encoded: Any = self.base.tokenizer(text, add_special_tokens=False)
        return encoded["input_ids"]
