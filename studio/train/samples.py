"""The film strip: pinned prompts, answered before the first step, every few steps and at the end.

Each frame is one line of `samples.jsonl`. The noise is the same in every frame, so what changes is the model; and a
frame leaves no trace in the run.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from studio.config import GenerationConfig, RunConfig
from studio.data import tokens
from studio.data.prepare import PreparedData
from studio.generation import generate
from studio.generation.generate import Answers, ColumnAnswer, noise_key
from studio.generation.generate import PromptBatchItem as AskedPrompt
from studio.generation.held_out import HeldOutRow
from studio.generation.model_set import BASE_MODEL, ModelSet
from studio.i18n import message
from studio.model.adapter import TUNED, ModelHost, preserve_state
from studio.runs import Run, RunWriter
from studio.train import pinned, sampling_schedule
from studio.train.interrupts import StopRequested
from studio.train.sampling_schedule import GenerationSpeed

log = logging.getLogger(__name__)

FILE = "samples.jsonl"
PROBE_TOKENS = 4
"""Tokens of the answers by which the speed is measured."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True)

    at: float = Field(default_factory=time.time)
    """Seconds since the epoch."""


class SamplingStarted(_Line):
    """What is asked in all frames."""

    type: Literal["begun"] = "begun"
    prompts: tuple[str, ...]
    every: int
    """Steps between two frames."""
    tokens: int
    """Tokens of an answer at most."""


class Answer(BaseModel):
    """One answer of a frame."""

    model_config = ConfigDict(frozen=True)

    text: str
    tokens: int
    """The end of turn included."""
    ended: bool
    """Whether it ended by itself."""


class Frame(_Line):
    """The answers to all prompts after some steps; those of step 0 are the base's."""

    type: Literal["frame"] = "frame"
    step: int
    seconds: float
    answers: tuple[Answer, ...]


class Resumed(_Line):
    """The run goes on from a checkpoint; frames after `step` before are not part of it any more."""

    type: Literal["resumed"] = "resumed"
    step: int


_lines: TypeAdapter[Any] = TypeAdapter(Annotated[SamplingStarted | Frame | Resumed, Field(discriminator="type")])


@dataclass(frozen=True)
class SampleTimeline:
    """A film strip as far as it is there."""

    prompts: tuple[str, ...] = ()
    every: int = 0
    frames: tuple[Frame, ...] = ()
    offset: int = field(default=0, compare=False)
    """Bytes of the file that were read."""


def read(run: Run, before: SampleTimeline | None = None) -> SampleTimeline:
    """Return a run's film strip, given what was read of it `before`; the same object when nothing is new."""
    before = before or SampleTimeline()
    lines, offset = run.lines(FILE, before.offset)
    if not lines:
        return before
    return replace(_folded(before, map(_line, lines)), offset=offset)


def _line(line: bytes) -> Any:
    """Return what a line says, or None when it is torn or from a version that knew others."""
    try:
        return _lines.validate_json(line)
    except ValidationError:
        return None


def _folded(strip: SampleTimeline, lines: Iterable[Any]) -> SampleTimeline:
    for line in lines:
        if isinstance(line, SamplingStarted):
            strip = replace(strip, prompts=line.prompts, every=line.every)
        elif isinstance(line, Frame):
            frames = (frame for frame in strip.frames if frame.step != line.step)
            strip = replace(strip, frames=(*frames, line))
        elif isinstance(line, Resumed):
            strip = replace(strip, frames=tuple(frame for frame in strip.frames if frame.step <= line.step))
    return strip


class SampleWriter:
    """Takes a run's frames when they are due.

    `on_progress` is called after every token and raises to end the training. A frame that fails is noted, and ends the
    timeline but not the run.
    """

    def __init__(
        self,
        run: RunWriter,
        host: ModelHost,
        rows: Sequence[HeldOutRow],
        settings: GenerationConfig,
        every: int,
        on_progress: Callable[[], None],
    ):
        self._run, self._host, self._rows, self._settings, self._on_progress = run, host, rows, settings, on_progress
        self._every = every
        self._taken = {frame.step for frame in read(run).frames}
        self._over = False

    def take_if_due(self, step: int, *, last: bool = False) -> None:
        """Take the frame of `step` if it is due and not there; the `last` one always is due."""
        if self._over or step in self._taken or (step % self._every and not last):
            return
        self._run.update(phase="sampling")
        try:
            self._take(step)
        except StopRequested:
            raise
        except Exception as error:
            log.warning("the frame at step %s failed", step, exc_info=True)
            self._over = True
            detail = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            self._run.note(message("log.sample_failed", step=step, detail=detail), "warning")
        self._run.update(phase="training")

    def _take(self, step: int) -> None:
        began = time.perf_counter()
        sides = answer(self._host, self._rows, self._settings, self._on_progress, base=not step)
        answers = tuple(Answer(text=side.text, tokens=side.tokens, ended=side.end == "turn") for side in sides)
        seconds = round(time.perf_counter() - began, 3)
        self._run.append(FILE, Frame(step=step, seconds=seconds, answers=answers).model_dump_json() + "\n")
        self._taken.add(step)


def start(
    run: RunWriter,
    host: ModelHost,
    prepared: PreparedData,
    steps: int,
    seconds: float,
    on_progress: Callable[[], None],
    resumed_at: int | None,
) -> SampleWriter | None:
    """Choose prompts, cadence and length, and return what takes the frames; None where that is off or cannot be.

    The training is estimated to take `seconds` for all `steps`. A run that is resumed keeps what it had chosen.
    """
    config = run.config()
    if config.samples.mode == "off":
        return None
    assert host.loaded is not None
    try:
        chosen = pinned.choose(run, config, prepared, host.loaded.tokenizer)
        started = _started(run, config) if resumed_at is not None else None
        if started is None:
            started = _first(run, host, config, chosen, steps, seconds, on_progress)
        elif config.samples.every:
            started = started.model_copy(update={"every": config.samples.every})
    except StopRequested:
        raise
    except Exception as error:
        log.warning("there is no film strip", exc_info=True)
        detail = " ".join(str(error).split())[:300] or type(error).__name__
        run.note(message("log.no_samples", detail=detail), "warning")
        return None
    if resumed_at is not None:
        run.append(FILE, Resumed(step=resumed_at).model_dump_json() + "\n")
    settings = config.generation.model_copy(update={"max_new_tokens": started.tokens})
    return SampleWriter(run, host, chosen.rows, settings, started.every, on_progress)


def _started(run: Run, config: RunConfig) -> SamplingStarted | None:
    lines, _ = run.lines(FILE)
    return next((line for line in map(_line, lines) if isinstance(line, SamplingStarted)), None)


def _first(
    run: RunWriter,
    host: ModelHost,
    config: RunConfig,
    chosen: pinned.Pinned,
    steps: int,
    seconds: float,
    on_progress: Callable[[], None],
) -> SamplingStarted:
    speed = measure(host, chosen.rows, config.generation, on_progress)
    paced = sampling_schedule.choose_schedule(config.samples, config.generation.max_new_tokens, steps, seconds, speed)
    for choice in (*chosen.choices, *paced.choices):
        run.record_choice(choice.name, choice.value, choice.reason)
    started = SamplingStarted(prompts=tuple(row.prompt for row in chosen.rows), every=paced.every, tokens=paced.tokens)
    run.append(FILE, started.model_dump_json() + "\n")
    return started


def answer(
    host: ModelHost,
    rows: Sequence[HeldOutRow],
    settings: GenerationConfig,
    on_progress: Callable[[], None],
    *,
    base: bool,
) -> list[ColumnAnswer]:
    """Answer all rows with the adapter as it is, or with the base, and leave no trace in the training."""
    assert host.loaded is not None
    loaded = host.loaded
    models = ModelSet(
        model=host.peft,
        tokenizer=loaded.tokenizer,
        stops=sorted(tokens.stop_ids(loaded.tokenizer, loaded.model.generation_config)),
        names=(BASE_MODEL if base else TUNED,),
        mixes=False,
    )
    batch = [AskedPrompt((row.ids,), noise_key(row.prompt)) for row in rows]

    def show(sides: Answers) -> None:
        on_progress()

    with preserve_state(host.peft):
        answered = generate.answer(models, batch, settings, threading.Event(), show)
    return [side for (side,) in answered.answers]


def measure(
    host: ModelHost, rows: Sequence[HeldOutRow], settings: GenerationConfig, on_progress: Callable[[], None]
) -> GenerationSpeed:
    """Answer all rows with a few tokens, and return how fast that went."""
    few = settings.model_copy(update={"max_new_tokens": PROBE_TOKENS})
    began = time.perf_counter()
    sides = answer(host, rows, few, on_progress, base=False)
    took = time.perf_counter() - began
    each = max((1 / speed for side in sides if (speed := side.tokens_a_second)), default=took / PROBE_TOKENS)
    return GenerationSpeed(max(0.0, took - (PROBE_TOKENS - 1) * each), each)
