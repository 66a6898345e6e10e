"""What makes the Runs tab show the runs as they are: updates of its components, and only of those that have changed."""

import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr

from studio import runs
from studio.config import RunConfig, differing
from studio.errors import ConfigError
from studio.remote import record
from studio.reports import run_metadata
from studio.runs import Run, history, metadata, trash
from studio.runs.curve import Curve
from studio.runs.history import Summary
from studio.train.diagnosis import diagnose
from studio.ui import (
    curve_views,
    launch,
    log_views,
    overlay_views,
    reading_views,
    remote_views,
    run_page_views,
    run_reader,
    runs_views,
    views,
)
from studio.ui.overlay_views import LETTERS, Laid
from studio.ui.run_reader import RunReader
from studio.ui.runs_views import RunsQuery
from studio.ui.tabs import sweeps
from studio.ui.tabs.runs import RunsTab


@dataclass(frozen=True)
class RunsSession:
    """What a session has on its screen, so that a tick without news sends nothing."""

    values: dict[str, Any] = field(default_factory=dict)
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


def updates(tab: RunsTab, query: RunsQuery, kind: str, language: str, session: RunsSession | None) -> dict[Any, Any]:
    """Return what has changed since the `session` was drawn (None for all of it); empty without news."""
    before = session or RunsSession()
    summaries = history.all_summaries()
    now = query.among({run.id for run in summaries})
    is_open = next((run for run in summaries if run.id == now.open), None)
    if is_open:
        values, props = _page(is_open, language)
    else:
        values, props = _list(summaries, now, kind, language, before)
    values |= {"open": now.open}
    props |= {"list": column_visibility(is_open is None), "page_column": column_visibility(is_open is not None)}
    fresh: dict[Any, Any] = {}
    for name, value in values.items():
        if name in tab.parts and before.values.get(name) != hash(value):
            fresh[tab.parts[name]] = value
    for name, changed in props.items():
        component = next(getattr(part, name) for part in (tab, tab.page, tab.sweeps) if hasattr(part, name))
        if before.values.get(name) != (known := _known(changed)):
            fresh[component] = gr.update(**changed)
        values[name] = known
    if now != before.query:
        fresh[tab.saved_query] = vars(now)
    remembered = {name: hash(value) if name in tab.parts else value for name, value in values.items()}
    if fresh:
        fresh[tab.session] = replace(before, values=before.values | remembered, query=now)
    return fresh


def column_visibility(visible: bool, *classes: str) -> dict[str, Any]:
    """Return what shows or hides a column by its classes. It stays in the page: a chart that is taken out while it is
    being drawn fails in the browser.
    """
    return {"elem_classes": [*classes] if visible else [*classes, "away"]}


def _known(props: dict[str, Any]) -> Any:
    """Return what a component's properties are compared by; a chart by its `stamp`, which is taken out."""
    return props.pop("stamp") if "stamp" in props else repr(props)


def _list(
    summaries: list[Summary], query: RunsQuery, kind: str, language: str, before: RunsSession
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    matching = runs_views.listed(summaries, query)
    deleted = trash.deleted_runs()
    undone = next((run for run in deleted if run.id == before.deleted), None)
    values = {
        "table": runs_views.table(summaries, query, language, time.time(), before.ticked_at),
        "sentence": runs_views.sentence(summaries, matching, language),
        "trash": runs_views.trash(deleted, language),
        "undone": runs_views.undo(undone.name if undone else None, language),
    }
    by_id = {run.id: run for run in summaries}
    chosen = [by_id[run_id] for run_id in query.chosen]
    props: dict[str, dict[str, Any]] = {
        "undo_row": {"visible": undone is not None},
        "overlay_card": column_visibility(len(chosen) > 1, "card"),
        "empty": {"visible": bool(deleted)},
    }
    if not deleted:
        props["empty_sure"] = {"visible": False}
    of_sweep = sweeps.render(query.sweep, set(by_id), language)
    values, props = values | of_sweep[0], props | of_sweep[1]
    if len(chosen) > 1:
        laid = [_laid(letter, run) for letter, run in zip(LETTERS, chosen, strict=False)]
        configs = [run.config for run in laid]
        differences = differing([config for config in configs if config]) if all(configs) else {}
        differences.pop("name", None)
        values["legend"] = overlay_views.legend(laid, kind, language)
        values["overlay_told"] = f'<p class="caption">{overlay_views.sentence(laid, kind, language)}</p>'
        values["differences"] = overlay_views.differences(laid, differences, language)
        stamp = (kind, tuple((run.letter, run.name, _ends(run.curve)) for run in laid))
        props["overlay"] = {"value": overlay_views.frame(laid, kind), "stamp": stamp}
    return values, props


def _laid(letter: str, summary: Summary) -> Laid:
    run = Run(runs.folder() / summary.id)
    config: RunConfig | None = None
    with contextlib.suppress(OSError, ConfigError, UnicodeDecodeError):  # damaged: its curve may still be there
        config = run.started_config()
    name = f"{summary.name} · {views.day_and_time(summary.created)}"
    return Laid(letter, name, _reader_of(run).curve(), config)


def _reader_of(run: Run) -> RunReader:
    """Return the run as it is now."""
    reader = run_reader.reader_of(run.id)
    reader.refresh()
    return reader


def _ends(curve: Curve) -> tuple[Any, ...]:
    """Return what tells a curve from itself with more points."""
    return len(curve.steps), len(curve.evaluated_steps), *curve.losses[-1:], *curve.validation_losses[-1:]


def _page(summary: Summary, language: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    run = Run(runs.folder() / summary.id)
    reader = _reader_of(run)
    curve = reader.curve()
    facts = run_metadata.read(run, reader.chosen())
    page = run_page_views
    clip = facts.config.train.max_grad_norm if facts.config else None
    reading = reading_views.reading_html(curve, diagnose(curve, summary.status, clip), language)
    loss_curve = curve_views.series(curve, "loss")
    values = {
        "head": page.head(facts, language, time.time()) + remote_views.place(record.load(run), summary.alive, language),
        "wrong": page.wrong(facts, language),
        "why": page.why(facts, language),
        "loss": curve_views.legend(loss_curve, language) + reading,
        "results": page.results(facts, language),
        "settings": page.settings(facts, language),
        "choices": page.choices(facts.choices, language),
        "log": log_views.log_html(reader.lines(), language) + page.log_file(_tail(run), language),
        "rests": page.rests_on(facts, language),
        "disk": page.disk(facts, language),
        "spare": page.spare(facts, language),
    }
    stamp = (run.id, _ends(curve))
    next_step = "compare" if facts.can_compare else "resume" if facts.can_resume else "clone"
    filled = {name: "primary" if name == next_step else "secondary" for name in ("compare", "resume", "clone")}
    props: dict[str, dict[str, Any]] = {
        "chart": {"value": curve_views.frame(loss_curve), "stamp": stamp},
        "compare": {"interactive": facts.can_compare, "variant": filled["compare"]},
        "export": {"interactive": summary.has_adapter},
        "resume": {"visible": facts.can_resume, "variant": filled["resume"]},
        "clone": {"interactive": facts.config is not None, "variant": filled["clone"]},
        "train": {"interactive": summary.status is not None},
        "delete": {"interactive": not summary.alive},
        "clean": {"visible": facts.spare_bytes > 0},
        "name": {"value": summary.name},
        "note": {"value": summary.note},
        "published": {"value": metadata.is_published(run)},
    }
    if not facts.spare_bytes:
        props["sure"] = {"visible": False}
    return values, props


_TAIL = 12_000


def _tail(run: Run) -> str:
    """Return the end of the run's log file; nothing on a page that others reach too: it names this machine's paths."""
    if not launch.is_local():
        return ""
    try:
        with open(run.log, "rb") as file:
            file.seek(max(0, run.log.stat().st_size - _TAIL))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
