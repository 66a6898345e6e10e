"""The Compare tab's views of one run under one head: answers, scoreboard, blind vote and reading sheet."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.ui.compare_views import VIEWS
from studio.ui.frame import Frame
from studio.ui.scoreboard_views import ORDERS
from studio.ui.tabs import ballot, compare, compare_events, present, scoreboard, sheet
from studio.ui.words import Words

AT_FIRST = (VIEWS[0], None, None, ORDERS[0], None, "", None, False, "", None)
"""What `Views.kept` holds when the page is opened."""


@dataclass(frozen=True)
class Views:
    """All views of the tab."""

    answers: compare.CompareTab
    score: scoreboard.ScoreTab
    vote: ballot.BallotTab
    sheet: sheet.SheetTab
    slides: gr.HTML

    @property
    def kept(self) -> list[Any]:
        """What a session has compared, and how it looks at it."""
        vote = [self.vote.voter, self.vote.item, self.vote.revealed]
        return [
            self.answers.view,
            self.answers.last,
            self.answers.weighed,
            self.score.order,
            self.score.found,
            *vote,
            self.sheet.reader,
            self.sheet.item,
        ]

    @property
    def worded(self) -> list[Any]:
        """What is said again in another language."""
        return [*self.answers.of_answers, *self.score.shown, *self.vote.shown, *self.sheet.shown]


def build(words: Words) -> Views:
    """Build all views inside the current tab."""
    head = compare.build_head(words)
    with gr.Tabs(elem_id="compare-tabs"):
        with words.make(gr.Tab, label="ui.compare.tabs.answers", id="answers"):
            answers = compare.build(words, head)
            slides = present.build()
        with words.make(gr.Tab, label="ui.compare.tabs.score", id="score"):
            score = scoreboard.build(words)
        with words.make(gr.Tab, label="ui.compare.tabs.vote", id="vote"):
            vote = ballot.build(words)
        with words.make(gr.Tab, label="ui.compare.tabs.sheet", id="sheet"):
            read = sheet.build(words)
    return Views(answers, score, vote, read, slides)


def said_again(views: Views, language: str, run_id: str | None, kept: tuple[Any, ...]) -> dict[Any, Any]:
    """Return what shows everything that a session has compared in a language."""
    view, last, weighed, order, found, voter, item, revealed, reader, reading = kept
    return {
        **compare_events.said_again(views.answers, last, view, language, weighed),
        **scoreboard.said_again(views.score, found, order, language, going=False),
        **ballot.said_again(views.vote, run_id, found, voter, item, revealed, language),
        **sheet.said_again(views.sheet, run_id, found, reader, reading is not None, language),
    }


def connect(views: Views, frame: Frame) -> None:
    """Connect the events of all views."""
    compare_events.connect(views.answers, frame)
    offers = [part.connect(tab, views.answers, views.score.found, frame) for part, tab in _voted(views)]

    def changed(event: Any) -> None:
        for offer in offers:
            offer(event)

    present.connect(views.slides, views.answers, views.score.found, frame)
    scoreboard.connect(views.score, views.answers, frame, changed)


def _voted(views: Views) -> list[tuple[Any, Any]]:
    return [(ballot, views.vote), (sheet, views.sheet)]
