"""Everything that can be known of a run before minutes are spent on it."""

import contextlib
import importlib.util
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from studio.config import RunConfig
from studio.data import prepare
from studio.data.health import Report
from studio.errors import RunError, StudioError
from studio.files import home
from studio.generation import meter_cost
from studio.i18n import Message, message
from studio.model import catalogue, compatibility, estimate, libraries, limits, load, skeleton, weights
from studio.model.hardware import Choice
from studio.train import plan, samples, setting_warnings, start_adapter
from studio.train.plan import Plan


@dataclass(frozen=True)
class Preflight:
    """What is known of a run that has not started."""

    blocks: tuple[Message, ...] = ()
    """Why it cannot start; empty when nothing stands in its way."""
    warnings: tuple[Message, ...] = ()
    report: Report | None = None
    plan: Plan | None = None
    """None while the model or its data are not here, or something blocks."""
    seconds: float | None = None
    """Estimated seconds of all steps and of the sample timeline; None where it cannot be told."""
    disk_free: float = 0.0
    facts: tuple[Message, ...] = ()
    choices: tuple[Choice, ...] = ()


def check(
    config: RunConfig,
    free: float | Sequence[float],
    on_progress: Callable[[float], None] = lambda share: None,
    token: str | None = None,
) -> Preflight:
    """Check a run: its data, its model, its adapter, its memory (of which `free` bytes may be used) and its disk."""
    blocks: list[Message] = []
    warnings: list[Message] = []
    facts: list[Message] = []

    def attempt(work: Callable[[], Any]) -> Any:
        """Return the result of `work`; what it raises stands in the way of the run."""
        try:
            return work()
        except StudioError as error:
            blocks.append(error.message)

    config, start = attempt(lambda: start_adapter.resolve(config)) or (config, None)
    for tracker in config.train.trackers:
        if importlib.util.find_spec(tracker) is None:
            blocks.append(RunError("run.no_tracker", tracker=tracker).message)
    report: Report | None = attempt(lambda: prepare.inspect(config, on_progress))
    if report:
        blocks += report.blocks
        warnings += [problem.message for problem in report.problems]
    known = catalogue.describe(config.model, token)
    if known.problem:
        blocks.append(known.problem)
    if known.where != "nowhere":
        if known.licence:
            facts.append(message("log.licence", id=known.id, licence=known.licence))
        else:
            warnings.append(message("log.no_licence", id=known.id))
        if not known.here:
            facts.append(message("log.to_fetch", id=known.id, size=catalogue.size(known.bytes)))
            if known.gated:
                warnings.append(message("log.gated", id=known.id))
    located: load.Located | None = None
    if not blocks:
        with contextlib.suppress(StudioError):
            located = load.locate(config.model)
    if located:
        libraries.require()
        if start:
            attempt(lambda: compatibility.check(start.saved, located))
        if left := attempt(lambda: weights.check(located.path, located.id)):
            names = ", ".join(left[:3])
            warnings.append(message("log.unused_weights", id=located.id, count=len(left), names=names))
        tokenizer = attempt(lambda: load.load_tokenizer(config.model))
        sizes = attempt(lambda: skeleton.build(located.path, config.lora)) if not blocks else None
        if tokenizer and sizes:
            attempt(lambda: limits.require_embeddings(tokenizer, sizes.embeddings, located.id))
        rotary = located.settings.get("max_position_embeddings")
        if rotary and limits.positions(located.settings) is None and config.data.max_length > rotary:
            warnings.append(message("log.beyond_positions", length=config.data.max_length, most=rotary))
    room = float(shutil.disk_usage(home()).free)
    planned: Plan | None = None
    if located and not blocks and report and report.lengths is not None:
        longest = int(report.lengths.clip(max=report.max_length).max())
        planned = attempt(lambda: plan.make(config, located, rows=report.train, longest=longest, free=free))
    warnings += setting_warnings.find(config, located, report.train if report else None)
    if planned is None:
        return Preflight(tuple(blocks), tuple(warnings), report, disk_free=room, facts=tuple(facts))
    attempt(lambda: require_disk(planned, room))
    warnings += planned.warnings
    if not planned.memory.is_whole:
        attempt(lambda: skeleton.require_trainable(located.path, config.lora))
    facts.append(planned.trained)
    seconds = training_seconds(config, planned, report, located)
    if config.samples.mode == "auto" and seconds is not None:
        # the run itself measures the speed; in a step, an answer has no backward pass, and half a row is its prompt
        each = estimate.token_seconds(located.path, located.settings, planned.precision.value)
        row = seconds / (planned.steps * planned.settings.batch_size * planned.settings.gradient_accumulation)
        pinned = len(config.samples.prompts) or samples.PROMPTS
        speed = samples.GenerationSpeed(each + pinned * row / 4, each)
        longest = config.generation.max_new_tokens
        timeline = samples.choose_schedule(config.samples, longest, planned.steps, seconds, speed)
        facts.append(timeline.summary)
        # a point reads the answers, half a row each, and after each the prompts that it is ranked among, a quarter
        point = pinned * row / 2 + pinned * min(meter_cost.CANDIDATES, pinned) * row / 4
        cost = meter_cost.MeterCost(speed.frame(timeline.tokens), point, pinned, timeline.frames)
        summary, more = meter_cost.forecast(config, cost, report.train, seconds)
        facts += [summary] if summary else []
        seconds = seconds * (1 + timeline.share) + more
    warnings += setting_warnings.duration(config, seconds or 0)
    continued = (start_adapter.shape_choice(config, start),) if start else ()
    choices = (planned.precision, *continued, *planned.choices)
    return Preflight(tuple(blocks), tuple(warnings), report, planned, seconds, room, tuple(facts), choices)


def require_disk(planned: Plan, room: float) -> None:
    """Raise RunError for a run that needs more of the disk than the `room` bytes that are free."""
    if planned.disk_bytes > room:
        need, free = f"{planned.disk_bytes / 1e9:.2f}", f"{room / 1e9:.2f}"
        raise RunError("run.disk", need=need, free=free, folder=str(home()))


def training_seconds(config: RunConfig, planned: Plan, report: Report, located: load.Located) -> float | None:
    """Estimate the seconds of all steps, without the sample timeline; None as in `estimate.epoch_seconds`."""
    from studio.train import frozen_layers

    tokens = report.token_figures["padded_grouped" if config.train.length_grouping else "padded_random"]
    size = planned.settings.batch_size * planned.settings.gradient_accumulation
    rows = planned.steps * size if config.train.max_steps else config.train.epochs * report.train
    answers = 2 if config.train.method == "dpo" else 1
    saving = frozen_layers.expected_saving(config, planned, report, located)
    return plan.seconds(config, located, planned, tokens / report.usable * rows * answers, saving)
