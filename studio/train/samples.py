"""The sample timeline: pinned prompts, answered by the base, every few steps and at the end; and its style."""

import functools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from studio.config import GenerationConfig, RunConfig, SamplesConfig
from studio.data.prepare import PreparedData
from studio.data.rows import evenly_spaced
from studio.data.tokens import stop_ids
from studio.errors import PromptError, one_line
from studio.events import from_line
from studio.generation import generate, held_out
from studio.generation.generate import BASE_MODEL, ColumnAnswer, ModelSet, PromptBatchItem, noise_key
from studio.generation.held_out import GENERAL, HeldOutRow
from studio.generation.meter_cost import MeterSetup
from studio.i18n import Message, message
from studio.model.adapter import TUNED, ModelHost, preserve_state
from studio.model.hardware import Choice
from studio.runs import Run, RunWriter
from studio.runs.curve import read_curve
from studio.train.best_adapter import BestStyle, LastSound

log = logging.getLogger(__name__)

FILE = "samples.jsonl"
PROMPTS, MAX_PROMPT_TOKENS = 4, 256
"""Prompts that are chosen by the studio, and their tokens, if shorter ones are there."""
PROBE_TOKENS = 4
"""Tokens of the answers by which the speed is measured."""
MAX_TIME_SHARE = 0.05
"""Share of the training's time that all frames together may take."""
MAX_FRAMES, SOME_FRAMES, MIN_FRAMES = 12, 4, 2
"""Frames after the first one: at best, with shorter answers, and at least."""
MAX_TOKENS, SOME_TOKENS, MIN_TOKENS = 64, 24, 16
"""Tokens of an answer: at best, as long as that many frames would be given up for it, and at least."""
OpenMeter = Callable[[MeterSetup], Any]
"""Makes the `TrainingMeter` of a run (`training_meter.open_meter`); None, with a note that says why, without one."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True)

    at: float = Field(default_factory=time.time)


class SamplingStarted(_Line):
    """The prompts of all frames."""

    type: Literal["begun"] = "begun"
    prompts: tuple[str, ...]
    every: int
    tokens: int


class Answer(BaseModel):
    """One answer of a frame."""

    model_config = ConfigDict(frozen=True)

    text: str
    tokens: int
    """The end of turn included."""
    ended: bool


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
_parse = functools.partial(from_line, kinds=_lines)


@dataclass(frozen=True)
class SampleTimeline:
    """A sample timeline so far."""

    prompts: tuple[str, ...] = ()
    every: int = 0
    frames: tuple[Frame, ...] = ()
    offset: int = field(default=0, compare=False)
    """Bytes of the file that were read."""


def read(run: Run, before: SampleTimeline | None = None) -> SampleTimeline:
    """Return a run's timeline, given what was read of it `before`; the same object when nothing is new."""
    before = before or SampleTimeline()
    lines, offset = run.lines(FILE, before.offset)
    if not lines:
        return before
    prompts, every, frames = before.prompts, before.every, before.frames
    for line in map(_parse, lines):
        if isinstance(line, SamplingStarted):
            prompts, every = line.prompts, line.every
        elif isinstance(line, Frame):
            frames = (*(frame for frame in frames if frame.step != line.step), line)
            frames = tuple(sorted(frames, key=lambda frame: frame.step))
        elif isinstance(line, Resumed):
            frames = tuple(frame for frame in frames if frame.step <= line.step)
    return SampleTimeline(prompts, every, frames, offset)


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
    tokens: int
    share: float
    """What all frames take, as a share of the training's own time."""
    frames: int
    choices: tuple[Choice, ...] = ()

    @property
    def summary(self) -> Message:
        """What is expected of the timeline."""
        return message("log.samples", frames=self.frames, tokens=self.tokens, share=f"{100 * self.share:.1f}")


def choose_schedule(
    settings: SamplesConfig, longest: int, steps: int, seconds: float, speed: GenerationSpeed
) -> SamplingSchedule:
    """Choose a cadence for a run of `steps` steps that take `seconds`; answers are `longest` tokens at most."""
    frames_and_tokens = [
        *((MAX_FRAMES, tokens) for tokens in range(MAX_TOKENS, SOME_TOKENS - 1, -8)),
        *((frames, SOME_TOKENS) for frames in range(MAX_FRAMES - 1, SOME_FRAMES - 1, -1)),
        *((SOME_FRAMES, tokens) for tokens in range(SOME_TOKENS, MIN_TOKENS - 1, -2)),
        *((frames, MIN_TOKENS) for frames in range(SOME_FRAMES - 1, MIN_FRAMES - 1, -1)),
    ]
    best = None
    for frames, tokens in frames_and_tokens:  # the best first
        every = settings.every or max(1, math.ceil(steps / min(frames, max(1, steps))))
        tokens = settings.max_new_tokens or max(1, min(tokens, longest))
        count = math.ceil(steps / every) + 1
        share = count * speed.frame(tokens) / max(seconds, 1e-9)
        chosen = (share, every, tokens, count)
        best = best or chosen
        if share <= MAX_TIME_SHARE:
            break
    sums: dict[str, Any] = {
        "frames": count,
        "tokens": tokens,
        "share": f"{100 * share:.1f}",
        "most": f"{100 * MAX_TIME_SHARE:.0f}",
        "frame": f"{speed.frame(tokens):.1f}",
        "seconds": f"{seconds:,.0f}",
        "wished": f"{100 * best[0]:.0f}",
    }
    kind = "whole" if chosen == best else "shortened" if share <= MAX_TIME_SHARE else "least"
    values = {"samples_every": (every, settings.every), "samples_tokens": (tokens, settings.max_new_tokens)}
    choices = (
        Choice(name, str(value), message(f"choice.samples.{'asked' if configured else kind}", **sums))
        for name, (value, configured) in values.items()
    )
    return SamplingSchedule(every, tokens, share, count, tuple(choices))


class StylePoints:
    """Measures frames, writes the points and tells `best` of them; a failure ends the metering, not the run."""

    def __init__(self, run: RunWriter, best: BestStyle | LastSound, open_meter: Callable[[], Any], resumed_at: int):
        """`open_meter` may raise; `resumed_at` is the step of the checkpoint that the run goes on from, or 0."""
        self._run, self._best = run, best
        self._measured = {point.step for point in read_curve(run).styles if point.step <= resumed_at}
        self._meter: Any = None
        try:
            self._meter = open_meter()
        except Exception as error:
            self._fail(resumed_at, error)

    def measure(self, step: int, base: Sequence[str], answers: Sequence[str]) -> None:
        """Measure a frame, unless that was done; the point is written last: after a kill before it, all is repeated."""
        if self._meter is None or step in self._measured:
            return
        self._run.update(phase="styling")
        try:
            point = self._meter.measure(step, base, answers)
            self._best.add_point(point)
            self._run.emit(point)
            self._measured.add(step)
        except Exception as error:
            self._fail(step, error)
        self._run.update(phase="training")

    def _fail(self, step: int, error: Exception) -> None:
        log.warning("the style at step %s was not measured", step, exc_info=True)
        self._meter = None
        self._run.note(
            message("log.style.failed", step=step, detail=one_line(f"{type(error).__name__}: {error}")), "warning"
        )


class SampleWriter:
    """Takes a run's frames when they are due; a frame that fails ends the timeline but not the run."""

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
        self._every, self._over = every, False
        self._texts = {frame.step: [answer.text for answer in frame.answers] for frame in read(run).frames}
        self.points: StylePoints | None = None
        """What measures the style of the frames."""

    def take_if_due(self, step: int, *, last: bool = False) -> None:
        """Take the frame of `step` and measure it, if it is due and not there; the `last` one always is due.

        That of step 0, the base's, is taken first wherever it is missing: no step changes the base.
        """
        for each in (0, step) if step % self._every == 0 or last else (0,):
            self._take(each)
            if self.points and {0, each} <= self._texts.keys():
                self.points.measure(each, self._texts[0], self._texts[each])

    def _take(self, step: int) -> None:
        if self._over or step in self._texts:
            return
        self._run.update(phase="sampling")
        try:
            began = time.perf_counter()
            sides = answer(self._host, self._rows, self._settings, self._on_progress, base=not step)
            answers = tuple(Answer(text=side.text, tokens=side.tokens, ended=side.end == "turn") for side in sides)
            seconds = round(time.perf_counter() - began, 3)
            self._run.append(FILE, Frame(step=step, seconds=seconds, answers=answers).model_dump_json() + "\n")
            self._texts[step] = [answer.text for answer in answers]
        except Exception as error:
            log.warning("the frame at step %s failed", step, exc_info=True)
            self._over = True
            self._run.note(
                message("log.sample_failed", step=step, detail=one_line(f"{type(error).__name__}: {error}")), "warning"
            )
        self._run.update(phase="training")


def start(
    run: RunWriter,
    host: ModelHost,
    prepared: PreparedData,
    steps: int,
    seconds: float,
    on_progress: Callable[[], None],
    resumed_at: int | None,
    best: BestStyle | LastSound | None = None,
    open_meter: OpenMeter | None = None,
) -> SampleWriter | None:
    """Choose prompts, cadence and length, and return what takes the frames; None where that is off or cannot be."""
    config = run.config()
    if config.samples.mode == "off":
        return None
    try:
        rows, choices = _choose_prompts(run, config, prepared, host.loaded.tokenizer)
        lines = map(_parse, run.lines(FILE)[0] if resumed_at is not None else ())
        started = next((line for line in lines if isinstance(line, SamplingStarted)), None)
        if started is None:
            speed = measure(host, rows, config.generation, on_progress)
            longest = config.generation.max_new_tokens
            schedule = choose_schedule(config.samples, longest, steps, seconds, speed)
            for choice in (*choices, *schedule.choices):
                run.record_choice(choice.name, choice.value, choice.reason)
            prompts = tuple(row.prompt for row in rows)
            started = SamplingStarted(prompts=prompts, every=schedule.every, tokens=schedule.tokens)
            run.append(FILE, started.model_dump_json() + "\n")
        elif config.samples.every:
            started = started.model_copy(update={"every": config.samples.every})
    except Exception as error:
        log.warning("there are no sample answers", exc_info=True)
        run.note(message("log.no_samples", detail=one_line(error, 300)), "warning")
        return None
    if resumed_at is not None:
        run.append(FILE, Resumed(step=resumed_at).model_dump_json() + "\n")
    settings = config.generation.model_copy(update={"max_new_tokens": started.tokens})
    writer = SampleWriter(run, host, rows, settings, started.every, on_progress)
    if open_meter is None or best is None:
        return writer
    setup = MeterSetup(
        run,
        host,
        rows,
        prepared.train_numbers,
        settings,
        seconds=seconds,
        points=math.ceil(steps / started.every) + 1,
        frame_seconds=lambda: measure(host, rows, config.generation, on_progress).frame(settings.max_new_tokens),
        on_progress=on_progress,
    )
    writer.points = StylePoints(run, best, functools.partial(open_meter, setup), resumed_at or 0)
    return writer


def _choose_prompts(
    run: Run, config: RunConfig, prepared: PreparedData, tokenizer: Any
) -> tuple[list[HeldOutRow], tuple[Choice, ...]]:
    """Return the settings' prompts, else some that no training row begins with; raises PromptError without any."""
    if config.samples.prompts:
        return held_out.from_prompts(run, config.samples.prompts, tokenizer), ()

    def candidates() -> Iterator[tuple[list[HeldOutRow], Message]]:
        if listed := config.evaluation.prompts:
            yield held_out.from_bundled(run, listed, tokenizer), message("choice.samples.held_out", name=listed)
        numbers = prepared.validation_numbers
        spread = evenly_spaced(numbers, 4 * PROMPTS)  # some may be too long, or stand in the training rows
        rows = held_out.from_numbers(run, spread, tokenizer)
        yield rows, message("choice.samples.validation", rows=len(numbers))
        yield held_out.from_bundled(run, GENERAL, tokenizer), message("choice.samples.general")

    for rows, reason in candidates():
        prompt_lengths, in_training = {row.ids: len(row.ids) for row in rows}, set()
        for batch in prepared.train.with_format("arrow").iter(1000):
            for ids in batch["input_ids"].to_pylist():
                in_training |= {begins for begins, length in prompt_lengths.items() if tuple(ids[:length]) == begins}
        usable = [row for row in rows if row.ids not in in_training]
        short = [row for row in usable if len(row.ids) <= MAX_PROMPT_TOKENS]
        if chosen := evenly_spaced(short or usable, PROMPTS):
            return chosen, (Choice("samples_prompts", str(len(chosen)), reason),)
    raise PromptError("prompt.nothing_to_pin")


def answer(
    host: ModelHost,
    rows: Sequence[HeldOutRow],
    settings: GenerationConfig,
    on_progress: Callable[[], None],
    *,
    base: bool,
) -> list[ColumnAnswer]:
    """Answer all rows with the adapter as it is, or with the base, and leave no trace in the training."""
    tokenizer, names = host.loaded.tokenizer, (BASE_MODEL if base else TUNED,)
    stops = sorted(stop_ids(tokenizer, host.loaded.model.generation_config))
    models = ModelSet(host.peft, tokenizer, stops, names, mixes=False)
    batch = [PromptBatchItem((row.ids,), noise_key(row.prompt)) for row in rows]
    with preserve_state(host.peft):
        answered = generate.answer(models, batch, settings, threading.Event(), lambda answers: on_progress())
    return [side for (side,) in answered.answers]


def measure(
    host: ModelHost, rows: Sequence[HeldOutRow], settings: GenerationConfig, on_progress: Callable[[], None]
) -> GenerationSpeed:
    """Answer all rows with a few tokens, and return how fast that went."""
    few = settings.model_copy(update={"max_new_tokens": PROBE_TOKENS})
    began = time.perf_counter()
    sides = answer(host, rows, few, on_progress, base=False)
    elapsed = time.perf_counter() - began
    each = max((1 / speed for side in sides if (speed := side.tokens_a_second)), default=elapsed / PROBE_TOKENS)
    return GenerationSpeed(max(0.0, elapsed - (PROBE_TOKENS - 1) * each), each)
