"""How a run stands: on the Train tab with all its figures, and in the one line that is on every tab.

Pure functions without Gradio.
"""

import html
from collections.abc import Sequence

from studio.i18n import text
from studio.model.resource_usage import ResourceUsage
from studio.runs import State
from studio.ui import remote_views
from studio.ui.curve_views import short
from studio.ui.run_reader import RunSnapshot
from studio.ui.views import bar, doing, duration, empty, run_name, share

NOT_KNOWN = "–"


def time_left(snapshot: RunSnapshot) -> float | None:
    """Return the seconds that the rest of the steps will take at the speed of the last ones; None before there is one.

    Evaluations and saves in between are part of that speed.
    """
    status, pace = snapshot.status, snapshot.seconds_per_step
    if status.state is not State.TRAINING or pace is None or not 0 < status.step < status.total:
        return None
    return pace * (status.total - status.step)


def took(snapshot: RunSnapshot) -> float | None:
    """Return the seconds between the first step and the end; None before there is one."""
    status = snapshot.status
    return status.ended - status.started if status.ended and status.started else None


def figures(snapshot: RunSnapshot, language: str) -> list[tuple[str, str]]:
    """Return the run's figures, each with its name; one that is not known yet keeps its place."""
    status = snapshot.status
    items = [("step", f"{status.step:,} / {status.total:,}" if status.total else NOT_KNOWN)]
    items.append(
        ("left", _time(time_left(snapshot), language))
        if status.state.alive
        else ("took", _time(took(snapshot), language))
    )
    items.append(("loss", NOT_KNOWN if snapshot.loss is None else f"{snapshot.loss:.2f}"))
    items.append(("rate", NOT_KNOWN if snapshot.rate is None else short(snapshot.rate)))
    if status.state.alive:
        speed = snapshot.tokens_per_second
        items.append(("speed", NOT_KNOWN if speed is None else f"{speed:,.0f}"))
        items += _resources(snapshot.usage)
    return [(text(f"ui.status.names.{name}", language), value) for name, value in items]


def _time(seconds: float | None, language: str) -> str:
    return NOT_KNOWN if seconds is None else duration(seconds, language)


def _resources(vitals: ResourceUsage | None) -> list[tuple[str, str]]:
    if vitals is None:
        return [("memory", NOT_KNOWN)]
    if vitals.card is None:
        return [("memory", _of(vitals.memory, vitals.machine))]
    card = vitals.card
    items = [("card", _of(card.used, card.total))]
    if card.temperature is not None:
        items.append(("temperature", f"{card.temperature} °C"))
    if card.utilization is not None:
        items.append(("utilization", f"{card.utilization} %"))
    return items


def _of(used: float, total: float) -> str:
    return f"{used / 1e9:.1f} / {total / 1e9:.1f} GB"


def sign_of_life(silent: float, language: str) -> str:
    """Say that the page may be closed, and when the run was last heard of; a silence of long is a warning."""
    if silent >= SILENT:
        return _figure_list("bad", "⚠", text("ui.status.silent", language, time=duration(silent, language)))
    age = (
        text("ui.status.ago", language, time=duration(silent, language)) if silent else text("ui.status.now", language)
    )
    return _figure_list("safe", "✓", text("ui.status.safe", language, age=age))


SILENT = 30.0
"""Seconds without a sign of life after which something is wrong: it comes once a second, whatever the run does."""


def _figure_list(kind: str, sign: str, words: str) -> str:
    return f'<p class="life {kind}"><i aria-hidden="true">{sign}</i> {html.escape(words)}</p>'


def status_panel(
    run_id: str | None,
    snapshot: RunSnapshot | None,
    language: str,
    stopping: str | None = None,
    silent: float = 0.0,
    outcome: str | None = None,
) -> str:
    """Return how the followed run stands: what it does, its name, a progress bar, its figures, a sign of life.

    What the browser needs to tell of its end is in the attributes. `outcome` is what a stopped run has left: `adapter`,
    `checkpoint` or `nothing`.
    """
    if run_id is None or snapshot is None:
        return f'<div class="status">{empty("ui.status.none", language)}</div>'
    status = snapshot.status
    label = doing(status, language, stopping)
    moving = bar(share(status), label) if status.state.alive or status.total else ""
    named = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in figures(snapshot, language)
    )
    at_work = status.state.alive and status.state is not State.QUEUED
    over = f"kept.{outcome}" if outcome else f"over.{status.state.value}"
    life = sign_of_life(silent, language) if at_work else _figure_list("", "", text(f"ui.status.{over}", language))
    life += remote_views.place(snapshot.place, status.state.alive, language)
    end = text("ui.notify.over", language, run=run_name(run_id), state=text(f"state.{status.state.value}", language))
    gone = text("ui.notify.ended", language, run=run_name(run_id))
    return (
        f'<div class="status" data-run="{html.escape(run_id)}" data-alive="{int(status.state.alive)}"'
        f' data-told="{html.escape(end)}" data-ended="{html.escape(gone)}"><div class="what">'
        f'<span class="state {status.state.value}">{html.escape(label)}</span>'
        f'<span class="name">{html.escape(run_name(run_id))}</span></div>{moving}'
        f'<dl class="now">{named}</dl>{life}</div>'
    )


def run_bar(run_id: str, snapshot: RunSnapshot, language: str, stopping: str | None = None) -> str:
    """Return the one line about the live run that stands on every tab."""
    status = snapshot.status
    label = doing(status, language, stopping)
    done = share(status)
    percent = f'<span class="percent">{round(100 * done)} %</span>' if done is not None else ""
    rest = "".join(f"<span>{html.escape(fact)}</span>" for fact in _facts(snapshot, language))
    return (
        f'<div class="runbar"><span class="name">{html.escape(run_name(run_id))}</span>'
        f'<span class="state">{html.escape(label)}</span>{bar(done, label)}{percent}{rest}</div>'
    )


def _facts(snapshot: RunSnapshot, language: str) -> Sequence[str]:
    facts = []
    if (left := time_left(snapshot)) is not None:
        facts.append(text("ui.status.left", language, time=duration(left, language)))
    if snapshot.loss is not None:
        facts.append(text("ui.status.loss", language, loss=f"{snapshot.loss:.2f}"))
    return facts
