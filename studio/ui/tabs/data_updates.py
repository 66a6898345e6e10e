"""What makes the Data tab show what was read, a row, and the report: updates of its components."""

from typing import Any

import gradio as gr

from studio.config import RunConfig
from studio.ui import health_views, row_views, style_views, views
from studio.ui.data_state import Checked, DataState
from studio.ui.failures import box
from studio.ui.form import MAPPING
from studio.ui.tabs.data import VALIDATION, DataTab
from studio.ui.words import merged

_OF_SHAPE = {
    "pair": ("prompt", "joiner", "joined", "completion", "system", "history"),
    "messages": ("messages", "system", "roles"),
    "text": ("text",),
}


def all_of(tab: DataTab, state: DataState, checked: Checked, language: str) -> dict[Any, Any]:
    """Return what makes the tab show everything in `language`."""
    return detected(tab, state, language) | row(tab, state, language) | report(tab, state, checked, language)


def detected(tab: DataTab, state: DataState, language: str) -> dict[Any, Any]:
    """Return what was found in the source."""
    notes = "".join(views.paragraph(message, language) for message in state.notes)
    return {tab.detected: box(state.failure, language) or notes or views.empty("ui.found.empty", language)}


def row(tab: DataTab, state: DataState, language: str) -> dict[Any, Any]:
    """Return the row that is shown, with the table and the columns around it."""
    preview = state.preview
    changes = {
        tab.row.get_model: gr.update(visible=state.model_missing),
        tab.table: row_views.table_html(state, language),
        tab.source.structure: row_views.structure_html(state, language),
        tab.row.raw: gr.update(visible=False),
        tab.row.spans: gr.update(visible=False),
    }
    if preview is not None:
        changes[tab.row.raw] = gr.update(value=row_views.raw_row(preview.row, state.columns, language), visible=True)
    if preview is not None and preview.problem is None:
        spans = row_views.answers_html(preview, language)
        line = row_views.tokens_line(preview.tokens, preview.trained, preview.ends, language)
        notes = "".join(views.paragraph(note, language, "hint") for note in preview.notes)
        return {**changes, tab.row.spans: gr.update(value=spans, visible=True), tab.row.caption: line + notes}
    if preview is not None:
        words = views.paragraph(preview.problem, language, "bad")
    else:
        key = (
            "ui.model.missing" if state.model_missing else "ui.preview.waiting" if state.columns else "ui.preview.empty"
        )
        words = box(state.preview_failure, language) or views.empty(key, language)
    return {**changes, tab.row.caption: f'<div class="placeholder">{words}</div>'}


def report(tab: DataTab, state: DataState, checked: Checked, language: str) -> dict[Any, Any]:
    """Return the report about all rows; without one, what will be there."""
    health = tab.health
    changes = {
        health.progress: "",
        health.cancel: gr.update(visible=False),
        health.report: box(checked.failure, language)
        or health_views.health_html(checked, language) + style_views.words_of_data(checked.style, language),
        health.lengths: health_views.lengths_html(checked, language),
        health.written: health_views.written_html(checked, language),
        tab.split.status: health_views.split_html(checked, language),
        tab.blocked: health_views.blocked_html(state, checked, language),
        tab.go_on: gr.update(interactive=not health_views.blocks(state, checked)),
    }
    if state.rows is None and checked.report is not None:
        changes[tab.source.structure] = row_views.structure_html(state, language, checked.report.rows)
    return changes


def progress(tab: DataTab, share: float | None, language: str) -> dict[Any, Any]:
    """Return how far the scan is; what was found before stays until it is done."""
    return {
        tab.health.progress: health_views.progress_html(share, language),
        tab.health.cancel: gr.update(visible=True),
    }


def source(tab: DataTab, config: RunConfig) -> dict[Any, Any]:
    """Return what makes the controls show the settings' source and split."""
    chosen, controls = config.data.source, tab.source
    updates: dict[Any, Any] = {controls.kind: chosen.kind, tab.split.kind: config.data.validation.kind}
    updates |= {controls.encoding: chosen.encoding, controls.sheet: chosen.sheet}
    if chosen.kind == "bundled":
        updates[controls.bundled] = chosen.name
    if chosen.kind == "hub":
        updates |= {controls.hub_id: chosen.name, controls.revision: chosen.revision or ""}
    return updates


def columns(parts: dict[str, Any], state: DataState, chosen: Any) -> dict[Any, Any]:
    """Return what puts the table's columns, and the mapping that is in use, into the mapping's controls.

    Where the table cannot be read, the columns are those that the mapping names.
    """
    names = [column.name for column in state.columns] or (chosen.columns if chosen else [])
    values = chosen.model_dump() if chosen else {"shape": "pair", "prompt": (), "joiner": "\n", "joined": "prompt"}
    roles = ", ".join(f"{name}: {role}" for name, role in (values.get("roles") or {}).items())
    updates = {
        parts[MAPPING + "shape"]: gr.update(value=values["shape"]),
        parts[MAPPING + "prompt"]: gr.update(choices=names, value=list(values["prompt"])),
        parts[MAPPING + "joiner"]: gr.update(value=values["joiner"]),
        parts[MAPPING + "joined"]: gr.update(value=values["joined"]),
        parts[MAPPING + "roles"]: gr.update(value=roles),
        parts[MAPPING + "marks"]: gr.update(value=values.get("marks", "follow")),
        parts[VALIDATION + "group"]: gr.update(choices=names),
    }
    for name in ("completion", "system", "history", "messages", "text"):
        updates[parts[MAPPING + name]] = gr.update(choices=names, value=values.get(name))
    return merged(updates, shape(parts, values["shape"]))


def shape(parts: dict[str, Any], chosen: str) -> dict[Any, Any]:
    """Return what leaves only the controls visible that the shape of a row has a use for."""
    names = dict.fromkeys(name for names in _OF_SHAPE.values() for name in names)
    return {parts[MAPPING + name]: gr.update(visible=name in _OF_SHAPE[chosen]) for name in names}
