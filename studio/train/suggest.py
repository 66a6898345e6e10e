"""Settings that suit the data, the model and the device: what to change, each with its figures and its reason.

What is close enough stays: an optimum is broad, and many small corrections would hide the one that matters.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from studio.config import BUILTIN_MODEL, RunConfig, value_of
from studio.data import prepare
from studio.data.health import Report, padded
from studio.i18n import Message, message
from studio.model import estimate, hardware, load, quantization, skeleton
from studio.model.catalogue import size
from studio.model.load import Located
from studio.train import plan, setting_warnings
from studio.train.plan import MEMORY_SHARE, Plan

LONGEST_CONTEXT = 131_072
LANGUAGE_ROWS = 50
LONG_RUN_SECONDS = 8 * 3600
"""Seconds of a run above which fewer epochs are suggested."""
CHECKPOINT_SECONDS = 15 * 60
"""Seconds between checkpoints, where an epoch takes longer than that."""
MIN_ROWS_TO_SPLIT = 50
"""Rows below which validation rows would be too few to tell anything."""


@dataclass(frozen=True)
class Suggestion:
    """A setting that would suit better, and why."""

    path: str
    before: Any
    value: Any
    reason: Message


@dataclass(frozen=True)
class Advice:
    """What is suggested for a run, and what it was drawn from."""

    suggestions: tuple[Suggestion, ...]
    read: tuple[Message, ...]
    """Facts about the data, the model and the device."""
    warnings: tuple[Message, ...] = ()
    """Problems that no setting solves."""

    def settings(self, paths: Any = None) -> dict[str, Any]:
        """Return the suggested values by path, of all suggestions or of those at `paths`."""
        return {s.path: s.value for s in self.suggestions if paths is None or s.path in paths}


class _Draft:
    """The settings as the rules have changed them so far; a later rule sees what the earlier ones decided."""

    def __init__(
        self,
        config: RunConfig,
        report: Report,
        located: Located | None,
        free: Sequence[float],
        keep: Collection[str] = (),
    ):
        self.config, self.report, self.located, self.free = config, report, located, free
        self._keep = keep
        self.warnings: list[Message] = []
        self._first = config
        self._reasons: dict[str, Message] = {}
        settings = located.settings if located else {}
        self.architecture: dict[str, Any] = settings.get("text_config") or settings
        """What the model's `config.json` says of its language part."""
        self.knows_lengths = located is not None and report.lengths is not None and len(report.lengths) > 0

    def set(self, reason: Message, settings: dict[str, Any]) -> None:
        """Change settings (values by path) unless one is to be kept; the last reason for each counts."""
        if settings.keys() & set(self._keep):
            return
        self.config = self.config.with_settings(settings)
        self._reasons |= dict.fromkeys(settings, reason)

    @property
    def suggestions(self) -> tuple[Suggestion, ...]:
        """What differs now from what was given."""
        changes = ((path, value_of(self._first, path), value_of(self.config, path)) for path in self._reasons)
        return tuple(Suggestion(path, a, b, self._reasons[path]) for path, a, b in changes if a != b)

    @property
    def rows(self) -> int:
        """Training rows, after the split."""
        chosen = self.config.data.validation
        if chosen == self._first.data.validation:
            return self.report.train
        return len(prepare.split(range(self.report.usable), chosen.fraction, self.config.data.seed)[0])

    @property
    def rows_per_step(self) -> int:
        return self.config.train.batch_size * self.config.train.gradient_accumulation

    @property
    def steps(self) -> int:
        return plan.count_steps(self.config.train, self.rows)

    def plan(self, **changes: Any) -> Plan:
        """Plan a run with the settings, some of them changed for the question (`train__batch_size=1`)."""
        config = self.config.with_settings({name.replace("__", "."): value for name, value in changes.items()})
        longest = int(min(self.report.lengths.max(), config.data.max_length))
        return plan.make(config, self.located, rows=self.rows, longest=longest, free=self.free)

    def smallest(self, **changes: Any) -> tuple[Plan, bool]:
        """Plan a run of one row a step; say too whether it fits."""
        planned = self.plan(train__batch_size=1, train__gradient_accumulation=1, **changes)
        return planned, planned.memory.total <= MEMORY_SHARE * planned.free

    def epoch_seconds(self) -> float | None:
        """Estimate the seconds of an epoch; None while the lengths are not known."""
        if not self.knows_lengths:
            return None
        planned = self.plan()
        lengths = self.report.lengths.clip(max=self.config.data.max_length)
        tokens = padded(lengths, planned.settings.batch_size, self.config.train.length_grouping)
        return plan.seconds(self.config, self.located, planned, tokens * self.rows / len(lengths))


def suggest(
    config: RunConfig,
    free: float | Sequence[float],
    on_progress: Callable[[float], None] = lambda share: None,
    keep: Collection[str] = (),
) -> Advice:
    """Return what suits `config` better with `free` bytes of memory; those at the paths of `keep` stay as they are."""
    report = prepare.inspect(config, on_progress)
    if any(problem.kind == "nothing_trained" for problem in report.problems):  # the longest rows are not among its rows
        report = prepare.inspect(config.with_settings({"data.max_length": LONGEST_CONTEXT}), on_progress)
    free = (free,) if isinstance(free, int | float) else free
    draft = _Draft(config, report, load.locate(config.model), free, keep)
    letters = [letter for row in prepare.table(config.data).rows(0, LANGUAGE_ROWS) for letter in str(row)]
    korean = 3 * sum("가" <= letter <= "힣" for letter in letters) > sum(map(str.isalpha, letters))
    if not draft.knows_lengths:
        draft.warnings.append(message("suggest.warn.no_model", id=config.model.id))
    elif korean and config.model.id == BUILTIN_MODEL:
        draft.warnings.append(message("suggest.warn.korean_builtin"))
    sizes = (_length, _rank, _memory) if draft.knows_lengths else ()
    for rule in (_precision, _validation, *sizes, _batches, _epochs, _learning_rate, _warm_up, _intervals):
        rule(draft)
    return Advice(draft.suggestions, tuple(_facts(draft, korean)), tuple(draft.warnings))


def _brief(value: float) -> str:
    """Return a figure in two digits, or as a whole number: never with an exponent when it is large."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _facts(draft: _Draft, korean: bool) -> Iterator[Message]:
    report, located = draft.report, draft.located
    yield message(f"suggest.read.{report.detected.mapping.shape}", rows=f"{report.usable:,}")
    if figures := report.token_figures:
        yield message("suggest.read.lengths", median=figures["median"], longest=f"{figures['longest']:,}")
    if korean:
        yield message("suggest.read.korean")
    if located:
        billions = _brief(estimate.parameters(located.path) / 1e9)
        family = draft.architecture.get("model_type", "?")
        yield message("suggest.read.model", id=located.id, family=family, billions=billions)
    yield message("suggest.read.device", device=hardware.device_name(), free=size(int(sum(draft.free))))


def _precision(draft: _Draft) -> None:
    wanted = draft.config.model.precision
    best = hardware.precision("auto", draft.architecture.get("model_type", ""))
    if wanted not in ("auto", best.value):
        draft.set(best.reason, {"model.precision": "auto"})


def _validation(draft: _Draft) -> None:
    """Hold a tenth back, and not more than about two hundred rows: as many tell the loss to a few percent."""
    usable = draft.report.usable
    if draft.config.data.validation.kind != "none" or usable < MIN_ROWS_TO_SPLIT:
        return
    share = 0.1 if usable <= 2000 else max(0.001, round(200 / usable, 3))
    count = max(1, round(share * usable))
    reason = message("suggest.validation", held=count, rows=f"{usable:,}")
    draft.set(reason, {"data.validation.kind": "fraction", "data.validation.fraction": share})


def _length(draft: _Draft) -> None:
    """Cover 99 % of the rows, or all where the longest are little longer; at most what the model was made for."""
    import numpy

    lengths, now = draft.report.lengths, draft.config.data.max_length
    longest, most = int(lengths.max()), math.ceil(numpy.quantile(lengths, 0.99))
    covered = longest if longest <= 1.25 * most else most
    context = draft.architecture.get("max_position_embeddings") or LONGEST_CONTEXT
    wanted = max(16, min(64 * math.ceil(covered / 64), context))
    too_long = now > context or (longest > covered and now > 1.25 * wanted)
    if now >= covered and not too_long:
        return
    share = f"{(lengths <= wanted).mean():.1%}"
    reason = message("suggest.length", share=share, wanted=f"{wanted:,}", longest=f"{longest:,}", now=f"{now:,}")
    draft.set(reason, {"data.max_length": wanted})


def _rank(draft: _Draft) -> None:
    """Give the adapter as many weights as there are tokens to learn, as far as a rank of 128 goes.

    LoRA is as good as full training while its capacity is above what the data hold, and not better with more
    (Schulman et al. 2025, LoRA Without Regret, which also keeps alpha at 32 for every rank). Alpha equal to the rank or
    twice the rank, as many recipes have it, stays.
    """
    lora = draft.config.lora
    weights = skeleton.build(draft.located.path, lora).trained / lora.r
    tokens = draft.report.token_figures["trained"]
    needed = next((r for r in (8, 16, 32, 64) if r * weights >= tokens), 128)
    rank = lora.r if needed <= lora.r <= max(64, needed) else max(16, needed)  # a large one costs memory, not quality
    figures = {"tokens": f"{tokens:,}", "weights": _brief(rank * weights / 1e6), "rank": rank}
    if rank != lora.r:
        key = "suggest.rank.more" if rank > lora.r else "suggest.rank.less"
        draft.set(message(key, **figures), {"lora.r": rank})
    if lora.alpha not in (32, rank, 2 * rank) and not lora.rslora:
        draft.set(message("suggest.alpha", rank=rank), {"lora.alpha": 32})


def _memory(draft: _Draft) -> None:
    """Quantize a base that does not fit, then shorten the rows; leave out what saves memory that is not short.

    4-bit NF4 with a 16-bit adapter trains as well as 16 bits (Dettmers et al. 2023, QLoRA), but slower; so it is for
    what does not fit without.
    """
    if quantization.saved_quantization(draft.located.settings) is None:
        quantized = draft.config.model.quantization != "none"
        checkpointing = "off" if quantized else "auto"
        whole, fits = draft.smallest(model__quantization="none", train__gradient_checkpointing=checkpointing)
        if quantized and (fits or hardware.device() == "mps"):
            draft.set(message("suggest.no_quantization", **_sums(whole)), {"model.quantization": "none"})
        elif not quantized and not fits and hardware.device() != "mps":
            small, _ = draft.smallest(model__quantization="nf4", train__gradient_checkpointing="auto")
            then = size(int(small.memory.total))
            draft.set(message("suggest.quantize", then=then, **_sums(whole)), {"model.quantization": "nf4"})
    checkpointing = draft.config.train.gradient_checkpointing
    without, fits = draft.smallest(train__gradient_checkpointing="off")
    if (checkpointing == "on" and fits) or (checkpointing == "off" and not fits):
        reason = message(f"suggest.checkpointing.{'fits' if fits else 'tight'}", **_sums(without))
        draft.set(reason, {"train.gradient_checkpointing": "auto"})
    before, _ = draft.smallest()
    lengths, planned = draft.report.lengths, before
    length = int(min(lengths.max(), draft.config.data.max_length))
    while not planned.fits and length > 128:
        length //= 2
        share = f"{(lengths > length).mean():.0%}"
        draft.set(message("suggest.shorter", share=share, length=length, **_sums(before)), {"data.max_length": length})
        planned, _ = draft.smallest()
    if not planned.fits:
        draft.warnings.append(message("suggest.warn.too_large", **_sums(planned)))


def _sums(planned: Plan) -> dict[str, str]:
    return {"need": size(int(planned.memory.total)), "free": size(int(planned.free))}


def _batches(draft: _Draft) -> None:
    """Take 8 rows a step for up to 1,000 rows, 16 up to 10,000 and 32 above, in parts that fit.

    LoRA loses more by large batches than full training does, at every rank (Schulman et al. 2025, LoRA Without Regret);
    with few rows, small batches also leave more steps.
    """
    train, rows = draft.config.train, draft.rows
    suited = 8 if rows <= 1000 else 16 if rows <= 10_000 else 32
    suited = max(1, min(suited, 2 ** int(math.log2(max(1, rows // 4 or 1)))))
    now = draft.rows_per_step
    product = now if suited / 2 <= now <= 2 * suited else suited
    figures = {"product": product, "rows": f"{rows:,}"}
    if not draft.knows_lengths:
        if product != now:
            best = min(product, train.batch_size)
            reason = message("suggest.batches.rows", **figures)
            draft.set(reason, {"train.batch_size": best, "train.gradient_accumulation": product // best})
        return
    whole = draft.plan(train__batch_size=product, train__gradient_accumulation=1, train__batch_split="auto")
    best = whole.settings.batch_size
    slow = hardware.device() == "cuda" and 4 * train.batch_size <= best
    if product == now and train.batch_size <= best and not slow:
        return
    figures |= {"batch": best, **_sums(whole)}
    key = "rows" if product != now else "faster" if slow else "memory"
    reason = message(f"suggest.batches.{key}", **figures)
    draft.set(reason, {"train.batch_size": best, "train.gradient_accumulation": product // best})


def _epochs(draft: _Draft) -> None:
    """Go three times through up to 5,000 rows, twice through up to 50,000, once above; oftener where 60 steps are more.

    Three epochs are what Alpaca (Taori et al. 2023) and QLoRA's smaller sets (Dettmers et al. 2023, table 9) were tuned
    with; with more data a further pass mostly learns by heart.
    """
    train, rows, product = draft.config.train, draft.rows, draft.rows_per_step
    base = 3 if rows <= 5000 else 2 if rows <= 50_000 else 1
    wanted = max(base, min(10, math.ceil(60 * product / max(1, rows))))
    seconds = draft.epoch_seconds()
    long = seconds is not None and seconds * wanted > LONG_RUN_SECONDS
    if long:
        wanted = max(1, int(LONG_RUN_SECONDS / seconds))
    now = train.max_steps * product / max(1, rows) if train.max_steps else train.epochs
    hours = f"{(seconds or 0) / 3600:.1f}"
    if seconds and seconds > LONG_RUN_SECONDS:
        draft.warnings.append(message("suggest.warn.slow", hours=hours))
    if wanted / 2 <= now <= 2 * wanted and not (long and now > wanted):
        return
    key = "suggest.epochs.long" if long else "suggest.epochs.few" if now < wanted else "suggest.epochs.many"
    reason = message(key, rows=f"{rows:,}", epochs=wanted, now=_brief(now), hours=hours)
    draft.set(reason, ({"train.max_steps": None} if train.max_steps else {}) | {"train.epochs": float(wanted)})


def _learning_rate(draft: _Draft) -> None:
    """Take the rate that suits the model (`setting_warnings.suited_rate`); one within twice of that stays."""
    if not draft.located:
        return
    parameters, quantized = estimate.parameters(draft.located.path), draft.config.model.quantization != "none"
    wanted, reason = setting_warnings.suited_rate(
        draft.architecture, parameters, steps=draft.steps, quantized=quantized
    )
    if not wanted / 2 <= draft.config.train.learning_rate <= 2 * wanted:
        draft.set(reason, {"train.learning_rate": wanted})


def _warm_up(draft: _Draft) -> None:
    """Let the rate rise over a twentieth of the steps (QLoRA takes 3 %), at most a hundred; never over a fifth."""
    train, steps = draft.config.train, draft.steps
    if train.schedule == "constant":
        return
    now = train.warmup_steps or train.warmup_ratio * steps
    wanted = max(1, min(100, round(0.05 * steps)))
    if now and (now <= 0.2 * steps or now <= wanted):
        return
    reason = message(f"suggest.warm_up.{'long' if now else 'none'}", steps=steps, now=round(now), wanted=wanted)
    draft.set(reason, ({"train.warmup_ratio": 0.0} if train.warmup_ratio else {}) | {"train.warmup_steps": wanted})


def _intervals(draft: _Draft) -> None:
    """Score the validation rows about ten times a run, save at least every quarter of an hour, draw fifty points."""
    train, steps = draft.config.train, draft.steps
    if train.logging_steps > max(1, steps // 20):
        reason = message("suggest.logging", steps=steps, now=train.logging_steps)
        draft.set(reason, {"train.logging_steps": max(1, steps // 50)})
    seconds = draft.epoch_seconds()
    if train.save == "epoch" and seconds and seconds > 2 * CHECKPOINT_SECONDS:
        epochs = draft.rows_per_step / max(1, draft.rows) if train.max_steps else train.epochs / steps
        every = max(1, min(steps, round(CHECKPOINT_SECONDS / (seconds * epochs))))
        reason = message("suggest.save.often", minutes=round(seconds / 60), steps=every)
        draft.set(reason, {"train.save": "steps", "train.save_steps": every})
    elif train.save == "steps" and train.save_steps > steps:
        draft.set(message("suggest.save.never", every=train.save_steps, steps=steps), {"train.save": "epoch"})
    if draft.config.data.validation.kind == "none":
        return
    if not steps / 25 <= train.eval_steps <= max(1, steps / 4):
        every = max(1, round(steps / 10))
        reason = message("suggest.eval", steps=steps, every=every, now=train.eval_steps)
        draft.set(reason, {"train.eval_steps": every})
    if train.keep == "last":
        draft.set(message("suggest.keep"), {"train.keep": "best"})
