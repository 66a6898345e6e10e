"""What happens in a run, as typed events, each one line of JSON in `events.jsonl`."""

import time
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from studio.i18n import Message, message

Level = Literal["info", "warning", "error"]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)

    at: float = Field(default_factory=time.time)


class StateChanged(_Event):
    """The run entered a state."""

    type: Literal["state"] = "state"
    state: str


class PhaseChanged(_Event):
    """The run began a part of its work."""

    type: Literal["phase"] = "phase"
    phase: str


class Chosen(_Event):
    """The studio chose a value by itself, and why."""

    type: Literal["chosen"] = "chosen"
    name: str
    value: str
    reason: Message


class Note(_Event):
    """Something the user should know: a dropped row, a fall-back, an error."""

    type: Literal["note"] = "note"
    level: Level = "info"
    message: Message


class Step(_Event):
    """One optimizer step was logged."""

    type: Literal["step"] = "step"
    step: int
    total: int
    epoch: float
    loss: float
    """Mean since the last logged step: cross-entropy per trained token in nats, or the loss of preferences a row."""
    learning_rate: float
    grad_norm: float | None = None
    """Norm of the gradient before clipping."""
    tokens: int
    """Tokens seen since the start of the run, padding not counted."""
    margin: float | None = None
    """In training on preferences: the reward of better answers less that of worse ones."""
    accuracy: float | None = None
    """There, of pairs: the share whose better answer has the higher reward."""


class Evaluated(_Event):
    """The validation rows were scored."""

    type: Literal["evaluated"] = "evaluated"
    step: int
    loss: float
    margin: float | None = None
    accuracy: float | None = None


class Resumed(_Event):
    """The run goes on from a checkpoint; what was logged after `step` before is not part of it any more."""

    type: Literal["resumed"] = "resumed"
    step: int


class Changed(_Event):
    """Settings were changed when the run was resumed at `step`; every other setting is as it was."""

    type: Literal["changed"] = "changed"
    step: int
    settings: dict[str, Any]


class Best(_Event):
    """The adapter at `step` has the lowest validation loss so far, and is kept."""

    type: Literal["best"] = "best"
    step: int
    loss: float


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class StyleMeasured(_Event):
    """The meter has measured the answers to the pinned prompts at `step`."""

    type: Literal["style"] = "style"
    step: int
    answers: int
    strength: Interval
    """In percent: 0 is the base, 100 the author."""
    fit: Interval
    """Share of answers whose own prompt is the likeliest of all pinned ones."""
    perplexity_distance: Interval
    """Mean log-perplexity under the base minus that of the author's answers, in nats a token."""
    fluent: bool
    sound: bool
    """Whether the answers are fluent and have not lost their fit."""

    @property
    def summary(self) -> Message:
        """The point in one sentence."""
        figures = {"percent": self.strength.value, "low": self.strength.low, "high": self.strength.high}
        return message(
            "log.style.point",
            step=self.step,
            fits=round(self.fit.value * self.answers),
            answers=self.answers,
            language=message("style.headline.fluent" if self.fluent else "style.headline.not_fluent"),
            **{name: f"{value:.0f}" for name, value in figures.items()},
        )


class StyleKept(_Event):
    """The adapter at `step` has the best style so far among the sound ones, and is kept."""

    type: Literal["style_kept"] = "style_kept"
    step: int
    strength: float


Event = Annotated[
    StateChanged
    | PhaseChanged
    | Chosen
    | Note
    | Step
    | Evaluated
    | Resumed
    | Changed
    | Best
    | StyleMeasured
    | StyleKept,
    Field(discriminator="type"),
]

_adapter: TypeAdapter[Any] = TypeAdapter(Event)


def to_line(event: _Event) -> str:
    """Return the event as one line of JSON with its line end."""
    return event.model_dump_json() + "\n"


def from_line(line: bytes | str) -> Any:
    """Return the event of one line, or None when the line is torn or from a version that knew other events."""
    try:
        return _adapter.validate_json(line)
    except ValidationError:
        return None
