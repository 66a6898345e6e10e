"""The Runs tab: the list of all runs, several of them in one chart, the page of one run, and the trash."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.ui import charts, curve_views, overlay_views, runs_views
from studio.ui.curve_views import TRAIN, VALIDATION
from studio.ui.page import browser_state
from studio.ui.tabs import sweep_form, sweeps
from studio.ui.tabs.sweep_form import SweepForm
from studio.ui.tabs.sweeps import SweepCard
from studio.ui.words import Words

EVERY = 2.0
"""Seconds between two looks at the runs, while the tab is on the screen."""
CHART_HEIGHT = 280
_ASK = (
    "let last = null; const ticks = new Map();"
    " element.addEventListener('focusin', event => { last = event.target.id || null; });"
    " element.addEventListener('click', event => { const asked = event.target.closest('[data-do]');"
    " if (!asked) return; if (asked.id) last = asked.id; const given = {...asked.dataset};"
    " if (given.do === 'choose') { const boxes = [...element.querySelectorAll('input[data-do]')];"
    " given.boxes = boxes.map(box => box.dataset.run); given.at = performance.now();"
    " given.ticked = boxes.filter(box => box.checked).map(box => box.dataset.run);"
    " ticks.set(given.run, {at: given.at, checked: asked.checked}); }"
    " trigger('click', given); });"
    " new MutationObserver(() => {"
    " const at = Number(element.querySelector('table')?.dataset.at);"
    " for (const [run, tick] of ticks) if (tick.at <= at) ticks.delete(run);"
    " for (const box of element.querySelectorAll('input[data-do]'))"
    " box.checked = ticks.get(box.dataset.run)?.checked ?? box.hasAttribute('checked');"
    " if (last && document.activeElement === document.body)"
    " document.getElementById(last)?.focus({preventScroll: true}); })"
    ".observe(element, {childList: true, subtree: true, attributeFilter: ['checked', 'data-at']});"
)
"""Makes the buttons and boxes inside the HTML events of their component, and keeps the focus when it is drawn again.

A box stays as it was clicked until a table is drawn that knows of the click: one that was sent before shows it as it
was. Gradio changes the attribute of a box alone, which no longer moves one that somebody has clicked.
"""


@dataclass(frozen=True)
class Page:
    """The components of one run's page."""

    back: gr.Button
    compare: gr.Button
    export: gr.Button
    train: gr.Button
    resume: gr.Button
    clone: gr.Button
    delete: gr.Button
    chart: gr.LinePlot
    name: gr.Textbox
    note: gr.Textbox
    save: gr.Button
    published: gr.Checkbox
    clean: gr.Button
    sure: gr.Row
    clean_now: gr.Button
    clean_not: gr.Button
    sweep_form: SweepForm


@dataclass(frozen=True)
class RunsTab:
    """The tab's components."""

    saved_query: gr.BrowserState
    """What of the runs this browser shows, as `RunsQuery` reads it."""
    session: gr.State
    """What this session has on the screen (`RunsSession`)."""
    timer: gr.Timer
    list: gr.Column
    page_column: gr.Column
    query: gr.Textbox
    state: gr.Dropdown
    undo_row: gr.Row
    undo: gr.Button
    overlay_card: gr.Column
    kind: gr.Radio
    forget: gr.Button
    overlay: gr.LinePlot
    empty: gr.Button
    empty_sure: gr.Row
    empty_now: gr.Button
    empty_not: gr.Button
    sweeps: SweepCard
    parts: dict[str, gr.HTML]
    """Whatever is HTML, by name."""
    page: Page

    @property
    def outputs(self) -> list[Any]:
        """Everything that news of the runs may change."""
        page = self.page
        buttons = [page.compare, page.export, page.train, page.resume, page.delete, page.clone, page.clean]
        columns = [self.list, self.page_column, self.undo_row, self.overlay_card, self.empty_sure, page.sure]
        filters = [self.query, self.state, self.empty, self.timer]
        charts = [self.overlay, page.chart, page.name, page.note, page.published]
        return [
            self.saved_query,
            self.session,
            *columns,
            *filters,
            *charts,
            *buttons,
            *self.sweeps.outputs,
            *self.parts.values(),
        ]


def build(words: Words) -> RunsTab:
    """Build the tab inside the current Blocks."""
    parts: dict[str, gr.HTML] = {}
    with gr.Column(elem_id="runs-list") as listing:
        sweep_card = sweeps.build(words, parts, _ASK)
        with gr.Column(elem_classes="card"):
            words.heading("ui.runs.title")
            with gr.Row(elem_id="undo-row", elem_classes="told-row", visible=False) as undo_row:
                parts["undone"] = gr.HTML(elem_id="undone")
                undo = words.button("ui.runs.undo", size="sm", scale=0, min_width=110, elem_id="undo")
            with gr.Row(elem_classes="filters"):
                query = words.make(
                    gr.Textbox, label="ui.runs.query", max_lines=1, scale=3, min_width=220, elem_id="runs-query"
                )
                state = words.make(
                    gr.Dropdown,
                    label="ui.runs.state",
                    choices={
                        name: f"ui.runs.states.{name}" if name in ("all", "alive") else f"state.{name}"
                        for name in runs_views.STATES
                    },
                    value=runs_views.STATES[0],
                    scale=1,
                    min_width=160,
                    elem_id="runs-state",
                )
            parts["table"] = gr.HTML(elem_id="runs-table", js_on_load=_ASK)
            parts["sentence"] = gr.HTML(elem_id="runs-sentence")
        with gr.Column(elem_classes=["card", "away"], elem_id="overlay-card") as overlay_card:
            with gr.Row(elem_classes="card-head", equal_height=True):
                words.heading("ui.runs.overlay_title")
                with gr.Row(elem_classes="stepper"):
                    forget = words.button("ui.runs.forget", size="sm", min_width=96)
            kind = words.make(
                gr.Radio,
                label="ui.runs.kind",
                choices={name: f"ui.series.{name}" for name in (TRAIN, VALIDATION)},
                value=TRAIN,
                show_label=False,
                container=False,
                elem_id="overlay-kind",
            )
            overlay = _chart(words, "overlay", overlay_views.frame([]), overlay_views.COLOURS)
            parts["legend"] = gr.HTML(elem_id="overlay-legend")
            parts["overlay_told"] = gr.HTML(elem_id="overlay-sentence")
            words.section("ui.runs.differences")
            parts["differences"] = gr.HTML(elem_id="differences")
        with words.make(gr.Accordion, label="ui.runs.trash", open=False, elem_classes="card", elem_id="trash-card"):
            parts["trash"] = gr.HTML(elem_id="trash", js_on_load=_ASK)
            empty = words.button("ui.runs.empty_trash", size="sm", elem_id="empty-trash")
            with gr.Row(elem_classes="told-row", visible=False) as empty_sure:
                parts["empty_told"] = gr.HTML(elem_id="empty-sure")
                empty_now = words.button("ui.runs.empty_now", size="sm", scale=0, min_width=140)
                empty_not = words.button("ui.runs.empty_not", size="sm", scale=0, min_width=96)
    with gr.Column(elem_id="run-page", elem_classes="away") as page_column:
        page = _page(words, parts)
    return RunsTab(
        saved_query=browser_state({}, "restyle-runs"),
        session=gr.State(None),
        timer=gr.Timer(EVERY, active=False),
        list=listing,
        page_column=page_column,
        query=query,
        state=state,
        undo_row=undo_row,
        undo=undo,
        overlay_card=overlay_card,
        kind=kind,
        forget=forget,
        overlay=overlay,
        empty=empty,
        empty_sure=empty_sure,
        empty_now=empty_now,
        empty_not=empty_not,
        sweeps=sweep_card,
        parts=parts,
        page=page,
    )


def _chart(words: Words, name: str, frame: Any, colours: dict[str, str]) -> gr.LinePlot:
    return words.make(
        gr.LinePlot,
        label="ui.curves.kinds.loss",
        x_title="ui.loss.x",
        y_title="ui.curves.y.loss",
        show_label=False,
        value=frame,
        x=charts.STEP,
        y=charts.VALUE,
        color=charts.SERIES,
        colors_in_legend=[],  # the legend stands under the chart, in the page's language
        color_map=charts.colour_map(colours),
        height=CHART_HEIGHT,
        elem_id=name,
    )


def _page(words: Words, parts: dict[str, gr.HTML]) -> Page:
    back = words.button("ui.runs.back", size="sm", elem_id="runs-back")
    with gr.Column(elem_classes="card"):
        parts["head"] = gr.HTML(elem_id="run-head")
        parts["wrong"] = gr.HTML(elem_id="run-wrong")
        with gr.Row(elem_classes="actions"):
            compare = words.button("ui.runs.compare", variant="primary", min_width=130)
            export = words.button("ui.runs.export", min_width=110, elem_id="run-export")
            resume = words.button("ui.train.resume", min_width=110, elem_id="run-resume")
            train = words.button("ui.runs.open_train", min_width=130)
            clone = words.button("ui.runs.clone", min_width=150)
            delete = words.button("ui.runs.delete", min_width=96, elem_id="run-delete")
        parts["why"] = gr.HTML(elem_id="run-why")
    form = sweep_form.SweepForm(words)
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=7, min_width=320):
            with gr.Column(elem_classes="card"):
                words.heading("ui.curves.kinds.loss")
                chart = _chart(words, "run-loss", curve_views.frame([]), curve_views.COLOURS)
                parts["loss"] = gr.HTML(elem_id="run-sentence")
            with gr.Column(elem_classes="card"), words.fold("ui.runs.results"):
                parts["results"] = gr.HTML(elem_id="run-results")
            with gr.Column(elem_classes="card"), words.fold("ui.runs.settings"):
                parts["settings"] = gr.HTML(elem_id="run-settings")
            with words.make(gr.Accordion, label="ui.runs.choices", open=False, elem_classes="card"):
                parts["choices"] = gr.HTML(elem_id="run-choices")
            with words.make(gr.Accordion, label="ui.log.title", open=False, elem_classes="card"):
                parts["log"] = gr.HTML(elem_id="run-log")
        with gr.Column(scale=4, min_width=300):
            with gr.Column(elem_classes="card"), words.fold("ui.runs.label"):
                name = words.make(gr.Textbox, label="ui.runs.name", max_lines=1, elem_id="run-name")
                note = words.make(gr.Textbox, label="ui.runs.note", lines=3, max_lines=8, elem_id="run-note")
                save = words.button("ui.runs.save", size="sm", elem_id="run-save")
                published = words.make(gr.Checkbox, label="ui.runs.publish", elem_id="run-published")
            with gr.Column(elem_classes="card"), words.fold("ui.runs.rests_on"):
                parts["rests"] = gr.HTML(elem_id="run-rests")
            with gr.Column(elem_classes="card"), words.fold("ui.runs.disk"):
                parts["disk"] = gr.HTML(elem_id="run-disk")
                parts["spare"] = gr.HTML(elem_id="run-spare")
                clean = words.button("ui.runs.clean", size="sm", elem_id="run-clean")
                with gr.Row(elem_classes="told-row", visible=False) as sure:
                    words.paragraph("ui.runs.clean_sure")
                    clean_now = words.button("ui.runs.clean_now", size="sm", scale=0, min_width=96)
                    clean_not = words.button("ui.runs.clean_not", size="sm", scale=0, min_width=96)
    return Page(
        back,
        compare,
        export,
        train,
        resume,
        clone,
        delete,
        chart,
        name,
        note,
        save,
        published,
        clean,
        sure,
        clean_now,
        clean_not,
        form,
    )
