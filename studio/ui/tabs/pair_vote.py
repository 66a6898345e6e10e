"""One vote on the comparison that is shown, kept with those of the blind session."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import gradio as gr

from studio import runs
from studio.compare.columns import MAX_COLUMNS, column_id
from studio.compare.comparison import AnswerPair, Comparison
from studio.compare.comparison_history import comparison_id
from studio.errors import CompareError
from studio.evaluate.blind_vote import Ballot
from studio.i18n import Message, message
from studio.ui.failures import shown
from studio.ui.views import paragraph
from studio.ui.words import Words

QUIET = {"show_progress": "hidden", "api_visibility": "undocumented", "concurrency_limit": None}
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
                choice: words.make(
                    gr.Button, text=f"ui.vote.shown.{choice}", size="sm", min_width=96, visible=choice in CHOICES[:3]
                )
                for choice in CHOICES
            }
            self.said = gr.HTML(elem_id="pair-voted")

    def connect(self, last: gr.State, badge: gr.HTML, named: list[Any], voter: Callable[[str, str], str]) -> None:
        """Connect the buttons to the `last` comparison, whose verdict is in `badge`.

        `voter` makes a voter of the values of `named`.
        """

        def render(comparison: Comparison | None) -> dict[Any, Any]:
            there = len(_columns(comparison))
            more = {self.buttons[str(n)]: gr.update(visible=n <= there) for n in range(3, MAX_COLUMNS + 1)}
            return {self.row: gr.update(visible=there > 0), self.said: "", **more}

        @shown(self.language)
        def vote_on_shown(choice: str, comparison: Comparison | None, name: str, mark: str) -> dict[Any, Any]:
            columns = _columns(comparison)
            if comparison is None or not columns:
                return {self.said: ""}
            kept = _vote(comparison, columns, choice, voter(name, mark))
            return {self.said: paragraph(kept, self.language, "hint")}

        more = [self.buttons[str(number)] for number in range(3, MAX_COLUMNS + 1)]
        badge.change(render, last, [self.row, self.said, *more], trigger_mode="always_last", **QUIET)
        for choice, button in self.buttons.items():
            inputs = [gr.State(choice), last, *named]
            button.click(vote_on_shown, inputs, self.said, **QUIET)


def _columns(comparison: Comparison | None) -> list[str]:
    """Return the ids of the columns of a comparison that is over; none for any other."""
    if comparison is None or comparison.proof is None or len(comparison.request.columns) < 2:
        return []
    proof = comparison.proof
    hashes = zip(comparison.request.columns, proof.adapter_sha256, strict=True)
    return [column_id(column, adapter, proof.base_sha256) for column, adapter in hashes]


def _vote(comparison: Comparison, columns: list[str], choice: str, voter: str) -> Message:
    """Keep a vote on each pair of columns that the choice decides, and say what is kept."""
    folder = runs.find(comparison.request.run_id).path / "compare"
    prompt, answers = comparison.request.prompts[0], comparison.texts()
    best = int(choice) - 1 if choice.isdecimal() else None
    if best is not None and best >= len(columns):
        raise CompareError("compare.ballot_choice", choice=choice[:20], allowed=", ".join(CHOICES))
    for pair in combinations(range(len(columns)), 2):
        if best is not None and best not in pair:
            continue
        answered = AnswerPair(prompt, *(answers[number] for number in pair))
        Ballot(folder, [answered]).vote(
            voter,
            answered.id,
            "tie" if best is None else str(pair.index(best) + 1),
            first="before",
            comparison=comparison_id(comparison),
            sides=(columns[pair[0]], columns[pair[1]]),
        )
    if len(columns) > 2:
        key = "all_tie" if best is None else "best"
        return message(f"ui.vote.shown.{key}", number=(best or 0) + 1, count=len(columns))
    counts = Ballot(folder, [AnswerPair(prompt, *answers)]).result()
    return message("ui.vote.shown.kept", before=counts.before, after=counts.after, tie=counts.tie)
