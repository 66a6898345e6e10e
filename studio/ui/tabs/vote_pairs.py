"""The card that makes pairs to vote on: several answers of the adapter to prompts of the training.

The making belongs to the run: it goes on when the page is left, and its pairs come to every page that shows the vote.
"""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from studio.errors import CompareError, StudioError
from studio.evaluate.vote_pairs import MAX_PROMPTS, MAX_SEEDS, VotePairsRequest
from studio.ui import ballot_views as views
from studio.ui import jobs
from studio.ui.tabs.compare import CompareTab
from studio.ui.tabs.compare_events import after, settings_of
from studio.ui.words import Words

KIND = "vote pairs"


class VotePairsCard:
    """How many answers to make, and how far that is."""

    def __init__(self, words: Words):
        self.language = words.language
        with gr.Column(elem_classes="card") as self.block:
            words.heading("ui.pairs.title")
            words.paragraph("ui.pairs.about")
            with gr.Row(elem_classes="ask"):
                whole = {"precision": 0, "minimum": 1, "min_width": 140, "scale": 1}
                self.prompts = words.make(
                    gr.Number, label="ui.pairs.prompts", value=20, maximum=MAX_PROMPTS, elem_id="pairs-prompts", **whole
                )
                self.seeds = words.make(
                    gr.Number, label="ui.pairs.seeds", value=4, maximum=MAX_SEEDS, elem_id="pairs-seeds", **whole
                )
                self.go = words.button("ui.pairs.go", min_width=160, scale=1, elem_id="pairs-go")
                self.stop = words.button(
                    "ui.pairs.stop", interactive=False, min_width=90, scale=0, elem_id="pairs-stop"
                )
            self.progress = gr.HTML(elem_id="pairs-progress")

    def connect(self, head: CompareTab) -> Any:
        """Connect the events; returns the one after which there are more pairs."""
        language = self.language
        outputs = [self.progress, self.go, self.stop]

        def state(progress: str, busy: bool) -> dict[Any, Any]:
            buttons = {self.go: gr.update(interactive=not busy), self.stop: gr.update(interactive=busy)}
            return {self.progress: progress, **buttons}

        def make(prompts: float | None, seeds: float | None, *settings: Any) -> Iterator[dict[Any, Any]]:
            from studio import gpu

            run_id, checkpoint, strength, *numbers = settings
            column = after(run_id, checkpoint, strength)
            if jobs.busy(run_id, KIND):
                raise CompareError("ui.making_pairs")
            sizes = {"prompts": int(prompts or 0), "seeds": int(seeds or 0)}
            request = VotePairsRequest(run_id, **sizes, column=column, generation=settings_of(run_id, numbers))
            job = jobs.keep(run_id, KIND, gpu.thread().make_pairs(request))
            yield state(views.making(None, language), busy=True)
            progress = None
            try:
                for progress in job.updates():
                    yield {self.progress: views.making(progress, language)}
            except StudioError:
                yield state("", busy=False)
                raise
            yield state(views.making(progress, language), busy=False)

        inputs = [self.prompts, self.seeds, *head.settings]
        making = self.go.click(make, inputs, outputs)
        self.stop.click(jobs.stopper(KIND), head.run, None, concurrency_limit=None)
        return making
