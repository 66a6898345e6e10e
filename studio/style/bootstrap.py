"""Paired percentile bootstrap over prompts (Efron 1979): one set of draws for all columns and all measures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

Array = Any
RESAMPLES = 1000
SEED = 20240501
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def contains(self, value: float) -> bool:
        """Whether the interval holds a value."""
        return self.low <= value <= self.high


def draws(rows: int, seed: int = SEED, resamples: int = RESAMPLES) -> Array:
    """Return the weight of each row in each resample (resamples × rows); each resample sums to 1.

    Rows are drawn with replacement. All columns take the same draws, so that their differences are paired.
    """
    return numpy.random.default_rng(seed).multinomial(rows, [1 / rows] * rows, size=resamples) / rows


def estimate(value: float, samples: Array) -> Estimate:
    """Return a figure with the percentile interval of its resamples; those that are not a number are left out."""
    known = samples[numpy.isfinite(samples)]
    if not len(known):
        return Estimate(float(value), -numpy.inf, numpy.inf)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = numpy.percentile(known, [tail, 100 - tail])
    return Estimate(float(value), float(low), float(high))


def mean(values: Sequence[float], weights: Array) -> Estimate:
    """Return the mean of a value for each row, with its interval."""
    each = numpy.asarray(values, dtype=float)
    return estimate(each.mean(), weights @ each)


def difference(after: Sequence[float], before: Sequence[float], weights: Array) -> Estimate:
    """Return the mean of the paired differences `after` − `before`, with its interval."""
    return mean(numpy.asarray(after, dtype=float) - numpy.asarray(before, dtype=float), weights)
