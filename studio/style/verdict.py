"""Did training beat asking? The adapter against the base with a good prompt, and against the base alone.

The measures are paired over prompts. Style counts up to the author's: more than 100 % is no gain. A difference that
matters is `MARGIN` points of style strength; a side that is surely less than that behind does as well (a test of
non-inferiority, Piaggio et al. 2012). Blind votes decide where the meter does not, and a contradiction decides nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy

from studio.evaluate.blind_vote import wilson
from studio.i18n import Message, message
from studio.style import bootstrap
from studio.style.bootstrap import Array, Estimate

MARGIN = 10.0
"""Points of style strength: a smaller difference is none that a reader would miss."""
MAX_MORE = 1000
"""Prompts; where more would be needed, the two are as good as equal."""

Winner = Literal["adapter", "prompt", "undecided"]


@dataclass(frozen=True)
class PairedScores:
    """Style and fit of each answer of a column, in the order of the prompts."""

    style: Sequence[float]
    fits: Sequence[bool]


@dataclass(frozen=True)
class Votes:
    """Blind votes between the adapter and the prompted base, a pair counted once."""

    adapter: int
    prompt: int
    ties: int = 0

    @property
    def winner(self) -> Winner:
        """The side whose share of the wins is surely more than half; ties count half."""
        total = self.adapter + self.prompt + self.ties
        if not total:
            return "undecided"
        low, high = wilson((self.adapter + self.ties / 2) / total, total)
        return "adapter" if low > 0.5 else "prompt" if high < 0.5 else "undecided"


@dataclass(frozen=True)
class Verdict:
    """Whether training was worth it."""

    winner: Winner
    """`prompt` where a prompt does as well, or better."""
    style: Estimate
    """Style strength of the adapter minus that of the prompted base, each up to 100, in points."""
    fit: Estimate
    """Share of fitting answers of the adapter minus that of the prompted base."""
    more_prompts: int | None
    """Prompts that would tell, beside those that were answered; None where it is decided, or would never be."""
    reason: Message


def verdict(
    adapter: PairedScores,
    prompted: PairedScores,
    base: PairedScores,
    author_style: Sequence[float],
    weights: Array,
    votes: Votes | None = None,
) -> Verdict:
    """Say whether the adapter, or a prompt, is the better way to the style.

    The adapter wins where its style is surely nearer to the author's and its answers do not surely fit less. The prompt
    wins where its style is surely less than `MARGIN` points behind and its answers do not surely fit less.
    """
    style = _style_difference(adapter.style, prompted.style, base.style, author_style, weights)
    fit = bootstrap.difference(adapter.fits, prompted.fits, weights)
    gain = _style_difference(adapter.style, base.style, base.style, author_style, weights)
    winner: Winner = "undecided"
    key, more = "undecided", None
    if style.low > 0 and gain.low > 0:
        winner, key = ("adapter", "adapter") if fit.high >= 0 else ("undecided", "mixed")
    elif style.high < MARGIN:
        winner = key = "prompt" if fit.low <= 0 else "adapter"  # its answers fit surely better
    else:
        more = _more_prompts(style, len(adapter.style))
        key = "undecided" if more else "undecidable"
    chosen = votes.winner if votes else "undecided"
    if chosen != "undecided" and winner != chosen:
        winner, key, more = (chosen, f"votes_{chosen}", None) if winner == "undecided" else ("undecided", "votes", None)
    values = {"style": f"{style.value:+.0f}", "fit": f"{100 * fit.value:+.0f}", "more": more or 0}
    return Verdict(winner, style, fit, more, message(f"style.verdict.{key}", **values))


def _style_difference(
    first: Sequence[float], second: Sequence[float], base: Sequence[float], author: Sequence[float], weights: Array
) -> Estimate:
    """Return by how many points of style strength one column is ahead of another, each counted up to 100."""
    one, other, zero, full = (numpy.asarray(each, dtype=float) for each in (first, second, base, author))
    full_weights = weights if len(full) == len(one) else bootstrap.draws(len(full), bootstrap.SEED + 1, len(weights))

    def ahead(one: Array, other: Array, zero: Array, full: Array) -> Array:
        with numpy.errstate(divide="ignore", invalid="ignore"):
            return 100 * (numpy.minimum(one, full) - numpy.minimum(other, full)) / (full - zero)

    value = ahead(one.mean(), other.mean(), zero.mean(), full.mean())
    return bootstrap.estimate(value, ahead(weights @ one, weights @ other, weights @ zero, full_weights @ full))


def _more_prompts(style: Estimate, prompts: int) -> int | None:
    """Return how many more prompts would tell: the interval shrinks with the square root of their number."""
    half, wanted = (style.high - style.low) / 2, max(abs(style.value), MARGIN - style.value)
    more = math.ceil(prompts * (half / wanted) ** 2) - prompts if math.isfinite(half) else MAX_MORE + 1
    return max(1, more) if more <= MAX_MORE else None
