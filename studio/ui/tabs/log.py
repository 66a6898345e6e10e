"""The log of the followed run, on the Train tab, with a search and a filter by level."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.ui import log_views
from studio.ui.following import Following
from studio.ui.frame import Frame
from studio.ui.words import Words

QUIET = {"show_progress": "hidden", "api_visibility": "undocumented", "concurrency_limit": None}


@dataclass(frozen=True)
class Look:
    """What a session wants to see of the log."""

    level: str = "all"
    search: str = ""


@dataclass(frozen=True)
class Log:
    """The card's components."""

    look: gr.State
    level: gr.Radio
    search: gr.Textbox
    lines: gr.HTML


def build(words: Words) -> Log:
    """Build the card inside the current Blocks."""
    look = Look()
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
                value=look.level,
                show_label=False,
                container=False,
                elem_id="log-level",
                elem_classes="pick",
            )
        lines = words.make(gr.HTML, text="ui.log.empty", frame='<p class="empty">{}</p>', elem_id="log")
    return Log(gr.State(look), level, search, lines)


def render(card: Log, following: Following, look: Look, language: str) -> dict[Any, Any]:
    """Return what shows the run's log."""
    told = following.story
    lines = told.lines() if told else []
    return {card.lines: log_views.log_html(lines, language, look.level, look.search)}


def connect(card: Log, frame: Frame) -> None:
    """Connect the search and the filter."""
    language = frame.language

    def changed(following: Following, level: str, search: str) -> dict[Any, Any]:
        wanted = Look(level if level in log_views.LEVELS else Look().level, search or "")
        return {card.look: wanted, **render(card, following, wanted, language)}

    gr.on(
        [card.level.input, card.search.input],
        changed,
        [frame.following, card.level, card.search],
        [card.look, card.lines],
        trigger_mode="always_last",
        **QUIET,
    )
