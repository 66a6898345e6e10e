"""The log of a run: from its events to lines, and from lines to what a search and a level leave of them.

Pure functions without Gradio. Whatever comes from rows, names or answers is escaped before it becomes HTML.
"""

import html
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from studio.events import (
    Best,
    Changed,
    Chosen,
    Evaluated,
    Note,
    PhaseChanged,
    Resumed,
    StateChanged,
    Step,
    StyleKept,
    StyleMeasured,
)
from studio.i18n import Message, message, text
from studio.runs import State
from studio.ui.views import choice_title, empty, one_line

MOST_LINES = 100
"""Lines that are sent to the page."""
SIGNS = {"step": "·", "info": "i", "warning": "⚠", "error": "✕"}
"""What stands before a line, so that its colour is not the only sign of its level."""
LEVELS = {"all": tuple(SIGNS), "told": ("info", "warning", "error"), "problems": ("warning", "error")}
"""The levels that a choice of the filter leaves."""


class Line(NamedTuple):
    """One line of the log; it is put into words when it is shown."""

    at: float
    level: str
    message: Message


def log_lines(events: Iterable[object]) -> list[Line]:
    """Return the log's lines of some events; steps are thinned to about twenty a run."""
    return [line for event in events if (line := _line(event)) is not None]


def _line(event: object) -> Line | None:
    match event:
        case Step():
            if not _is_logged(event):
                return None
            step_message = message("ui.log.step", step=event.step, total=event.total, loss=f"{event.loss:.3f}")
            return Line(event.at, "step", step_message)
        case Evaluated():
            return Line(event.at, "step", message("ui.log.evaluated", step=event.step, loss=f"{event.loss:.3f}"))
        case Best():
            return Line(event.at, "step", message("ui.log.best", step=event.step, loss=f"{event.loss:.3f}"))
        case StyleMeasured():
            return Line(event.at, "step", event.summary)
        case StyleKept():
            values = {"step": event.step, "percent": f"{event.strength:.0f}"}
            return Line(event.at, "step", message("ui.log.style_kept", **values))
        case StateChanged():
            if event.state == State.TRAINING:  # the phase says the same
                return None
            return Line(event.at, "info", message(f"state.{event.state}"))
        case PhaseChanged():
            return Line(event.at, "info", message(f"phase.{event.phase.split()[0]}"))
        case Note():
            return Line(event.at, event.level, event.message)
        case Chosen():
            values = {"name": choice_title(event.name), "value": event.value, "reason": event.reason}
            return Line(event.at, "info", message("ui.log.chosen", **values))
        case Resumed():
            key = "ui.log.resumed" if event.step else "ui.log.resumed_start"
            return Line(event.at, "info", message(key, step=event.step))
        case Changed():
            what = ", ".join(f"{path}: {value}" for path, value in event.settings.items())
            return Line(event.at, "info", message("ui.log.changed", what=what))
    return None


def _is_logged(step: Step) -> bool:
    every = max(1, step.total // 20)
    return step.step == 1 or step.step % every == 0 or step.step == step.total


def log_html(lines: Sequence[Line], language: str, level: str = "all", search: str = "") -> str:
    """Return the log as HTML, newest last: the lines of a level (`LEVELS`) that hold the searched words, marked."""
    if not lines:
        return empty("ui.log.empty", language)
    wanted = " ".join(search.split()).casefold()
    worded = [(line, one_line(line.message, language)) for line in lines if line.level in LEVELS[level]]
    matching = [(line, words) for line, words in worded if wanted in words.casefold()]
    if not matching:
        return empty("ui.log.nothing", language)
    items = "".join(_item(line, words, wanted, language) for line, words in matching[-MOST_LINES:])
    counted = len(matching) > MOST_LINES or len(matching) < len(lines)
    count = min(len(matching), MOST_LINES)
    note = text("ui.log.shown", language, shown=count, found=len(matching), all=len(lines)) if counted else ""
    name = html.escape(text("ui.log.title", language))
    return (
        f'<div class="log-box" tabindex="0" role="group" aria-label="{name}"><div>'
        f'<p class="hint">{html.escape(note)}</p><ol class="log">{items}</ol></div></div>'
    )


def _item(line: Line, words: str, wanted: str, language: str) -> str:
    clock = datetime.fromtimestamp(line.at).strftime("%H:%M:%S")
    level = line.level if line.level in SIGNS else "info"
    title = html.escape(text(f"ui.log.levels.{level}", language))
    sign = f'<i role="img" aria-label="{title}" title="{title}">{SIGNS[level]}</i>'
    return f'<li class="{level}"><time>{clock}</time>{sign}<span>{_marked(words, wanted)}</span></li>'


def _marked(words: str, wanted: str) -> str:
    """Escape the words, and mark what was searched in them."""
    if not wanted:
        return html.escape(words)
    parts = re.split(f"({re.escape(wanted)})", words, flags=re.IGNORECASE)
    return "".join(f"<mark>{html.escape(part)}</mark>" if n % 2 else html.escape(part) for n, part in enumerate(parts))
