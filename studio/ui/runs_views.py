"""From all_runs to the list of runs: filtered, sorted, as a table that becomes cards on a phone; and the trash.

Pure functions without Gradio. Names, notes and whatever else users typed is escaped before it becomes HTML. Buttons
inside the HTML carry `data-do`; the tab's events know what they ask for.
"""

import html
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from studio.config import BUILTIN_MODEL
from studio.i18n import text
from studio.runs import State
from studio.runs.history import Summary
from studio.runs.trash import DeletedRun
from studio.ui.views import day_and_time, duration, empty, hint

STATES = ("all", "alive", *(state.value for state in State if not state.alive), "damaged")
"""What the list can be narrowed to."""
MOST_ROWS = 50
"""Rows that are shown at first, and how many more each time."""
MOST_CHOSEN = 6
"""Runs that can be laid over each other."""
_WIDTH, _HEIGHT = 96, 26


@dataclass(frozen=True)
class Column:
    """A column: by what it sorts, and whether the highest comes first."""

    key: Callable[[Summary], Any]
    descending: bool = False


COLUMNS = {
    "name": Column(lambda run: run.name.casefold()),
    "state": Column(lambda run: list(State).index(State(run.state)) if run.status else len(State)),
    "preset": Column(lambda run: run.preset),
    "model": Column(lambda run: run.model or None),
    "data": Column(lambda run: run.data or None),
    "last": Column(lambda run: run.last),
    "best": Column(lambda run: run.best_known),
    "time": Column(lambda run: run.seconds(0 if run.status is None else run.status.heartbeat), descending=True),
    "size": Column(lambda run: run.bytes, descending=True),
    "made": Column(lambda run: (run.created, run.id), descending=True),
}


@dataclass(frozen=True)
class RunsQuery:
    """What of the runs a browser shows, and in which order; it keeps this over a reload."""

    query: str = ""
    state: str = "all"
    sort: str = "made"
    descending: bool = True
    most: int = MOST_ROWS
    chosen: tuple[str, ...] = ()
    open: str | None = None
    sweep: str | None = None
    """The sweep that is shown; the newest one without a choice."""

    @classmethod
    def of(cls, stored: Any) -> "RunsQuery":
        """Read what a browser has kept; whatever it holds, this is one that can be shown."""
        stored = stored if isinstance(stored, dict) else {}
        first = cls()
        sort, state, most = stored.get("sort"), stored.get("state"), stored.get("most")
        chosen = [run_id for run_id in stored.get("chosen") or () if isinstance(run_id, str)]
        return cls(
            query=str(stored.get("query") or "")[:200],
            state=state if state in STATES else first.state,
            sort=sort if sort in COLUMNS else first.sort,
            descending=bool(stored.get("descending", first.descending)),
            most=most if isinstance(most, int) and 0 < most <= 100_000 else first.most,
            chosen=tuple(dict.fromkeys(chosen))[:MOST_CHOSEN],
            open=stored["open"] if isinstance(stored.get("open"), str) else None,
            sweep=stored["sweep"] if isinstance(stored.get("sweep"), str) else None,
        )

    def sorted_by(self, name: str) -> "RunsQuery":
        """Return the query after a press on a column's head: the same column turns round."""
        if name not in COLUMNS:
            return self
        descending = not self.descending if name == self.sort else COLUMNS[name].descending
        return replace(self, sort=name, descending=descending)

    def choosing(self, boxes: Collection[str], ticked: Sequence[str]) -> "RunsQuery":
        """Return the query with the runs chosen that are `ticked` of those that have `boxes` in the list.

        The others stay as they are, and so does the order.
        """
        stay = [run_id for run_id in self.chosen if run_id in ticked or run_id not in boxes]
        return replace(self, chosen=tuple(dict.fromkeys([*stay, *ticked])))

    def among(self, existing: Collection[str]) -> "RunsQuery":
        """Return the query without the runs that are gone."""
        chosen = tuple(run_id for run_id in self.chosen if run_id in existing)
        return replace(self, chosen=chosen, open=self.open if self.open in existing else None)


@dataclass(frozen=True)
class RunsSession:
    """What a session has on its screen, so that a tick without news sends nothing."""

    known: dict[int, Any] = field(default_factory=dict)
    """What each component shows, by its id, as it is compared."""
    deleted: str | None = None
    """The run that this session has deleted last, until that was undone."""
    ticked_at: float = 0.0
    """When the boxes were ticked that were taken last, by the page's clock in milliseconds."""
    query: RunsQuery | None = None
    """What of the runs this session shows; None until an event has said so."""


def current_query(stored: Any, session: RunsSession | None) -> RunsQuery:
    """Return what of the runs a session shows; in a new one, what its browser has kept.

    What a browser sends may be older than the answer that is on its way to it.
    """
    return session.query if session and session.query else RunsQuery.of(stored)


def listed(all_runs: Sequence[Summary], query: RunsQuery) -> list[Summary]:
    """Return the runs that the filters let through, in order; those without the value that sorts come last."""
    words = query.query.casefold().split()
    matching = [
        run for run in all_runs if _has_state(run, query.state) and all(word in _searched(run) for word in words)
    ]
    key = COLUMNS[query.sort].key
    known = [run for run in matching if key(run) is not None]
    known.sort(key=key, reverse=query.descending)
    return known + [run for run in matching if key(run) is None]


def _has_state(run: Summary, wanted: str) -> bool:
    of_run = {"all", run.state, *(["alive"] if run.alive else []), *(["damaged"] if run.damaged else [])}
    return wanted in of_run


def _searched(run: Summary) -> str:
    return " ".join((run.name, run.note, run.id, run.preset or "", run.model, run.data)).casefold()


def sentence(all_runs: Sequence[Summary], matching: Sequence[Summary], language: str) -> str:
    """Say how many runs there are, how many are listed, and what all take on the disk."""
    if not all_runs:
        return ""
    key = "ui.runs.all" if len(matching) == len(all_runs) else "ui.runs.some"
    words = text(
        key, language, count=len(all_runs), listed=len(matching), size=size(sum(run.bytes for run in all_runs))
    )
    return f'<p class="caption">{html.escape(words)}</p>'


def table(all_runs: Sequence[Summary], query: RunsQuery, language: str, now: float, ticked_at: float = 0.0) -> str:
    """Return the list as a table, or what to do where there is nothing to list.

    `ticked_at` is the newest click on a box that the choice contains, by the page's clock in milliseconds.
    """
    if not all_runs:
        return f'<div class="placeholder">{empty("ui.runs.empty", language)}</div>'
    matching = listed(all_runs, query)
    if not matching:
        return f'<div class="placeholder">{empty("ui.runs.none_fits", language)}</div>'
    heads = "".join(_head(name, query, language) for name in COLUMNS)
    heads = heads.replace('<th data-column="last"', f'{_plain_head("curve", language)}<th data-column="last"', 1)
    rows = "".join(_row(run, query, language, now) for run in matching[: query.most])
    more = len(matching) - query.most
    rest = ""
    if more > 0:
        words = html.escape(text("ui.runs.more", language, count=min(more, MOST_ROWS), left=more))
        rest = f'<p class="more"><button type="button" class="act" id="runs-more" data-do="more">{words}</button></p>'
    return (
        f'<table class="runs" data-at="{ticked_at}"><thead><tr>{_plain_head("choose", language)}{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table>{rest}"
    )


def _plain_head(name: str, language: str) -> str:
    return f'<th class="{name}" scope="col">{html.escape(text(f"ui.runs.column.{name}", language))}</th>'


def _head(name: str, query: RunsQuery, language: str) -> str:
    words = html.escape(text(f"ui.runs.column.{name}", language))
    sorts = query.sort == name
    order = f' aria-sort="{"descending" if query.descending else "ascending"}"' if sorts else ""
    mark = f'<i aria-hidden="true">{"▼" if query.descending else "▲"}</i>' if sorts else ""
    button = f'<button type="button" id="sort-{name}" data-do="sort" data-sort="{name}">{words}{mark}</button>'
    return f'<th data-column="{name}" scope="col"{order}>{button}</th>'


def _row(run: Summary, query: RunsQuery, language: str, now: float) -> str:
    name, run_id = html.escape(run.name, quote=True), html.escape(run.id, quote=True)
    label = html.escape(text("ui.runs.choose", language, name=run.name), quote=True)
    checked = " checked" if run.id in query.chosen else ""
    note = f'<span class="note">{html.escape(" ".join(run.note.split()))}</span>' if run.note else ""
    seconds = run.seconds(now)
    cells = {
        "state": state(run, language),
        "preset": html.escape(run.preset or "–"),
        "model": _short(model_name(run.model, language), run.model),
        "data": html.escape(run.data or "–"),
        "curve": sparkline(run, language),
        "last": number(run.last),
        "best": _best(run, language),
        "time": "–" if seconds is None else html.escape(duration(seconds, language)),
        "size": html.escape(size(run.bytes)),
        "made": html.escape(day_and_time(run.created)),
    }
    body = "".join(_cell(column, cell, language) for column, cell in cells.items())
    return (
        f'<tr data-do="open" data-run="{run_id}"><td class="choose"><input type="checkbox" id="choose-{run_id}"'
        f' data-do="choose" data-run="{run_id}" aria-label="{label}"{checked}></td>'
        f'<th scope="row"><button type="button" class="row-link" id="open-{run_id}" data-do="open"'
        f' data-run="{run_id}">{name}</button>{note}</th>{body}</tr>'
    )


def _short(words: str, whole: str) -> str:
    return f'<span title="{html.escape(whole, quote=True)}">{html.escape(words)}</span>'


def _cell(column: str, cell: str, language: str) -> str:
    head = html.escape(text(f"ui.runs.column.{column}", language), quote=True)
    return f'<td class="{column}" data-head="{head}">{cell}</td>'


_SIGNS = {State.FINISHED: "✓", State.FAILED: "✕", State.INTERRUPTED: "⚡", State.PAUSED: "‖", State.STOPPED: "■"}


def state(run: Summary, language: str) -> str:
    """Return a run's state as a sign and a word, and how far a live one is."""
    sign = "!" if run.status is None else _SIGNS.get(run.status.state, "▶")
    words = text(f"state.{run.state}", language)
    status = run.status
    if status and status.total and status.state in (State.TRAINING, State.PAUSED, State.INTERRUPTED, State.STOPPED):
        words += f" {round(100 * status.step / status.total)} %"
    hurt = (
        f' <span class="state damaged">! {html.escape(text("state.damaged", language))}</span>' if run.damaged else ""
    )
    hurt = hurt if run.status else ""
    return f'<span class="state {run.state}"><i aria-hidden="true">{sign}</i> {html.escape(words)}</span>{hurt}'


def _best(run: Summary, language: str) -> str:
    if run.best_known is None:
        return "–"
    kind = "train" if run.best is None else "validation"
    return f"{number(run.best_known)} <small>{html.escape(text(f'ui.series.{kind}', language))}</small>"


def sparkline(run: Summary, language: str) -> str:
    """Return the training loss as a small line, with words for who does not see it; a dash without two points."""
    values = run.sparkline
    if len(values) < 2:
        return "–"
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = (_WIDTH - 4) / (len(values) - 1)
    height = _HEIGHT - 4
    points = " ".join(f"{2 + n * step:.1f},{2 + height * (high - value) / span:.1f}" for n, value in enumerate(values))
    words = html.escape(text("ui.runs.curve", language, first=number(values[0]), last=number(values[-1])), quote=True)
    return (
        f'<svg class="spark" role="img" aria-label="{words}" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}"'
        f' height="{_HEIGHT}"><title>{words}</title><polyline points="{points}"/></svg>'
    )


def number(value: float | None) -> str:
    """Return a loss with the digits that say something."""
    return "–" if value is None else f"{value:.3f}" if value < 100 else f"{value:.3g}"


def size(count: int) -> str:
    """Return a number of bytes in the unit that fits."""
    if count >= 1e9:
        return f"{count / 1e9:.2f} GB"
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{max(1, round(count / 1e3))} kB"


def model_name(model_id: str, language: str) -> str:
    """Return what people call a model: the built-in one in words, of others the last part of the id."""
    if model_id == BUILTIN_MODEL:
        return text("ui.runs.builtin", language)
    return model_id.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] or "–"


# The trash


def undo(name: str | None, language: str) -> str:
    """Say that a run was deleted; the button that brings it back stands beside."""
    return f'<p role="status">{html.escape(text("ui.runs.deleted", language, name=name))}</p>' if name else ""


def trash(deleted: Sequence[DeletedRun], language: str) -> str:
    """Return what lies in the trash, each run with the button that puts it back."""
    if not deleted:
        return empty("ui.runs.trash_empty", language)
    words = html.escape(text("ui.runs.restore", language))
    items = []
    for run in deleted[:MOST_ROWS]:
        name, run_id = html.escape(run.name), html.escape(run.id, quote=True)
        when = html.escape(text("ui.runs.deleted_at", language, time=day_and_time(run.at)))
        label = html.escape(text("ui.runs.restore_this", language, name=run.name), quote=True)
        items.append(
            f'<li><div><span class="what">{name}</span> <span class="effect">{when}</span></div><button type="button"'
            f' class="act" data-do="restore" data-run="{run_id}" aria-label="{label}">{words}</button></li>'
        )
    more = len(deleted) - len(items)
    rest = hint("ui.runs.trash_more", language, count=more) if more > 0 else ""
    kept = hint("ui.runs.trash_kept", language)
    return f'{kept}<ul class="problems">{"".join(items)}</ul>{rest}'
