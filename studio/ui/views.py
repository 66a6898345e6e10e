"""Words and small HTML that many parts of the page share.

Pure functions without Gradio. Whatever comes from rows, names or answers is escaped before it becomes HTML.
"""

import html
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from studio.i18n import Message, has, message, text
from studio.runs import Run, State, Status, created_at, directory, folder, metadata

if TYPE_CHECKING:
    from studio.compare.columns import Column


# Words of a run


def choice_title(name: str) -> Message | str:
    """Return what an automatic choice is called; a name without words stays as it is."""
    return message(f"ui.choice.{name}") if has(f"ui.choice.{name}") else name


def one_line(text_message: Message, language: str) -> str:
    """Put a message into words on one line; one that this version does not know is shown as its key."""
    try:
        return " ".join(text_message.text(language).splitlines())
    except KeyError:
        return text_message.key


# State, progress and time


def run_name(run_id: str) -> str:
    """Return a run's name as people read it, with the time at which it was made: `quickstart · 11-21 23:01` here."""
    return f"{metadata.name_of(Run(folder() / run_id))} · {day_and_time(created_at(run_id))}"


def column_label(column: "Column", language: str) -> str:
    """Return a column's name with the names of other runs in it in place of their ids."""
    return directory.ID.sub(lambda run_id: run_name(run_id[0]), column.title(language))


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


# Words


def paragraph(text_message: Message, language: str, kind: str = "") -> str:
    """Return a message as one paragraph."""
    return f'<p class="{html.escape(kind)}">{html.escape(one_line(text_message, language))}</p>'


def choices_html(choices: Iterable[tuple[str, str, Message]], language: str) -> str:
    """Return automatic choices (name, value, reason) as a list: the device card."""
    items = []
    for name, value, reason in choices:
        title = choice_title(name)
        title_text = one_line(title, language) if isinstance(title, Message) else title
        parts = html.escape(title_text), html.escape(value), html.escape(one_line(reason, language))
        items.append("<dt>{}</dt><dd><strong>{}</strong> <span>{}</span></dd>".format(*parts))
    return f'<dl class="choices">{"".join(items)}</dl>'


# Compare


def run_choice(run_id: str, status: Status, language: str) -> str:
    """Return how a run reads in a list of runs to compare."""
    if status.state.alive:
        return f"{run_name(run_id)} · {text('ui.compare.half', language, step=status.step)}"
    return f"{run_name(run_id)} · {text(f'state.{status.state.value}', language)}"


def empty(key: str, language: str, **values: Any) -> str:
    """Return the words that stand where something will be, and how to get it."""
    return f'<p class="empty">{html.escape(text(key, language, **values))}</p>'


def hint(key: str, language: str, **values: Any) -> str:
    """Return a quiet line."""
    return f'<p class="hint">{html.escape(text(key, language, **values))}</p>'


def waiting(key: str, language: str, share: float | None = None, done: str = "") -> str:
    """Return what is being waited for, with a bar, and beside it how much is `done`."""
    words = text(key, language)
    done_html = f"<b>{html.escape(done)}</b>" if done else ""
    return f'<div class="scan"><span>{html.escape(words)}</span>{bar(share, words)}{done_html}</div>'
