"""The meter's report: every measure of every column with a paired interval, as it is stored with a run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy
from pydantic import ConfigDict

from studio.compare.columns import Column
from studio.events import Interval
from studio.i18n import DEFAULT_LANGUAGE, Message, text
from studio.style import bootstrap, fluency
from studio.style.bootstrap import Array
from studio.style.drift import Drift
from studio.style.strength import StyleWord, strength
from studio.style.verdict import Verdict


@dataclass(frozen=True)
class AnswerScores:
    """The measures of each answer of a column, in the order of the prompts."""

    style: tuple[float, ...]
    """Log-odds that the author wrote it."""
    fits: tuple[bool, ...]
    """Whether its own prompt is the likeliest of the candidates."""
    log_perplexity: tuple[float, ...]
    """Mean negative log-likelihood under the base, in nats a token."""
    repeated: tuple[float, ...]
    """Share of n-grams that are repetitions."""
    ended: tuple[bool, ...]
    longest_run: tuple[int, ...]
    """Tokens of the longest run that is in a training answer."""
    copied: tuple[bool, ...]
    """Whether six words in a row are in a training answer."""

    def part(self, rows: Sequence[int]) -> "AnswerScores":
        """Return the scores of some rows."""
        return AnswerScores(**{name: tuple(each[row] for row in rows) for name, each in vars(self).items()})


@dataclass(frozen=True)
class ColumnReport:
    """All measures of one column. Answers have scores, but only their means say something."""

    column: Column | None
    """None for the author's own answers."""
    adapter: str | None
    """SHA-256 of the adapter; None for the base and the author."""
    answers: tuple[str, ...]
    scores: AnswerScores
    strength: Interval
    """In percent: 0 is the base, 100 the author."""
    fit: Interval
    """Share of answers whose own prompt is the likeliest."""
    perplexity_distance: Interval
    """Mean log-perplexity minus that of the author's texts, in nats a token."""
    fluent: bool
    repeated: Interval
    """Share of n-grams that are repetitions."""
    ended: Interval
    """Share of answers that ended by themselves."""
    copied: Interval
    """Share of answers with six words in a row from the training answers."""
    longest_run: int
    """Tokens of the longest run of any answer that is in a training answer."""
    drift: Drift | None
    """None for the author, and where the ordinary questions cannot be answered."""
    prompt_tokens: float
    """Mean tokens of a prompt, with the column's own system prompt and examples."""

    def title(self, language: str = DEFAULT_LANGUAGE) -> str:
        """Return the column's name for people."""
        return self.column.title(language) if self.column else text("style.author", language)


@dataclass(frozen=True)
class CurvePoint:
    """The measures of one strength of the adapter, on the prompts of the curve."""

    factor: float
    """Factor of the adapter's scaling; 1 is as trained."""
    strength: Interval
    fit: Interval
    perplexity_distance: Interval
    fluent: bool
    repeated: float
    copied: float


@dataclass(frozen=True)
class Curve:
    """The meter over strengths of the adapter, and the strength to use."""

    points: tuple[CurvePoint, ...]
    recommended: float
    reason: Message


@dataclass(frozen=True)
class StyleReport:
    """What the meter says of a run."""

    __pydantic_config__ = ConfigDict(ser_json_inf_nan="strings")

    run: str
    id: str
    prompts: tuple[str, ...]
    base: str
    """SHA-256 of the base's weights."""
    notes: Sequence[Message] = ()
    too_little: Message | None = None
    """Why nothing was measured, and what is needed; the rest is empty then."""
    columns: tuple[ColumnReport, ...] = ()
    """The base first, then the author where the prompts have references, then the other columns."""
    candidates: int = 0
    """Prompts among which an answer's own one is ranked; chance is one in as many."""
    accuracy: float | None = None
    """Of author against base on the training prompts, out of fold; 0.5 is chance."""
    separable: bool = False
    """Whether author and base can be told apart; without, no strength means anything."""
    author_spread: float = 0.0
    """Standard deviation of the author's log-perplexities, in nats a token."""
    author_words: tuple[StyleWord, ...] = ()
    base_words: tuple[StyleWord, ...] = ()
    verdict: Verdict | None = None
    """Adapter against a prompted base; None unless both are columns."""
    curve: Curve | None = None
    rows_sha256: str | None = None
    """Of the data's table and its mapping (`style_store.rows_sha256`)."""
    prompt_sha256: str | None = None
    """Of the prompted base's system prompt and examples, which are those of its column; None without one."""
    prompt_edited: bool = False
    """Whether the user wrote that prompt."""
    seconds: float = 0.0
    """Time of all but generating."""

    @property
    def base_column(self) -> ColumnReport:
        """The untouched base."""
        return next(each for each in self.columns if each.column and each.column.is_base and each.column.is_plain)

    @property
    def author(self) -> ColumnReport | None:
        """The author's own answers to the prompts; None where there are none."""
        return next((each for each in self.columns if each.column is None), None)

    @property
    def main(self) -> ColumnReport | None:
        """The first adapter: what the headline is about."""
        return next((each for each in self.columns if each.column and not each.column.is_base), None)

    @property
    def prompted(self) -> ColumnReport | None:
        """The first base with a context of its own: the adapter's rival; None without one."""
        own = (each for each in self.columns if each.column and each.column.is_base and not each.column.is_plain)
        return next(own, None)


@dataclass(frozen=True)
class Anchors:
    """What all columns are measured against."""

    base_style: Sequence[float]
    """The base's style scores on the same prompts."""
    author_style: Sequence[float]
    """The author's on the same prompts, or out-of-fold ones of the training answers."""
    author_log_perplexity: Sequence[float]
    weights: Array
    """Draws of the prompts."""
    author_repeated: float = 0.0
    """Mean share of the author's n-grams that are repetitions."""
    separable: bool = True
    """Whether author and base can be told apart; where not, no style is read: 0 with an endless interval."""

    def part(self, rows: Sequence[int]) -> "Anchors":
        """Return the anchors for some of the prompts."""

        def chosen(scores: Sequence[float]) -> Sequence[float]:
            return [scores[row] for row in rows] if len(scores) == len(self.base_style) else scores

        return replace(
            self,
            base_style=chosen(self.base_style),
            author_style=chosen(self.author_style),
            author_log_perplexity=chosen(self.author_log_perplexity),
            weights=bootstrap.draws(len(rows)),
        )


def column_report(
    scores: AnswerScores,
    anchors: Anchors,
    *,
    column: Column | None = None,
    adapter: str | None = None,
    answers: Sequence[str] = (),
    drift: Drift | None = None,
    prompt_tokens: float = 0.0,
) -> ColumnReport:
    """Sum up the scores of a column's answers."""
    weights = anchors.weights
    distance = fluency.distance(scores.log_perplexity, anchors.author_log_perplexity, weights)
    spread, repeated = fluency.spread(anchors.author_log_perplexity), bootstrap.mean(scores.repeated, weights)
    read = strength(scores.style, anchors.base_style, anchors.author_style, weights)
    return ColumnReport(
        column=column,
        adapter=adapter,
        answers=tuple(answers),
        scores=scores,
        strength=read if anchors.separable else Interval(0.0, -numpy.inf, numpy.inf),
        fit=bootstrap.share(scores.fits),
        perplexity_distance=distance,
        fluent=fluency.is_fluent(distance, spread, repeated, anchors.author_repeated),
        repeated=repeated,
        ended=bootstrap.share(scores.ended),
        copied=bootstrap.share(scores.copied),
        longest_run=max(scores.longest_run, default=0),
        drift=drift,
        prompt_tokens=prompt_tokens,
    )


def curve_point(report: ColumnReport) -> CurvePoint:
    """Return what the curve shows of a column."""
    return CurvePoint(
        factor=report.column.strength if report.column and not report.column.is_base else 0.0,
        strength=report.strength,
        fit=report.fit,
        perplexity_distance=report.perplexity_distance,
        fluent=report.fluent,
        repeated=float(numpy.mean(report.scores.repeated)),
        copied=report.copied.value,
    )
