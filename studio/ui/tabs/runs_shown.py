"""What makes the Runs tab show the runs as they are: updates of its components, and only of those that have changed."""

import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr

from studio import runs
from studio.config import RunConfig
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
from studio.ui.runs_views import Shown
from studio.ui.tabs import sweeps
from studio.ui.tabs.runs import RunsTab


@dataclass(frozen=True)
class Seen:
    """What a session has on its screen, so that a look without news sends nothing."""

    values: dict[str, Any] = field(default_factory=dict)
    deleted: str | None = None
    """The run that this session has deleted last, until that was undone."""
    ticked_at: float = 0.0
    """When the boxes were ticked that were taken last, by the page's clock in milliseconds."""
    look: Shown | None = None
    """How this session looks at the runs; None until an event has said so."""


def current_look(kept: Any, seen: Seen | None) -> Shown:
    """Return how a session looks at the runs; a new one as its browser has kept.

    What a browser sends may be older than the answer that is on its way to it.
    """
    return seen.look if seen and seen.look else Shown.of(kept)


def updates(tab: RunsTab, shown: Shown, kind: str, language: str, seen: Seen | None) -> dict[Any, Any]:
    """Return what has changed since `seen` (None for all of it); empty without news."""
    before = seen or Seen()
    found = history.all_summaries()
    now = shown.among({run.id for run in found})
    is_open = next((run for run in found if run.id == now.open), None)
    if is_open:
        values, props = _page(is_open, language)
    else:
        values, props = _list(found, now, kind, language, before)
    values |= {"open": now.open}
    props |= {"list": there(is_open is None), "page_column": there(is_open is not None)}
    fresh: dict[Any, Any] = {}
    for name, value in values.items():
        if name in tab.parts and before.values.get(name) != hash(value):
            fresh[tab.parts[name]] = value
    for name, changed in props.items():
        component = next(getattr(part, name) for part in (tab, tab.page, tab.sweeps) if hasattr(part, name))
        if before.values.get(name) != (known := _known(changed)):
            fresh[component] = gr.update(**changed)
        values[name] = known
    if now != before.look:
        fresh[tab.kept] = vars(now)
    remembered = {name: hash(value) if name in tab.parts else value for name, value in values.items()}
    if fresh:
        fresh[tab.seen] = replace(before, values=before.values | remembered, look=now)
    return fresh


def there(visible: bool, *classes: str) -> dict[str, Any]:
    """Return what shows or hides a column by its classes. It stays in the page: a chart that is taken out while it is
    being drawn fails in the browser.
    """
    return {"elem_classes": [*classes] if visible else [*classes, "away"]}


def _known(props: dict[str, Any]) -> Any:
    """Return what a component's properties are compared by; a chart by its `stamp`, which is taken out."""
    return props.pop("stamp") if "stamp" in props else repr(props)


def _list(
    found: list[Summary], shown: Shown, kind: str, language: str, before: Seen
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    kept = runs_views.listed(found, shown)
    deleted = trash.deleted_runs()
    undone = next((run for run in deleted if run.id == before.deleted), None)
    values = {
        "table": runs_views.table(found, shown, language, time.time(), before.ticked_at),
        "sentence": runs_views.sentence(found, kept, language),
        "trash": runs_views.trash(deleted, language),
        "undone": runs_views.undo(undone.name if undone else None, language),
    }
    by_id = {run.id: run for run in found}
    chosen = [by_id[run_id] for run_id in shown.chosen]
    props: dict[str, dict[str, Any]] = {
        "undo_row": {"visible": undone is not None},
        "overlay_card": there(len(chosen) > 1, "card"),
        "empty": {"visible": bool(deleted)},
    }
    if not deleted:
        props["empty_sure"] = {"visible": False}
    of_sweep = sweeps.render(shown.sweep, set(by_id), language)
    values, props = values | of_sweep[0], props | of_sweep[1]
    if len(chosen) > 1:
        laid = [_laid(letter, run) for letter, run in zip(LETTERS, chosen, strict=False)]
        configs = [run.config for run in laid]
        differing = run_metadata.differing([config for config in configs if config]) if all(configs) else {}
        differing.pop("name", None)
        values["legend"] = overlay_views.legend(laid, kind, language)
        values["overlay_told"] = f'<p class="caption">{overlay_views.sentence(laid, kind, language)}</p>'
        values["differences"] = overlay_views.differences(laid, differing, language)
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
    told = run_reader.reader_of(run.id)
    told.refresh()
    return told


def _ends(curve: Curve) -> tuple[Any, ...]:
    """Return what tells a curve from itself with more points."""
    return len(curve.steps), len(curve.evaluated_steps), *curve.losses[-1:], *curve.validation_losses[-1:]


def _page(summary: Summary, language: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    run = Run(runs.folder() / summary.id)
    told = _reader_of(run)
    curve = told.curve()
    found = run_metadata.read(run, told.chosen())
    page = run_page_views
    clip = found.config.train.max_grad_norm if found.config else None
    reading = reading_views.reading_html(curve, diagnose(curve, summary.status, clip), language)
    drawn = curve_views.series(curve, "loss")
    values = {
        "head": page.head(found, language, time.time()) + remote_views.place(record.load(run), summary.alive, language),
        "wrong": page.wrong(found, language),
        "why": page.why(found, language),
        "loss": curve_views.legend(drawn, language) + reading,
        "results": page.results(found, language),
        "settings": page.settings(found, language),
        "choices": page.choices(found.choices, language),
        "log": log_views.log_html(told.lines(), language) + page.log_file(_tail(run), language),
        "rests": page.rests_on(found, language),
        "disk": page.disk(found, language),
        "spare": page.spare(found, language),
    }
    stamp = (run.id, _ends(curve))
    next_step = "compare" if found.can_compare else "resume" if found.can_resume else "clone"
    filled = {name: "primary" if name == next_step else "secondary" for name in ("compare", "resume", "clone")}
    props: dict[str, dict[str, Any]] = {
        "chart": {"value": curve_views.frame(drawn), "stamp": stamp},
        "compare": {"interactive": found.can_compare, "variant": filled["compare"]},
        "export": {"interactive": summary.has_adapter},
        "resume": {"visible": found.can_resume, "variant": filled["resume"]},
        "clone": {"interactive": found.config is not None, "variant": filled["clone"]},
        "train": {"interactive": summary.status is not None},
        "delete": {"interactive": not summary.alive},
        "clean": {"visible": found.spare_bytes > 0},
        "name": {"value": summary.name},
        "note": {"value": summary.note},
        "published": {"value": metadata.is_published(run)},
    }
    if not found.spare_bytes:
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
