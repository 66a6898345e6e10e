"""Ending the followed run, on the Train tab: Stop asks whether what it has learned is kept, and Discard asks once."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from studio import runs
from studio.errors import RunError
from studio.i18n import message
from studio.runs import Action, checkpoints
from studio.ui.failures import shown
from studio.ui.following import Following, follow
from studio.ui.views import paragraph
from studio.ui.words import Words

QUIET = {"show_progress": "hidden", "api_visibility": "undocumented"}


class StoppingCard:
    """The Stop button, and the question that it opens."""

    def __init__(self, words: Words):
        """Build the button; `build_question` builds the rest below it."""
        self.language = words.language
        self.stop = words.make(gr.Button, text="ui.train.stop", visible=False, min_width=96)

    def build_question(self, words: Words) -> None:
        """Build the question with its answers, not yet visible."""
        with gr.Row(visible=False, elem_id="ending", elem_classes="jumps") as self.row:
            self.question = gr.HTML()
            self.keep = words.make(gr.Button, text="ui.train.ending.keep", variant="primary", size="sm")
            self.discard = words.make(gr.Button, text="ui.train.ending.discard", size="sm")
            self.sure = words.make(gr.Button, text="ui.train.ending.sure", variant="stop", size="sm")
            self.back = words.make(gr.Button, text="ui.train.ending.back", size="sm")

    @property
    def outputs(self) -> list[Any]:
        """What changes with the state of the run."""
        return [self.stop, self.row, self.question, self.keep, self.discard, self.sure]

    def render(self, following: Following) -> dict[Any, Any]:
        """Return what shows the button; the question goes with the run's stage that it was asked in."""
        asked = following.stopping is not None
        button = gr.update(visible=following.alive, interactive=not asked)
        return {self.stop: button, self.row: gr.update(visible=False)}

    def connect(self, followed: list[Any], show_run: Callable[..., dict[Any, Any]], run_outputs: list[Any]) -> None:
        """Connect the buttons; `followed` are the inputs of `show_run`, whose outputs are `run_outputs`."""

        def ask(*, discards: bool) -> Callable[[], dict[Any, Any]]:
            def question() -> dict[Any, Any]:
                words = message("ui.train.ending.discards" if discards else "ui.train.ending.asks")
                return {
                    self.row: gr.update(visible=True),
                    self.question: paragraph(words, self.language),
                    self.keep: gr.update(visible=not discards),
                    self.discard: gr.update(visible=not discards),
                    self.sure: gr.update(visible=discards),
                }

            return question

        questions = [self.row, self.question, self.keep, self.discard, self.sure]
        self.stop.click(ask(discards=False), None, questions, **QUIET)
        self.discard.click(ask(discards=True), None, questions, **QUIET)
        self.back.click(lambda: gr.update(visible=False), None, self.row, **QUIET)
        self.keep.click(request("stop", self.language, show_run), followed, run_outputs, **QUIET)
        self.sure.click(request("cancel", self.language, show_run), followed, run_outputs, **QUIET)


def request(action: Action, language: str, show_run: Callable[..., dict[Any, Any]]) -> Callable[..., dict[Any, Any]]:
    """Return the handler that asks `action` of the followed run."""

    @shown(language)
    def handler(following: Following, *looks: Any) -> dict[Any, Any]:
        if not following.alive or following.run_id is None:
            raise RunError("ui.nothing_to_stop")
        runs.find(following.run_id).request(action)
        return show_run(follow(following.run_id), *looks)

    return handler


def kept(following: Following) -> str | None:
    """Return what is left of a run that was stopped: `adapter`, `checkpoint` or `nothing`; None for any other run."""
    if following.run_id is None or following.status is None or following.status.state is not runs.State.STOPPED:
        return None
    if following.has_result:
        return "adapter"
    return "checkpoint" if checkpoints.all_of(runs.folder() / following.run_id) else "nothing"
