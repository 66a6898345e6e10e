"""The meter while a run trains: a cheap version, on the answers that the sample timeline has made anyway.

Author and base are told apart as in `measure_style`, on fewer training prompts, and on texts cut to the length of the
timeline's answers. The answers of step 0 are the base's on the same prompts; the author's scores are those of training
answers. Nothing is generated with the adapter, and the training is left as it is.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from pydantic import BaseModel, ConfigDict

from studio.compare.columns import BASE
from studio.data.rows import evenly_spaced
from studio.data.tokens import stop_ids
from studio.events import StyleMeasured
from studio.files import read_as, replace_file
from studio.generation import held_out
from studio.generation.answer_store import AnsweredPrompt, AnswerStore, answer_missing
from studio.generation.generate import BASE_MODEL, ModelSet
from studio.generation.held_out import HeldOutRow
from studio.generation.meter_cost import (
    MAX_TIME_SHARE,
    MIN_PINNED,
    TRAINING_PROMPTS,
    MeterCost,
    MeterSetup,
    is_required,
)
from studio.i18n import Message, message
from studio.model.adapter import ModelHost, preserve_state
from studio.style import bootstrap, fluency, headline
from studio.style.answers import FOLDER, open_store
from studio.style.report import Anchors, AnswerScores, column_report
from studio.style.request import TRAINING_ROWS
from studio.style.scoring import AnswerScorer, TrainingText
from studio.style.strength import StyleClassifier, cross_validate, missing_text, train_classifier

FILE = "training.json"


class References(BaseModel):
    """What all points are measured against, stored with the run so that a resume measures against the same."""

    model_config = ConfigDict(frozen=True)

    tokens: int
    """The length that the texts are cut to."""
    prompts: tuple[str, ...]
    author: tuple[str, ...]
    base: tuple[str, ...]
    author_log_perplexity: tuple[float, ...]
    author_fit: float
    """Share of the author's answers whose own prompt is the likeliest of as many candidates as there are prompts."""


class TrainingMeter:
    """Measures the answers of one point of the sample timeline."""

    def __init__(self, host: ModelHost, scorer: AnswerScorer, references: References, author: Sequence[float]):
        """`author` are the style scores of the author's training answers, out of fold."""
        self._host, self._scorer, self._references, self._author = host, scorer, references, author
        self._weights = bootstrap.draws(len(scorer.rows))
        self._base: AnswerScores | None = None
        self._author_repeated = fmean(map(fluency.repeated_ngrams, references.author))

    def measure(self, step: int, base: Sequence[str], answers: Sequence[str]) -> StyleMeasured:
        """Return the figures of the answers after `step`; `base` are those of step 0, to the same prompts.

        An answer set is sound where it is fluent (`fluency.is_fluent`) and the upper end of its fit is not below the
        lower of the base's and the author's fit, as in the strength curve: the base alone would be too strict, since
        an author's short answers carry less of their question.
        """
        with preserve_state(self._host.peft):
            self._base = self._base or self._scorer.score(base, [True] * len(base))
            scores = self._scorer.score(answers, [True] * len(answers))
        reference = self._references.author_log_perplexity
        anchors = Anchors(self._base.style, self._author, reference, self._weights, self._author_repeated)
        report = column_report(scores, anchors)
        return StyleMeasured(
            step=step,
            answers=len(answers),
            strength=report.strength,
            fit=report.fit,
            perplexity_distance=report.perplexity_distance,
            fluent=report.fluent,
            sound=report.fluent and report.fit.high >= min(fmean(self._base.fits), self._references.author_fit),
        )


class _Skipped(Exception):
    """Nothing is measured; `reason` says why."""

    def __init__(self, reason: Message):
        super().__init__(reason.key)
        self.reason = reason


def open_meter(setup: MeterSetup) -> TrainingMeter | None:
    """Make the meter of a run that begins or goes on; None, with a note that says why, where it is off or cannot be."""
    if setup.run.config().samples.meter == "off":
        return None
    opening = _Opening(setup)
    try:
        with preserve_state(setup.host.peft):
            return opening.open()
    except _Skipped as skipped:
        setup.run.note(skipped.reason, "warning" if opening.required else "info")
        return None


class _Opening:
    def __init__(self, setup: MeterSetup):
        self._setup, self._run, self._rows, self._settings = setup, setup.run, setup.rows, setup.settings
        loaded: Any = setup.host.loaded
        self._tokenizer = loaded.tokenizer
        stops = sorted(stop_ids(loaded.tokenizer, loaded.model.generation_config))
        self._models = ModelSet(setup.host.peft, loaded.tokenizer, stops, (BASE_MODEL,), mixes=False)
        config = setup.run.config()
        self.required = is_required(config)
        sha256, dtype = str(loaded.located.identity["weights"]), str(loaded.model.dtype)
        self._stores = [
            open_store(setup.run.path, BASE, None, sha256, dtype, each) for each in (config.generation, setup.settings)
        ]

    def open(self) -> TrainingMeter:
        """Return the meter, with the references that are stored or made now; raises _Skipped."""
        if len(self._rows) < MIN_PINNED:
            raise _Skipped(message("log.style.off.pinned", prompts=len(self._rows), needed=MIN_PINNED))
        path = self._run.path / FOLDER / FILE
        references = _read(path, self._settings.max_new_tokens)
        if references is None:
            references = self._choose_references()
            path.parent.mkdir(exist_ok=True)
            replace_file(path, references.model_dump_json())
        folds = cross_validate(references.author, references.base, references.prompts)
        if not folds.is_separable:
            raise _Skipped(message("log.style.off.same", percent=f"{100 * folds.accuracy:.0f}"))
        classifier = train_classifier(references.author, references.base)
        return TrainingMeter(self._setup.host, self._scorer(self._rows, classifier), references, folds.author)

    def _scorer(self, rows: Sequence[HeldOutRow], classifier: StyleClassifier | None = None) -> AnswerScorer:
        return AnswerScorer(self._run, self._models, rows, classifier, TrainingText(()), self._on_progress)

    def _on_progress(self, done: float) -> None:
        self._setup.on_progress()

    def _choose_references(self) -> References:
        seconds = self._setup.seconds
        numbers = evenly_spaced(self._setup.training_numbers, TRAINING_ROWS)
        rows = held_out.from_numbers(self._run, numbers, self._tokenizer, trained=True)
        rows = [row for row in rows if row.prompt and row.reference]
        if lacking := missing_text([row.reference or "" for row in rows]):
            raise _Skipped(message("log.style.off.text", **headline.too_little(*lacking).values))
        samples = [(count, evenly_spaced(rows, count)) for count in TRAINING_PROMPTS]
        least = samples[-1][1]
        budget = MAX_TIME_SHARE * seconds
        cost = MeterCost(self._setup.frame_seconds(), 0.0, len(self._rows), self._setup.points)
        answers = cost.answers(self._missing(least))
        if not self.required and answers > budget:
            raise _Skipped(cost.too_expensive(len(least), answers, seconds))
        began = time.perf_counter()
        self._score_author(least[: len(self._rows)])
        cost = replace(cost, point=time.perf_counter() - began)
        totals = [(cost.total(len(sample), self._missing(sample)), sample) for _, sample in samples]
        chosen = next((sample for total, sample in totals if total <= budget), None)
        if chosen is None and not self.required:
            raise _Skipped(cost.too_expensive(len(least), totals[-1][0], seconds))
        chosen = chosen or least
        self._run.note(cost.summary(len(chosen), self._missing(chosen)))
        self._run.enter_phase("styling")
        return self._make_references(chosen)

    def _make_references(self, rows: Sequence[HeldOutRow]) -> References:
        base = self._base_answers(rows)
        size = len(self._rows)
        groups = [rows[at : at + size] for at in range(0, len(rows) - size + 1, size)]
        scored = [self._score_author(group) for group in groups]
        fits = [fit for each, _ in scored for fit in each]
        return References(
            tokens=self._settings.max_new_tokens,
            prompts=tuple(row.prompt for row in rows),
            author=tuple(self._cut(row.reference or "") for row in rows),
            base=tuple(base),
            author_log_perplexity=tuple(loss for _, losses in scored for loss in losses),
            author_fit=fmean(fits),
        )

    def _score_author(self, rows: Sequence[HeldOutRow]) -> tuple[list[bool], list[float]]:
        """Return fit and log-perplexity of the author's answers, each ranked among these rows."""
        scorer, texts = self._scorer(rows), [self._cut(row.reference or "") for row in rows]
        return scorer.read(texts, range(len(rows)))

    def _missing(self, rows: Sequence[HeldOutRow]) -> int:
        """Return how many of the rows the base has not answered yet."""
        return sum(self._store_of(row.question) is None for row in rows)

    def _store_of(self, prompt: AnsweredPrompt) -> AnswerStore | None:
        return next((store for store in self._stores if prompt in store), None)

    def _base_answers(self, rows: Sequence[HeldOutRow]) -> list[str]:
        """Return the base's answers, cut; those of earlier runs and measurements are taken from the cache."""
        prompts = [row.question for row in rows]
        missing = [prompt for prompt in prompts if self._store_of(prompt) is None]
        stop, on_progress = threading.Event(), self._on_progress
        answer_missing(self._models, self._stores[-1:], [missing], self._settings, stop, on_progress, on_progress)
        return [self._cut(store[prompt].text) for prompt in prompts if (store := self._store_of(prompt))]

    def _cut(self, text: str) -> str:
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        limit = self._settings.max_new_tokens
        return text if len(ids) <= limit else self._tokenizer.decode(ids[:limit])


def _read(path: Any, tokens: int) -> References | None:
    references = read_as(References, path)
    return references if references and references.tokens == tokens else None
