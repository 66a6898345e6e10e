"""From events and status to what the page shows: points, data frames, sentences and small HTML.

Pure functions without Gradio. Whatever comes from rows, names or answers is escaped before it becomes HTML.
"""

import html
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pandas

from studio import labels
from studio.events import Best, Changed, Chosen, Evaluated, Note, PhaseChanged, Resumed, StateChanged, Step
from studio.i18n import DEFAULT_LANGUAGE, Message, has, message, text
from studio.runs import Run, State, Status, created_at, folder

TRAIN, VALIDATION = "train", "validation"
SERIES_COLOURS = {TRAIN: "#0d9488", VALIDATION: "#d97706"}
LABEL_COLOURS = {"context": "#94a3b8", "trained": "#0d9488", "cut": "#d97706"}
MOST_POINTS = 240
MOST_LOG_LINES = 200
COLUMNS = ("step", "loss", "series")


class Point(NamedTuple):
    """One point of the loss chart."""

    step: int
    loss: float
    series: str


class Line(NamedTuple):
    """One line of the log; it is put into words when it is shown."""

    at: float
    level: str
    message: Message


def colours(names: Mapping[str, str], prefix: str, language: str = DEFAULT_LANGUAGE) -> dict[str, str]:
    """Return the colour of each name, by the name's words."""
    return {text(f"{prefix}.{name}", language): colour for name, colour in names.items()}


# The loss chart


def points(events: Iterable[Any], before: Sequence[Point] = ()) -> list[Point]:
    """Return the chart's points, those known `before` and those of some new events.

    Where a run was resumed, what came after its checkpoint is not part of the curve any more.
    """
    found = list(before)
    for event in events:
        if isinstance(event, Resumed):
            found = [point for point in found if point.step <= event.step]
        elif isinstance(event, Step):
            found.append(Point(event.step, event.loss, TRAIN))
        elif isinstance(event, Evaluated):
            found.append(Point(event.step, event.loss, VALIDATION))
    return found


def thinned(found: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """Return at most about `most` points of each series: means of equal stretches between the ends."""
    kept: list[Point] = []
    for series in (TRAIN, VALIDATION):
        own = [point for point in found if point.series == series]
        if len(own) <= most:
            kept += own
            continue
        inner, stretch = own[1:-1], -(-(len(own) - 2) // (most - 2))
        groups = [inner[start : start + stretch] for start in range(0, len(inner), stretch)]
        kept += [own[0], *(Point(g[-1].step, sum(p.loss for p in g) / len(g), series) for g in groups), own[-1]]
    return kept


def loss_frame(found: Sequence[Point]) -> pandas.DataFrame:
    """Return the data of the loss chart: columns `step`, `loss` (nats a token) and `series`.

    Each series has a row without a loss, also when there are no points yet: the chart fixes its colours and the kind of
    its axes by the first data that it gets.
    """
    rows = [(0, math.nan, series) for series in SERIES_COLOURS] + list(thinned(found))
    return pandas.DataFrame(rows, columns=list(COLUMNS))


def loss_legend(found: Sequence[Point], language: str) -> str:
    """Return the names of the chart's series beside their colours; a series without points is left out."""
    there = [series for series in SERIES_COLOURS if any(point.series == series for point in found)]
    keys = [f'<span class="key {series}">{text(f"ui.series.{series}", language)}</span>' for series in there]
    return f'<p class="legend">{"".join(keys)}</p>'


def loss_sentence(found: Sequence[Point], total: int, language: str) -> str:
    """Say in words what the loss chart shows."""
    train = [point for point in found if point.series == TRAIN]
    if not train:
        return text("ui.loss.none", language)
    first, last = train[0], train[-1]
    values: dict[str, Any] = {"step": last.step, "total": max(total, last.step), "loss": f"{last.loss:.2f}"}
    if len(train) == 1:
        sentence = text("ui.loss.first", language, **values)
    else:
        fell = last.loss <= first.loss
        key = "ui.loss.down" if fell else "ui.loss.up"
        sentence = text(key, language, **values, first=f"{first.loss:.2f}")
    checks = [point for point in found if point.series == VALIDATION]
    if checks:
        sentence += " " + text("ui.loss.validation", language, loss=f"{checks[-1].loss:.2f}", step=checks[-1].step)
    return sentence


# The log


def log_lines(events: Iterable[Any]) -> list[Line]:
    """Return the log's lines of some events; steps are thinned to about twenty a run."""
    lines = []
    for event in events:
        if isinstance(event, StateChanged):
            if event.state == State.TRAINING:  # the phase says the same
                continue
            lines.append(Line(event.at, "info", message(f"state.{event.state}")))
        elif isinstance(event, PhaseChanged):
            lines.append(Line(event.at, "info", message(f"phase.{event.phase.split()[0]}")))
        elif isinstance(event, Note):
            lines.append(Line(event.at, event.level, event.message))
        elif isinstance(event, Chosen):
            values = {"name": choice_title(event.name), "value": event.value, "reason": event.reason}
            lines.append(Line(event.at, "info", message("ui.log.chosen", **values)))
        elif isinstance(event, Step) and _is_logged(event):
            values = {"step": event.step, "total": event.total, "loss": f"{event.loss:.3f}"}
            lines.append(Line(event.at, "step", message("ui.log.step", **values)))
        elif isinstance(event, Evaluated):
            lines.append(Line(event.at, "step", message("ui.log.evaluated", step=event.step, loss=f"{event.loss:.3f}")))
        elif isinstance(event, Resumed):
            key = "ui.log.resumed" if event.step else "ui.log.resumed_start"
            lines.append(Line(event.at, "info", message(key, step=event.step)))
        elif isinstance(event, Changed):
            what = ", ".join(f"{path}: {value}" for path, value in event.settings.items())
            lines.append(Line(event.at, "info", message("ui.log.changed", what=what)))
        elif isinstance(event, Best):
            lines.append(Line(event.at, "step", message("ui.log.best", step=event.step, loss=f"{event.loss:.3f}")))
    return lines


def choice_title(name: str) -> Message | str:
    """Return what an automatic choice is called; a name without words stays as it is."""
    return message(f"ui.choice.{name}") if has(f"ui.choice.{name}") else name


def _is_logged(step: Step) -> bool:
    every = max(1, step.total // 20)
    return step.step == 1 or step.step % every == 0 or step.step == step.total


def log_html(lines: Sequence[Line], language: str) -> str:
    """Return the log as HTML, newest last."""
    if not lines:
        return empty("ui.log.empty", language)
    return f'<ol class="log">{"".join(_log_item(line, language) for line in lines[-MOST_LOG_LINES:])}</ol>'


def _log_item(line: Line, language: str) -> str:
    clock = datetime.fromtimestamp(line.at).strftime("%H:%M:%S")
    mark = {"warning": "⚠ ", "error": "✕ "}.get(line.level, "")
    words = html.escape(mark + said(line.message, language))
    return f'<li class="{html.escape(line.level)}"><time>{clock}</time><span>{words}</span></li>'


def said(told: Message, language: str) -> str:
    """Put a message into words on one line; values that are messages are put into the same language first.

    A word that this version does not know (a run of a later one) is shown as its key.
    """
    if not has(told.key):
        return told.key
    values = {name: said(v, language) if isinstance(v, Message) else v for name, v in told.values.items()}
    return " ".join(text(told.key, language, **values).splitlines())


# State, progress and time


def run_name(run_id: str) -> str:
    """Return a run's name as people read it, with the time at which it was made: `quickstart · 11-21 23:01` here."""
    return f"{labels.name_of(Run(folder() / run_id))} · {day_and_time(created_at(run_id))}"


def day_and_time(at: float) -> str:
    """Return a moment as day and time here."""
    return f"{datetime.fromtimestamp(at):%m-%d %H:%M}"


def duration(seconds: float, language: str) -> str:
    """Return a length of time in the coarsest unit that still says something."""
    if seconds < 60:
        return text("ui.time.seconds", language, n=max(1, round(seconds)))
    if seconds < 3600:
        return text("ui.time.minutes", language, n=round(seconds / 60))
    hours, rest = divmod(round(seconds / 60), 60)
    return text("ui.time.hours", language, hours=hours, minutes=rest)


def time_left(status: Status, now: float) -> float | None:
    """Return the seconds that the rest of the steps will take at the speed so far; None before there is one."""
    if status.state is not State.TRAINING or status.started is None or not 0 < status.step < status.total:
        return None
    last = min(now, max(status.heartbeat, status.started))
    return (last - status.started) / status.step * (status.total - status.step)


def share(status: Status) -> float | None:
    """Return how much is done, from 0 to 1: of the steps while training, else of the phase; None if not known."""
    if status.state is State.FINISHED:
        return 1.0
    if status.state is State.TRAINING or not status.state.alive:
        return status.step / status.total if status.total else None
    return status.progress


def doing(status: Status, language: str, stopping: str | None = None) -> str:
    """Say what a run is doing, or how it ended."""
    if stopping and status.state.alive:
        return text(f"ui.status.{stopping}", language)
    key = f"phase.{status.phase.split()[0]}" if status.phase else ""
    return text(key if status.state.alive and has(key) else f"state.{status.state.value}", language)


def bar(done: float | None, label: str) -> str:
    """Return a progress bar; without a share it only moves."""
    if done is None:
        return f'<div class="bar moving" role="progressbar" aria-label="{html.escape(label)}"><i></i></div>'
    percent = round(100 * min(max(done, 0), 1))
    return (
        f'<div class="bar" role="progressbar" aria-label="{html.escape(label)}" aria-valuemin="0" aria-valuemax="100"'
        f' aria-valuenow="{percent}"><i style="width:{percent}%"></i></div>'
    )


def _facts(status: Status, found: Sequence[Point], language: str, now: float) -> list[str]:
    facts = []
    if status.total:
        facts.append(text("ui.status.step", language, step=status.step, total=status.total))
    left = time_left(status, now)
    if left is not None:
        facts.append(text("ui.status.left", language, time=duration(left, language)))
    elif status.ended and status.started:
        facts.append(text("ui.status.took", language, time=duration(status.ended - status.started, language)))
    losses = [point.loss for point in found if point.series == TRAIN]
    if losses:
        facts.append(text("ui.status.loss", language, loss=f"{losses[-1]:.2f}"))
    return facts


def status_line(
    run_id: str,
    status: Status | None,
    found: Sequence[Point],
    language: str,
    now: float = 0,
    stopping: str | None = None,
) -> str:
    """Return the state of the followed run: name, what it does, a progress bar, step, time left and loss."""
    if status is None:
        return f'<div class="status">{empty("ui.status.none", language)}</div>'
    now = now or time.time()
    label = doing(status, language, stopping)
    moving = bar(share(status), label) if status.state.alive or status.total else ""
    facts = "".join(f"<span>{html.escape(fact)}</span>" for fact in _facts(status, found, language, now))
    return (
        f'<div class="status"><div class="what"><span class="state {status.state.value}">{html.escape(label)}</span>'
        f'<span class="name">{html.escape(run_name(run_id))}</span></div>{moving}<div class="facts">{facts}</div></div>'
    )


def run_bar(
    run_id: str, status: Status, found: Sequence[Point], language: str, now: float = 0, stopping: str | None = None
) -> str:
    """Return the one line about the live run that stands on every tab."""
    now = now or time.time()
    label = doing(status, language, stopping)
    done = share(status)
    percent = f'<span class="percent">{round(100 * done)} %</span>' if done is not None else ""
    facts = _facts(status, found, language, now)[1:] if status.total else []
    rest = "".join(f"<span>{html.escape(fact)}</span>" for fact in facts)
    return (
        f'<div class="runbar"><span class="name">{html.escape(run_name(run_id))}</span>'
        f'<span class="state">{html.escape(label)}</span>{bar(done, label)}{percent}{rest}</div>'
    )


# Words


def paragraph(told: Message, language: str, kind: str = "") -> str:
    """Return a message as one paragraph."""
    return f'<p class="{html.escape(kind)}">{html.escape(said(told, language))}</p>'


def choices_html(choices: Iterable[tuple[str, str, Message]], language: str) -> str:
    """Return automatic choices (name, value, reason) as a list: the device card."""
    items = []
    for name, value, reason in choices:
        title = choice_title(name)
        shown = said(title, language) if isinstance(title, Message) else title
        parts = html.escape(shown), html.escape(value), html.escape(said(reason, language))
        items.append("<dt>{}</dt><dd><strong>{}</strong> <span>{}</span></dd>".format(*parts))
    return f'<dl class="choices">{"".join(items)}</dl>'


# Compare


def run_choice(run_id: str, status: Status, language: str) -> str:
    """Return how a run reads in a list of runs to compare."""
    if status.state.alive:
        return f"{run_name(run_id)} · {text('ui.compare.half', language, step=status.step)}"
    return f"{run_name(run_id)} · {text(f'state.{status.state.value}', language)}"


def empty(key: str, language: str) -> str:
    """Return the words that stand where something will be, and how to get it."""
    return f'<p class="empty">{html.escape(text(key, language))}</p>'
