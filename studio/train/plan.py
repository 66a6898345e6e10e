"""What a run will do on this device, decided before its model is loaded: each choice with its reason."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from studio.config import RunConfig, TrainConfig
from studio.errors import RunError
from studio.i18n import Message, message
from studio.model import limits, load, memory, processes, quantization, skeleton
from studio.model.hardware import Choice, device, precision
from studio.model.load import Located
from studio.model.memory import BYTES_PER_NUMBER, Memory
from studio.model.skeleton import Skeleton
from studio.train import schedule

MEMORY_SHARE = 0.9
"""Share of the free memory that a forecast may fill; it is right to about a fifth."""

PAGED = {"paged_adamw_8bit": "adamw_8bit", "paged_adamw_32bit": "adamw_torch"}
"""Optimizers that page their state out to the processor's memory, and the same arithmetic without paging."""

_TOKENIZER_FILES = ("tokenizer*", "vocab*", "merges.txt", "*.model", "chat_template*")


@dataclass(frozen=True)
class Plan:
    """How a run will be carried out."""

    settings: TrainConfig
    """The settings with the automatic ones decided: batches, checkpointing, optimizer.

    The accumulation counts the micro-batches of all processes together, so that its product with the micro-batch is
    the rows of a step.
    """
    choices: tuple[Choice, ...]
    skeleton: Skeleton
    memory: Memory
    free: float
    """Bytes that are free for it on the device."""
    steps: int
    """Optimizer steps of the whole run."""
    without_effect: tuple[Message, ...]
    """Settings that have little or no effect in so many steps."""
    tokenizer_bytes: float
    """Size of the tokenizer, which goes with each adapter and each checkpoint."""
    most_tokens: int
    """Tokens of a micro-batch at most: as many as `batch_size` of the longest rows have."""
    evaluated_at_once: int
    """Rows of a batch of the evaluation, in each process."""

    @property
    def fits(self) -> bool:
        """Whether the forecast is below what is free."""
        return self.memory.total <= self.free

    @property
    def may_not_fit(self) -> Message:
        """The warning for a plan that does not fit."""
        return message("log.may_not_fit", need=_gb(self.memory.total), free=_gb(self.free))

    @property
    def warnings(self) -> tuple[Message, ...]:
        """Settings without effect, and what may go wrong with the memory."""
        uncounted = () if self.memory.is_whole else (message("log.no_forecast", need=_gb(self.memory.total)),)
        return (*self.without_effect, *uncounted, *(() if self.fits else (self.may_not_fit,)))

    @property
    def trained(self) -> Message:
        """What will be trained: how many parameters, their share, the modules that they sit in."""
        trained, total = self.skeleton.trained, self.skeleton.total
        share, modules = f"{trained / (total + trained):.2%}", ", ".join(self.skeleton.modules)
        return message("log.parameters", trained=f"{trained:,}", share=share, modules=modules)

    @property
    def checkpoint_bytes(self) -> float:
        """Size of one checkpoint: an adapter, the optimizer's state, and what else is put back at a resume."""
        return self.memory.optimizer + self.adapter_bytes + 50e3

    @property
    def adapter_bytes(self) -> float:
        """Size of a saved adapter, in float32, with its tokenizer."""
        return 4.0 * self.skeleton.trained + self.tokenizer_bytes

    @property
    def disk_bytes(self) -> float:
        """Bytes that the run will have on the disk at its peak: its checkpoints and one in the making, its adapters."""
        kept = 0 if self.settings.save == "no" else self.settings.keep_checkpoints
        adapters = 2 if self.settings.keep == "best" else 1
        return (kept + 1) * self.checkpoint_bytes + adapters * self.adapter_bytes


DECIDED = ("batch_size", "gradient_accumulation", "gradient_checkpointing", "optimizer")
"""Settings that a plan decides, and that a resumed run keeps as they were."""


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
    changes, shortened = schedule.shorten(config.train, steps)
    fitted, optimizer = _with_optimizer(config.train.model_copy(update=changes))
    validates = config.data.validation.kind != "none"
    ignored = tuple(schedule.warnings(fitted, steps, validates=validates))
    where, number = device(), precision(config.model.precision, located.settings.get("model_type", "")).value
    attention = config.model.attention
    small = quantization.choose(config.model.quantization, located.settings, located.id).value
    kept = skeleton.kept_bytes_per_layer(located.path, config.lora, number, attention, longest)
    each = (free,) if isinstance(free, int | float) else tuple(free)
    card = load.card(located.path, BYTES_PER_NUMBER[number], small, each)

    def forecast(settings: TrainConfig) -> tuple[Memory, float]:
        needed = memory.forecast(
            sizes,
            device=where,
            precision=number,
            quantization=small,
            optimizer=settings.optimizer,
            kept_per_layer=kept,
            rows=settings.batch_size,
            length=longest,
            checkpointing=settings.gradient_checkpointing == "on",
        )
        if processes.sharded():
            needed = memory.sharded(needed, processes.world_size())
        return memory.on_fullest_card(needed, sizes, each) if card is None else (needed, each[card])

    whole = fitted.model_copy(update={"gradient_checkpointing": _first_checkpointing(fitted), **before})
    wanted = divide_batch(whole)
    split = config.train.batch_split == "auto" and "batch_size" not in before
    save = _may_checkpoint(config.train) and "gradient_checkpointing" not in before
    for chosen in _ever_smaller(wanted, split=split, save=save):
        taken, room = forecast(chosen)
        if taken.total <= MEMORY_SHARE * room:
            break
    sums = {"need": _gb(forecast(wanted)[0].total), "then": _gb(taken.total), "free": _gb(room)}
    choices = (
        *limits.choices(config),
        *optimizer,
        *shortened,
        *_processes(chosen),
        _kept_from_start(_batches(config.train, chosen, sums), "batch_size" in before),
        _kept_from_start(_checkpointing(config.train, chosen, sums), "gradient_checkpointing" in before),
    )
    at_once = whole.batch_size if chosen.batch_size == wanted.batch_size else chosen.batch_size
    most = chosen.batch_size * longest
    return Plan(chosen, choices, sizes, taken, room, steps, ignored, _tokenizer_bytes(located), most, at_once)


def divide_batch(settings: TrainConfig, count: int | None = None) -> TrainConfig:
    """Return the settings with micro-batches that all processes take equally many of, for the same rows a step.

    `count` is how many processes there are, by default those that have met.
    Raises RunError when the rows of a step cannot be divided among them.
    """
    together, count = settings.batch_size * settings.gradient_accumulation, count or processes.world_size()
    if together % count:
        less, fewer = together // count * count, [n for n in range(1, count) if together % n == 0]
        near = " / ".join(str(rows) for rows in (less, less + count) if rows)
        raise RunError("run.not_divided", rows=together, processes=count, near=near, fewer=fewer[-1])
    size = next(n for n in range(settings.batch_size, 0, -1) if together // count % n == 0)
    return settings.model_copy(update={"batch_size": size, "gradient_accumulation": together // size})


def next_smaller(settings: TrainConfig) -> TrainConfig | None:
    """Return the settings that need the next less memory for the same training, or None when there are none.

    First the micro-batch is halved while more of them make one step, then activations are computed twice.
    """
    return next(_ever_smaller(settings, split=True, save=True, first=False), None)


def _ever_smaller(settings: TrainConfig, *, split: bool, save: bool, first: bool = True) -> Iterator[TrainConfig]:
    if first:
        yield settings
    while split and settings.batch_size > 1:
        smaller = _largest_divisor(settings.batch_size)
        times = settings.gradient_accumulation * settings.batch_size // smaller
        settings = settings.model_copy(update={"batch_size": smaller, "gradient_accumulation": times})
        yield settings
    if save and settings.gradient_checkpointing != "on":
        yield settings.model_copy(update={"gradient_checkpointing": "on"})


def _largest_divisor(number: int) -> int:
    """Return the largest divisor below a number, so that the product of micro-batch and accumulation stays the same."""
    return next(n for n in range(number // 2, 0, -1) if number % n == 0)


def _first_checkpointing(settings: TrainConfig) -> str:
    return "off" if settings.gradient_checkpointing == "auto" else settings.gradient_checkpointing


def _may_checkpoint(settings: TrainConfig) -> bool:
    return settings.gradient_checkpointing == "auto"


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


def _processes(chosen: TrainConfig) -> tuple[Choice, ...]:
    count = processes.world_size()
    if count == 1:
        return ()
    size, times = chosen.batch_size, chosen.gradient_accumulation
    reason = message("choice.processes", count=count, rows=size, times=times // count, product=size * times)
    return (Choice("processes", str(count), reason),)


def _batches(wanted: TrainConfig, chosen: TrainConfig, sums: dict[str, str]) -> Choice:
    value = f"{chosen.batch_size} × {chosen.gradient_accumulation}"
    product = wanted.batch_size * wanted.gradient_accumulation
    if chosen.batch_size != divide_batch(wanted).batch_size:
        return Choice("batches", value, message("choice.batches.split", product=product, **sums))
    reason = "choice.batches.as_asked" if wanted.batch_split == "auto" else "choice.batches.off"
    return Choice("batches", value, message(reason, product=product, **sums))


def _checkpointing(wanted: TrainConfig, chosen: TrainConfig, sums: dict[str, str]) -> Choice:
    value = chosen.gradient_checkpointing
    if wanted.gradient_checkpointing != "auto":
        return Choice("gradient_checkpointing", value, message("choice.checkpointing.asked"))
    reason = "choice.checkpointing.fits" if value == "off" else "choice.checkpointing.tight"
    return Choice("gradient_checkpointing", value, message(reason, **sums))


def _kept_from_start(choice: Choice, known: bool) -> Choice:
    return replace(choice, reason=message("choice.as_before")) if known else choice


def count_steps(settings: TrainConfig, rows: int) -> int:
    """Return the optimizer steps, counted as transformers' trainer does."""
    if settings.max_steps:
        return settings.max_steps
    each = math.ceil(math.ceil(rows / settings.batch_size) / settings.gradient_accumulation)
    return math.ceil(settings.epochs * max(1, each))


def _tokenizer_bytes(located: Located) -> float:
    parts = (part for pattern in _TOKENIZER_FILES for part in located.path.glob(pattern))
    return float(sum(part.stat().st_size for part in parts))


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f}"
