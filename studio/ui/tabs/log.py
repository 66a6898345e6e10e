"""The log of the followed run, on the Train tab, with a search and a filter by level."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.ui import log_views
from studio.ui.following import Following
from studio.ui.frame import Frame
from studio.ui.words import Words


@dataclass(frozen=True)
class Filter:
    """What a session wants to see of the log."""

    level: str = "all"
    search: str = ""


class Log:
    """The card's components."""

    def __init__(self, words: Words):
        self.language = words.language
        settings = Filter()
        with gr.Column(elem_classes="card"), words.fold("ui.log.title"):
            with gr.Row(elem_id="log-head", equal_height=True):
                self.search = words.make(
                    gr.Textbox,
                    label="ui.log.search",
                    show_label=False,
                    container=False,
                    min_width=160,
                    elem_id="log-search",
                )
                self.level = words.pick(
                    "ui.log.level",
                    {level: f"ui.log.filter.{level}" for level in log_views.LEVELS},
                    value=settings.level,
                    elem_id="log-level",
                    elem_classes="pick",
                )
            self.lines = words.empty("ui.log.empty", elem_id="log")
        self.settings = gr.State(settings)

    def render(self, following: Following, settings: Filter) -> dict[Any, Any]:
        """Return what shows the run's log."""
        reader = following.reader
        lines = reader.lines() if reader else []
        return {self.lines: log_views.log_html(lines, self.language, settings.level, settings.search)}

    def connect(self, frame: Frame) -> None:
        """Connect the search and the filter."""

        def changed(following: Following, level: str, search: str) -> dict[Any, Any]:
            wanted = Filter(level if level in log_views.LEVELS else Filter().level, search or "")
            return {self.settings: wanted, **self.render(following, wanted)}

        gr.on(
            [self.level.input, self.search.input],
            changed,
            [frame.following, self.level, self.search],
            [self.settings, self.lines],
        )
