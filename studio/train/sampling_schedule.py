"""How often the film strip's prompts are answered and how long the answers are, so that they cost the run little."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from studio.config import SamplesConfig
from studio.i18n import Message, message
from studio.model.hardware import Choice

MAX_TIME_SHARE = 0.05
"""Share of the training's time that all frames together may take."""
MAX_FRAMES = 12
"""Frames after the first one, at best."""
SOME_FRAMES, MIN_FRAMES = 4, 2
MAX_TOKENS, SOME_TOKENS, MIN_TOKENS = 64, 24, 16
"""Tokens of an answer: at best, as long as that many frames would be given up for it, and at least."""


@dataclass(frozen=True)
class GenerationSpeed:
    """How fast this device answers all pinned prompts together."""

    first: float
    """Seconds to the first token of each."""
    each: float
    """Seconds for one more token of each."""

    def frame(self, tokens: int) -> float:
        """Return the seconds of a frame of answers that long."""
        return self.first + max(0, tokens - 1) * self.each


@dataclass(frozen=True)
class SamplingSchedule:
    """How often, and how long."""

    every: int
    """Steps between two frames."""
    tokens: int
    """Tokens of an answer at most."""
    share: float
    """What all frames take, as a share of the training's own time."""
    frames: int
    choices: tuple[Choice, ...] = ()

    @property
    def summary(self) -> Message:
        """What is expected of the film strip."""
        return message("log.samples", frames=self.frames, tokens=self.tokens, share=f"{100 * self.share:.1f}")


def choose_schedule(
    settings: SamplesConfig, longest: int, steps: int, seconds: float, speed: GenerationSpeed
) -> SamplingSchedule:
    """Choose a cadence for a run of `steps` steps that take `seconds`; answers are `longest` tokens at most.

    Fewer tokens and fewer frames are tried in turn until all frames take at most `MAX_TIME_SHARE`; what is set is
    kept in any case.
    """
    wished = list(_candidates(settings, longest, steps))

    def share(wish: tuple[int, int]) -> float:
        every, tokens = wish
        return (math.ceil(steps / every) + 1) * speed.frame(tokens) / max(seconds, 1e-9)

    taken = next((wish for wish in wished if share(wish) <= MAX_TIME_SHARE), wished[-1])
    every, tokens = taken
    sums: dict[str, Any] = {
        "frames": math.ceil(steps / every) + 1,
        "tokens": tokens,
        "share": f"{100 * share(taken):.1f}",
        "most": f"{100 * MAX_TIME_SHARE:.0f}",
        "frame": f"{speed.frame(tokens):.1f}",
        "seconds": f"{seconds:,.0f}",
        "wished": f"{100 * share(wished[0]):.0f}",
    }
    kind = "whole" if taken == wished[0] else "shortened" if share(taken) <= MAX_TIME_SHARE else "least"
    reasons = {
        "samples_every": message("choice.samples.asked" if settings.every else f"choice.samples.{kind}", **sums),
        "samples_tokens": message(
            "choice.samples.asked" if settings.max_new_tokens else f"choice.samples.{kind}", **sums
        ),
    }
    values = {"samples_every": every, "samples_tokens": tokens}
    choices = tuple(Choice(name, str(value), reasons[name]) for name, value in values.items())
    return SamplingSchedule(every, tokens, share(taken), sums["frames"], choices)


def _candidates(settings: SamplesConfig, longest: int, steps: int) -> Iterator[tuple[int, int]]:
    """Yield steps between frames and tokens of an answer, the best first."""

    def wish(frames: int, tokens: int) -> tuple[int, int]:
        every = settings.every or math.ceil(steps / min(frames, max(1, steps)))
        return max(1, every), settings.max_new_tokens or max(1, min(tokens, longest))

    for tokens in range(MAX_TOKENS, SOME_TOKENS - 1, -8):
        yield wish(MAX_FRAMES, tokens)
    for frames in range(MAX_FRAMES - 1, SOME_FRAMES - 1, -1):
        yield wish(frames, SOME_TOKENS)
    for tokens in range(SOME_TOKENS, MIN_TOKENS - 1, -2):
        yield wish(SOME_FRAMES, tokens)
    for frames in range(SOME_FRAMES - 1, MIN_FRAMES - 1, -1):
        yield wish(frames, MIN_TOKENS)
