"""Ending the followed run, on the Train tab: Stop asks whether what it has learned is kept, and Discard asks once."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from studio import runs
from studio.errors import RunError
from studio.i18n import message
from studio.runs import Action, checkpoints
from studio.ui.following import Following, follow
from studio.ui.views import paragraph
from studio.ui.words import Words


class StoppingCard:
    """The Stop button, and the question that it opens."""

    def __init__(self, words: Words):
        """Build the button; `build_question` builds the rest below it."""
        self.language = words.language
        self.stop = words.button("ui.train.stop", visible=False, min_width=96)

    def build_question(self, words: Words) -> None:
        """Build the question with its answers, not yet visible."""
        with gr.Row(visible=False, elem_id="ending", elem_classes="jumps") as self.row:
            self.question = gr.HTML()
            self.keep = words.button("ui.train.ending.keep", size="sm")
            self.discard = words.button("ui.train.ending.discard", size="sm")
            self.sure = words.button("ui.train.ending.sure", variant="stop", size="sm")
            self.back = words.button("ui.train.ending.back", size="sm")
        self.about = gr.State(None)  # the id of the run that the question is about

    @property
    def outputs(self) -> list[Any]:
        """What changes with the state of the run."""
        return [self.stop, self.row, self.question, self.keep, self.discard, self.sure]

    def render(self, following: Following) -> dict[Any, Any]:
        """Return what shows the button, and takes the question away once it is answered or the run is over."""
        is_open = following.alive and following.stopping is None
        button = gr.update(visible=following.alive, interactive=is_open)
        return {self.stop: button, **({} if is_open else {self.row: gr.update(visible=False)})}

    def connect(self, followed: list[Any], show_run: Callable[..., dict[Any, Any]], run_outputs: list[Any]) -> None:
        """Connect the buttons; `followed` are the inputs of `show_run`, whose outputs are `run_outputs`."""

        def ask(*, discards: bool) -> Callable[[Following], dict[Any, Any]]:
            def question(following: Following) -> dict[Any, Any]:
                words = message("ui.train.ending.discards" if discards else "ui.train.ending.asks")
                return {
                    self.about: following.run_id,
                    self.row: gr.update(visible=True),
                    self.question: paragraph(words, self.language),
                    self.keep: gr.update(visible=not discards),
                    self.discard: gr.update(visible=not discards),
                    self.sure: gr.update(visible=discards),
                }

            return question

        def answer(action: Action) -> Callable[..., dict[Any, Any]]:
            handler = request(action, self.language, show_run)

            def answered(about: str | None, following: Following, *looks: Any) -> dict[Any, Any]:
                if about != following.run_id:  # the next run of the queue has come meanwhile
                    return {self.row: gr.update(visible=False)}
                return handler(following, *looks)

            return answered

        questions = [self.about, self.row, self.question, self.keep, self.discard, self.sure]
        self.stop.click(ask(discards=False), followed[0], questions)
        self.discard.click(ask(discards=True), followed[0], questions)
        self.back.click(lambda: gr.update(visible=False), None, self.row)
        self.keep.click(answer("stop"), [self.about, *followed], run_outputs)
        self.sure.click(answer("cancel"), [self.about, *followed], run_outputs)


def request(action: Action, language: str, show_run: Callable[..., dict[Any, Any]]) -> Callable[..., dict[Any, Any]]:
    """Return the handler that asks `action` of the followed run."""

    def handler(following: Following, *looks: Any) -> dict[Any, Any]:
        if not following.alive or following.run_id is None:
            raise RunError("ui.nothing_to_stop")
        runs.find(following.run_id).request(action)
        return show_run(follow(following.run_id), *looks)

    return handler


def what_is_kept(following: Following) -> str | None:
    """Return what is left of a run that was stopped: `adapter`, `checkpoint` or `nothing`; None for any other run."""
    if following.run_id is None or following.status is None or following.status.state is not runs.State.STOPPED:
        return None
    if following.has_result:
        return "adapter"
    return "checkpoint" if checkpoints.all_of(runs.folder() / following.run_id) else "nothing"
