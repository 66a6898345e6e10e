"""The blind vote: answers without names, voted on by button or key, revealed at the end.

Two answers to each prompt are those of the scoreboard, base and adapter, or two of one adapter that were made to be
voted on; three are those of the meter, base, base with a good prompt and adapter. Many sessions vote on the same
answers at once. Who votes is known by a name and by a mark of the browser, so that two people of one name do not take
each other's votes, and a reload goes on where it was.
"""

import hmac
import json
import secrets
from typing import Any

import gradio as gr

from studio import runs
from studio.errors import CompareError
from studio.evaluate.blind_vote import Ballot, checked_name, choices
from studio.i18n import message, text
from studio.ui import ballot_views as views
from studio.ui import downloads
from studio.ui.failures import warn
from studio.ui.logins import Visitor
from studio.ui.page import browser_state, view
from studio.ui.scoreboard_views import measured_at
from studio.ui.tabs.compare import CompareTab
from studio.ui.tabs.compare_events import column_at
from studio.ui.tabs.vote_pairs import VotePairsCard
from studio.ui.vote_state import LONGEST, WAYS, VoteState, report_of
from studio.ui.words import Words

_KEYS = (
    "document.addEventListener('keydown', event => {"
    " if (event.ctrlKey || event.metaKey || event.altKey) return;"
    " if (event.target.closest('input, textarea, [contenteditable]')) return;"
    " const shown = ['1', '2', '3', 'tie', 'bad'].map(choice => document.querySelector(`#vote-${choice}`))"
    "   .filter(button => button && button.offsetParent);"
    " const button = shown['12345'.indexOf(event.key)];"
    " if (button && !button.disabled) { event.preventDefault(); button.click(); } });"
)
"""Lets the keys 1 to 5 press the vote's buttons, in order, while they are on the screen and nothing is typed."""


class BallotTab:
    """The tab's components."""

    def __init__(self, words: Words):
        self.language = words.language
        with gr.Column(elem_classes="card"):
            words.paragraph("ui.vote.about")
            self.ways = words.make(
                gr.Radio,
                label="ui.vote.ways",
                value=WAYS[0],
                choices={each: f"ui.vote.way.{each}" for each in WAYS},
                visible=False,
                elem_id="vote-ways",
            )
            with gr.Row(elem_classes="ask"):
                self.voter = words.make(
                    gr.Textbox,
                    label="ui.vote.voter",
                    max_lines=1,
                    max_length=LONGEST,
                    scale=3,
                    min_width=220,
                    elem_id="voter",
                )
                self.begin = words.button("ui.vote.begin", variant="primary", scale=1, min_width=150)
            self.progress = gr.HTML(elem_id="vote-progress")
        with gr.Column(elem_classes="card"):
            self.pair = words.empty("ui.vote.empty", elem_id="pair", js_on_load=_KEYS)
            with gr.Row(elem_classes="votes"):
                self.buttons = {
                    choice: words.button(
                        f"ui.vote.say.three.{choice}",
                        interactive=False,
                        visible=False,
                        min_width=130,
                        elem_id=f"vote-{choice}",
                    )
                    for choice in choices(3)
                }
        with gr.Column(elem_classes="card"):
            with gr.Row(elem_classes="card-head"):
                words.heading("ui.vote.result")
                self.reveal = words.button("ui.vote.reveal", interactive=False, size="sm", min_width=110)
                self.export = words.button("ui.vote.export", interactive=False, size="sm", min_width=160)
            self.result = words.empty("ui.vote.hidden", elem_id="vote-result")
            self._file = downloads.Download(words, "ui.vote.export", "vote-file")
        self.mark = browser_state("", "restyle-voter")
        """Of the browser: it stays over reloads."""
        self.maker = VotePairsCard(words)
        self.item = gr.State(None)
        """The pair on the screen; None for none."""
        self.revealed = gr.State(False)
        self.stamp = gr.State(None)
        self.report = gr.State(None)
        """The meter's report of three columns; None without one."""
        self.outputs = list(self.render(VoteState()))

    @property
    def standing(self) -> list[Any]:
        """The components behind a `VoteState`, but for the run and its evaluation."""
        return [self.voter, self.mark, self.item, self.revealed, self.stamp, self.ways, self.report]

    def render(self, now: VoteState) -> dict[Any, Any]:
        """Return what shows the vote as it stands in a language."""
        available, ways = now.choices, now.ways
        updates: dict[Any, Any] = {
            self.ways: gr.update(value=ways, visible=len(available) > 1),
            self.report: now.report,
            self.begin: gr.update(interactive=bool(available)),
            self.item: now.item,
            self.revealed: now.revealed,
        }
        for choice, button in self.buttons.items():
            answers = "three" if ways == "three" else "two"
            is_offered = choice in choices(3 if answers == "three" else 2)
            words = text(f"ui.vote.say.{answers}.{choice}", self.language) if is_offered else ""
            updates[button] = gr.update(
                value=words, visible=is_offered and bool(available), interactive=now.item is not None
            )
        if not available:
            return updates | {
                self.pair: views.empty("ui.vote.empty", self.language),
                self.progress: "",
                self.result: views.empty("ui.vote.hidden", self.language),
                self.reveal: gr.update(interactive=False),
                self.export: gr.update(interactive=False),
                self.stamp: now.stamp,
            }
        ballot = now.ballot()
        over = bool(now.who) and now.item is None and ballot.next(now.who) is None
        on_paper = views.pair(ballot.item(now.who, now.item), self.language) if now.who and now.item else ""
        return updates | {
            self.pair: on_paper or views.empty("ui.vote.over" if over else "ui.vote.ready", self.language),
            **self.counted(now, ballot),
        }

    def counted(self, now: VoteState, ballot: Ballot) -> dict[Any, Any]:
        """Return what shows how far this voter and all others are, and the result where it is revealed."""
        stamp = now.stamp  # first: what comes in between is news the next time
        count, voters = ballot.turnout()
        mine = views.progress(*ballot.progress(now.who), self.language) if now.who else ""
        is_visible = (now.revealed or now.ways == "made") and count > 0
        about = measured_at(now.evaluation, self.language)
        results = {} if now.ways == "made" else {"base": ballot.result()}
        if now.ways == "made":
            about = views.describe_pairs(now.adapter_pairs, self.language)
        elif now.ways == "three" and now.report:
            about = views.three_way(now.report, self.language)
            results = {"prompt": ballot.result(1)} | results
        standings = {rival: ballot.standing(("base", "prompt").index(rival)) for rival in results}
        together = views.agreement(ballot.agreement(), self.language) + views.stopping(
            list(standings.values()), self.language
        )
        return {
            self.progress: mine + views.turnout(count, voters, self.language) + together + about,
            self.reveal: gr.update(interactive=count > 0, visible=now.ways != "made"),
            self.export: gr.update(interactive=is_visible),
            self.result: (
                views.results(results, ballot.preferences(), self.language, standings)
                if is_visible
                else views.empty("ui.vote.hidden", self.language)
            ),
            self.stamp: stamp,
        }

    def news(self, now: VoteState) -> dict[Any, Any]:
        """Return what others have changed since this session last looked; the pair on the screen stays."""
        if now.stamp == now.known:
            return {}
        if now.pairs and now.known and now.stamp[1] == now.known[1]:
            return self.counted(now, now.ballot())
        return self.render(now)

    def connect(self, head: CompareTab, evaluation: gr.State) -> None:
        """Connect the tab's events."""
        language = self.language

        def begin(request: gr.Request, *standing: Any) -> dict[Any, Any]:
            now = of_login(VoteState(*standing), request)
            checked_name(now.voter or "")
            return self.render(now.went_on(now.ballot()))

        def vote(choice: str, request: gr.Request, *standing: Any) -> dict[Any, Any]:
            now = of_login(VoteState(*standing), request)
            if now.item is None:
                return {self.item: None}
            ballot = now.ballot()
            of = {"two": now.evaluation, "three": now.report, "made": None}[now.ways]
            ballot.vote(now.who, now.item, choice, _place(request), evaluation=of.id if of else "", sides=now.sides)
            return self.render(now.went_on(ballot))

        def change_ways(
            request: gr.Request, run_id: str | None, checkpoint: str | None, strength: float | None, *standing: Any
        ) -> dict[Any, Any]:
            before = VoteState(run_id, *standing)._replace(report=report_of(run_id, column_at(checkpoint, strength)))
            now = of_login(before._replace(item=None, revealed=False), request)
            if now.chosen not in now.choices:
                warn(message(f"errors.ui.vote.{now.chosen}"), language)
            return self.render(now.went_on(now.ballot()) if before.item else now)

        @view(self.item, self.revealed)  # who has begun to vote meanwhile goes on
        def show_pairs(*standing: Any) -> dict[Any, Any]:
            now = VoteState(*standing)
            if len(now.adapter_pairs) == (now.known or (None, 0))[1] or now.item:
                return self.render(now)
            return self.render(now._replace(chosen="made", revealed=False))

        def reveal(*standing: Any) -> dict[Any, Any]:
            return self.render(VoteState(*standing)._replace(revealed=True))

        def export(*standing: Any) -> dict[Any, Any]:
            rows = VoteState(*standing).ballot().preferences().rows
            path = downloads.write(
                "preferences.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
            )
            return self._file.fetch(path)

        standing = [head.run, evaluation, *self.standing]
        gr.on([self.begin.click, self.voter.submit], begin, [*standing], self.outputs)
        at = [head.run, head.checkpoint, head.strength]
        self.ways.input(change_ways, [*at, evaluation, *self.standing], self.outputs)
        self.maker.connect(head).then(show_pairs, [head.run, evaluation, *self.standing], self.outputs)
        for choice, button in self.buttons.items():
            button.click(vote, [gr.State(choice), *standing], self.outputs)
        self.reveal.click(reveal, [*standing], self.outputs)
        self.export.click(export, [*standing], self._file.outputs)


def marked(mark: str, request: gr.Request) -> str:
    """Return the browser's mark, made at its first visit; a guest's is that of their login, which nobody chooses."""
    return (runs.is_restricted() and Visitor.of(request).login) or mark or secrets.token_hex(4)


def voter_of(name: str, mark: str) -> str:
    """Return what the owner's votes are written down under: a name with the browser's mark, or the mark alone."""
    return VoteState(voter=name, mark=mark).who or mark


def of_login(now: VoteState, request: gr.Request) -> VoteState:
    """Return how a vote stands for who really asks; raises CompareError for a guest's second name."""
    now = now._replace(mark=marked(now.mark, request))
    known = now.ballot().voter_of(now.mark) if runs.is_restricted() else None
    if known is not None and now.who and known != now.who:
        raise CompareError("compare.one_voter", name=known.removesuffix(f" {now.mark}"))
    return now


_PLACES = secrets.token_bytes(16)


def _place(request: gr.Request) -> str:
    """Return what tells a guest's address from others, and tells nobody the address; empty for the owner."""
    if not runs.is_restricted():
        return ""
    return hmac.new(_PLACES, Visitor.of(request).address.encode(), "sha256").hexdigest()[:8]
