"""The Compare tab's views of one run under one head: answers, scoreboard, blind vote and reading sheet."""

from typing import Any, NamedTuple

import gradio as gr

from studio.compare.columns import Column
from studio.compare.comparison import Comparison
from studio.evaluate.evaluation_store import Evaluation
from studio.style.report import StyleReport
from studio.ui import polling, vote_state
from studio.ui.compare_views import VIEWS, View
from studio.ui.scoreboard_views import ORDERS, Order
from studio.ui.tabs import ballot, compare, compare_events, present, scoreboard, sheet
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


class Views:
    """All views of the tab."""

    def __init__(self, words: Words):
        self.answers = compare.CompareTab(words)
        with gr.Tabs(elem_id="compare-tabs"):
            with words.make(gr.Tab, label="ui.compare.tabs.answers", id="answers"):
                self.answers.build_answers(words)
                self.slides = present.build()
            with words.make(gr.Tab, label="ui.compare.tabs.prompts", id="prompts"):
                self.prompts = OwnPrompts(words)
            with words.make(gr.Tab, label="ui.compare.tabs.score", id="score"):
                self.style = StyleCard(words)
                self.score = scoreboard.ScoreTab(words)
            with words.make(gr.Tab, label="ui.compare.tabs.vote", id="vote"):
                self.vote = ballot.BallotTab(words)
                self.preferences = PreferenceCard(words)
            with words.make(gr.Tab, label="ui.compare.tabs.sheet", id="sheet"):
                self.sheet = sheet.SheetTab(words)
        self.on_screen = gr.State(None)
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

    def evaluated(self, run_id: str | None, session: CompareSession) -> dict[Any, Any]:
        """Return what shows how the run's evaluation stands, and what can be voted on and read of it.

        Whoever is in the middle of a vote or of reading stays there, as long as the answers are still the same.
        """
        stands = self.score.stands(run_id, session.column, session.evaluation, session.order)
        evaluation = stands[self.score.evaluation]
        pairs = {pair.id for pair in vote_state.pairs_of(evaluation)}
        vote = session.vote(run_id, evaluation)._replace(report=vote_state.report_of(run_id, session.column))
        if vote.item not in {pair.id for pair in vote.pairs}:
            vote = vote._replace(item=None)
        reads_on = session.reading is not None and session.reading[0] in pairs
        return {
            **stands,
            **self.vote.render(vote),
            **({} if reads_on else self.sheet.render(run_id, evaluation, session.reader, False)),
        }

    def news(self, run_id: str | None, session: CompareSession, request: gr.Request) -> dict[Any, Any]:
        """Return what shows what others have changed: an evaluation that goes on or is new, and their votes."""
        updates = {}
        if _report_id(vote_state.report_of(run_id, session.column)) != _report_id(session.report):
            return self.evaluated(run_id, session)
        if scoreboard.stamp(run_id, session.column, session.stamp, request) != session.stamp:
            updates = self.score.stands(run_id, session.column, session.evaluation, session.order)
            if _answers_of(updates[self.score.evaluation]) != _answers_of(session.evaluation):
                return self.evaluated(run_id, session)
        return updates | self.vote.news(session.vote(run_id, session.evaluation))

    def connect(self, item: gr.Tab | None = None) -> list[polling.Watch]:
        """Connect the events of all views; returns how to look for what others have changed.

        With the tab's `item`, opening it offers the runs there are, and lets the first held-out prompt be answered;
        guests, without it, measure nothing.
        """
        answers = self.answers

        def find(request: gr.Request, run_id: str | None, *values: Any) -> str | None:
            return pulse(run_id, CompareSession(*values), request)

        def show_news(run_id: str | None, request: gr.Request, *values: Any) -> Any:
            return self.news(run_id, CompareSession(*values), request) or gr.skip()

        def show_measured(run_id: str | None, *values: Any) -> dict[Any, Any]:
            return self.evaluated(run_id, CompareSession(*values))

        def open_run(request: gr.Request, run_id: str | None, on_screen: str | None, prompt: str, *values: Any) -> Any:
            if run_id == on_screen:  # its name has changed, or the language
                return gr.skip()
            session = CompareSession(*values)
            fresh = session._replace(evaluation=None, item=None, revealed=False, reading=None)
            return {
                **compare_events.restored(answers, run_id, session.view, prompt, request),
                **self.evaluated(run_id, fresh),
                self.on_screen: run_id,
            }

        def offer_runs(chosen: str | None) -> dict[Any, Any]:
            return answers.choose(chosen)

        streams, answer_after = compare_events.connect(answers)
        self.vote.connect(answers, self.score.evaluation)
        answers.vote.connect(answers.last, answers.badge, [self.vote.voter, self.vote.mark], ballot.voter_of)
        self.sheet.connect(answers, self.score.evaluation)
        present.connect(self.slides, answers, self.score.evaluation)
        measured = self.score.connect(answers)
        inputs = [answers.run, *self.session]
        measured.then(show_measured, inputs, self.measured)
        at = [answers.checkpoint.change, answers.strength.change]
        gr.on(at, show_measured, inputs, self.measured)
        opened = answers.run.change(
            open_run,
            [answers.run, self.on_screen, answers.prompt, *self.session],
            list(dict.fromkeys([*answers.of_runs, *self.rendered, *answers.request_controls, self.on_screen])),
            cancels=[*streams, measured],
        )
        watches = [polling.Watch(find, inputs, show_news, inputs, self.measured)]
        if item is not None:
            self.preferences.connect(answers)
            watches += [self.style.connect(answers), self.prompts.connect(answers)[1]]
            offered = item.select(offer_runs, answers.run, answers.of_runs)
            for event in (offered, opened):
                answer_after(event, self.on_screen)
        return watches


def pulse(run_id: str | None, session: CompareSession, request: gr.Request) -> str | None:
    """Return what tells apart what this session shows and what there is; None where they are the same."""
    on_page = [session.stamp, session.votes, _report_id(session.report)]
    now = [
        scoreboard.stamp(run_id, session.column, session.stamp, request),
        session.vote(run_id, session.evaluation).stamp,
        _report_id(vote_state.report_of(run_id, session.column)),
    ]
    return None if now == on_page else repr([on_page, now])


def _report_id(report: StyleReport | None) -> str | None:
    return report and report.id


def _answers_of(evaluation: Evaluation | None) -> tuple[Any, ...]:
    """Return what tells evaluations apart for those who vote and read."""
    return (evaluation.id, len(evaluation.pairs)) if evaluation else ()
