"""The scoreboard of a run: base against adapter over held-out rows; it can be stopped and gone on with.

It belongs to the run and not to a session: it goes on when the page is reloaded, and every page shows how it stands.
"""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from studio import runs
from studio.compare.columns import Column, EvaluationRequest
from studio.errors import CompareError
from studio.evaluate import evaluation_store
from studio.evaluate.evaluation_store import Evaluation
from studio.ui import jobs
from studio.ui import scoreboard_views as views
from studio.ui.page import components
from studio.ui.scoreboard_views import Order
from studio.ui.tabs.compare import CompareTab
from studio.ui.tabs.compare_events import after, settings_of
from studio.ui.words import Words

KIND = "evaluate"

Stamp = tuple[Column, evaluation_store.Stamp | None]
"""A column, and how the newest evaluation of its run stands on disk."""


class ScoreTab:
    """The tab's components."""

    def __init__(self, words: Words):
        self.language = words.language
        with gr.Column(elem_classes="card"):
            words.paragraph("ui.score.about")
            with gr.Row(elem_classes="ask"):
                self.limit = words.make(
                    gr.Number,
                    label="ui.score.limit",
                    value=None,
                    precision=0,
                    minimum=0,
                    scale=2,
                    min_width=220,
                    elem_id="score-limit",
                )
                self.go = words.button("ui.score.go", min_width=160, scale=1, elem_id="measure")
                self.stop = words.button(
                    "ui.score.stop", interactive=False, min_width=90, scale=0, elem_id="measure-stop"
                )
            self.progress = words.empty("ui.score.empty", elem_id="score-progress")
        with gr.Column(elem_classes="card"):
            words.heading("ui.score.title")
            self.sentence = gr.HTML(elem_id="score-sentence")
            self.measures = words.empty("ui.score.later", elem_id="measures")
            self.forgetting_title = words.section("ui.score.forgetting", visible=False)
            self.forgetting = gr.HTML(elem_id="forgetting")
        with gr.Column(elem_classes="card"):
            words.heading("ui.score.rows")
            self.order = words.pick(
                "ui.score.order",
                {order: f"ui.score.orders.{order}" for order in views.ORDERS},
                value=views.ORDERS[0],
                elem_id="score-order",
            )
            self.unit = gr.HTML(elem_id="score-unit")
            self.rows = words.empty("ui.score.no_rows", elem_id="score-rows")
        self.evaluation = gr.State(None)
        """The evaluation whose answers are voted on and read; None before the first."""
        self.stamp = gr.State(None)
        """Of which column the newest evaluation is shown, and how that stood on disk; None before the first."""
        self.outputs = components(self)

    def render(self, evaluation: Evaluation | None, order: Order, is_running: bool) -> dict[Any, Any]:
        """Return what shows an evaluation in an order and a language; nothing is measured."""
        language, board = self.language, evaluation.board if evaluation else None
        forgetting = evaluation.forgetting if evaluation else None
        words = f'<p class="told">{views.sentence(board, language)}</p>'
        return {
            self.progress: views.progress(evaluation, language, is_running),
            self.sentence: words + views.measured_at(evaluation, language),
            self.measures: views.measures(board, language) or views.empty("ui.score.later", language),
            self.forgetting_title: gr.update(visible=forgetting is not None),
            self.forgetting: f"<p>{views.sentence(forgetting, language)}</p>{views.measures(forgetting, language)}"
            if forgetting
            else "",
            self.unit: f'<p class="hint">{views.unit(evaluation, language)}</p>',
            self.rows: views.rows(evaluation, order, language),
        }

    def stands(self, run_id: str | None, column: Column, evaluation: Evaluation | None, order: Order) -> dict[Any, Any]:
        """Return how the newest evaluation of a column stands on disk; `evaluation` is what this session knows.

        While another one goes on, the measures and the rows stay those of `evaluation`, if it is of this column: its
        answers may be voted on. Nothing is shown of other columns, but that there is something.
        """
        now, column_stamp, others = _on_disk(run_id, column)
        is_running = now is not None and now.running
        known = (
            now if not is_running else evaluation if evaluation is not None and evaluation.column == column else None
        )
        return {
            **self.render(known or now, order, is_running),
            self.progress: views.progress(now, self.language, is_running)
            if now
            else views.others(column, others, self.language),
            self.evaluation: known,
            self.stamp: column_stamp,
            **self.buttons(run_id, is_running),
        }

    def buttons(self, run_id: str | None, is_running: bool) -> dict[Any, Any]:
        """Return which buttons can be pressed; one that another process works on is not stopped from here."""
        mine = run_id is not None and jobs.busy(run_id, KIND)
        return {
            self.go: gr.update(interactive=run_id is not None and not is_running and not mine),
            self.stop: gr.update(interactive=mine),
        }

    def connect(self, head: CompareTab) -> Any:
        """Connect the tab's events; returns the one after which there are other answers."""
        language = self.language

        def measure(request: gr.Request, order: Order, limit: float | None, *settings: Any) -> Iterator[dict[Any, Any]]:
            from studio import gpu

            run_id, checkpoint, strength, *numbers = settings
            column = after(run_id, checkpoint, strength)
            if jobs.busy(run_id, KIND):
                raise CompareError("ui.measuring")
            evaluation_request = EvaluationRequest(
                run_id, limit=int(limit) if limit else None, column=column, generation=settings_of(run_id, numbers)
            )
            job = jobs.keep(run_id, KIND, gpu.thread().evaluate(evaluation_request))
            jobs.keep(request, _streaming(run_id), job)
            yield {**self.render(None, order, is_running=True), **self.buttons(run_id, is_running=True)}
            try:
                for update in job.updates():
                    yield {
                        self.progress: views.progress(update, language, is_running=True),
                        self.rows: views.rows(update, order, language),
                    }
            finally:  # also when the page was closed: the job goes on, and other pages show it
                jobs.forget(request, _streaming(run_id))

        def sort(order: Order, evaluation: Evaluation | None) -> str:
            return views.rows(evaluation, order, language)

        measured = self.go.click(measure, [self.order, self.limit, *head.settings], self.outputs)
        self.stop.click(jobs.stopper(KIND), head.run, None, concurrency_limit=None)
        self.order.input(sort, [self.order, self.evaluation], self.rows)
        return measured


def stamp(run_id: str | None, column: Column, known: Stamp | None, request: gr.Request) -> Stamp | None:
    """Return how the newest evaluation stands; as it is `known` while it streams into this session anyway."""
    if run_id is None or jobs.busy(request, _streaming(run_id)):
        return known
    run = runs.try_find(run_id)
    return (column, evaluation_store.stamp(run)) if run else known


def _on_disk(run_id: str | None, column: Column) -> tuple[Evaluation | None, Stamp | None, list[Column]]:
    run = runs.try_find(run_id)
    if run is None:
        return None, None, []
    column_stamp = column, evaluation_store.stamp(run)  # first: what comes in between is news the next time
    now = evaluation_store.newest(run, column)
    return now, column_stamp, [] if now else evaluation_store.measured_columns(run)


def _streaming(run_id: str) -> str:
    return f"{KIND} {run_id}"
