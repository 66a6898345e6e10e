"""The meter's card, on the Scores tab: how much of the style the adapter has, and whether a prompt would do.

The measurement belongs to the run: it goes on when the page is reloaded, and every page shows how it stands.
"""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from studio import runs
from studio.errors import CompareError, StudioError
from studio.journal import Journal
from studio.style import style_store, votes
from studio.style.report import StyleReport
from studio.style.request import StyleProgress, StyleRequest
from studio.ui import jobs, polling, style_views
from studio.ui.failures import box
from studio.ui.page import components, view
from studio.ui.tabs.compare import CompareTab
from studio.ui.tabs.compare_events import after, column_at, settings_of
from studio.ui.words import Words

KIND = "style"
_COPY = (
    "() => { navigator.clipboard.writeText(document.querySelector('#style-prompt')?.textContent ?? ''); return []; }"
)


class StyleCard:
    """Measures the style of the adapter that the head of the tab names."""

    def __init__(self, words: Words):
        self.language = words.language
        with gr.Column(elem_classes="card", elem_id="style-card"):
            words.heading("ui.style.title")
            words.paragraph("ui.style.about")
            with gr.Row(elem_classes="ask"):
                self.curve = words.make(gr.Checkbox, label="ui.style.curve", value=False, scale=2)
                self.go = words.button("ui.style.go", variant="primary", min_width=160, elem_id="style-go")
                self.stop = words.button("ui.score.stop", interactive=False, min_width=90, scale=0)
            self.progress = gr.HTML(elem_id="style-progress")
            self.report = words.empty("ui.style.empty", elem_id="style")
            with gr.Row(elem_classes="jumps"):
                self.use = gr.Button(visible=False, size="sm", min_width=160)
                self.copy = words.button("ui.style.copy", visible=False, size="sm", min_width=160)
        self.report_state = gr.State(None)
        self.outputs = components(self)

    def render(self, run_id: str | None, checkpoint: str | None, strength: float | None) -> dict[Any, Any]:
        """Return what shows the newest report of a column of a run, and whether the run is measured now."""
        return {**self._show(run_id, checkpoint, strength), **self._buttons(run_id), self.progress: ""}

    def _show(self, run_id: str | None, checkpoint: str | None, strength: float | None) -> dict[Any, Any]:
        run, column = runs.try_find(run_id), column_at(checkpoint, strength)
        report = style_store.measured_at(run, column) if run else None
        if run and report:
            report = votes.with_current_votes(run, report)
            report_html = style_views.report(report, self.language, votes.describe(run, report))
        elif run and (others := style_store.all_of(run)):
            report_html = style_views.not_measured(column, others, self.language)
        else:
            report_html = style_views.report(None, self.language)
        use = style_views.use(report, self.language)
        a_prompt_does = bool(report and report.verdict and report.verdict.winner == "prompt")
        return {
            self.report: report_html,
            self.use: gr.update(visible=bool(use), value=use),
            self.copy: gr.update(visible=a_prompt_does),
            self.report_state: report,
        }

    def _buttons(self, run_id: str | None) -> dict[Any, Any]:
        busy = run_id is not None and jobs.busy(run_id, KIND)
        return {
            self.go: gr.update(interactive=run_id is not None and not busy),
            self.stop: gr.update(interactive=busy),
        }

    def connect_strength(self, slider: gr.Slider) -> None:
        """Let the button that uses the recommended strength set a slider in percent."""

        def use(report: StyleReport | None) -> Any:
            return 100 * report.curve.recommended if report and report.curve else gr.skip()

        self.use.click(use, self.report_state, slider)

    def connect(self, head: CompareTab) -> polling.Watch:
        """Connect the events; returns how to look for what other pages have measured."""
        language = self.language

        def measure(curve: bool, *settings: Any) -> Iterator[dict[Any, Any]]:
            from studio import gpu

            run_id, checkpoint, strength, *numbers = settings
            column = after(run_id, checkpoint, strength)
            if jobs.busy(run_id, KIND):
                raise CompareError("ui.measuring")
            request = StyleRequest(run_id, (column,), generation=settings_of(run_id, numbers), curve=curve)
            job = jobs.keep(run_id, KIND, gpu.thread().style(request))
            yield {self.progress: style_views.progress(StyleProgress(0, 0), language), **self._buttons(run_id)}
            try:
                for so_far in job.updates():
                    yield {self.progress: style_views.progress(so_far, language)}
            except StudioError as error:
                yield {**self._buttons(run_id), self.progress: box(error.message, language)}
                return
            yield self.render(run_id, checkpoint, strength)

        def find(request: gr.Request, run_id: str | None, *at: Any) -> str:
            return f"{run_id} {at} {_stamp(run_id)} {bool(run_id) and jobs.busy(run_id, KIND)}"

        @view(self.report_state)
        def show(run_id: str | None, checkpoint: str | None, strength: float | None) -> Any:
            return {**self._buttons(run_id), **self._show(run_id, checkpoint, strength)}

        measured = self.go.click(measure, [self.curve, *head.settings], self.outputs)
        self.stop.click(jobs.stopper(KIND), head.run, None, concurrency_limit=None)
        self.connect_strength(head.strength)
        self.copy.click(None, None, None, js=_COPY)
        at = [head.run, head.checkpoint, head.strength]
        head.run.change(self.render, at, self.outputs, cancels=[measured])
        gr.on([head.checkpoint.change, head.strength.change], show, at, self.outputs)
        return polling.Watch(find, at, show, at, self.outputs)


def _stamp(run_id: str | None) -> Any:
    """Return what changes with every report and every vote."""
    run = runs.try_find(run_id)
    return run and (style_store.stamp(run), Journal(run.path / "compare" / "votes.jsonl").stamp)
