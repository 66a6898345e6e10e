"""The scoreboard: base against adapter over the same rows, each metric with its difference and an interval.

The interval is the paired percentile bootstrap (Efron 1979; for corpus measures Koehn 2004): rows are drawn with
replacement, the same ones for both sides, and the metric is computed again from the sums of their statistics.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy
from pydantic import ConfigDict

from studio.errors import CompareError
from studio.evaluate.metrics import METRICS, Array, Direction, Metric, MetricContext, Sample, metric_context
from studio.i18n import Message, message
from studio.model.hardware import Choice

RESAMPLES = 1000
SEED = 20240501
CONFIDENCE = 0.95
MIN_ROWS = 6
"""Fewer rows give no verdict: by chance, all of five differ the same way once in 16 (2 · 0.5⁵)."""

Verdict = Literal["better", "worse", "unclear"]


@dataclass(frozen=True)
class Score:
    """One metric of both sides."""

    name: str
    direction: Direction
    rows: int
    """Rows that count for the metric, on both sides."""
    before: float
    after: float
    reference: float | None
    """The references' own figure, where closer to it is better."""
    difference: float
    difference_interval: tuple[float, float] | None
    gain: float
    """How much better the adapter is, in the metric's unit; negative when it is worse.

    For `higher` the difference, for `lower` the difference with its sign turned. For `closer`, by how much the mean
    distance between an answer and its own reference has shrunk: it can shrink while both means stay the same.
    """
    gain_interval: tuple[float, float] | None
    """None for fewer than two rows."""
    verdict: Verdict
    """`unclear` while the gain's interval holds 0, and for fewer than `MIN_ROWS` rows."""


@dataclass(frozen=True)
class Scoreboard:
    """All metrics of both sides, and by how much each row got better."""

    __pydantic_config__ = ConfigDict(ser_json_inf_nan="strings")

    rows: int
    language: str
    scores: tuple[Score, ...]
    left_out: Mapping[str, Message]
    """Metrics for which no row counts, and why."""
    gains: tuple[float | None, ...]
    """For every row how much better the adapter's answer is, in the unit given in `choices`; None where unknown."""
    choices: tuple[Choice, ...]
    confidence: float = CONFIDENCE
    resamples: int = RESAMPLES
    seed: int = SEED

    def score(self, name: str) -> Score | None:
        """Return the score of a metric; None when it was left out."""
        return next((score for score in self.scores if score.name == name), None)

    def rows_by_gain(self, most: int = 5, *, worse: bool = False) -> list[int]:
        """Return the rows (from 0) that got better, or worse, the biggest difference first."""
        sign = -1 if worse else 1
        known = [(sign * gain, row) for row, gain in enumerate(self.gains) if gain is not None and sign * gain > 0]
        return [row for _, row in sorted(known, key=lambda pair: (-pair[0], pair[1]))[:most]]


def score(
    before: Sequence[Sample],
    after: Sequence[Sample],
    marker: str | None = None,
    *,
    resamples: int = RESAMPLES,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Scoreboard:
    """Compare both sides' answers to the same rows by every metric of `METRICS`.

    The language is that of the references; `marker` is a regular expression. `on_progress` gets the share done, often,
    and may raise to end the work. Raises CompareError without rows, when the sides' rows differ, and for an invalid
    marker.
    """
    if not before or not after:
        raise CompareError("compare.no_rows")
    if [(s.prompt, s.reference) for s in before] != [(s.prompt, s.reference) for s in after]:
        raise CompareError("compare.unpaired", before=len(before), after=len(after))
    done = 0.0
    context = metric_context([s.reference or s.answer for s in before], marker, lambda: on_progress(done))
    rows = len(before)  # how often each row is drawn in each sample (samples × rows): with replacement, counted
    draws = numpy.random.default_rng(SEED).multinomial(rows, [1 / rows] * rows, size=resamples)
    scores, left_out = [], {}
    for number, metric in enumerate(METRICS):
        done = number / len(METRICS)
        on_progress(done)
        metric_score = _score(metric, before, after, context, draws)
        if metric_score is None:
            left_out[metric.name] = message(metric.missing)
        else:
            scores.append(metric_score)
    gains, unit = _gains(before, after, context)
    return Scoreboard(
        rows=rows,
        language=context.language,
        scores=tuple(scores),
        left_out=left_out,
        gains=gains,
        choices=(Choice("language", context.language, message("compare.language.found")), context.tokenizer, unit),
        resamples=resamples,
    )


def _score(
    metric: Metric, before: Sequence[Sample], after: Sequence[Sample], context: MetricContext, draws: Array
) -> Score | None:
    """Return the score of a metric; None where no row counts for it."""
    chosen = [row for row, s in enumerate(before) if not metric.needs_reference or (s.reference or "").strip()]
    sides = [[side[row] for row in chosen] for side in (before, after)]
    if not chosen or not metric.applies(sides[0], context):
        return None
    closer = metric.direction == "closer"
    if closer:
        sides.append([replace(sample, answer=sample.reference or "", ended_by_itself=True) for sample in sides[0]])
    statistics = [metric.statistics(side, context) for side in sides]
    informative = numpy.all([part.any(axis=1) for part in statistics], axis=0)
    if not informative.any():
        return None
    statistics = [part[informative] for part in statistics]
    draws = draws[:, numpy.array(chosen)[informative]]

    figures = [metric.figure(part.sum(axis=0), context) for part in statistics]
    samples = [metric.figure(draws @ part, context) for part in statistics]
    with numpy.errstate(invalid="ignore"):  # a perplexity can be infinite on both sides
        difference, sample_differences = figures[1] - figures[0], samples[1] - samples[0]
    if closer:
        first, second, reference = (part[:, 0] for part in statistics)
        reduction = numpy.abs(first - reference) - numpy.abs(second - reference)
        pairs = numpy.stack([reduction, numpy.ones(len(reduction))], axis=1)
        gain, sample_gains = metric.figure(pairs.sum(axis=0), context), metric.figure(draws @ pairs, context)
    else:
        sign = 1 if metric.direction == "higher" else -1
        gain, sample_gains = sign * difference, sign * sample_differences
    rows = int(informative.sum())
    interval = _interval(sample_gains, rows)
    verdict: Verdict = "unclear"
    if interval and rows >= MIN_ROWS:
        verdict = "better" if interval[0] > 0 else "worse" if interval[1] < 0 else "unclear"
    return Score(
        name=metric.name,
        direction=metric.direction,
        rows=rows,
        before=float(figures[0]),
        after=float(figures[1]),
        reference=float(figures[2]) if closer else None,
        difference=float(difference),
        difference_interval=_interval(sample_differences, rows),
        gain=float(gain),
        gain_interval=interval,
        verdict=verdict,
    )


def _interval(samples: Array, rows: int) -> tuple[float, float] | None:
    """Return the percentile interval; samples without any row that counts are left out of it."""
    known = samples[~numpy.isnan(samples)]
    if rows < 2 or not len(known):
        return None
    tail = 100 * (1 - CONFIDENCE) / 2
    method = "linear" if numpy.isfinite(known).all() else "nearest"
    low, high = numpy.percentile(known, [tail, 100 - tail], method=method)
    return float(low), float(high)


def _gains(
    before: Sequence[Sample], after: Sequence[Sample], context: MetricContext
) -> tuple[tuple[float | None, ...], Choice]:
    """Return how much better each row got, all in one unit: nats a token of the reference, else points of chrF."""
    gains: list[float | None] = [None] * len(before)
    referenced = [row for row, sample in enumerate(before) if (sample.reference or "").strip()]
    pairs = [(before[row], after[row]) for row in referenced]
    if pairs and all(s.nll is not None and numpy.isfinite(s.nll) and s.nll_tokens for pair in pairs for s in pair):
        for row, (first, second) in zip(referenced, pairs, strict=True):
            gains[row] = float(first.nll) - float(second.nll)
        return tuple(gains), Choice("gain", "nll", message("compare.gain.nll"))
    for row in referenced:
        first, second = (
            context.chrf.sentence_score(side[row].answer, [side[row].reference]).score for side in (before, after)
        )
        gains[row] = second - first
    return tuple(gains), Choice("gain", "chrf", message("compare.gain.chrf"))
