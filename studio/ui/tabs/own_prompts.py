"""Prompts of the user's own, pasted or from a file, answered by all columns at once and shown as a table.

A batch belongs to the run, which keeps it: it goes on when the page is reloaded, and every page shows how it stands.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from studio import runs
from studio.compare import comparison_history
from studio.compare.columns import CompareRequest
from studio.compare.comparison import Comparison
from studio.compare.comparison_history import SavedComparison
from studio.errors import CompareError, StudioError
from studio.generation import held_out
from studio.i18n import message
from studio.ui import comparable, compare_views, examples, jobs, polling
from studio.ui import own_prompts_views as views
from studio.ui.failures import box
from studio.ui.page import components, view
from studio.ui.tabs.compare import CompareTab
from studio.ui.tabs.compare_events import read_request
from studio.ui.views import paragraph
from studio.ui.words import Words

KIND = "prompts"
FILE_TYPES = [".txt", ".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xlsx"]
_UNLESS_WRITTEN = "(kept, written) => [written?.trim() || !kept ? undefined : kept]"
"""Decides in the browser, which knows what has been typed by now."""


class OwnPrompts:
    """Compares the columns of the tab on a list of prompts."""

    def __init__(self, words: Words):
        self.language = words.language
        with gr.Column(elem_classes="card"), gr.Row(elem_classes="ask"):
            self.prompts = words.make(
                gr.Textbox,
                label="ui.own_prompts.label",
                info="ui.own_prompts.help",
                placeholder="ui.own_prompts.hint",
                lines=5,
                max_lines=5,
                scale=5,
                min_width=280,
                elem_id="own-prompts",
            )
            with gr.Row(elem_classes="going"):
                self.go = words.button("ui.own_prompts.go", variant="primary", interactive=False, min_width=140)
                self.stop = words.button("ui.compare.stop", interactive=False, min_width=72)
                self.file = words.make(
                    gr.UploadButton,
                    label="ui.own_prompts.file",
                    file_types=FILE_TYPES,
                    min_width=120,
                    elem_id="own-prompts-file",
                )
        with gr.Column(elem_classes="card"):
            self.progress = gr.HTML(elem_id="own-prompts-progress")
            self.note = gr.HTML(elem_id="own-prompts-note")
            self.saved = words.make(gr.Dropdown, label="ui.own_prompts.saved", choices=[], visible=False)
            self.table = words.empty("ui.own_prompts.empty", elem_id="own-prompts-table")
            self.proof = gr.HTML(elem_id="own-prompts-proof")
        self.batch = gr.State(None)
        """The id of the batch in the table."""
        self.kept_prompts = gr.Textbox(visible=False)
        """The prompts of the run's newest batch, one a line: what an empty list is filled with."""
        self.outputs = components(self)

    def render(self, run_id: str | None, chosen: str | None = None) -> dict[Any, Any]:
        """Return what shows a run's chosen batch, or else its newest one, and whether one is answered now."""
        batches = _batches(run_id)
        batch = next((each for each in batches if each.id == chosen), next(iter(batches), None))
        choices = [(views.saved_choice(each, self.language), each.id) for each in batches]
        return {
            self.saved: gr.update(choices=choices, value=batch and batch.id, visible=len(batches) > 1),
            **self._show(batch.comparison if batch else None, run_id),
            **self._buttons(run_id),
            self.progress: "",
            self.note: "",
            self.batch: batch and batch.id,
        }

    def _show(self, comparison: Comparison | None, run_id: str | None) -> dict[Any, Any]:
        is_over = comparison is not None and comparison.proof is not None
        return {
            self.table: views.table(comparison, *comparable.names(run_id, self.language), self.language),
            self.proof: compare_views.badge(comparison, self.language) if is_over else "",
        }

    def _buttons(self, run_id: str | None) -> dict[Any, Any]:
        busy = run_id is not None and jobs.busy(run_id, KIND)
        return {
            self.go: gr.update(interactive=run_id is not None and not busy),
            self.stop: gr.update(interactive=busy),
        }

    def connect(self, tab: CompareTab) -> tuple[Any, polling.Watch]:
        """Connect the events; returns the one that streams answers, and how to look for what other pages do."""
        language = self.language

        def compare_all(written: str, *values: Any) -> Iterator[dict[Any, Any]]:
            from studio import gpu

            run_id = values[0]
            try:
                prompts, repeated = views.from_text(written)
                run_id, settings, columns = read_request(values, len(tab.settings))
                for column in columns:
                    for prompt in prompts:
                        examples.require_unasked(column.shots, prompt)
                if jobs.busy(run_id, KIND):
                    raise CompareError("ui.prompts_running")
                request = CompareRequest(run_id, tuple(prompts), settings, columns)
                job = jobs.keep(run_id, KIND, gpu.thread().compare(request, batch=True))
                yield {self.progress: views.progress(None, language, True), self.note: "", **self._buttons(run_id)}
                for comparison in job.updates():
                    progress = views.progress(comparison, language, True)
                    yield {self.progress: progress, **self._show(comparison, run_id)}
            except StudioError as error:
                yield {**self._buttons(run_id), self.progress: "", self.note: box(error.message, language)}
                return
            left_out = paragraph(message("ui.own_prompts.repeated", count=repeated), language, "hint")
            yield {**self.render(run_id), self.note: left_out if repeated else ""}

        def read(path: str) -> dict[Any, Any]:
            try:
                prompts, left_out = held_out.read_prompts(Path(path))
            except StudioError as error:
                return {self.note: box(error.message, language)}
            read = message("ui.own_prompts.read", count=len(prompts), name=Path(path).name)
            dropped = paragraph(message("compare.note.left_out", count=left_out), language, "hint") if left_out else ""
            return {self.prompts: views.to_text(prompts), self.note: paragraph(read, language, "hint") + dropped}

        def open_batches(run_id: str | None) -> dict[Any, Any]:
            newest = next(iter(_batches(run_id)), None)
            return {**self.render(run_id), self.kept_prompts: _text(newest) if newest else ""}

        def reopen_batch(run_id: str | None, chosen: str | None) -> dict[Any, Any]:
            batch = next((each for each in _batches(run_id) if each.id == chosen), None)
            return {**self.render(run_id, chosen), self.prompts: _text(batch) if batch else gr.skip()}

        def find(run_id: str | None) -> str:
            return f"{run_id} {_stamp(run_id)} {bool(run_id) and jobs.busy(run_id, KIND)}"

        @view(self.batch)
        def show(run_id: str | None, chosen: str | None) -> Any:
            running = views.progress(None, language, bool(run_id) and jobs.busy(run_id, KIND))
            updates = {**self.render(run_id, chosen), self.progress: running}
            del updates[self.note]  # what was said of this page's own list stays
            return updates

        inputs = [self.prompts, *tab.settings, *tab.columns]
        event = self.go.click(compare_all, inputs, self.outputs)
        self.stop.click(jobs.stopper(KIND), tab.run, None, concurrency_limit=None)
        self.file.upload(read, self.file, [self.prompts, self.note])
        self.saved.input(reopen_batch, [tab.run, self.saved], self.outputs)
        tab.run.change(open_batches, tab.run, self.outputs, cancels=[event]).then(
            None, [self.kept_prompts, self.prompts], self.prompts, js=_UNLESS_WRITTEN
        )
        return event, polling.Watch(
            lambda request, run_id: find(run_id), [tab.run], show, [tab.run, self.batch], self.outputs
        )


def _batches(run_id: str | None) -> list[SavedComparison]:
    run = runs.try_find(run_id)
    return comparison_history.load_all(run, batch=True) if run else []


def _stamp(run_id: str | None) -> Any:
    run = runs.try_find(run_id)
    return run and comparison_history.batch_stamp(run)


def _text(batch: SavedComparison) -> str:
    return views.to_text(batch.comparison.request.prompts)
