"""From the answers of all columns to the report: every column against the same anchors, with the same draws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

from studio.compare.columns import BASE, Column
from studio.data.rows import evenly_spaced
from studio.generation.answer_store import Answer
from studio.generation.held_out import HeldOutRow
from studio.i18n import Message, message
from studio.style import bootstrap, fluency
from studio.style.drift import Drift
from studio.style.report import (
    Anchors,
    AnswerScores,
    ColumnReport,
    Curve,
    CurvePoint,
    StyleReport,
    column_report,
    curve_point,
)
from studio.style.scoring import AnswerScorer
from studio.style.strength import OutOfFold
from studio.style.verdict import Verdict, verdict

CURVE_FACTORS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
"""Strengths that are answered for the strength curve besides 0, which is the base."""
CURVE_PROMPTS = 24
CLOSE_STRENGTHS = 5.0
"""Points of style strength: among strengths that are as near to the author's style, the lowest is taken."""


@dataclass(frozen=True)
class AnsweredColumn:
    """A column with its answer to each prompt."""

    column: Column
    adapter: str | None
    """SHA-256 of its adapter; None for the base."""
    answers: tuple[Answer, ...]
    prompt_tokens: float
    """Mean tokens of a prompt."""


@dataclass(frozen=True)
class Measurement:
    """Scores the answers, and sums them up."""

    scorer: AnswerScorer
    folds: OutOfFold
    train: Sequence[HeldOutRow]
    columns: Sequence[AnsweredColumn]
    """The base first."""
    drifts: Mapping[Column, Drift]
    notes: list[Message]
    """What has to be said of the measurement; grows."""

    def fill(self, empty: StyleReport) -> StyleReport:
        """Return a report with the figures of all columns."""
        columns = [self._report(column, scores) for column, scores in zip(self.columns, self._scores, strict=True)]
        if self._author:
            texts = [row.reference or "" for row in self.scorer.rows]
            columns.insert(1, column_report(self._author, self._anchors, answers=texts))
        report = replace(
            empty,
            columns=tuple(columns),
            candidates=len(self.scorer.candidates[0]),
            accuracy=self.folds.accuracy,
            separable=self.folds.is_separable,
            author_spread=fluency.spread(self._anchors.author_log_perplexity),
        )
        return replace(report, verdict=self._verdict(report))

    def curve(self, report: StyleReport, others: Sequence[AnsweredColumn], rows: Sequence[HeldOutRow]) -> Curve:
        """Return the strength curve of the report's first adapter; `others` have answered some `rows` of it."""
        assert report.main
        assert report.main.column
        chosen = [self.scorer.rows.index(row) for row in rows]
        anchors = self._anchors.part(chosen)
        base = column_report(report.base_column.scores.part(chosen), anchors, column=BASE)
        points = [curve_point(base)]
        own = replace(report.main.column, strength=1.0)
        for column in report.columns:
            if column.column and not column.column.is_base and replace(column.column, strength=1.0) == own:
                points.append(curve_point(column_report(column.scores.part(chosen), anchors, column=column.column)))
        for each in others:
            points.append(curve_point(column_report(_score(self.scorer, each, chosen), anchors, column=each.column)))
        return recommend_strength(points, min(each.fit.value for each in (report.author, report.base_column) if each))

    @cached_property
    def _scores(self) -> list[AnswerScores]:
        return [_score(self.scorer, column) for column in self.columns]

    @cached_property
    def _author(self) -> AnswerScores | None:
        """The scores of the references; None where a prompt has none."""
        texts = [row.reference or "" for row in self.scorer.rows]
        return self.scorer.score(texts, [True] * len(texts)) if all(texts) else None

    @cached_property
    def _anchors(self) -> Anchors:
        """The author's figures on the same prompts, or on training rows where the prompts have no references."""
        base = self._scores[0].style
        if author := self._author:
            style, losses, repeated = author.style, author.log_perplexity, author.repeated
        else:
            self.notes.append(message("style.note.no_references"))
            texts = [row.reference or "" for row in evenly_spaced(self.train, len(base))]
            style, losses = self.folds.author, self.scorer.log_perplexities(texts)
            repeated = tuple(map(fluency.repeated_ngrams, texts))
        return Anchors(base, style, losses, bootstrap.draws(len(base)), fmean(repeated), self.folds.is_separable)

    def _report(self, column: AnsweredColumn, scores: AnswerScores) -> ColumnReport:
        return column_report(
            scores,
            self._anchors,
            column=column.column,
            adapter=column.adapter,
            answers=[answer.text for answer in column.answers],
            drift=self.drifts.get(column.column),
            prompt_tokens=column.prompt_tokens,
        )

    def _verdict(self, report: StyleReport) -> Verdict | None:
        """Return the verdict on the first adapter against the first base with a context of its own."""
        adapter, prompted, anchors = report.main, report.prompted, self._anchors
        if adapter is None or prompted is None or not report.separable:
            return None
        chance = 1 / report.candidates
        return verdict(adapter, prompted, report.base_column, anchors.author_style, anchors.weights, chance=chance)


def _score(scorer: AnswerScorer, column: AnsweredColumn, chosen: Sequence[int] | None = None) -> AnswerScores:
    texts, ended = [answer.text for answer in column.answers], [answer.ended for answer in column.answers]
    return scorer.score(texts, ended, chosen)


def recommend_strength(points: Sequence[CurvePoint], wanted_fit: float) -> Curve:
    """Return the curve with the strength whose style is nearest to 100 % among those that cost nothing else.

    A strength costs something where its answers are not fluent, or surely fit their questions less than `wanted_fit`
    (a share). Where all do, the lowest one with half of the style is taken.
    """
    points = sorted(points, key=lambda point: point.factor)
    adapted = [point for point in points if point.factor > 0]
    sound = [point for point in adapted if point.fluent and point.fit.high >= wanted_fit]
    if not sound:
        chosen = next((point for point in adapted if point.strength.value >= 50), adapted[-1])
        return Curve(tuple(points), chosen.factor, _curve_reason("costs", chosen))
    nearest = min(abs(100 - point.strength.value) for point in sound)
    chosen = next(point for point in sound if abs(100 - point.strength.value) <= nearest + CLOSE_STRENGTHS)
    above = [point for point in adapted if point.factor > chosen.factor]
    key = "exaggerates" if above and above[0] in sound and above[0].strength.value > 100 else "best"
    key = "limit" if above and above[0] not in sound else key
    return Curve(tuple(points), chosen.factor, _curve_reason(key, chosen))


def _curve_reason(key: str, point: CurvePoint) -> Message:
    values = {"percent": f"{100 * point.factor:g}", "style": f"{point.strength.value:.0f}"}
    return message(f"style.curve.{key}", **values)
