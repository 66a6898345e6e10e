"""Fluency: whether the answers are as likely, as varied and as complete as the author's own texts.

The log-perplexity of a text is its mean negative log-likelihood under the base, in nats a token, as a text that the
base is shown: in the pass that tells whether it fits its question. What counts is how near it is to that of the
author's texts, not how low: the base's own answers are likelier than any author's.
"""

from collections.abc import Sequence

import numpy

from studio.evaluate.metrics import ngrams
from studio.events import Interval
from studio.style import bootstrap
from studio.style.bootstrap import Array
from studio.style.strength import units

REPEATED = 3
"""Words of the n-grams that are counted as repeated."""
MORE_REPETITION = 0.05
"""Share of repeated n-grams above the author's at which answers count as repetitive."""


def distance(column: Sequence[float], author: Sequence[float], weights: Array) -> Interval:
    """Return the mean log-perplexity of a column's answers minus that of the author's texts, in nats a token.

    Above 0 the answers are less likely than the author's texts, below 0 likelier.
    """
    own, reference = numpy.asarray(column, dtype=float), numpy.asarray(author, dtype=float)
    author_weights = bootstrap.matching_weights(reference, weights, len(own))
    return bootstrap.estimate(own.mean() - reference.mean(), weights @ own - author_weights @ reference, len(own))


def spread(author: Sequence[float]) -> float:
    """Return the standard deviation of the author's log-perplexities: how far apart good texts are."""
    return float(numpy.std(author, ddof=1)) if len(author) > 1 else 0.0


def is_fluent(distance: Interval, spread: float, repeated: Interval, author_repeated: float) -> bool:
    """Whether answers are neither clearly less likely than the author's texts, nor clearly more repetitive.

    They are not fluent where the whole interval of the distance lies more than one standard deviation of the author's
    above, or that of the repeated n-grams more than `MORE_REPETITION` above the author's share: what loops is likely.
    """
    return distance.low <= spread and repeated.low <= author_repeated + MORE_REPETITION


def repeated_ngrams(text: str) -> float:
    """Return the share of a text's n-grams of words that have occurred in it before, 0 to 1."""
    grams = ngrams(units(text), REPEATED)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
