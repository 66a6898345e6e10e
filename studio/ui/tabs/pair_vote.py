"""One vote on the comparison that is shown, kept with those of the blind session."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from studio import runs
from studio.compare.columns import MAX_COLUMNS, column_id
from studio.compare.comparison import AnswerPair, Comparison
from studio.compare.comparison_history import comparison_id
from studio.evaluate.blind_vote import Ballot
from studio.i18n import Message, message
from studio.ui.views import paragraph
from studio.ui.words import Words

CHOICES = ("1", "tie", "2", *map(str, range(3, MAX_COLUMNS + 1)))


class PairVote:
    """Buttons under the answers: which column is the best, or a tie.

    Of more than two columns, the best one wins against each other one, which are pairs as all votes are about pairs.
    """

    def __init__(self, words: Words):
        """Build the row, which is visible once there is a comparison."""
        self.language = words.language
        with gr.Row(visible=False, elem_classes="jumps", elem_id="pair-vote") as self.row:
            self.buttons = {
                choice: words.button(f"ui.vote.shown.{choice}", size="sm", min_width=96, visible=choice in CHOICES[:3])
                for choice in CHOICES
            }
            self.status = gr.HTML(elem_id="pair-voted")

    def connect(self, last: gr.State, badge: gr.HTML, named: list[Any], voter: Callable[[str, str], str]) -> None:
        """Connect the buttons to the `last` comparison, whose verdict is in `badge`.

        `voter` makes a voter of the values of `named`.
        """

        def render(comparison: Comparison | None) -> dict[Any, Any]:
            count = len(_columns(comparison))
            more = {self.buttons[str(n)]: gr.update(visible=n <= count) for n in range(3, MAX_COLUMNS + 1)}
            return {self.row: gr.update(visible=count > 0), self.status: "", **more}

        def vote_on_pair(choice: str, comparison: Comparison | None, name: str, mark: str) -> dict[Any, Any]:
            columns = _columns(comparison)
            if comparison is None or not columns:
                return {self.status: ""}
            counts = _vote(comparison, columns, choice, voter(name, mark))
            return {self.status: paragraph(counts, self.language, "hint")}

        more = [self.buttons[str(number)] for number in range(3, MAX_COLUMNS + 1)]
        badge.change(render, last, [self.row, self.status, *more])
        for choice, button in self.buttons.items():
            inputs = [gr.State(choice), last, *named]
            button.click(vote_on_pair, inputs, self.status)


def _columns(comparison: Comparison | None) -> list[str]:
    """Return the ids of the columns of a comparison that is over; none for any other."""
    if comparison is None or comparison.proof is None or len(comparison.request.columns) < 2:
        return []
    proof = comparison.proof
    hashes = zip(comparison.request.columns, proof.adapter_sha256, strict=True)
    return [column_id(column, adapter, proof.base_sha256) for column, adapter in hashes]


def _vote(comparison: Comparison, columns: list[str], choice: str, voter: str) -> Message:
    """Keep a vote on each pair of columns that the choice decides, and say what is kept."""
    prompt, (before, after, *more) = comparison.request.prompts[0], comparison.texts()
    pair = AnswerPair(prompt, before, after, tuple(more))
    ballot = Ballot(runs.find(comparison.request.run_id).path / "compare", [pair])
    ballot.vote(voter, pair.id, choice, comparison=comparison_id(comparison), sides=columns)
    if more:
        key = "best" if choice.isdecimal() else "all_tie"
        return message(f"ui.vote.shown.{key}", number=int(choice) if choice.isdecimal() else 0, count=len(columns))
    counts = ballot.result()
    return message("ui.vote.shown.kept", before=counts.before, after=counts.after, tie=counts.tie)
