"""The Compare tab's views of one run under one head: answers, scoreboard, blind vote and reading sheet."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr

from studio.compare.columns import Column
from studio.compare.comparison import Comparison
from studio.evaluate.evaluation_store import Evaluation
from studio.style.report import StyleReport
from studio.ui import polling, vote_state
from studio.ui.compare_views import VIEWS, View
from studio.ui.frame import Frame
from studio.ui.scoreboard_views import ORDERS, Order
from studio.ui.tabs import ballot, compare, compare_events, compare_updates, present, scoreboard, sheet
from studio.ui.tabs.own_prompts import OwnPrompts
from studio.ui.tabs.preference_card import PreferenceCard
from studio.ui.tabs.style_card import StyleCard
from studio.ui.vote_state import VoteState
from studio.ui.words import Words


class CompareSession(NamedTuple):
    """What a session has on the screen, and how it looks at it; at first as when the page is opened."""

    view: View = VIEWS[0]
    last: Comparison | None = None
    token_scores: Any = None
    order: Order = ORDERS[0]
    evaluation: Evaluation | None = None
    stamp: scoreboard.Stamp | None = None
    reader: str = ""
    reading: tuple[str, Any] | None = None
    voter: str = ""
    mark: str = ""
    item: str | None = None
    revealed: bool = False
    votes: vote_state.Stamp | None = None
    ways: vote_state.Ways = "two"
    report: StyleReport | None = None
    checkpoint: str | None = None
    strength: float | None = None

    @property
    def column(self) -> Column:
        """The adapter that the head of the tab names, whose scores, votes and readings are shown."""
        return compare_events.column_at(self.checkpoint, self.strength)

    def vote(self, run_id: str | None, evaluation: Evaluation | None) -> VoteState:
        """Return how the vote on an evaluation of a run stands."""
        voting = (self.voter, self.mark, self.item, self.revealed, self.votes, self.ways, self.report)
        return VoteState(run_id, evaluation, *voting)


@dataclass(frozen=True)
class Views:
    """All views of the tab."""

    answers: compare.CompareTab
    score: scoreboard.ScoreTab
    vote: ballot.BallotTab
    preferences: PreferenceCard
    sheet: sheet.SheetTab
    slides: gr.HTML
    style: StyleCard
    prompts: OwnPrompts
    on_screen: gr.State
    """The run whose answers and scores are shown."""

    @property
    def session(self) -> list[Any]:
        """The components behind `CompareSession`."""
        answers, score = self.answers, self.score
        return [
            *(answers.view, answers.last, answers.token_scores),
            *(score.order, score.evaluation, score.stamp),
            *(self.sheet.reader, self.sheet.item),
            *self.vote.standing,
            *(answers.checkpoint, answers.strength),
        ]

    @property
    def measured(self) -> list[Any]:
        """What changes with an evaluation."""
        return [*self.score.outputs, *self.vote.outputs, *self.sheet.outputs]

    @property
    def rendered(self) -> list[Any]:
        """What shows a run: its answers and its evaluation."""
        return [*self.answers.of_answers, *self.measured]


def build(words: Words) -> Views:
    """Build all views inside the current tab."""
    head = compare.build_head(words)
    with gr.Tabs(elem_id="compare-tabs"):
        with words.make(gr.Tab, label="ui.compare.tabs.answers", id="answers"):
            answers = compare.build(words, head)
            slides = present.build()
        with words.make(gr.Tab, label="ui.compare.tabs.prompts", id="prompts"):
            prompts = OwnPrompts(words)
        with words.make(gr.Tab, label="ui.compare.tabs.score", id="score"):
            style = StyleCard(words)
            score = scoreboard.ScoreTab(words)
        with words.make(gr.Tab, label="ui.compare.tabs.vote", id="vote"):
            vote = ballot.BallotTab(words)
            preferences = PreferenceCard(words)
        with words.make(gr.Tab, label="ui.compare.tabs.sheet", id="sheet"):
            read = sheet.SheetTab(words)
    return Views(answers, score, vote, preferences, read, slides, style, prompts, gr.State(None))


def evaluated(views: Views, language: str, run_id: str | None, session: CompareSession) -> dict[Any, Any]:
    """Return what shows how the run's evaluation stands, and what can be voted on and read of it.

    Whoever is in the middle of a vote or of reading stays there, as long as the answers are still the same.
    """
    stands = views.score.stands(run_id, session.column, session.evaluation, session.order)
    evaluation = stands[views.score.evaluation]
    pairs = {pair.id for pair in vote_state.pairs_of(evaluation)}
    vote = session.vote(run_id, evaluation)._replace(report=vote_state.report_of(run_id, session.column))
    if vote.item not in {pair.id for pair in vote.pairs}:
        vote = vote._replace(item=None)
    reads_on = session.reading is not None and session.reading[0] in pairs
    return {
        **stands,
        **views.vote.render(vote),
        **({} if reads_on else views.sheet.render(run_id, evaluation, session.reader, False)),
    }


def pulse(run_id: str | None, session: CompareSession, request: gr.Request) -> str | None:
    """Return what tells apart what this session shows and what there is; None where they are the same."""
    on_page = [session.stamp, session.votes, _report_id(session.report)]
    now = [
        scoreboard.stamp(run_id, session.column, session.stamp, request),
        session.vote(run_id, session.evaluation).stamp,
        _report_id(vote_state.report_of(run_id, session.column)),
    ]
    return None if now == on_page else repr([on_page, now])


def news(
    views: Views, language: str, run_id: str | None, session: CompareSession, request: gr.Request
) -> dict[Any, Any]:
    """Return what shows what others have changed: an evaluation that goes on or is new, and their votes."""
    updates = {}
    if _report_id(vote_state.report_of(run_id, session.column)) != _report_id(session.report):
        return evaluated(views, language, run_id, session)
    if scoreboard.stamp(run_id, session.column, session.stamp, request) != session.stamp:
        updates = views.score.stands(run_id, session.column, session.evaluation, session.order)
        if _answers_of(updates[views.score.evaluation]) != _answers_of(session.evaluation):
            return evaluated(views, language, run_id, session)
    return updates | views.vote.news(session.vote(run_id, session.evaluation))


def _report_id(report: StyleReport | None) -> str | None:
    return report and report.id


def _answers_of(evaluation: Evaluation | None) -> tuple[Any, ...]:
    """Return what tells evaluations apart for those who vote and read."""
    return (evaluation.id, len(evaluation.pairs)) if evaluation else ()


def connect(views: Views, frame: Frame, item: gr.Tab | None = None) -> list[polling.Watch]:
    """Connect the events of all views; returns how to look for what others have changed.

    With the tab's `item`, opening it offers the runs there are, and lets the first held-out prompt be answered; guests,
    without it, measure nothing.
    """
    language = frame.language
    answers = views.answers

    def find(request: gr.Request, run_id: str | None, *values: Any) -> str | None:
        return pulse(run_id, CompareSession(*values), request)

    def show_news(run_id: str | None, request: gr.Request, *values: Any) -> Any:
        return news(views, language, run_id, CompareSession(*values), request) or gr.skip()

    def show_measured(run_id: str | None, *values: Any) -> dict[Any, Any]:
        return evaluated(views, language, run_id, CompareSession(*values))

    def open_run(request: gr.Request, run_id: str | None, on_screen: str | None, prompt: str, *values: Any) -> Any:
        if run_id == on_screen:  # its name has changed, or the language
            return gr.skip()
        session = CompareSession(*values)
        fresh = session._replace(evaluation=None, item=None, revealed=False, reading=None)
        return {
            **compare_events.restored(answers, run_id, session.view, prompt, language, request),
            **evaluated(views, language, run_id, fresh),
            views.on_screen: run_id,
        }

    def offer_runs(chosen: str | None) -> dict[Any, Any]:
        return compare_updates.choose(answers, chosen, language)

    streams, answer_after = compare_events.connect(answers, frame)
    views.vote.connect(answers, views.score.evaluation, frame)
    answers.vote.connect(answers.last, answers.badge, [views.vote.voter, views.vote.mark], ballot.voter_of)
    views.sheet.connect(answers, views.score.evaluation)
    present.connect(views.slides, answers, views.score.evaluation, frame)
    measured = views.score.connect(answers)
    inputs = [answers.run, *views.session]
    measured.then(show_measured, inputs, views.measured)
    at = [answers.checkpoint.change, answers.strength.change]
    gr.on(at, show_measured, inputs, views.measured)
    opened = answers.run.change(
        open_run,
        [answers.run, views.on_screen, answers.prompt, *views.session],
        list(dict.fromkeys([*answers.of_runs, *views.rendered, *answers.request_controls, views.on_screen])),
        cancels=[*streams, measured],
    )
    watches = [polling.Watch(find, inputs, show_news, inputs, views.measured)]
    if item is not None:
        views.preferences.connect(answers)
        watches += [views.style.connect(answers, frame), views.prompts.connect(answers)[1]]
        offered = item.select(offer_runs, answers.run, answers.of_runs)
        for event in (offered, opened):
            answer_after(event, views.on_screen)
    return watches
