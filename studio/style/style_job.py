"""The job of the meter: answer, then score. It runs on the GPU thread, can be stopped, and goes on where it was.

Answers are kept as they come (see `answers`). The report is stored in `<run>/style/report-<id>.json`; its id is a hash
of all that it depends on, so that no other checkpoint, strength or list of prompts ever gets it.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from studio import runs
from studio.compare.column_loading import LoadedColumns, load_idle_columns
from studio.compare.columns import BASE, Column
from studio.data.prepare import run_renderer
from studio.data.prompt import ChatRenderer
from studio.data.rows import evenly_spaced
from studio.data.tokens import IGNORED
from studio.files import replace_file, to_json, user_cache
from studio.generation import generate, held_out
from studio.generation.answer_store import Answer, Stopped
from studio.generation.generate import BASE_MODEL
from studio.generation.held_out import HeldOutRow
from studio.generation.job_context import JobContext
from studio.i18n import Message, message
from studio.journal import digest
from studio.runs import Run
from studio.style import bootstrap, headline, prompted_store, style_store
from studio.style.answers import FOLDER, ColumnAnswers
from studio.style.drift import Drift, drift, score_ordinary
from studio.style.measurement import CURVE_FACTORS, CURVE_PROMPTS, AnsweredColumn, Measurement
from studio.style.report import StyleReport
from studio.style.request import TRAINING_ROWS, StyleProgress, StyleRequest
from studio.style.scoring import AnswerScorer, TrainingText
from studio.style.strength import (
    MIN_ANSWERS,
    StyleClassifier,
    cross_validate,
    missing_text,
    style_words,
    train_classifier,
)

VERSION = 4
"""Part of every report's id; raised when a measure changes."""
MAX_TRAINED_TOKENS = 1_000_000
"""Tokens of training answers in which copies are searched."""


def measure_style(request: StyleRequest, job: JobContext) -> None:
    """Measure the columns of a request; shows a `StyleProgress` after every batch, and with the report in the end.

    Raises DeviceError while a run is active, CompareError where there is nothing to measure on, or the data changed.
    """
    run = runs.find(request.run_id)
    columns = _columns(request)
    with load_idle_columns(job, run, columns) as models:
        work = _StyleJob(request, run, columns, models, job)
        try:
            work.run()
        except Stopped:
            job.show(StyleProgress(work.answers.done, work.total, stopped=True))


def _columns(request: StyleRequest) -> tuple[Column, ...]:
    """Return all columns to load, each once: the base, those of the request, and the strengths of the curve."""
    columns = [BASE, *request.columns]
    if request.curve and (adapter := next((column for column in request.columns if not column.is_base), None)):
        columns += [replace(adapter, strength=factor) for factor in CURVE_FACTORS]
    return tuple(dict.fromkeys(columns))


class _StyleJob:
    def __init__(
        self, request: StyleRequest, run: Run, columns: Sequence[Column], models: LoadedColumns, job: JobContext
    ):
        self._request, self._run, self._columns, self._models = request, run, list(columns), models
        self._job = job
        self._settings = request.generation or run.config().generation
        self._renderer = run_renderer(run, models.tokenizer)
        self._notes: list[Message] = [*models.notes, *models.unproven]
        self._prompt = prompted_store.read(run)
        self.answers = ColumnAnswers(run, columns, models, self._renderer, self._settings, job.stop, self._progress)
        self.total = 0

    def run(self) -> None:
        tokenizer = self._models.tokenizer
        rows, notes = held_out.select(self._run, self._request.rows, tokenizer, self._job.check_stop)
        with_prompt = [row for row in rows if row.prompt]
        distinct: dict[str, HeldOutRow] = {}
        for row in with_prompt:
            distinct.setdefault(row.prompt, row)
        rows = evenly_spaced(list(distinct.values()), self._request.limit)
        self._notes += notes
        if repeated := len(with_prompt) - len(distinct):
            self._notes.append(message("style.note.repeated", count=repeated))
        train, trained = held_out.from_training(self._run, tokenizer, TRAINING_ROWS, self._job.check_stop)
        train = [row for row in train if row.reference]
        report_id = self._report_id(rows, train)
        path = style_store.path_of(self._run, report_id)
        report = style_store.read(path)
        if report is None:
            empty = StyleReport(
                self._run.id, report_id, tuple(row.prompt for row in rows), self._models.base_sha256, self._notes
            )
            reason = _too_little(rows, train)
            report = replace(empty, too_little=reason) if reason else self._measure(empty, rows, train, trained)
            path.parent.mkdir(exist_ok=True)
            replace_file(path, to_json(replace(report, notes=tuple(self._notes))))
            report = style_store.read(path)
        self._job.show(StyleProgress(self.answers.done, self.total, report, path))

    def _report_id(self, rows: Sequence[HeldOutRow], train: Sequence[HeldOutRow]) -> str:
        """Return a hash of all that the report depends on."""
        edited = self._prompt.edited
        depends_on = {
            "version": VERSION,
            "base": self._models.base_sha256,
            "dtype": str(self._models.model.dtype),
            "columns": [column.as_json() for column in self._columns],
            "adapters": self._models.hashes,
            "generation": self._settings.model_dump(mode="json"),
            "rows": [asdict(row) for row in (*rows, *train)],
            "prompted": self._request.prompted and (not edited or prompted_store.sha256(edited)),
            "curve": self._request.curve,
        }
        return digest(json.dumps(depends_on, sort_keys=True))[:16]

    def _measure(
        self, empty: StyleReport, rows: list[HeldOutRow], train: list[HeldOutRow], trained: Any
    ) -> StyleReport:
        """Answer what is not answered yet, the base's training prompts first, and fill in the report."""
        wanted = {BASE, *self._request.columns}
        measured = [number for number, column in enumerate(self._columns) if column in wanted]
        strengths = [number for number in range(len(self._columns)) if number not in measured]
        curve_rows = evenly_spaced(rows, CURVE_PROMPTS)
        self.total = len(train) + (len(measured) + self._request.prompted) * len(rows)
        self.total += len(strengths) * len(curve_rows)
        [base_training] = self.answers.answer([0], train)
        texts = [row.reference or "" for row in train], [answer.text for answer in base_training]
        began = time.perf_counter()
        classifier, folds = train_classifier(*texts), cross_validate(*texts, [row.prompt for row in train])
        seconds = time.perf_counter() - began
        columns = self._answered(measured, rows)
        if rival := self._prompted(classifier, train, rows) if self._request.prompted else None:
            columns.insert(1, self._column(rival, None, rows, self.answers.answer_with(rival, rows)))
        on_curve = self._answered(strengths, curve_rows)

        began = time.perf_counter()
        base, trained_text = self._models.only(BASE_MODEL), self._training_text(trained)
        store = user_cache(FOLDER) / f"scores-{self._scores_id(rows, texts)}"
        scorer = AnswerScorer(self._run, base, rows, classifier, trained_text, self._job.check_stop, store)
        measurement = Measurement(scorer, folds, train, columns, self._drifts(measured), self._notes)
        report = measurement.fill(empty)
        if self._request.curve and report.main:
            report = replace(report, curve=measurement.curve(report, on_curve, curve_rows))
        author_words, base_words = style_words(classifier, *texts)
        data = style_store.rows_sha256(self._run.config().data, self._run.resolved()["mapping"])
        report = replace(report, author_words=author_words, base_words=base_words, rows_sha256=data)
        if rival:
            is_edited = rival == self._prompt.edited
            report = replace(report, prompt_sha256=prompted_store.sha256(rival), prompt_edited=is_edited)
        return replace(report, seconds=seconds + time.perf_counter() - began)

    def _scores_id(self, rows: Sequence[HeldOutRow], texts: tuple[list[str], list[str]]) -> str:
        """Return a hash of all that the score of an answer depends on; the training answers are those of the data."""
        data = self._run.resolved()["data"]
        depends_on = [VERSION, self._models.base_sha256, str(self._models.model.dtype), data, texts]
        return digest(json.dumps([*depends_on, [asdict(row) for row in rows]]))[:16]

    def _answered(self, numbers: Sequence[int], rows: Sequence[HeldOutRow]) -> list[AnsweredColumn]:
        answers = self.answers.answer(numbers, rows) if numbers else []
        return [
            self._column(self._columns[number], self._models.hashes[number], rows, own)
            for number, own in zip(numbers, answers, strict=True)
        ]

    def _column(
        self, column: Column, adapter: str | None, rows: Sequence[HeldOutRow], answers: Sequence[Answer]
    ) -> AnsweredColumn:
        lengths = [len(prompt.ids) for prompt in self.answers.prompts(column, rows)]
        return AnsweredColumn(column, adapter, tuple(answers), sum(lengths) / len(lengths))

    def _progress(self, done: int) -> None:
        self._job.show(StyleProgress(done, self.total))

    def _prompted(
        self, classifier: StyleClassifier, train: Sequence[HeldOutRow], rows: Sequence[HeldOutRow]
    ) -> Column | None:
        """Return the base with a good prompt, the user's own if there is one.

        None, with a note, where the template takes no examples or none fits.
        """
        if not isinstance(self._renderer, ChatRenderer):
            self._notes.append(message("style.note.no_examples"))
            return None
        if edited := self._prompt.edited:
            return edited
        longest = max(len(row.ids) for row in rows)
        most = generate.max_positions(self._models.model, prompted_store.USUAL_POSITIONS)
        room = prompted_store.example_room(most, longest, self._settings.max_new_tokens)
        column = prompted_store.choose_prompt(self._run, train, self._models.tokenizer, room, classifier)
        if column is None:
            self._notes.append(message("style.note.no_room"))
            return None
        prompted_store.save_automatic(self._run, column)
        return column

    def _training_text(self, trained: Any) -> TrainingText:
        """Return the trained tokens of the rows, as far as `MAX_TRAINED_TOKENS` go."""
        ids: list[list[int]] = []
        size = 0
        for row in trained:
            if size > MAX_TRAINED_TOKENS:
                self._notes.append(message("style.note.copies", rows=len(ids), all=len(trained)))
                break
            labels = zip(row["input_ids"], row["labels"], strict=True)
            ids.append([token for token, label in labels if label != IGNORED])
            size += len(ids[-1])
        return TrainingText(self._models.tokenizer.batch_decode(ids, skip_special_tokens=True), ids)

    def _drifts(self, numbers: Sequence[int]) -> dict[Column, Drift]:
        """Return what each column's model does to ordinary questions, without a context of the column's own."""
        rows, notes = held_out.ordinary(self._run, self._models.tokenizer)
        self._notes += notes
        rows = [row for row in rows if row.answer]
        if not rows:
            return {}
        models = self._models.only(*(self._models.names[number] for number in numbers))
        scores = score_ordinary(models, self._models.names[0], rows, self._job.check_stop)
        weights = bootstrap.draws(len(rows))
        return {
            self._columns[number]: drift(own, scores[0], weights) for number, own in zip(numbers, scores, strict=True)
        }


def _too_little(rows: Sequence[HeldOutRow], train: Sequence[HeldOutRow]) -> Message | None:
    """Return why there is too little text to measure; None where there is enough."""
    if lacking := missing_text([row.reference or "" for row in train]):
        return headline.too_little(*lacking)
    return headline.too_few_prompts(len(rows)) if len(rows) < MIN_ANSWERS else None
