"""Settings that suit the data, the model and the device: what to change, each with its figures and its reason.

The rules of thumb are named where they stand. What is close enough already stays: an optimum is broad, and a list of
small corrections would hide the one that matters.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from studio.config import BUILTIN_MODEL, RunConfig
from studio.data import prepare
from studio.i18n import Message, message
from studio.model import estimate, hardware, load, quantization, skeleton
from studio.model.catalogue import size
from studio.train.plan import MEMORY_SHARE, Plan
from studio.train.suggestion_draft import Draft, Facts, Suggestion

LONGEST_CONTEXT = 131_072
LANGUAGE_ROWS = 50
"""Rows that are read to tell the language."""
LONG_RUN_SECONDS = 8 * 3600
"""Seconds of a run above which fewer epochs are suggested."""
CHECKPOINT_SECONDS = 15 * 60
"""Seconds between checkpoints, where an epoch takes longer than that."""
MIN_ROWS_TO_SPLIT = 50
"""Rows below which validation rows would be too few to tell anything."""


@dataclass(frozen=True)
class Advice:
    """What is suggested for a run, and what it was drawn from."""

    suggestions: tuple[Suggestion, ...]
    read: tuple[Message, ...]
    """What was found of the data, the model and the device."""
    warnings: tuple[Message, ...] = ()
    """What no setting mends."""

    def settings(self, paths: Any = None) -> dict[str, Any]:
        """Return the suggested values by path, of all suggestions or of those at `paths`."""
        return {s.path: s.value for s in self.suggestions if paths is None or s.path in paths}


def suggest(
    config: RunConfig, free: float | Sequence[float], on_progress: Callable[[float], None] = lambda share: None
) -> Advice:
    """Return what would suit better in `config`, with `free` bytes of the device's memory; nothing is downloaded.

    Settings with the suggestions applied call for none. `on_progress` gets the share of the rows done and
    may raise to end the work. Raises StudioError for data that cannot be read, and for targets that are not there.
    """
    facts = _gather_facts(config, (free,) if isinstance(free, int | float) else free, on_progress)
    draft = Draft(config, facts)
    for rule in (
        _precision,
        _validation,
        _length,
        _rank,
        _memory,
        _batches,
        _epochs,
        _learning_rate,
        _warm_up,
        _intervals,
    ):
        rule(draft)
    return Advice(draft.suggestions, tuple(_fact_messages(facts)), tuple(draft.warnings))


def _gather_facts(config: RunConfig, free: Sequence[float], on_progress: Callable[[float], None]) -> Facts:
    report = prepare.inspect(config, on_progress)
    if any(problem.kind == "nothing_trained" for problem in report.problems):  # the longest rows are not among its rows
        report = prepare.inspect(config.with_settings({"data.max_length": LONGEST_CONTEXT}), on_progress)
    located = load.locate(config.model)
    return Facts(report, _is_korean(config), located, hardware.device(), free)


def _is_korean(config: RunConfig) -> bool:
    """Whether more than a third of the letters of the first rows are Hangul."""
    rows = prepare.table(config.data).rows(0, LANGUAGE_ROWS)
    letters = [letter for row in rows for letter in str(row) if letter.isalpha()]
    hangul = sum("가" <= letter <= "힣" for letter in letters)
    return 3 * hangul > len(letters)


def _brief(value: float) -> str:
    """Return a figure in two digits, or as a whole number: never with an exponent when it is large."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _fact_messages(facts: Facts) -> list[Message]:
    report, facts_read = facts.report, []
    facts_read.append(message(f"suggest.read.{report.detected.mapping.shape}", rows=f"{report.usable:,}"))
    if figures := report.token_figures:
        facts_read.append(message("suggest.read.lengths", median=figures["median"], longest=f"{figures['longest']:,}"))
    if facts.korean:
        facts_read.append(message("suggest.read.korean"))
    if facts.located:
        billions = _brief(estimate.parameters(facts.located.path) / 1e9)
        family = facts.architecture.get("model_type", "?")
        facts_read.append(message("suggest.read.model", id=facts.located.id, family=family, billions=billions))
    facts_read.append(message("suggest.read.device", device=hardware.device_name(), free=size(int(sum(facts.free)))))
    return facts_read


def _precision(draft: Draft) -> None:
    wanted = draft.config.model.precision
    best = hardware.precision("auto", draft.facts.architecture.get("model_type", ""))
    if wanted not in ("auto", best.value):
        draft.set("model.precision", "auto", best.reason)


def _validation(draft: Draft) -> None:
    """Hold a tenth back, and not more than about two hundred rows: as many tell the loss to a few percent.

    The validation loss alone shows overfitting, which is what few rows and several epochs lead to.
    """
    usable = draft.facts.usable
    if draft.config.data.validation.kind != "none" or usable < MIN_ROWS_TO_SPLIT:
        return
    share = 0.1 if usable <= 2000 else max(0.001, round(200 / usable, 3))
    held = max(1, round(share * usable))
    reason = message("suggest.validation", held=held, rows=f"{usable:,}")
    draft.set("data.validation.kind", "fraction", reason)
    draft.set("data.validation.fraction", share, reason)


def _length(draft: Draft) -> None:
    """Cover 99 % of the rows, or all where the longest are little longer; at most what the model was made for.

    A cut row loses its end, and so a chance to learn to stop; a single very long row decides the memory of all.
    """
    if not draft.knows_lengths:
        return
    import numpy

    lengths, now = draft.facts.report.lengths, draft.config.data.max_length
    longest, most = int(lengths.max()), math.ceil(numpy.quantile(lengths, 0.99))
    covered = longest if longest <= 1.25 * most else most
    context = draft.facts.architecture.get("max_position_embeddings") or LONGEST_CONTEXT
    wanted = max(16, min(64 * math.ceil(covered / 64), context))
    too_long = now > context or (longest > covered and now > 1.25 * wanted)
    if now >= covered and not too_long:
        return
    share = f"{(lengths <= wanted).mean():.1%}"
    reason = message("suggest.length", share=share, wanted=f"{wanted:,}", longest=f"{longest:,}", now=f"{now:,}")
    draft.set("data.max_length", wanted, reason)


def _rank(draft: Draft) -> None:
    """Give the adapter as many weights as there are tokens to learn, as far as a rank of 128 goes.

    LoRA is as good as full training while its capacity is above what the data hold, and not better with more
    (Schulman et al. 2025, LoRA Without Regret, which also keeps alpha at 32 for every rank). Alpha equal to the rank or
    twice the rank, as many recipes have it, stays.
    """
    if not draft.knows_lengths:
        return
    lora = draft.config.lora
    weights = skeleton.build(draft.facts.located.path, lora).trained / lora.r
    tokens = draft.facts.report.token_figures["trained"]
    needed = next((r for r in (8, 16, 32, 64) if r * weights >= tokens), 128)
    rank = lora.r if needed <= lora.r <= max(64, needed) else max(16, needed)  # a large one costs memory, not quality
    figures = {"tokens": f"{tokens:,}", "weights": _brief(rank * weights / 1e6), "rank": rank}
    if rank != lora.r:
        key = "suggest.rank.more" if rank > lora.r else "suggest.rank.less"
        draft.set("lora.r", rank, message(key, **figures))
    if lora.alpha not in (32, rank, 2 * rank) and not lora.rslora:
        draft.set("lora.alpha", 32, message("suggest.alpha", rank=rank))


def _memory(draft: Draft) -> None:
    """Quantize a base that does not fit, then shorten the rows; leave out what saves memory that is not short.

    4-bit NF4 with a 16-bit adapter trains as well as 16 bits (Dettmers et al. 2023, QLoRA), but slower; so it is for
    what does not fit without.
    """
    if not draft.knows_lengths:
        draft.warnings.append(message("suggest.warn.no_model", id=draft.config.model.id))
        return
    if draft.facts.korean and draft.config.model.id == BUILTIN_MODEL:
        draft.warnings.append(message("suggest.warn.korean_builtin"))
    if quantization.saved_quantization(draft.facts.located.settings) is None:
        _quantization(draft)
    _checkpointing(draft)
    _shorten(draft)


def _smallest(draft: Draft, **changes: Any) -> Plan:
    return draft.plan(train__batch_size=1, train__gradient_accumulation=1, **changes)


def _fits(planned: Plan) -> bool:
    return planned.memory.total <= MEMORY_SHARE * planned.free


def _sums(planned: Plan) -> dict[str, str]:
    return {"need": size(int(planned.memory.total)), "free": size(int(planned.free))}


def _checkpointing(draft: Draft) -> None:
    requested = draft.config.train.gradient_checkpointing
    if requested == "auto":
        return
    without = _smallest(draft, train__gradient_checkpointing="off")
    if requested == "on" and _fits(without):
        draft.set("train.gradient_checkpointing", "auto", message("suggest.checkpointing.fits", **_sums(without)))
    if requested == "off" and not _fits(without):
        draft.set("train.gradient_checkpointing", "auto", message("suggest.checkpointing.tight", **_sums(without)))


def _quantization(draft: Draft) -> None:
    if draft.config.model.quantization == "none":
        whole = _smallest(draft, train__gradient_checkpointing="auto")
        if not _fits(whole) and draft.facts.device != "mps":
            small = _smallest(draft, model__quantization="nf4", train__gradient_checkpointing="auto")
            then = size(int(small.memory.total))
            draft.set("model.quantization", "nf4", message("suggest.quantize", then=then, **_sums(whole)))
        return
    whole = _smallest(draft, model__quantization="none", train__gradient_checkpointing="off")
    if _fits(whole) or draft.facts.device == "mps":
        draft.set("model.quantization", "none", message("suggest.no_quantization", **_sums(whole)))


def _shorten(draft: Draft) -> None:
    before = _smallest(draft)
    if before.memory.total <= before.free:
        return
    lengths, length = draft.facts.report.lengths, draft.longest
    while length > 128:
        length //= 2
        draft.set(
            "data.max_length",
            length,
            message("suggest.shorter", share=f"{(lengths > length).mean():.0%}", length=length, **_sums(before)),
        )
        if _smallest(draft).fits:
            return
    draft.warnings.append(message("suggest.warn.too_large", **_sums(_smallest(draft))))


def _batches(draft: Draft) -> None:
    """Take 8 rows a step for up to 1,000 rows, 16 up to 10,000 and 32 above, in parts that fit.

    LoRA loses more by large batches than full training does, at every rank (Schulman et al. 2025, LoRA Without Regret);
    with few rows, small batches also leave more steps.
    """
    train, rows = draft.config.train, draft.rows
    suited = 8 if rows <= 1000 else 16 if rows <= 10_000 else 32
    suited = max(1, min(suited, 2 ** int(math.log2(max(1, rows // 4 or 1)))))
    now = train.batch_size * train.gradient_accumulation
    product = now if suited / 2 <= now <= 2 * suited else suited
    figures = {"product": product, "rows": f"{rows:,}"}
    if not draft.knows_lengths:
        if product != now:
            reason = message("suggest.batches.rows", **figures)
            draft.set("train.batch_size", min(product, train.batch_size), reason)
            draft.set("train.gradient_accumulation", product // draft.config.train.batch_size, reason)
        return
    whole = draft.plan(train__batch_size=product, train__gradient_accumulation=1, train__batch_split="auto")
    best = whole.settings.batch_size
    slow = draft.facts.device == "cuda" and 4 * train.batch_size <= best
    if product == now and train.batch_size <= best and not slow:
        return
    figures |= {"batch": best, **_sums(whole)}
    key = "rows" if product != now else "faster" if slow else "memory"
    reason = message(f"suggest.batches.{key}", **figures)
    draft.set("train.batch_size", best, reason)
    draft.set("train.gradient_accumulation", product // best, reason)


def _epochs(draft: Draft) -> None:
    """Go three times through up to 5,000 rows, twice through up to 50,000, once above; oftener where 60 steps are more.

    Three epochs are what Alpaca (Taori et al. 2023) and QLoRA's smaller sets (Dettmers et al. 2023, table 9) were tuned
    with; with more data a further pass mostly learns by heart.
    """
    train, rows = draft.config.train, draft.rows
    product = train.batch_size * train.gradient_accumulation
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
    if train.max_steps:
        draft.set("train.max_steps", None, reason)
    draft.set("train.epochs", float(wanted), reason)


def _learning_rate(draft: Draft) -> None:
    """Ten times what full training takes, by the model's width; fifteen times for runs of under a hundred steps.

    LoRA Without Regret (Schulman et al. 2025) fits 5e-5 × 10 × (2000 / hidden size) ^ 0.78 for Llama and ^ 0.08 for
    Qwen, at every rank; its 15 for short runs. Quantized models of 7B and more keep to QLoRA's 2e-4, and 1e-4 above 13B
    (Dettmers et al. 2023, table 9). A rate within twice of that stays.
    """
    if not draft.facts.located:
        return
    settings, train = draft.facts.architecture, draft.config.train
    width = settings.get("hidden_size") or 2000
    family = settings.get("model_type", "")
    steps, weights = draft.steps, estimate.parameters(draft.facts.located.path)
    times = 15 if steps < 100 else 10
    if draft.config.model.quantization != "none" and weights >= 6.5e9:
        wanted = 2e-4 if weights < 20e9 else 1e-4
        reason = message("suggest.rate.qlora", billions=f"{weights / 1e9:.0f}", rate=_rate(wanted))
    else:
        powers = {"llama": 0.781, "qwen2": 0.0775, "qwen3": 0.0775}
        curves = [(2000 / width) ** power for power in ([powers[family]] if family in powers else powers.values())]
        wanted = float(f"{min(2e-3, max(5e-5, 5e-5 * times * min(curves))):.0e}")
        reason = message("suggest.rate.width", width=f"{width:,}", steps=f"{steps:,}", times=times, rate=_rate(wanted))
    if not wanted / 2 <= train.learning_rate <= 2 * wanted:
        draft.set("train.learning_rate", wanted, reason)


def _rate(value: float) -> str:
    return f"{value:.0e}".replace("e-0", "e-")


def _warm_up(draft: Draft) -> None:
    """Let the rate rise over a twentieth of the steps (QLoRA takes 3 %), at most a hundred; never over a fifth."""
    train, steps = draft.config.train, draft.steps
    if train.schedule == "constant":
        return
    now = train.warmup_steps or train.warmup_ratio * steps
    wanted = max(1, min(100, round(0.05 * steps)))
    if now and (now <= 0.2 * steps or now <= wanted):
        return
    key = "suggest.warm_up.long" if now else "suggest.warm_up.none"
    if train.warmup_ratio:
        draft.set("train.warmup_ratio", 0.0, message(key, steps=steps, now=round(now), wanted=wanted))
    draft.set("train.warmup_steps", wanted, message(key, steps=steps, now=round(now), wanted=wanted))


def _intervals(draft: Draft) -> None:
    """Score the validation rows about ten times a run, save at least every quarter of an hour, draw fifty points."""
    train, steps = draft.config.train, draft.steps
    if train.logging_steps > max(1, steps // 20):
        often = max(1, steps // 50)
        draft.set("train.logging_steps", often, message("suggest.logging", steps=steps, now=train.logging_steps))
    seconds = draft.epoch_seconds()
    if train.save == "epoch" and seconds and seconds > 2 * CHECKPOINT_SECONDS:
        each = seconds * train.epochs / steps if not train.max_steps else seconds * _share_of_epoch(draft)
        every = max(1, min(steps, round(CHECKPOINT_SECONDS / each)))
        reason = message("suggest.save.often", minutes=round(seconds / 60), steps=every)
        draft.set("train.save", "steps", reason)
        draft.set("train.save_steps", every, reason)
    elif train.save == "steps" and train.save_steps > steps:
        draft.set("train.save", "epoch", message("suggest.save.never", every=train.save_steps, steps=steps))
    if draft.config.data.validation.kind == "none":
        return
    if not steps / 25 <= train.eval_steps <= max(1, steps / 4):
        every = max(1, round(steps / 10))
        draft.set("train.eval_steps", every, message("suggest.eval", steps=steps, every=every, now=train.eval_steps))
    if train.keep == "last":
        draft.set("train.keep", "best", message("suggest.keep"))


def _share_of_epoch(draft: Draft) -> float:
    train = draft.config.train
    return train.batch_size * train.gradient_accumulation / max(1, draft.rows)
