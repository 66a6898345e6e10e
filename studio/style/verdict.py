"""Did training beat asking? The adapter against the base with a good prompt, and against the base alone.

The measures are paired over prompts. Style counts up to the author's: more than 100 % is no gain. A difference that
matters is `MARGIN` points of style strength; a side that is surely less than that behind does as well (a test of
non-inferiority, Piaggio et al. 2012). Votes decide where the meter does not, and a contradiction decides nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy

from studio.evaluate.blind_vote import wilson
from studio.events import Interval
from studio.generation.meter_cost import CANDIDATES
from studio.i18n import Message, message
from studio.style import bootstrap
from studio.style.bootstrap import Array

if TYPE_CHECKING:
    from studio.style.report import ColumnReport

MARGIN = 10.0
"""Points of style strength: a smaller difference is none that a reader would miss."""
MIN_VOTED = 6
"""Pairs of answers: all for one side, fewer of them would be chance in more than one case of twenty."""
MAX_MORE = 1000
"""Prompts; where more would be needed, the two are as good as equal."""

Winner = Literal["adapter", "prompt", "undecided"]


@dataclass(frozen=True)
class Votes:
    """Votes between the adapter and the prompted base, or the base alone: a pair counts once, for most of its votes."""

    adapter: int = 0
    prompt: int = 0
    """Pairs of answers for the other side."""
    ties: int = 0
    named: int = 0
    """How many of these pairs have votes that were not blind."""

    @property
    def winner(self) -> Winner:
        """The side whose share of the wins is surely more than half; ties count half.

        Of `MIN_VOTED` pairs at least: with four, Wilson's interval is too narrow.
        """
        if self.total < MIN_VOTED:
            return "undecided"
        low, high = self.interval
        return "adapter" if low > 0.5 else "prompt" if high < 0.5 else "undecided"

    @property
    def total(self) -> int:
        """Pairs that were voted on."""
        return self.adapter + self.prompt + self.ties

    @property
    def share(self) -> float:
        """Share of the adapter's wins, 0 to 1; ties count half."""
        return (self.adapter + self.ties / 2) / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of that share (Wilson 1927)."""
        return wilson(self.share, self.total)


@dataclass(frozen=True)
class Verdict:
    """Whether training was worth it."""

    winner: Winner
    """`prompt` where a prompt does as well, or better."""
    style: Interval
    """Style strength of the adapter minus that of the prompted base, each up to 100, in points."""
    fit: Interval
    """Share of fitting answers of the adapter minus that of the prompted base."""
    more_prompts: int | None
    """Prompts that would tell, beside those that were answered; None where it is decided, or would never be."""
    reason: Message


def verdict(
    adapter: "ColumnReport",
    prompted: "ColumnReport",
    base: "ColumnReport",
    author_style: Sequence[float],
    weights: Array,
    chance: float = 1 / CANDIDATES,
) -> Verdict:
    """Say whether the adapter, or a prompt, is the better way to the style.

    The adapter wins where its style is surely nearer to the author's and its answers do not surely fit less. The prompt
    wins where its style is surely less than `MARGIN` points behind and its answers do not surely fit less. Neither wins
    with answers that are less fluent than the other's, nor with answers that fit their questions no better than
    `chance`, the share that fits by luck.
    """
    own, rival, zero = adapter.scores, prompted.scores, base.scores.style
    style = _style_difference(own.style, rival.style, zero, author_style, weights)
    fit = bootstrap.difference(own.fits, rival.fits, weights)
    gain = _style_difference(own.style, zero, zero, author_style, weights)
    winner: Winner = "undecided"
    key, more = "undecided", None
    if style.low > 0 and gain.low > 0:
        winner, key = ("adapter", "adapter") if fit.high >= 0 else ("undecided", "mixed")
        if winner == "adapter" and _is_less_fluent(adapter, prompted, weights):
            winner, key = "undecided", "adapter_not_fluent"
    elif style.high < MARGIN:
        winner = key = "prompt" if fit.low <= 0 else "adapter"  # its answers fit surely better
        if winner == "adapter" and gain.low <= 0:
            winner, key = "undecided", "no_style"
        if winner == "prompt" and _is_less_fluent(prompted, adapter, weights):
            surely_fits_less = fit.high < 0 or gain.low <= 0
            winner, key = ("undecided", "prompt_not_fluent") if surely_fits_less else ("adapter", "adapter_fluent")
    else:
        more = _more_prompts(style, len(own.style))
        key = "undecided" if more else "undecidable"
    fits = (own if winner == "adapter" else rival).fits
    if winner != "undecided" and bootstrap.share(fits).low <= chance:
        winner, key = "undecided", f"{winner}_misses"
    return Verdict(winner, style, fit, more, _reason(key, style, fit, more))


def with_votes(measured: Verdict, against_prompt: Votes, against_base: Votes = Votes()) -> Verdict:
    """Return the meter's verdict with the votes: they decide where it does not, and a contradiction decides nothing."""
    chosen = against_prompt.winner
    winner, key = measured.winner, None
    if measured.winner == "undecided":
        winner, key = (chosen, f"votes_{chosen}") if chosen != "undecided" else (winner, None)
    elif chosen not in ("undecided", measured.winner):
        winner, key = "undecided", "votes"
    if winner == "adapter" and against_base.winner == "prompt":
        winner, key = "undecided", "votes_base"
    if key is None:
        return measured
    return replace(measured, winner=winner, more_prompts=None, reason=_reason(key, measured.style, measured.fit, None))


def _reason(key: str, style: Interval, fit: Interval, more: int | None) -> Message:
    values = {"style": f"{style.value:+.0f}", "fit": f"{100 * fit.value:+.0f}", "more": more or 0}
    return message(f"style.verdict.{key}", **values)


def _is_less_fluent(one: "ColumnReport", other: "ColumnReport", weights: Array) -> bool:
    """Whether one column is not fluent and the other is, and this is no chance: it repeats more, or is less likely."""
    if one.fluent or not other.fluent:
        return False
    pairs = (
        (one.scores.repeated, other.scores.repeated),
        (one.scores.log_perplexity, other.scores.log_perplexity),
    )
    return any(bootstrap.difference(*pair, weights).low > 0 for pair in pairs if all(map(len, pair)))


def _style_difference(
    first: Sequence[float], second: Sequence[float], base: Sequence[float], author: Sequence[float], weights: Array
) -> Interval:
    """Return by how many points of style strength one column is ahead of another, each counted up to 100."""
    one, other, zero, full = (numpy.asarray(each, dtype=float) for each in (first, second, base, author))
    full_weights = bootstrap.matching_weights(full, weights, len(one))

    def ahead(one: Array, other: Array, zero: Array, full: Array) -> Array:
        with numpy.errstate(divide="ignore", invalid="ignore"):
            return 100 * (numpy.minimum(one, full) - numpy.minimum(other, full)) / (full - zero)

    value = ahead(one.mean(), other.mean(), zero.mean(), full.mean())
    return bootstrap.estimate(
        value, ahead(weights @ one, weights @ other, weights @ zero, full_weights @ full), len(one)
    )


def _more_prompts(style: Interval, prompts: int) -> int | None:
    """Return how many more prompts would tell: the interval shrinks with the square root of their number."""
    half, wanted = (style.high - style.low) / 2, max(abs(style.value), MARGIN - style.value)
    more = math.ceil(prompts * (half / wanted) ** 2) - prompts if math.isfinite(half) else MAX_MORE + 1
    return max(1, more) if more <= MAX_MORE else None
