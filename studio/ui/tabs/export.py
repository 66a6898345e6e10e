"""The Export tab: a run, what can be made of it, how that goes on, and what lies there."""

import time
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from studio import runs
from studio.compare.columns import MAX_STRENGTH
from studio.export import inventory as exports
from studio.export.inventory import ExportEstimate, SavedExport, Stamp, estimate_export
from studio.export.request import DTYPES, FORMATS, ExportRequest, Kind, can_verify
from studio.i18n import text
from studio.model.adapter_files import WEIGHTS
from studio.runs import Run
from studio.ui import active_runs, comparable, exporting, polling, run_reader, views
from studio.ui import export_views as page
from studio.ui.exporting import ExportState
from studio.ui.following import Following
from studio.ui.frame import Frame
from studio.ui.page import components, view
from studio.ui.runs_views import RunsQuery
from studio.ui.tabs.card_comparisons import CardComparisons
from studio.ui.tabs.export_result import ExportResult, run_of
from studio.ui.words import Words

EVERY = 1.0
"""Seconds between two looks at the exports, while the tab is on the screen."""
FIRST = "adapter"
MOST_RUNS = 50


@dataclass(frozen=True)
class ExportSeen:
    """What a session has on its screen, so that a look without news sends nothing."""

    run_id: str | None
    kind: Kind
    exports: Stamp
    ids: tuple[str, ...]
    """The runs that are offered."""
    is_running: bool
    state: ExportState | None
    is_checking: bool
    """Whether the export that is shown is being checked."""
    at_work: tuple[str, ...]
    """The runs that hold the device, while an export waits for it, or nothing can be exported yet."""
    waiting: tuple[str, ...]
    """The runs that wait to train, while nothing can be exported yet."""

    @property
    def but_progress(self) -> "ExportSeen":
        """All of it but how an export goes on."""
        return replace(self, state=None, at_work=self.at_work if not self.ids else ())


def exportable() -> list[Run]:
    """Return the runs that have a result, the newest first."""
    return [run for run in runs.all_runs()[:MOST_RUNS] if run.has_adapter]


def current_state(run_id: str | None, kind: Kind) -> ExportSeen:
    """Return what there is to see of a run's exports."""
    ids = tuple(run.id for run in exportable())
    state = exporting.of(run_id)
    is_running = state is not None and not state.over
    alive = active_runs.current() if not ids or (is_running and state.phase == "waiting") else active_runs.ActiveRuns()
    stamp = exports.stamp(Run(runs.folder() / run_id)) if run_id in ids else ()
    is_checking = is_running and state.kind == kind and state.phase == "verifying"
    return ExportSeen(
        run_id, kind, stamp, ids, is_running, state, is_checking, alive.at_work, () if ids else alive.waiting
    )


def choose(run_id: str | None, wanted: str | None = None) -> str | None:
    """Return the run that is shown: the `wanted` one, else the chosen one, else the newest."""
    ids = [run.id for run in exportable()]
    return next((each for each in (wanted, run_id) if each in ids), next(iter(ids), None))


class ExportTab:
    """The tab: what is to be exported, and the card of what was."""

    def __init__(self, words: Words):
        self.language = words.language
        with gr.Column(elem_classes="card"):
            words.heading("ui.export.title")
            self.run = words.make(gr.Dropdown, label="ui.export.run", choices=[], elem_id="export-run")
            self.facts = gr.HTML(elem_id="export-facts")
        with gr.Row(elem_classes="columns"):
            with gr.Column(scale=5, min_width=320, elem_classes="card"):
                self.kind = words.make(
                    gr.Radio,
                    label="ui.export.kind",
                    choices=page.offered(),
                    value=FIRST,
                    elem_id="export-kind",
                )
            with gr.Column(scale=7, min_width=320):
                with gr.Column(elem_classes="card"):
                    self.title = gr.HTML(elem_id="export-title")
                    self.holds = gr.HTML(elem_id="export-holds")
                    with gr.Row(elem_classes="export-form"):
                        self.precision = words.make(
                            gr.Dropdown,
                            label="ui.export.precision",
                            choices={name: f"config.model.precision.options.{name}" for name in DTYPES},
                            value=DTYPES[0],
                            visible=False,
                            elem_id="export-precision",
                        )
                    self.strength = words.make(
                        gr.Slider,
                        label="ui.export.strength",
                        minimum=5,
                        maximum=round(100 * MAX_STRENGTH),
                        step=5,
                        value=100,
                        elem_id="export-strength",
                    )
                    self.comparisons = CardComparisons(words)
                    self.verify = words.make(gr.Checkbox, label="ui.export.verify", value=True, visible=False)
                    with gr.Row(elem_classes="actions"):
                        self.go = words.button("ui.export.go", variant="primary", min_width=140, elem_id="export-go")
                        self.stop = words.button("ui.export.stop", interactive=False, min_width=96)
                    self.why = gr.HTML(elem_id="export-why")
                    self.progress = gr.HTML(elem_id="export-progress")
                self.result = ExportResult(words)
        self.timer = gr.Timer(EVERY, active=False)
        self.state = gr.State(None)
        """What this session has on the screen (`ExportSeen`); None before the tab was looked at."""
        self.chosen = [self.run, self.kind, self.precision]
        self.outputs = [*components(self), *self.result.outputs]

    def _progress(self, now: ExportSeen) -> dict[Any, Any]:
        """Return what shows how an export goes on, and nothing else."""
        names = _names(now.at_work)
        return {self.state: now, self.progress: page.progress(now.state, now.kind, names, self.language)}

    def render(self, run_id: str | None, kind: Kind, wanted: str, chosen: str | None = None) -> dict[Any, Any]:
        """Return what shows a run and a kind; `wanted` is the number format that is asked for.

        The kind is the browser's, and so is the run where `chosen` is the one that it has: neither is sent back to it,
        so that an answer that comes late undoes no choice.
        """
        now, language = current_state(run_id, kind), self.language
        wanted = wanted if wanted in FORMATS.get(kind, DTYPES) else DTYPES[0]
        statuses = {run.id: runs.try_status(run) for run in exportable()}
        offered = [(views.run_choice(id, status, language), id) for id, status in statuses.items() if status]
        run = Run(runs.folder() / run_id) if run_id in now.ids else None
        exports_of_run = exports.list_exports(run) if run else []
        export = next((each for each in exports_of_run if each.kind == kind), None)
        value = run.id if run else None
        updates = {
            self.run: gr.update(choices=offered, **({} if value == chosen else {"value": value})),
            self.facts: _facts(run, language)
            if run
            else page.empty(*map(_names, (now.at_work, now.waiting)), language),
            self.kind: gr.update(choices=page.choices(exports_of_run, language)),
            self.title: f'<h2 class="heading">{page.title(kind, language)}</h2>',
            self.precision: gr.update(
                choices=page.number_formats(kind, language), value=wanted, visible=kind in FORMATS
            ),
            self.strength: gr.update(visible=kind != "script"),
            self.verify: gr.update(visible=can_verify(kind)),
            **self._progress(now),
        }
        result = self.result.render(run, export, now.is_running, now.is_checking)
        return updates | self._render_estimate(run, kind, wanted, export, now) | result

    def _render_estimate(
        self, run: Run | None, kind: Kind, wanted: str, export: SavedExport | None, now: ExportSeen
    ) -> dict[Any, Any]:
        """Return what shows an export that may be made."""
        estimate = estimate_export(run, kind, _precision(run), wanted) if run else ExportEstimate()
        ready = run is not None and not now.is_running and estimate.blocker is None
        again = export is not None and not export.is_outdated
        return {
            self.holds: page.holds(estimate, self.language),
            self.go: gr.update(
                value=text("ui.export.again" if export else "ui.export.go", self.language),
                interactive=ready,
                variant="secondary" if again else "primary",
            ),
            self.stop: gr.update(interactive=now.is_running and not (now.state and now.state.stopping)),
            self.why: page.why(now.state, kind, self.language),
        }

    def connect(self, item: gr.Tab, tabs: gr.Tabs) -> None:
        """Connect the events that stay on the tab."""

        def show_state(run_id: str | None, kind: Kind, wanted: str) -> dict[Any, Any]:
            """Show what is chosen, when the tab is opened and at each choice: of all these, the last one counts."""
            return {**self.render(choose(run_id), kind, wanted, run_id), self.timer: gr.Timer(active=True)}

        def watch(event: gr.SelectData) -> Any:
            """Look at the exports only while the tab is on the screen."""
            return gr.Timer(active=event.value == text("ui.tabs.export", self.language))

        def find_news(request: gr.Request, before: ExportSeen | None, run_id: str | None, kind: Kind) -> int | None:
            """Say that there is news, each time anew: an answer that began before it may have put its place back."""
            return time.time_ns() if current_state(run_id, kind) != before else None

        @view(self.state)  # who has chosen something else meanwhile sees that
        def show_news(before: ExportSeen | None, run_id: str | None, kind: Kind, wanted: str) -> dict[Any, Any]:
            now = current_state(run_id, kind)
            if before and now.but_progress == before.but_progress:
                return self._progress(now)
            return self.render(choose(run_id), kind, wanted, run_id)

        def make(
            run_id: str | None,
            kind: Kind,
            wanted: str,
            checked: bool,
            strength: float,
            compared: list[str],
            of: str | None,
        ) -> dict[Any, Any]:
            run = run_of(run_id)
            request = ExportRequest(
                run.id,
                kind,
                verify=checked,
                precision=wanted,  # type: ignore[arg-type]
                strength=1.0 if kind == "script" else strength / 100,
                comparisons=tuple(compared or ()) if of == run.id else None,
            )
            exporting.start(request)
            return self.render(run.id, kind, wanted, run.id)

        def stays(run_id: str | None, kind: Kind, wanted: str) -> dict[Any, Any]:
            return self.render(run_id, kind, wanted, run_id)

        def stop(run_id: str | None, kind: Kind, wanted: str) -> dict[Any, Any]:
            exporting.stop(run_of(run_id).id)
            return stays(run_id, kind, wanted)

        inputs = self.chosen
        item.select(show_state, inputs, self.outputs)
        tabs.select(watch, None, self.timer, trigger_mode="multiple")
        choices = [self.run.input, self.kind.input, self.precision.input]
        gr.on(choices, show_state, inputs, self.outputs)
        start_inputs = [*inputs, self.verify, self.strength, self.comparisons.chosen, self.comparisons.of_run]
        self.go.click(make, start_inputs, self.outputs)
        self.comparisons.connect(item, self.run, self.kind)
        self.stop.click(stop, inputs, self.outputs)
        self.result.connect(inputs, stays, self.outputs)
        known = [self.state, *self.chosen]
        polling.poll([self.timer.tick], polling.Watch(find_news, known[:3], show_news, known, self.outputs))

    def connect_others(
        self,
        frame: Frame,
        tabs: gr.Tabs,
        from_train: gr.Button,
        from_runs: gr.Button,
        saved_query: gr.BrowserState,
    ) -> None:
        """Connect the buttons of other tabs that lead here with their run; `saved_query` names that of the Runs tab."""

        def to_export(run_id: str | None, kind: Kind, wanted: str) -> dict[Any, Any]:
            updates = self.render(choose(None, run_id), kind, wanted)
            return {**updates, self.timer: gr.Timer(active=True), tabs: gr.update(selected="export")}

        def of_train(following: Following, kind: Kind, wanted: str) -> dict[Any, Any]:
            return to_export(following.run_id, kind, wanted)

        def of_runs(stored: Any, kind: Kind, wanted: str) -> dict[Any, Any]:
            return to_export(runs.find(RunsQuery.of(stored).open or "").id, kind, wanted)

        for button, handler, which in ((from_train, of_train, frame.following), (from_runs, of_runs, saved_query)):
            button.click(handler, [which, self.kind, self.precision], [*self.outputs, tabs])


def _names(run_ids: tuple[str, ...]) -> list[str]:
    return [views.run_name(run_id) for run_id in run_ids]


def _facts(run: Run, language: str) -> str:
    reader = run_reader.reader_of(run.id)
    snapshot = reader.refresh()
    config = run.config()
    best_step = reader.curve().best_step if config.train.keep != "last" else None
    weights = page.weights(best_step, snapshot.status.step if snapshot else 0, language, by=config.train.keep)
    size = (run.adapter / WEIGHTS).stat().st_size
    return page.facts(weights, comparable.names(run.id, language)[0], size, language)


def _precision(run: Run) -> str:
    choices = run_reader.refreshed(run.id).chosen()
    return next((choice.value for choice in choices if choice.name == "precision"), "")
