"""What the style meter of a run is made of, and what it takes of the training's time: a forecast, and a check."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from studio.config import GenerationConfig, RunConfig
from studio.generation import generate
from studio.generation.held_out import HeldOutRow
from studio.i18n import Message, message
from studio.model.adapter import ModelHost
from studio.model.hardware import device
from studio.runs import RunWriter

MIN_PINNED = 3
"""Pinned prompts below which an interval says nothing."""
TRAINING_PROMPTS = (100, 64, 40, 24)
"""Training prompts that the base answers: as many of them as the time allows."""
CANDIDATES = 8
"""Prompts among which an answer's own one is ranked."""
MAX_TIME_SHARE = 0.1
"""Share of the training's time that the meter may take, unless it was turned on explicitly."""


@dataclass(frozen=True)
class MeterSetup:
    """What the meter of a run is made of."""

    run: RunWriter
    host: ModelHost
    rows: Sequence[HeldOutRow]
    """The pinned prompts."""
    training_numbers: Sequence[int]
    settings: GenerationConfig
    """Those of the answers to the pinned prompts."""
    seconds: float
    """The training's estimated time; 0 where it is unknown."""
    points: int
    frame_seconds: Callable[[], float]
    """Gives the time of one answer to all pinned prompts."""
    on_progress: Callable[[], None]
    """Called between forward passes; may raise."""


@dataclass(frozen=True)
class MeterCost:
    """What the meter takes of a run's time."""

    frame: float
    """Seconds of an answer to each pinned prompt."""
    point: float
    """Seconds to score them."""
    pinned: int
    points: int

    def answers(self, prompts: int) -> float:
        """Return the seconds of the base's answers to some training prompts.

        A full batch takes at most 1.5 times as long: on two cores, sixteen rows took 1.6 times as long as two.
        """
        together = max(self.pinned, generate.MAX_BATCH_ROWS[device()] / 1.5)
        return self.frame * max(1.0, prompts / together) if prompts else 0.0

    def total(self, prompts: int, missing: int) -> float:
        """Return the seconds of all points against some training prompts; `missing` are not answered yet."""
        return self.answers(missing) + (self.points + prompts / self.pinned) * self.point

    def summary(self, prompts: int, missing: int) -> Message:
        """Say what the meter will take."""
        seconds = f"{self.total(prompts, missing):,.1f}"
        return message("log.style.on", prompts=prompts, points=self.points, seconds=seconds)

    def too_expensive(self, prompts: int, cost: float, seconds: float) -> Message:
        """Say that the meter is off, since it would take too much of the training's `seconds`."""
        values = {"seconds": f"{cost:,.1f}", "training": f"{seconds:,.1f}", "share": f"{100 * MAX_TIME_SHARE:.0f}"}
        return message("log.style.off.cost", prompts=prompts, points=self.points, **values)


def is_required(config: RunConfig) -> bool:
    """Whether the meter measures whatever it takes."""
    return config.samples.meter == "on" or config.train.keep == "style"


def forecast(config: RunConfig, cost: MeterCost, rows: int, seconds: float) -> tuple[Message | None, float]:
    """Return what to expect of the meter in a training on `rows` rows that takes `seconds`, and its own seconds.

    None where it is off. The base's answers are taken for new: those that are kept take no time.
    """
    if "off" in (config.samples.meter, config.samples.mode):
        return None, 0.0
    if cost.pinned < MIN_PINNED:
        return message("log.style.off.pinned", prompts=cost.pinned, needed=MIN_PINNED), 0.0
    counts = [min(count, rows) for count in TRAINING_PROMPTS]
    chosen = next((count for count in counts if cost.total(count, count) <= MAX_TIME_SHARE * seconds), None)
    if chosen is None and not is_required(config):
        return cost.too_expensive(counts[-1], cost.total(counts[-1], counts[-1]), seconds), 0.0
    chosen = chosen or counts[-1]
    return cost.summary(chosen, chosen), cost.total(chosen, chosen)
