"""What is known of a run before it starts, as the page shows it. Pure functions."""

import html
from collections.abc import Sequence

from studio.i18n import Message, message
from studio.train.measure import Measured
from studio.train.preflight import Preflight
from studio.train.relief import Relief
from studio.ui import views
from studio.ui.failures import lines

PARTS = ("weights", "adapter", "optimizer", "activations", "logits", "libraries")
"""What takes memory, in the order of the bar."""


def verdict(found: Preflight, language: str) -> str:
    """Say in one line whether a run can start: memory, time, and what stands in its way."""
    if found.blocks:
        return views.paragraph(message("ui.before.blocked", count=len(found.blocks)), language, "bad")
    if found.plan is None:
        return ""
    parts = [_memory(found), message("ui.before.steps", steps=found.plan.steps)]
    if found.seconds:
        parts.append(message("ui.before.time", time=views.duration(found.seconds, language)))
    parts.append(message("ui.before.clear"))
    kind = "good" if found.plan.fits else "bad"
    return f'<p class="{kind}">{html.escape(" · ".join(views.said(part, language) for part in parts))}</p>'


def _memory(found: Preflight) -> Message:
    assert found.plan is not None
    key = "ui.before.fits" if found.plan.fits else "ui.before.tight"
    return message(key, need=_gb(found.plan.memory.total), free=_gb(found.plan.free))


def preflight(found: Preflight, measured: Measured | None, language: str) -> str:
    """Return all that is known of a run that has not started."""
    told = [verdict(found, language)]
    told += [_listed(block, language, "✕") for block in found.blocks]
    if found.plan:
        told.append(_bar(found, language))
        disk = message("ui.before.disk", need=_gb(found.plan.disk_bytes), free=_gb(found.disk_free))
        told += [views.paragraph(fact, language) for fact in (*found.facts, disk)]
        choices = [(choice.name, choice.value, choice.reason) for choice in found.plan.choices]
        told.append(views.choices_html(choices, language))
    else:
        told += [views.paragraph(fact, language) for fact in found.facts]
    if measured:
        told.append(_measured(measured, language))
    told += [_listed(warning, language, "⚠") for warning in found.warnings]
    return f'<div class="before">{"".join(told)}</div>'


def _bar(found: Preflight, language: str) -> str:
    """Return the memory as a bar against what is free; the sentence under it names the parts."""
    assert found.plan is not None
    memory, free = found.plan.memory, found.plan.free
    scale = max(memory.total, free) or 1
    pieces, names = [], []
    for part in PARTS:
        size = getattr(memory, part)
        name = html.escape(views.said(message(f"ui.before.part.{part}"), language))
        pieces.append(f'<i class="{part}" style="width:{100 * size / scale:.2f}%" title="{name}"></i>')
        names.append(f'<span class="{part}">{name} <b>{_gb(size)}</b></span>')
    label = html.escape(views.said(_memory(found), language))
    bar = f'<div class="memory" role="img" aria-label="{label}">{"".join(pieces)}</div>'
    return f'{bar}<p class="parts">{"".join(names)}</p>'


def _measured(measured: Measured, language: str) -> str:
    values = {
        "peak": _gb(measured.peak_bytes),
        "step": f"{measured.step_seconds:.2f}",
        "time": views.duration(measured.seconds, language),
    }
    return views.paragraph(message("ui.before.measured", **values), language, "count")


def _listed(told: Message, language: str, sign: str) -> str:
    first, *rest = (html.escape(line) for line in lines(told, language))
    return f'<p class="told"><strong>{sign} {first}</strong> {" ".join(rest)}</p>'


def ways_out(ways: Sequence[Relief], language: str) -> str:
    """Return what helps after a lack of memory, in the order of effect; the first is a button beside it."""
    items = "".join(f"<li>{html.escape(views.said(way.told, language))}</li>" for way in ways)
    title = html.escape(views.said(message("ui.ways_out.title"), language))
    return f'<div class="ways"><strong>{title}</strong><ol>{items}</ol></div>' if ways else ""


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 5e7 else f"{size / 1e6:.0f} MB"
