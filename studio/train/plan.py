"""What a run will do on this device, decided before its model is loaded: each choice with its reason."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from studio.config import RunConfig, TrainConfig
from studio.errors import RunError
from studio.i18n import Message, message
from studio.model import estimate, limits, load, memory, processes, quantization, skeleton
from studio.model.hardware import Choice, device, precision
from studio.model.load import Located
from studio.model.memory import BYTES_PER_NUMBER, Memory
from studio.model.skeleton import Skeleton
from studio.runs import Run

MEMORY_SHARE = 0.9
"""Share of the free memory that a forecast may fill; it is right to about a fifth."""

PAGED = {"paged_adamw_8bit": "adamw_8bit", "paged_adamw_32bit": "adamw_torch"}
"""Optimizers that page their state out to the processor's memory, and the same arithmetic without paging."""

_TOKENIZER_FILES = ("tokenizer*", "vocab*", "merges.txt", "*.model", "chat_template*")


@dataclass(frozen=True)
class Plan:
    """How a run will be carried out."""

    settings: TrainConfig
    """The settings with automatic ones decided; the accumulation counts the micro-batches of all processes."""
    precision: Choice
    choices: tuple[Choice, ...]
    skeleton: Skeleton
    memory: Memory
    free: float
    steps: int
    warnings: tuple[Message, ...]
    """Settings that have little or no effect in so many steps, and what may go wrong with the memory."""
    disk_bytes: float
    """Bytes that the run will have on the disk at its peak: its checkpoints and one in the making, its adapters."""
    most_tokens: int
    """Tokens of a micro-batch at most: as many as `batch_size` of the longest rows have."""
    evaluated_at_once: int
    """Rows of a batch of the evaluation, in each process."""

    @property
    def fits(self) -> bool:
        """Whether the forecast is below what is free."""
        return self.memory.total <= self.free

    @property
    def trained(self) -> Message:
        """What will be trained: how many parameters, their share, the modules that they sit in."""
        trained, total = self.skeleton.trained, self.skeleton.total
        share, modules = f"{trained / (total + trained):.2%}", ", ".join(self.skeleton.modules)
        return message("log.parameters", trained=f"{trained:,}", share=share, modules=modules)


DECIDED = ("batch_size", "gradient_accumulation", "gradient_checkpointing", "optimizer")
"""Settings that a plan decides, and that a resumed run keeps as they were."""
WARMUP_PARTS = 10
"""A warmup that does not fit takes one of so many parts of the run, rounded down."""
SHORTENED = ("warmup_steps", "warmup_ratio", "logging_steps")
"""Settings that a plan changes for a run that is too short for them."""


def make(
    config: RunConfig,
    located: Located,
    *,
    rows: int,
    longest: int,
    free: float | Sequence[float],
    before: Mapping[str, Any] = MappingProxyType({}),
) -> Plan:
    """Plan a run over `rows` training rows of at most `longest` tokens with `free` bytes of the device's memory.

    With several cards, `free` has the bytes of each. Where none can hold the weights, the layers are spread over all,
    and `memory` and `free` of the plan are those of the card that is filled most; else those of the card that does.
    `before` holds those of `DECIDED` that a resumed run has decided already: they are not decided again, so that it
    computes the same sums on a day with less memory. Raises RunError for adapter targets that the model does not have.
    """
    sizes = skeleton.build(located.path, config.lora)
    steps = count_steps(config.train, rows)
    changes, shortened = _shorten(config.train, steps)
    fitted, optimizer = _with_optimizer(config.train.model_copy(update=changes))
    chosen_precision = precision(config.model.precision, located.settings.get("model_type", ""))
    number, train = chosen_precision.value, config.train
    answers = 2 if config.train.method == "dpo" else 1
    if config.train.method != "sft" and processes.world_size() > 1:
        raise RunError("run.preferences_alone", processes=processes.world_size())
    small = quantization.choose(config.model.quantization, located.settings, located.id).value
    per_layer = skeleton.saved_bytes_per_layer(located.path, config.lora, number, config.model.attention, longest)
    each = (free,) if isinstance(free, int | float) else tuple(free)
    card = load.card(located.path, BYTES_PER_NUMBER[number], small, each)

    def forecast(settings: TrainConfig) -> tuple[Memory, float]:
        needed = memory.forecast(
            sizes,
            device=device(),
            precision=number,
            quantization=small,
            optimizer=settings.optimizer,
            saved_per_layer=per_layer,
            rows=settings.batch_size * answers,
            length=longest,
            checkpointing=settings.gradient_checkpointing == "on",
        )
        if processes.sharded():
            needed = memory.sharded(needed, processes.world_size())
        return memory.on_fullest_card(needed, sizes, each) if card is None else (needed, each[card])

    automatic = train.gradient_checkpointing == "auto"
    whole = fitted.model_copy(update=({"gradient_checkpointing": "off"} if automatic else {}) | dict(before))
    wanted = divide_batch(whole)
    split = train.batch_split == "auto" and "batch_size" not in before
    save = automatic and "gradient_checkpointing" not in before
    for chosen in ever_smaller(wanted, split=split, save=save):
        expected, room = forecast(chosen)
        if expected.total <= MEMORY_SHARE * room:
            break
    size, times, count = chosen.batch_size, chosen.gradient_accumulation, processes.world_size()
    sums = {"need": _gb(forecast(wanted)[0].total), "then": _gb(expected.total), "free": _gb(room)}
    unsplit = "as_asked" if train.batch_split == "auto" else "off"
    batches = "split" if size != divide_batch(train).batch_size else unsplit
    choices = [*limits.choices(config), *optimizer, *shortened]
    if count > 1:
        reason = message("choice.processes", count=count, rows=size, times=times // count, product=size * times)
        choices.append(Choice("processes", str(count), reason))
    as_before = message("choice.as_before")
    reason = message(f"choice.batches.{batches}", product=size * times, **sums)
    choices.append(Choice("batches", f"{size} × {times}", as_before if "batch_size" in before else reason))
    checkpointing = chosen.gradient_checkpointing
    why = ("fits" if checkpointing == "off" else "tight") if automatic else "asked"
    reason = as_before if "gradient_checkpointing" in before else message(f"choice.checkpointing.{why}", **sums)
    choices.append(Choice("gradient_checkpointing", checkpointing, reason))
    warnings = list(_without_effect(fitted, steps, validates=config.data.validation.kind != "none"))
    if not expected.is_whole:
        warnings.append(message("log.no_forecast", need=_gb(expected.total)))
    if expected.total > room:
        warnings.append(message("log.may_not_fit", need=_gb(expected.total), free=_gb(room)))
    tokenizer = sum(part.stat().st_size for pattern in _TOKENIZER_FILES for part in located.path.glob(pattern))
    saved = 4.0 * sizes.trained + tokenizer  # an adapter is in float32; a checkpoint has the optimizer's state too
    checkpoints = 1 + (0 if train.save == "no" else train.keep_checkpoints)
    return Plan(
        settings=chosen,
        precision=chosen_precision,
        choices=tuple(choices),
        skeleton=sizes,
        memory=expected,
        free=room,
        steps=steps,
        warnings=tuple(warnings),
        disk_bytes=checkpoints * (expected.optimizer + saved + 50e3)
        + (1 if train.keep == "last" and train.method == "sft" else 2) * saved,
        most_tokens=size * longest * answers,
        evaluated_at_once=whole.batch_size if size == wanted.batch_size else size,
    )


def divide_batch(settings: TrainConfig, count: int | None = None) -> TrainConfig:
    """Return the settings with micro-batches that all processes take equally many of, for the same rows a step."""
    together, count = settings.batch_size * settings.gradient_accumulation, count or processes.world_size()
    if together % count:
        less, fewer = together // count * count, [n for n in range(1, count) if together % n == 0]
        near = " / ".join(str(rows) for rows in (less, less + count) if rows)
        raise RunError("run.not_divided", rows=together, processes=count, near=near, fewer=fewer[-1])
    size = next(n for n in range(settings.batch_size, 0, -1) if together // count % n == 0)
    return settings.model_copy(update={"batch_size": size, "gradient_accumulation": together // size})


def ever_smaller(settings: TrainConfig, *, split: bool = True, save: bool = True) -> Iterator[TrainConfig]:
    """Yield the settings, then some that need less memory: halved micro-batches, then activations computed twice."""
    yield settings
    while split and settings.batch_size > 1:
        smaller = next(n for n in range(settings.batch_size // 2, 0, -1) if settings.batch_size % n == 0)
        times = settings.gradient_accumulation * settings.batch_size // smaller
        settings = settings.model_copy(update={"batch_size": smaller, "gradient_accumulation": times})
        yield settings
    if save and settings.gradient_checkpointing != "on":
        yield settings.model_copy(update={"gradient_checkpointing": "on"})


def _with_optimizer(settings: TrainConfig) -> tuple[TrainConfig, tuple[Choice, ...]]:
    """Replace an optimizer that this device cannot run by the one with the same arithmetic that it can."""
    wanted, where = settings.optimizer, device()
    usable = PAGED.get(wanted, wanted) if where != "cuda" else wanted
    if where == "mps" and usable == "adamw_8bit":
        usable = "adamw_torch"
    reason = message("choice.optimizer.not_here", wanted=wanted, device=where)
    if where == "cuda" and wanted == "adamw_torch":  # on a processor it is 1 % of a step, so it stays
        usable, reason = "adamw_torch_fused", message("choice.optimizer.fused", wanted=wanted)
    if usable == wanted:
        return settings, ()
    return settings.model_copy(update={"optimizer": usable}), (Choice("optimizer", usable, reason),)


def count_steps(settings: TrainConfig, rows: int) -> int:
    """Return the optimizer steps, counted as transformers' trainer does."""
    if settings.max_steps:
        return settings.max_steps
    each = math.ceil(math.ceil(rows / settings.batch_size) / settings.gradient_accumulation)
    return math.ceil(settings.epochs * max(1, each))


def seconds(config: RunConfig, located: Located, planned: Plan, tokens: float, saving: float = 0.0) -> float | None:
    """Estimate the seconds of training on `tokens` tokens, padding included; see `estimate.epoch_seconds`."""
    passes = operations(config, planned, saving)
    return estimate.epoch_seconds(int(tokens), located.path, planned.precision.value, passes)


def operations(config: RunConfig, planned: Plan, saving: float = 0.0) -> float:
    """Return the operations of a step per parameter and token, as `estimate.operations` does."""
    upper_half, checkpointing = config.lora.layers == "upper-half", planned.settings.gradient_checkpointing == "on"
    return estimate.operations(upper_half=upper_half, checkpointing=checkpointing, saving=saving)


def _shorten(settings: TrainConfig, steps: int) -> tuple[dict[str, Any], tuple[Choice, ...]]:
    """Return those of `SHORTENED` that a run of `steps` optimizer steps needs otherwise, and why."""
    changes: dict[str, Any] = {}
    choices: list[Choice] = []
    warmup, shorter = warmup_steps(settings, steps), steps // WARMUP_PARTS
    if warmup >= steps:
        changes |= {"warmup_steps": shorter, "warmup_ratio": 0.0}
        reason = message("choice.warmup.shortened", warmup=warmup, steps=steps, shorter=shorter)
        choices.append(Choice("warmup_steps", str(shorter), reason))
    if settings.logging_steps > steps:
        changes["logging_steps"] = steps
        reason = message("choice.logging.shortened", every=settings.logging_steps, steps=steps)
        choices.append(Choice("logging_steps", str(steps), reason))
    return changes, tuple(choices)


def warmup_steps(settings: TrainConfig, steps: int) -> int:
    """Return the steps of the warmup, counted as transformers does: a ratio is rounded up."""
    return settings.warmup_steps or math.ceil(settings.warmup_ratio * steps)


def _without_effect(settings: TrainConfig, steps: int, *, validates: bool) -> Iterator[Message]:
    """Yield which of `settings`, once shortened, have little or no effect in a run of `steps` optimizer steps."""
    warmup = warmup_steps(settings, steps)
    if 2 * warmup > steps:
        path = "train.warmup_steps" if settings.warmup_steps else "train.warmup_ratio"
        yield message("log.schedule.long_warmup", path=path, warmup=warmup, steps=steps, share=f"{warmup / steps:.0%}")
    before_the_end = (steps - 1) // settings.eval_steps
    sums = {"every": settings.eval_steps, "steps": steps, "path": "train.eval_steps"}
    if validates and not before_the_end:
        best = settings.keep == "best" or settings.early_stopping
        yield message("log.schedule.one_evaluation_best" if best else "log.schedule.one_evaluation", **sums)
    elif validates and settings.early_stopping and before_the_end <= settings.early_stopping:
        needed = settings.early_stopping + 1
        yield message("log.schedule.no_early_stop", needed=needed, evaluations=before_the_end, **sums)
    if settings.save == "steps" and settings.save_steps >= steps:
        yield message("log.schedule.no_checkpoint", path="train.save_steps", every=settings.save_steps, steps=steps)


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f}"


@dataclass(frozen=True)
class OomAdvice:
    """One way to need less memory."""

    settings: dict[str, Any]
    summary: Message
    resumes: bool
    """Whether the run can go on with it; else it is for a new run."""


def is_out_of_memory(run: Run) -> bool:
    """Whether a run ended because the device's memory was full."""
    error = run.status().error
    return error is not None and error.key == "errors.device.memory"


def oom_advice(run: Run) -> list[OomAdvice]:
    """Return what would let a run do with less memory: first what changes nothing in the result."""
    resolved, config = run.resolved(), run.config()
    settings = config.train.model_copy(update=resolved.get("carried_out", {}))
    options: list[OomAdvice] = []
    if smaller := next(itertools.islice(ever_smaller(settings), 1, None), None):
        halved = smaller.batch_size != settings.batch_size
        changed = ("batch_size", "gradient_accumulation") if halved else ("gradient_checkpointing",)
        words = "log.relief.split" if halved else "log.relief.checkpointing"
        summary = message(words, batch=smaller.batch_size, accumulation=smaller.gradient_accumulation)
        options.append(OomAdvice({f"train.{name}": getattr(smaller, name) for name in changed}, summary, resumes=True))
    if config.model.quantization == "none":
        options.append(OomAdvice({"model.quantization": "nf4"}, message("log.relief.nf4"), resumes=False))
    for length, share in resolved.get("cut_at", {}).items():
        summary = message("log.relief.shorter", length=length, share=f"{share:.0%}")
        options.append(OomAdvice({"data.max_length": int(length)}, summary, resumes=False))
    return options
