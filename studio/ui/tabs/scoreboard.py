"""The scoreboard of a run: base against adapter over held-out rows; it can be stopped and gone on with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.compare.columns import EvaluationRequest
from studio.compare.evaluate import Evaluation
from studio.ui import jobs
from studio.ui import scoreboard_views as views
from studio.ui.failures import shown
from studio.ui.frame import Frame
from studio.ui.scoreboard_views import Order
from studio.ui.tabs.compare import CompareTab
from studio.ui.tabs.compare_events import after, settings_of
from studio.ui.words import Words

KIND = "evaluate"
QUIET = {"show_progress": "hidden", "api_visibility": "undocumented"}


@dataclass(frozen=True)
class ScoreTab:
    """The tab's components."""

    limit: gr.Number
    go: gr.Button
    stop: gr.Button
    progress: gr.HTML
    sentence: gr.HTML
    measures: gr.HTML
    forgetting_title: gr.HTML
    forgetting: gr.HTML
    order: gr.Radio
    unit: gr.HTML
    rows: gr.HTML
    found: gr.State
    """The evaluation as far as this session knows it; None before the first."""

    @property
    def shown(self) -> list[Any]:
        """What shows an evaluation."""
        measures = [self.sentence, self.measures, self.forgetting_title, self.forgetting]
        return [self.progress, *measures, self.unit, self.rows, self.go, self.stop, self.found]


def build(words: Words) -> ScoreTab:
    """Build the scoreboard inside the current tab."""
    with gr.Column(elem_classes="card"):
        words.make(gr.HTML, text="ui.score.about", frame="<p>{}</p>")
        with gr.Row(elem_classes="ask"):
            limit = words.make(
                gr.Number,
                label="ui.score.limit",
                info="ui.score.limit_help",
                value=None,
                precision=0,
                minimum=1,
                scale=2,
                min_width=220,
                elem_id="score-limit",
            )
            go = words.make(gr.Button, text="ui.score.go", variant="primary", min_width=160, scale=1, elem_id="measure")
            stop = words.make(
                gr.Button, text="ui.score.stop", interactive=False, min_width=90, scale=0, elem_id="measure-stop"
            )
        progress = words.make(gr.HTML, text="ui.score.empty", frame='<p class="empty">{}</p>', elem_id="score-progress")
    with gr.Column(elem_classes="card"):
        words.heading("ui.score.title")
        sentence = gr.HTML(elem_id="score-sentence")
        measures = words.make(gr.HTML, text="ui.score.later", frame='<p class="empty">{}</p>', elem_id="measures")
        title = words.make(gr.HTML, text="ui.score.forgetting", frame='<h3 class="section">{}</h3>', visible=False)
        forgetting = gr.HTML(elem_id="forgetting")
    with gr.Column(elem_classes="card"):
        words.heading("ui.score.rows")
        order = words.make(
            gr.Radio,
            label="ui.score.order",
            show_label=False,
            container=False,
            value=views.ORDERS[0],
            choices={order: f"ui.score.orders.{order}" for order in views.ORDERS},
            elem_id="score-order",
        )
        unit = gr.HTML(elem_id="score-unit")
        rows = words.make(gr.HTML, text="ui.score.no_rows", frame='<p class="empty">{}</p>', elem_id="score-rows")
    return ScoreTab(limit, go, stop, progress, sentence, measures, title, forgetting, order, unit, rows, gr.State(None))


def said_again(tab: ScoreTab, found: Evaluation | None, order: Order, language: str, going: bool) -> dict[Any, Any]:
    """Return what shows an evaluation in an order and a language; nothing is measured."""
    board = found.board if found else None
    forgetting = found.forgetting if found else None
    return {
        tab.progress: views.progress(found, language, going),
        tab.sentence: f'<p class="told">{views.sentence(board, language)}</p>',
        tab.measures: views.measures(board, language) or views.empty("ui.score.later", language),
        tab.forgetting_title: gr.update(visible=forgetting is not None),
        tab.forgetting: _forgetting(forgetting, language),
        tab.unit: f'<p class="hint">{views.unit(found, language)}</p>',
        tab.rows: views.rows(found, order, language),
    }


def _forgetting(board: Any, language: str) -> str:
    return f"<p>{views.sentence(board, language)}</p>{views.measures(board, language)}" if board else ""


def connect(tab: ScoreTab, head: CompareTab, frame: Frame, changed: Callable[[Any], Any]) -> None:
    """Connect the tab's events; `changed` is told of every event after which there are other answers."""

    @shown
    def measure(
        language: str, request: gr.Request, order: Order, limit: float | None, *settings: Any
    ) -> Iterator[dict[Any, Any]]:
        from studio import gpu

        run_id, checkpoint, strength, *numbers = settings
        column = after(run_id, checkpoint, strength)
        asked = EvaluationRequest(
            run_id, limit=int(limit) if limit else None, column=column, generation=settings_of(run_id, numbers)
        )
        buttons = {tab.go: gr.update(interactive=False), tab.stop: gr.update(interactive=True)}
        yield {**said_again(tab, None, order, language, going=True), **buttons, tab.found: None}
        job = jobs.keep(request, KIND, gpu.thread().evaluate(asked))
        found: Evaluation | None = None
        try:
            for found in job.updates():
                yield {
                    tab.progress: views.progress(found, language, going=True),
                    tab.rows: views.rows(found, order, language),
                }
        finally:  # also when the browser tab was closed: what is answered is kept, and gone on with
            job.stop()
        yield {**said_again(tab, found, order, language, going=False), tab.found: found}

    @shown
    def sort(language: str, order: Order, found: Evaluation | None) -> str:
        return views.rows(found, order, language)

    def done(request: gr.Request) -> dict[Any, Any]:
        busy = jobs.busy(request, KIND)
        return {tab.go: gr.update(interactive=not busy), tab.stop: gr.update(interactive=busy)}

    def stop(request: gr.Request) -> None:
        jobs.stop(request, KIND)

    @shown
    def forget(language: str, request: gr.Request, order: Order) -> dict[Any, Any]:
        jobs.stop(request, KIND)
        return {**said_again(tab, None, order, language, going=False), tab.found: None}

    event = tab.go.click(
        measure,
        [frame.language, tab.order, tab.limit, *head.settings],
        tab.shown,
        concurrency_limit=None,
        **QUIET,
    )
    event.then(done, None, [tab.go, tab.stop], **QUIET)
    changed(event)
    tab.stop.click(stop, None, None, concurrency_limit=None, **QUIET)
    tab.order.input(sort, [frame.language, tab.order, tab.found], tab.rows, **QUIET)
    changed(head.run.input(forget, [frame.language, tab.order], tab.shown, **QUIET))
