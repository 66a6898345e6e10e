"""The page of one run, on the Runs tab: how it stands, what it rests on, and what can be done with it."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import gradio as gr

from studio import runs
from studio.i18n import text
from studio.remote import record
from studio.reports import run_metadata
from studio.runs import Run, checkpoints, metadata, trash
from studio.runs.history import Summary
from studio.train.diagnosis import diagnose
from studio.ui import comparable, curve_views, launch, log_views, reading_views, remote_views, run_reader
from studio.ui import following as follow
from studio.ui import run_page_views as views
from studio.ui.frame import Frame
from studio.ui.page import components
from studio.ui.runs_views import RunsQuery, RunsSession, current_query, size
from studio.ui.tabs import sweeps
from studio.ui.tabs.compare import CompareTab
from studio.ui.tabs.curves import line_plot
from studio.ui.tabs.sweep_form import SweepForm
from studio.ui.words import Words

Show = Callable[..., dict[Any, Any]]
"""Of (query, kind, session, changes): returns what shows the runs that a query selects, and the changes with it."""


class StampedChart(NamedTuple):
    """A chart, which is drawn anew where its stamp is another one."""

    value: Any
    stamp: tuple[Any, ...]


class RunPage:
    """The page, in the place of the list while a run is open."""

    def __init__(self, words: Words):
        self.language = words.language
        self.back = words.button("ui.runs.back", size="sm", elem_id="runs-back")
        with gr.Column(elem_classes="card"):
            self.head = gr.HTML(elem_id="run-head")
            self.wrong = gr.HTML(elem_id="run-wrong")
            with gr.Row(elem_classes="actions"):
                self.compare = words.button("ui.runs.compare", variant="primary", min_width=130)
                self.export = words.button("ui.runs.export", min_width=110, elem_id="run-export")
                self.resume = words.button("ui.train.resume", min_width=110, elem_id="run-resume")
                self.train = words.button("ui.runs.open_train", min_width=130)
                self.clone = words.button("ui.runs.clone", min_width=150)
                self.delete = words.button("ui.runs.delete", min_width=96, elem_id="run-delete")
            self.why = gr.HTML(elem_id="run-why")
        self.sweep_form = SweepForm(words)
        with gr.Row(elem_classes="columns"):
            with gr.Column(scale=7, min_width=320):
                with gr.Column(elem_classes="card"):
                    words.heading("ui.curves.kinds.loss")
                    self.chart = line_plot(words, "run-loss", curve_views.frame([]), curve_views.COLOURS)
                    self.loss = gr.HTML(elem_id="run-sentence")
                with gr.Column(elem_classes="card"), words.fold("ui.runs.results"):
                    self.results = gr.HTML(elem_id="run-results")
                with gr.Column(elem_classes="card"), words.fold("ui.runs.settings"):
                    self.settings = gr.HTML(elem_id="run-settings")
                with words.make(gr.Accordion, label="ui.runs.choices", open=False, elem_classes="card"):
                    self.choices = gr.HTML(elem_id="run-choices")
                with words.make(gr.Accordion, label="ui.log.title", open=False, elem_classes="card"):
                    self.log = gr.HTML(elem_id="run-log")
            with gr.Column(scale=4, min_width=300):
                with gr.Column(elem_classes="card"), words.fold("ui.runs.label"):
                    self.name = words.make(gr.Textbox, label="ui.runs.name", max_lines=1, elem_id="run-name")
                    self.note = words.make(gr.Textbox, label="ui.runs.note", lines=3, max_lines=8, elem_id="run-note")
                    self.save = words.button("ui.runs.save", size="sm", elem_id="run-save")
                    self.published = words.make(gr.Checkbox, label="ui.runs.publish", elem_id="run-published")
                with gr.Column(elem_classes="card"), words.fold("ui.runs.rests_on"):
                    self.rests = gr.HTML(elem_id="run-rests")
                with gr.Column(elem_classes="card"), words.fold("ui.runs.disk"):
                    self.disk = gr.HTML(elem_id="run-disk")
                    self.spare = gr.HTML(elem_id="run-spare")
                    self.clean = words.button("ui.runs.clean", size="sm", elem_id="run-clean")
                    with gr.Row(elem_classes="told-row", visible=False) as self.sure:
                        words.paragraph("ui.runs.clean_sure")
                        self.clean_now = words.button("ui.runs.clean_now", size="sm", scale=0, min_width=96)
                        self.clean_not = words.button("ui.runs.clean_not", size="sm", scale=0, min_width=96)
        self.outputs = components(self)

    def render(self, summary: Summary) -> dict[Any, Any]:
        """Return what shows a run, of which a chart is `StampedChart`."""
        language = self.language
        run = Run(runs.folder() / summary.id)
        reader = run_reader.refreshed(run.id)
        curve = reader.curve()
        facts = run_metadata.read(run, reader.chosen())
        clip = facts.config.train.max_grad_norm if facts.config else None
        reading = reading_views.reading_html(curve, diagnose(curve, summary.status, clip), language)
        loss_curve = curve_views.series(curve, "loss")
        updates = {
            self.head: views.head(facts, language, time.time())
            + remote_views.place(record.load(run), summary.alive, language),
            self.wrong: views.wrong(facts, language),
            self.why: views.why(facts, language),
            self.loss: curve_views.legend(loss_curve, language) + reading,
            self.results: views.results(facts, language),
            self.settings: views.settings(facts, language),
            self.choices: views.choices(facts.choices, language),
            self.log: log_views.log_html(reader.lines(), language) + views.log_file(_tail(run), language),
            self.rests: views.rests_on(facts, language),
            self.disk: views.disk(facts, language),
            self.spare: views.spare(facts, language),
        }
        next_step = "compare" if facts.can_compare else "resume" if facts.can_resume else "clone"
        filled = {name: "primary" if name == next_step else "secondary" for name in ("compare", "resume", "clone")}
        updates |= {
            self.chart: StampedChart(curve_views.frame(loss_curve), (run.id, curve.ends)),
            self.compare: gr.update(interactive=facts.can_compare, variant=filled["compare"]),
            self.export: gr.update(interactive=summary.has_adapter),
            self.resume: gr.update(visible=facts.can_resume, variant=filled["resume"]),
            self.clone: gr.update(interactive=facts.config is not None, variant=filled["clone"]),
            self.train: gr.update(interactive=summary.status is not None),
            self.delete: gr.update(interactive=not summary.alive),
            self.clean: gr.update(visible=facts.spare_bytes > 0),
            self.name: gr.update(value=summary.name),
            self.note: gr.update(value=summary.note),
            self.published: gr.update(value=metadata.is_published(run)),
        }
        if not facts.spare_bytes:
            updates[self.sure] = gr.update(visible=False)
        return updates

    def connect(self, act: Callable[..., Callable[[Any], Any]], show: Show) -> None:
        """Connect the events that stay on the tab, each by the decorator that `act` makes of it (see `RunsTab`)."""

        @act(self.back.click)
        def back(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
            return show(replace(query, open=None), kind, session)

        @act(self.save.click, self.name.submit, more=[self.name, self.note])
        def label(query: RunsQuery, kind: str, session: RunsSession | None, name: str, note: str) -> Any:
            run = opened(query)
            metadata.rename(run, name or "")
            metadata.annotate(run, note or "")
            return show(query, kind, session, {self.name: metadata.name_of(run)})

        @act(self.published.input, more=[self.published])
        def publish(query: RunsQuery, kind: str, session: RunsSession | None, published: bool) -> Any:
            metadata.publish(opened(query), published)
            return show(query, kind, session)

        @act(self.delete.click)
        def delete(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
            run = opened(query)
            trash.delete(run)
            return show(replace(query, open=None), kind, replace(session or RunsSession(), deleted=run.id))

        self.clean.click(lambda: gr.update(visible=True), None, self.sure)
        self.clean_not.click(lambda: gr.update(visible=False), None, self.sure)

        @act(self.clean_now.click)
        def clean(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
            freed = checkpoints.remove_old(opened(query))
            gr.Info(text("ui.runs.cleaned", self.language, size=size(freed)), title=text("ui.runs.disk", self.language))
            return show(query, kind, session, {self.sure: gr.update(visible=False)})

    def connect_others(
        self,
        frame: Frame,
        tabs: gr.Tabs,
        query_inputs: list[Any],
        apply_sweep: gr.Button,
        looks: list[Any],
        run_outputs: list[Any],
        show_run: Callable[..., dict[Any, Any]],
        compare_tab: CompareTab,
        of_source: list[Any],
        show_source: Callable[[Any], dict[Any, Any]],
        setup: gr.Accordion,
    ) -> Any:
        """Connect the events that lead to other tabs; returns the one after which the data set is to be read again.

        `query_inputs` say which run is open, as `current_query` takes them. `apply_sweep` takes the settings of a
        sweep's best run like those of an open one. `setup` holds the recipe, which opens where settings are taken.
        """

        def to_train(stored: Any, session: RunsSession | None, *looks: Any) -> Any:
            run = opened(current_query(stored, session))
            return {**show_run(follow.follow(run.id), *looks), tabs: gr.update(selected="train")}

        def resume(stored: Any, session: RunsSession | None, *looks: Any) -> Any:
            from studio import gpu

            run = gpu.thread().resume_run(opened(current_query(stored, session)).id)
            return {**show_run(follow.follow(run.id), *looks), tabs: gr.update(selected="train")}

        def to_compare(stored: Any, session: RunsSession | None) -> Any:
            run = opened(current_query(stored, session))
            return {
                **compare_tab.nothing(),
                **compare_tab.choose(None),
                **compare_tab.generation(run.config().generation),
                **compare_tab.about(run.id, comparable.comparable()),
                **_chosen(compare_tab, run, self.language),
                tabs: gr.update(selected="compare"),
            }

        def clone(stored: Any, session: RunsSession | None) -> Any:
            query = current_query(stored, session)
            config = opened(query).config() if query.open else sweeps.winning_settings(query.sweep, self.language)
            return {
                frame.base: config,
                **frame.form.show(config),
                **show_source(config),
                setup: gr.update(open=True),
                tabs: gr.update(selected="train"),
            }

        self.train.click(to_train, [*query_inputs, *looks], [*run_outputs, tabs])
        self.resume.click(resume, [*query_inputs, *looks], [*run_outputs, tabs])
        to_outputs = dict.fromkeys([*compare_tab.of_runs, *compare_tab.of_answers, tabs])
        self.compare.click(to_compare, query_inputs, list(to_outputs))
        cloned = [frame.base, *frame.form.components, *of_source, setup, tabs]
        copies = [self.clone.click, apply_sweep.click]  # of the open run, or of the sweep in the list
        return gr.on(copies, clone, query_inputs, list(dict.fromkeys(cloned)))


def opened(query: RunsQuery) -> Run:
    """Return the open run; raises RunError when it is gone."""
    return runs.find(query.open or "")


def _chosen(tab: CompareTab, run: Run, language: str) -> dict[Any, Any]:
    """Return what makes the Compare tab's list hold a run as chosen."""
    offered = tab.choose(run.id)[tab.run]
    return {tab.run: offered | {"value": run.id}}


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
