"""Votes become training: what the judgements on a run say, and a run that learns from them; under the blind vote."""

from typing import Any

import gradio as gr

from studio import runs
from studio.runs import metadata
from studio.ui import ballot_views as views
from studio.ui.page import components, view
from studio.ui.tabs.compare import CompareTab
from studio.ui.words import Words


class PreferenceCard:
    """Counts the judgements on the run that the head of the tab names, and starts a run on them."""

    def __init__(self, words: Words):
        self.language = words.language
        with gr.Column(elem_classes="card", elem_id="preference-card") as self.column:
            with gr.Row(elem_classes="card-head"):
                words.heading("ui.prefer.title")
                self.count = words.button("ui.prefer.count", size="sm", min_width=150, elem_id="count-votes")
            words.paragraph("ui.prefer.about")
            self.counted = gr.HTML(elem_id="votes-counted")
            self.of_run = gr.State(None)
            """The run whose judgements were counted."""
            self.start = words.button("ui.prefer.start", variant="primary", visible=False, elem_id="train-on-votes")
        self.outputs = components(self)

    def connect(self, head: CompareTab) -> None:
        """Connect the buttons to the run that is chosen."""
        language = self.language

        def count_votes(run_id: str | None) -> dict[Any, Any]:
            from studio.data import prepare
            from studio.reports import vote_rows
            from studio.train import preference_plan

            judged = vote_rows.collect(runs.find(run_id or ""))
            if not judged.verdicts:
                words = views.judged(judged.summary, [], [], language)
                return {self.counted: words, self.start: _visible(False), self.of_run: run_id}
            config, count = vote_rows.settings(runs.find(run_id or ""), judged)
            report = prepare.inspect(config)
            chosen = preference_plan.choices(config, count)
            words = views.judged(judged.summary, report.problems, chosen, language)
            return {self.counted: words, self.start: _visible(not report.blocks), self.of_run: run_id}

        def train_on_votes(run_id: str | None) -> dict[Any, Any]:
            from studio import gpu
            from studio.reports import vote_rows

            run = runs.find(run_id or "")
            config, _ = vote_rows.settings(run, vote_rows.collect(run))
            busy = bool(runs.alive_runs())
            started = gpu.thread().start_run(config, wait=busy)
            words = views.started(metadata.name_of(started), started.id, waits=busy, language=language)
            return {self.counted: words, self.start: _visible(False), self.of_run: run_id}

        @view(self.of_run)
        def clear(run_id: str | None, of_run: str | None) -> Any:
            return gr.skip() if run_id == of_run else {self.counted: "", self.start: _visible(False)}

        self.count.click(count_votes, head.run, self.outputs)
        self.start.click(train_on_votes, head.run, self.outputs)
        head.run.change(clear, [head.run, self.of_run], self.outputs)


def _visible(visible: bool) -> Any:
    return gr.update(visible=visible)
