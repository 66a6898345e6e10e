"""What is known of a run before it starts, as the page shows it. Pure functions."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from studio.i18n import Message, message
from studio.train.measure import TrialResult
from studio.train.plan import OomAdvice
from studio.train.preflight import Preflight
from studio.ui import recipe_views, views
from studio.ui.failures import box, lines, way_to

PARTS = ("weights", "adapter", "optimizer", "activations", "logits", "libraries")
"""What takes memory, in the order of the bar."""


@dataclass(frozen=True)
class Rate:
    """What an hour of the device costs."""

    price: float
    currency: str

    @classmethod
    def of(cls, price: Any, currency: Any) -> "Rate | None":
        """Return the rate that was typed in; None without a price."""
        return cls(float(price), str(currency or "").strip()) if price else None

    def cost(self, seconds: float) -> str:
        """Return what so many seconds cost: to the hundredth, and small sums to two figures."""
        sum_ = self.price * seconds / 3600
        return f"{sum_:,.2f} {self.currency}".strip() if sum_ >= 0.1 else f"{sum_:.2g} {self.currency}".strip()


@dataclass(frozen=True)
class Invalid:
    """What keeps the form from being a run."""

    problems: tuple[Message, ...]


def blocks(verdict: Any) -> tuple[Message, ...]:
    """Return what stands in the way of a start, as far as it is known."""
    if isinstance(verdict, Invalid):
        return verdict.problems
    return verdict[0].blocks if isinstance(verdict, tuple) else ()


def blocked(verdict: Any, language: str) -> str:
    """Say beside Start why it is off, with the way to what has to change; empty when nothing blocks."""
    if not (known := blocks(verdict)):
        return ""
    first = html.escape(lines(known[0], language)[0])
    return f'<p class="bad" role="alert">{first} {way_to(known[0], language)}</p>'


def summary(verdict: Any, language: str, rate: Rate | None = None) -> str:
    """Return what is known: a preflight with what was measured, or a message in their place."""
    if verdict is None:
        return views.empty("ui.before.none", language)
    if isinstance(verdict, Message):
        return box(verdict, language)
    if isinstance(verdict, Invalid):
        return "".join(box(problem, language) for problem in verdict.problems)
    return preflight(*verdict, language, rate)


def reason(path: str, verdict: Any, language: str) -> str:
    """Return why the preflight decided an automatic setting as it did; empty while that is not known."""
    choices = verdict[0].choices if isinstance(verdict, tuple) else ()
    return recipe_views.reason(path, choices, language)


def headline(report: Preflight, language: str, seconds: float | None = None, rate: Rate | None = None) -> str:
    """Say in one line whether a run can start: memory, steps, time, cost, and what stands in its way."""
    if report.blocks:
        return views.paragraph(message("ui.before.blocked", count=len(report.blocks)), language, "bad")
    if report.plan is None:
        return views.paragraph(message("ui.before.no_model"), language, "bad")
    parts = [_memory(report), message("ui.before.steps", steps=f"{report.plan.steps:,}")]
    seconds = seconds or report.seconds
    if seconds:
        parts.append(message("ui.before.time", time=views.duration(seconds, language)))
        if rate:
            parts.append(message("ui.before.cost", cost=rate.cost(seconds)))
    parts.append(message("ui.before.clear"))
    kind, sign = ("good", "✓") if report.plan.fits else ("bad", "⚠")
    words = " · ".join(views.one_line(part, language) for part in parts)
    return f'<p class="{kind}">{sign} {html.escape(words)}</p>'


def _memory(report: Preflight) -> Message:
    assert report.plan is not None
    key = "ui.before.fits" if report.plan.fits else "ui.before.tight"
    return message(key, need=_gb(report.plan.memory.total), free=_gb(report.plan.free))


def preflight(report: Preflight, measured: TrialResult | None, language: str, rate: Rate | None = None) -> str:
    """Return all that is known of a run that has not started."""
    parts = [headline(report, language, measured.seconds if measured else None, rate)]
    parts += [_listed(block, language, "✕") for block in report.blocks]
    if report.plan:
        parts.append(_bar(report, language))
        disk = message("ui.before.disk", need=_gb(report.plan.disk_bytes), free=_gb(report.disk_free))
        parts.append(views.paragraph(disk, language, "quiet"))
    if measured:
        parts.append(_measured(measured, language))
    parts += [_listed(warning, language, "⚠") for warning in report.warnings]
    parts.append(_details(report, language))
    return f'<div class="before">{"".join(parts)}</div>'


def _details(report: Preflight, language: str) -> str:
    """Return what is decided and known beyond the verdict, to be opened."""
    facts = "".join(views.paragraph(fact, language) for fact in report.facts)
    choices = [(choice.name, choice.value, choice.reason) for choice in report.choices]
    inside = facts + (views.choices_html(choices, language) if choices else "")
    summary = html.escape(views.one_line(message("ui.before.details"), language))
    return f"<details><summary>{summary}</summary>{inside}</details>" if inside else ""


def _bar(report: Preflight, language: str) -> str:
    """Return the memory as a bar from nothing to what is free; the words under it name the parts.

    Where more is needed than is free, the bar is longer, and a line stands where the device ends.
    """
    assert report.plan is not None
    memory, free = report.plan.memory, report.plan.free
    scale = max(memory.total, free) or 1
    pieces, names = [], []
    for part in PARTS:
        size = getattr(memory, part)
        name = html.escape(views.one_line(message(f"ui.before.part.{part}"), language))
        pieces.append(f'<i class="{part}" style="width:{100 * size / scale:.2f}%" title="{name}"></i>')
        names.append(f'<span class="{part}">{name} <b>{_gb(size)}</b></span>')
    label = html.escape(views.one_line(_memory(report), language))
    end = html.escape(views.one_line(message("ui.before.free", free=_gb(free)), language))
    line = f'<b class="limit" style="left:{100 * free / scale:.2f}%"></b>' if memory.total > free else ""
    bar = f'<div class="memory"><div class="pieces" role="img" aria-label="{label}">{"".join(pieces)}</div>{line}</div>'
    place = f"padding-right:{100 - 100 * free / scale:.2f}%"
    scale_line = f'<p class="scale" style="{place}"><span>0</span><span>{end}</span></p>'
    return f'{bar}{scale_line}<p class="parts">{"".join(names)}</p>'


def _measured(measured: TrialResult, language: str) -> str:
    values = {
        "peak": _gb(measured.peak_bytes),
        "step": f"{measured.step_seconds:.2f}",
        "time": views.duration(measured.seconds, language),
    }
    return views.paragraph(message("ui.before.measured", **values), language, "count")


def _listed(words: Message, language: str, sign: str) -> str:
    first, *rest = (html.escape(line) for line in lines(words, language))
    warns = sign == "⚠" and "path" in words.values
    return f'<p class="told"><strong>{sign} {first}</strong> {" ".join(rest)} {way_to(words, language, warns)}</p>'


def suggestions(ways: Sequence[OomAdvice], language: str) -> str:
    """Return what helps after a lack of memory, in the order of effect; the first is a button beside it."""
    items = "".join(f"<li>{html.escape(views.one_line(way.summary, language))}</li>" for way in ways)
    title = html.escape(views.one_line(message("ui.oom_advice.title"), language))
    return f'<div class="ways"><strong>{title}</strong><ol>{items}</ol></div>' if ways else ""


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 5e7 else f"{size / 1e6:.0f} MB"
