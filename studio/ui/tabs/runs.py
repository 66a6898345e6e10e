"""The Runs tab: the list of all runs, several of them in one chart, the page of one run, and the trash."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from studio import runs
from studio.config import RunConfig
from studio.errors import ConfigError, RunError
from studio.i18n import text
from studio.reports import run_metadata
from studio.runs import Run, history, metadata, trash
from studio.runs.history import Summary
from studio.ui import overlay_views, polling, run_reader, runs_views, views
from studio.ui.curve_views import TRAIN, VALIDATION
from studio.ui.failures import warn
from studio.ui.overlay_views import LETTERS, Laid
from studio.ui.page import browser_state, components, view
from studio.ui.runs_views import MOST_CHOSEN, MOST_ROWS, RunsQuery, RunsSession, current_query, size
from studio.ui.tabs.curves import line_plot
from studio.ui.tabs.run_page import RunPage, StampedChart
from studio.ui.tabs.sweeps import SweepCard
from studio.ui.words import Words

EVERY = 2.0
"""Seconds between two looks at the runs, while the tab is on the screen."""
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


class RunsTab:
    """The tab: the list, or the page of the run that is open."""

    def __init__(self, words: Words):
        self.language = words.language
        with gr.Column(elem_id="runs-list") as self.list:
            self.sweeps = SweepCard(words, _ASK)
            with gr.Column(elem_classes="card"):
                words.heading("ui.runs.title")
                with gr.Row(elem_id="undo-row", elem_classes="told-row", visible=False) as self.undo_row:
                    self.undone = gr.HTML(elem_id="undone")
                    self.undo = words.button("ui.runs.undo", size="sm", scale=0, min_width=110, elem_id="undo")
                with gr.Row(elem_classes="filters"):
                    self.query = words.make(
                        gr.Textbox, label="ui.runs.query", max_lines=1, scale=3, min_width=220, elem_id="runs-query"
                    )
                    self.state = words.make(
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
                self.table = gr.HTML(elem_id="runs-table", js_on_load=_ASK)
                self.sentence = gr.HTML(elem_id="runs-sentence")
            with gr.Column(elem_classes=["card", "away"], elem_id="overlay-card") as self.overlay_card:
                with words.head("ui.runs.overlay_title"):
                    self.forget = words.button("ui.runs.forget", size="sm", min_width=96)
                self.kind = words.pick(
                    "ui.runs.kind",
                    {name: f"ui.series.{name}" for name in (TRAIN, VALIDATION)},
                    value=TRAIN,
                    elem_id="overlay-kind",
                )
                self.overlay = line_plot(words, "overlay", overlay_views.frame([]), overlay_views.COLOURS)
                self.legend = gr.HTML(elem_id="overlay-legend")
                self.overlay_sentence = gr.HTML(elem_id="overlay-sentence")
                words.section("ui.runs.differences")
                self.differences = gr.HTML(elem_id="differences")
            with words.make(gr.Accordion, label="ui.runs.trash", open=False, elem_classes="card", elem_id="trash-card"):
                self.trash = gr.HTML(elem_id="trash", js_on_load=_ASK)
                self.empty = words.button("ui.runs.empty_trash", size="sm", elem_id="empty-trash")
                with gr.Row(elem_classes="told-row", visible=False) as self.empty_sure:
                    self.empty_question = gr.HTML(elem_id="empty-sure")
                    self.empty_now = words.button("ui.runs.empty_now", size="sm", scale=0, min_width=140)
                    self.empty_not = words.button("ui.runs.empty_not", size="sm", scale=0, min_width=96)
        with gr.Column(elem_id="run-page", elem_classes="away") as self.page_column:
            self.page = RunPage(words)
        self.saved_query = browser_state({}, "restyle-runs")
        """What of the runs this browser shows, as `RunsQuery` reads it."""
        self.session = gr.State(None)
        """What this session has on the screen (`RunsSession`)."""
        self.timer = gr.Timer(EVERY, active=False)
        self.outputs = [*components(self), *self.sweeps.outputs, *self.page.outputs]

    def updates(self, query: RunsQuery, kind: str, session: RunsSession | None) -> dict[Any, Any]:
        """Return what has changed since the `session` was drawn (None for all of it); empty without news."""
        before = session or RunsSession()
        summaries = history.all_summaries()
        now = query.among({run.id for run in summaries})
        is_open = next((run for run in summaries if run.id == now.open), None)
        updates = self.page.render(is_open) if is_open else self._render_list(summaries, now, kind, before)
        updates[self.list] = column_visibility(is_open is None)
        updates[self.page_column] = column_visibility(is_open is not None)
        known = {part._id: _known(value) for part, value in updates.items()}
        fresh = {
            part: value.value if isinstance(value, StampedChart) else value
            for part, value in updates.items()
            if before.known.get(part._id) != known[part._id]
        }
        if now != before.query:
            fresh[self.saved_query] = vars(now)
        if fresh:
            fresh[self.session] = replace(before, known=before.known | known, query=now)
        return fresh

    def _render_list(
        self, summaries: list[Summary], query: RunsQuery, kind: str, before: RunsSession
    ) -> dict[Any, Any]:
        language = self.language
        matching = runs_views.listed(summaries, query)
        deleted = trash.deleted_runs()
        undone = next((run for run in deleted if run.id == before.deleted), None)
        updates: dict[Any, Any] = {
            self.table: runs_views.table(summaries, query, language, time.time(), before.ticked_at),
            self.sentence: runs_views.sentence(summaries, matching, language),
            self.trash: runs_views.trash(deleted, language),
            self.undone: runs_views.undo(undone.name if undone else None, language),
        }
        by_id = {run.id: run for run in summaries}
        chosen = [by_id[run_id] for run_id in query.chosen]
        updates |= {
            self.undo_row: gr.update(visible=undone is not None),
            self.overlay_card: column_visibility(len(chosen) > 1, "card"),
            self.empty: gr.update(visible=bool(deleted)),
            **({} if deleted else {self.empty_sure: gr.update(visible=False)}),
            **self.sweeps.render(query.sweep, set(by_id)),
        }
        if len(chosen) > 1:
            laid = [_laid(letter, run) for letter, run in zip(LETTERS, chosen, strict=False)]
            configs = [run.config for run in laid]
            differing = run_metadata.differing([config for config in configs if config]) if all(configs) else {}
            differing.pop("name", None)
            updates[self.legend] = overlay_views.legend(laid, kind, language)
            updates[self.overlay_sentence] = f'<p class="caption">{overlay_views.sentence(laid, kind, language)}</p>'
            updates[self.differences] = overlay_views.differences(laid, differing, language)
            stamp = (kind, tuple((run.letter, run.name, run.curve.ends) for run in laid))
            updates[self.overlay] = StampedChart(overlay_views.frame(laid, kind), stamp)
        return updates

    def connect(self, item: gr.Tab, tabs: gr.Tabs) -> None:
        """Connect the events that stay on the tab."""
        language = self.language
        looked = [self.saved_query, self.kind, self.session]

        def show(
            query: RunsQuery, kind: str, session: RunsSession | None, changes: dict[Any, Any] | None = None
        ) -> dict[Any, Any]:
            """Return what shows the runs that a query selects, with the `changes` that go with it."""
            return {self.saved_query: vars(query)} | self.updates(query, kind, session) | (changes or {})

        def act(*events: Any, more: Sequence[Any] = (), also: Sequence[Any] = (), mode: Any = "always_last") -> Any:
            """Connect a handler of (query, kind, session, values of `more`) that changes the tab, and `also` these."""

            def connected(handler: Callable[..., Any]) -> Any:
                def handled(stored: Any, kind: str, session: RunsSession | None, *rest: Any) -> Any:
                    return handler(current_query(stored, session), kind, session, *rest)

                inputs, outputs = [*looked, *more], [*self.outputs, *also]
                return gr.on(list(events), handled, inputs, outputs, trigger_mode=mode)

            return connected

        def find_news(request: gr.Request, stored: Any, kind: str, session: RunsSession | None) -> int | None:
            return time.time_ns() if self.updates(current_query(stored, session), kind, session) else None

        @view(self.session)
        def show_news(stored: Any, kind: str, session: RunsSession | None) -> Any:
            return self.updates(current_query(stored, session), kind, session) or gr.skip()

        def arrive(stored: Any, kind: str, session: RunsSession | None) -> Any:
            query = current_query(stored, session)
            changes = {self.query: query.query, self.state: query.state, self.timer: gr.Timer(active=True)}
            return show(query, kind, None, changes)

        def pressed(stored: Any, kind: str, session: RunsSession | None, event: gr.EventData) -> Any:
            data = event._data if isinstance(event._data, dict) else {}
            return in_list(stored, kind, session, str(data.get("do")), data)

        def in_list(stored: Any, kind: str, session: RunsSession | None, do: str, data: dict[str, Any]) -> Any:
            query, run_id = current_query(stored, session), str(data.get("run", ""))
            if do == "restore":
                name = metadata.name_of(trash.restore(run_id))
                gr.Info(text("ui.runs.restored", language, name=name), title=text("ui.runs.title", language))
            if do == "sort":
                query = query.sorted_by(str(data.get("sort")))
            elif do == "more":
                query = replace(query, most=query.most + MOST_ROWS)
            elif do == "open":
                query = replace(query, open=runs.find(run_id).id)
            elif do == "choose":
                session, at = session or RunsSession(), _number(data.get("at"))
                if at < session.ticked_at:  # a later one has overtaken it on the way, and told these boxes too
                    return gr.skip()
                session = replace(session, ticked_at=at)
                query = query.choosing(_ids(data.get("boxes")), _ids(data.get("ticked")))
                if len(query.chosen) > MOST_CHOSEN:
                    warn(RunError("ui.too_many", most=MOST_CHOSEN).message, language)
                    query = replace(query, chosen=query.chosen[:MOST_CHOSEN])
            return show(query, kind, session)

        self.table.click(pressed, looked, self.outputs, trigger_mode="multiple")  # two boxes, quickly
        self.trash.click(pressed, looked, self.outputs)

        @act(self.query.change, more=[self.query])  # also what is pasted
        def search(query: RunsQuery, kind: str, session: RunsSession | None, words: str) -> Any:
            return show(replace(query, query=words or "", most=MOST_ROWS), kind, session)

        @act(self.state.input, more=[self.state])
        def narrow(query: RunsQuery, kind: str, session: RunsSession | None, state: str) -> Any:
            return show(replace(query, state=state, most=MOST_ROWS), kind, session)

        @act(self.kind.input)
        def draw(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
            return show(query, kind, session)

        @act(self.forget.click)
        def forget(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
            return show(replace(query, chosen=()), kind, session)

        @act(self.undo.click)
        def undo(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
            if session and session.deleted:
                trash.restore(session.deleted)
                query = replace(query, open=session.deleted)  # its page was shown
            return show(query, kind, replace(session or RunsSession(), deleted=None))

        @act(self.empty.click)
        def ask_empty(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
            deleted = trash.deleted_runs()
            words = text(
                "ui.runs.empty_sure", language, count=len(deleted), size=size(sum(run.bytes for run in deleted))
            )
            return {self.empty_sure: gr.update(visible=True), self.empty_question: f"<p>{words}</p>"}

        @act(self.empty_now.click)
        def empty(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
            trash.empty()
            return show(query, kind, session, {self.empty_sure: gr.update(visible=False)})

        self.empty_not.click(lambda: gr.update(visible=False), None, self.empty_sure)
        self.page.connect(act, show)
        self.page.sweep_form.connect(act, show, self.sweeps.card)
        self.sweeps.connect(act, show)
        self.sweeps.table.click(pressed, looked, self.outputs)

        def watch(event: gr.SelectData) -> Any:
            """Look at the runs only while the tab is on the screen."""
            return gr.Timer(active=event.value == text("ui.tabs.runs", language))

        item.select(arrive, looked, self.outputs)
        tabs.select(watch, None, self.timer, trigger_mode="multiple")
        polling.poll([self.timer.tick], polling.Watch(find_news, looked, show_news, looked, self.outputs))


def column_visibility(visible: bool, *classes: str) -> dict[str, Any]:
    """Return what shows or hides a column by its classes. It stays in the page: a chart that is taken out while it is
    being drawn fails in the browser.
    """
    return gr.update(elem_classes=[*classes] if visible else [*classes, "away"])


def _known(value: Any) -> Any:
    """Return what a component's value or update is compared by."""
    return value.stamp if isinstance(value, StampedChart) else hash(value) if isinstance(value, str) else repr(value)


def _laid(letter: str, summary: Summary) -> Laid:
    run = Run(runs.folder() / summary.id)
    config: RunConfig | None = None
    with contextlib.suppress(OSError, ConfigError, UnicodeDecodeError):  # damaged: its curve may still be there
        config = run.started_config()
    name = f"{summary.name} · {views.day_and_time(summary.created)}"
    return Laid(letter, name, run_reader.refreshed(run.id).curve(), config)


def _ids(value: Any) -> list[str]:
    """Return the ids that a browser has sent, whatever it has sent."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _number(value: Any) -> float:
    """Return the number that a browser has sent, whatever it has sent."""
    return float(value) if isinstance(value, int | float) else 0.0
