"""The Compare tab's views of one run under one head: answers, and the scoreboard."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.ui.compare_views import VIEWS
from studio.ui.frame import Frame
from studio.ui.scoreboard_views import ORDERS
from studio.ui.tabs import compare, compare_events, scoreboard
from studio.ui.words import Words

AT_FIRST = (VIEWS[0], None, ORDERS[0], None)
"""What `Views.kept` holds when the page is opened."""


@dataclass(frozen=True)
class Views:
    """All views of the tab."""

    answers: compare.CompareTab
    score: scoreboard.ScoreTab

    @property
    def kept(self) -> list[Any]:
        """What a session has compared, and how it looks at it."""
        return [self.answers.view, self.answers.last, self.score.order, self.score.found]

    @property
    def worded(self) -> list[Any]:
        """What is said again in another language."""
        return [*self.answers.of_answers, *self.score.shown]


def build(words: Words) -> Views:
    """Build all views inside the current tab."""
    head = compare.build_head(words)
    with gr.Tabs(elem_id="compare-tabs"):
        with words.make(gr.Tab, label="ui.compare.tabs.answers", id="answers"):
            answers = compare.build(words, head)
        with words.make(gr.Tab, label="ui.compare.tabs.score", id="score"):
            score = scoreboard.build(words)
    return Views(answers, score)


def said_again(views: Views, language: str, kept: tuple[Any, ...]) -> dict[Any, Any]:
    """Return what shows everything that a session has compared in a language."""
    view, last, order, found = kept
    return {
        **compare_events.said_again(views.answers, last, view, language),
        **scoreboard.said_again(views.score, found, order, language, going=False),
    }


def connect(views: Views, frame: Frame) -> None:
    """Connect the events of all views."""
    compare_events.connect(views.answers, frame)
    scoreboard.connect(views.score, views.answers, frame, lambda event: event)
