"""How long a job of the Hub will probably take, before it starts: a range, for no GPU was measured.

The operations of the training are divided by a share of the speed that the card's maker publishes. What a job does
besides (its evaluations and samples) comes on top and is not in it.
"""

import math
from dataclasses import dataclass

from studio.config import RunConfig
from studio.data.health import Report
from studio.i18n import Message, message
from studio.model import estimate
from studio.remote.record import JobRecord
from studio.train import plan

SHARES = 0.05, 0.4
"""Shares of the published speed that training of one adapter on one card reaches: from small models and short rows to
models of some billion parameters. Assumed, as 30 to 50 % are usual for training of whole large models (the PaLM paper,
table 3, has 46 % and others down to 21 %) and small matrices keep a card waiting."""
SETUP_SECONDS = 180.0, 600.0
"""Seconds until the first step: the machine, its packages, the model. Assumed."""


@dataclass(frozen=True)
class Card:
    """A GPU as its maker describes it: dense products of matrices, in 10**12 operations a second."""

    name: str
    half: float
    """In bfloat16, or float16 where there is no bfloat16."""
    single: float
    """In float32."""


CARDS = {
    "t4": Card("T4", 65, 8.1),
    "l4": Card("L4", 121, 30.3),
    "a10g": Card("A10G", 70, 31.2),
    "l40s": Card("L40S", 362, 91.6),
    "a100": Card("A100", 312, 19.5),
    "h100": Card("H100", 989, 67),
    "h200": Card("H200", 989, 67),
}
"""By the first part of a flavor's name (`a10g-large`, `l4x1`). The data sheets of NVIDIA, for the A10G those of AWS.
A job trains on one card, whatever the number that a machine has."""


@dataclass(frozen=True)
class Workload:
    """What a run computes."""

    tokens: float
    """Tokens of all steps, padding included."""
    parameters: int
    operations: float
    """Operations per parameter and token."""
    is_single: bool
    """Whether it computes in float32."""


def workload(config: RunConfig, report: Report | None, parameters: int | None) -> Workload | None:
    """Return what a run computes; None where its rows were not counted in tokens, or the model is not known."""
    if not report or not parameters or report.lengths is None or not report.usable:
        return None
    figures = report.token_figures
    tokens = figures["padded_grouped" if config.train.length_grouping else "padded_random"] / report.usable
    size = config.train.batch_size * config.train.gradient_accumulation
    steps = plan.count_steps(config.train, report.train)
    rows = steps * size if config.train.max_steps else config.train.epochs * report.train
    answers = 2 if config.train.method == "dpo" else 1
    upper_half, again = config.lora.layers == "upper-half", config.train.gradient_checkpointing == "on"
    passes = estimate.operations(upper_half=upper_half, checkpointing=again)
    return Workload(tokens * rows * answers, parameters, passes, config.model.precision == "float32")


def card_of(flavor: str) -> Card | None:
    """Return the card of a flavor; None for one that is not known here."""
    name = flavor.partition("-")[0]
    return CARDS.get(name) or CARDS.get(name.rpartition("x")[0])


def seconds(work: Workload, card: Card) -> tuple[float, float]:
    """Return the least and the most seconds that a job will probably take."""
    speed = (card.single if work.is_single else card.half) * 1e12
    needed = work.tokens * work.parameters * work.operations
    low, high = (needed / (share * speed) for share in reversed(SHARES))
    return low + SETUP_SECONDS[0], high + SETUP_SECONDS[1]


def sentences(work: Workload | None, quote: JobRecord) -> list[Message]:
    """Say how long a job will take and what that costs, and whether its time limit is shorter."""
    card = card_of(quote.flavor)
    if work is None or card is None:
        return [message("remote.forecast.rows" if card else "remote.forecast.card", flavor=quote.flavor)]
    least, most = seconds(work, card)
    unit, divisor = ("minutes", 60) if most < 7200 else ("hours", 3600)
    time = message(f"remote.forecast.{unit}", low=_round(least / divisor), high=_round(most / divisor))
    messages = [message("remote.forecast.time", flavor=quote.flavor, time=time)]
    if (price := quote.dollars_per_hour) is not None:
        low, high = (f"{each / 3600 * price:.2f}" for each in (least, most))
        messages.append(message("remote.forecast.price", low=low, high=high))
    peak = card.single if work.is_single else card.half
    shares = {"least": f"{SHARES[0]:.0%}", "most": f"{SHARES[1]:.0%}", "peak": f"{peak:g}", "card": card.name}
    counts = {"parameters": f"{work.parameters / 1e6:,.0f}", "tokens": f"{work.tokens:,.0f}"}
    setup = {"from_minutes": f"{SETUP_SECONDS[0] / 60:g}", "to_minutes": f"{SETUP_SECONDS[1] / 60:g}"}
    messages.append(message("remote.forecast.basis", passes=f"{work.operations:g}", **counts, **shares, **setup))
    if quote.seconds < most:
        short = "too_short" if quote.seconds < least else "may_be_short"
        messages.append(message(f"remote.forecast.{short}"))
    return messages


def _round(count: float) -> str:
    """Return a number with two digits that count."""
    digits = 1 - math.floor(math.log10(count)) if count > 0 else 0
    return f"{round(count, digits):,g}"
