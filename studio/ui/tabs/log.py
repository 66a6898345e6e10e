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


@dataclass(frozen=True)
class Log:
    """The card's components."""

    settings: gr.State
    level: gr.Radio
    search: gr.Textbox
    lines: gr.HTML


def build(words: Words) -> Log:
    """Build the card inside the current Blocks."""
    settings = Filter()
    with gr.Column(elem_classes="card"), words.fold("ui.log.title"):
        with gr.Row(elem_id="log-head", equal_height=True):
            search = words.make(
                gr.Textbox,
                label="ui.log.search",
                placeholder="ui.log.search_hint",
                show_label=False,
                container=False,
                min_width=160,
                elem_id="log-search",
            )
            level = words.make(
                gr.Radio,
                label="ui.log.level",
                choices={level: f"ui.log.filter.{level}" for level in log_views.LEVELS},
                value=settings.level,
                show_label=False,
                container=False,
                elem_id="log-level",
                elem_classes="pick",
            )
        lines = words.make(gr.HTML, text="ui.log.empty", frame='<p class="empty">{}</p>', elem_id="log")
    return Log(gr.State(settings), level, search, lines)


def render(card: Log, following: Following, settings: Filter, language: str) -> dict[Any, Any]:
    """Return what shows the run's log."""
    reader = following.reader
    lines = reader.lines() if reader else []
    return {card.lines: log_views.log_html(lines, language, settings.level, settings.search)}


def connect(card: Log, frame: Frame) -> None:
    """Connect the search and the filter."""
    language = frame.language

    def changed(following: Following, level: str, search: str) -> dict[Any, Any]:
        wanted = Filter(level if level in log_views.LEVELS else Filter().level, search or "")
        return {card.settings: wanted, **render(card, following, wanted, language)}

    gr.on(
        [card.level.input, card.search.input],
        changed,
        [frame.following, card.level, card.search],
        [card.settings, card.lines],
    )
