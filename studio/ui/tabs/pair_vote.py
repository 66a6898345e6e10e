"""One vote on the comparison that is shown, kept with those of the blind session."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from studio import runs
from studio.compare.comparison import AnswerPair, Comparison
from studio.compare.comparison_history import comparison_id
from studio.evaluate.blind_vote import Ballot
from studio.i18n import message
from studio.ui.failures import shown
from studio.ui.views import paragraph
from studio.ui.words import Words

QUIET = {"show_progress": "hidden", "api_visibility": "undocumented", "concurrency_limit": None}
CHOICES = ("1", "tie", "2")


class PairVote:
    """Three buttons under the answers: the first column is better, the second one is, or neither."""

    def __init__(self, words: Words):
        """Build the row, which is visible once there is a comparison."""
        self.language = words.language
        with gr.Row(visible=False, elem_classes="jumps", elem_id="pair-vote") as self.row:
            self.buttons = {
                choice: words.make(gr.Button, text=f"ui.vote.shown.{choice}", size="sm", min_width=96)
                for choice in CHOICES
            }
            self.said = gr.HTML(elem_id="pair-voted")

    def connect(self, last: gr.State, badge: gr.HTML, named: list[Any], voter: Callable[[str, str], str]) -> None:
        """Connect the buttons to the `last` comparison, whose verdict is in `badge`.

        `voter` makes a voter of the values of `named`.
        """

        def render(comparison: Comparison | None) -> dict[Any, Any]:
            return {self.row: gr.update(visible=_pair(comparison) is not None), self.said: ""}

        @shown(self.language)
        def vote_on_shown(choice: str, comparison: Comparison | None, name: str, mark: str) -> dict[Any, Any]:
            pair = _pair(comparison)
            if comparison is None or pair is None:
                return {self.said: ""}
            run = runs.find(comparison.request.run_id)
            votes = Ballot(run.path / "compare", [pair])
            votes.vote(voter(name, mark), pair.id, choice, first="before", comparison=comparison_id(comparison))
            counts = votes.result()
            kept = message("ui.vote.shown.kept", before=counts.before, after=counts.after, tie=counts.tie)
            return {self.said: paragraph(kept, self.language, "hint")}

        badge.change(render, last, [self.row, self.said], trigger_mode="always_last", **QUIET)
        for choice, button in self.buttons.items():
            inputs = [gr.State(choice), last, *named]
            button.click(vote_on_shown, inputs, self.said, **QUIET)


def _pair(comparison: Comparison | None) -> AnswerPair | None:
    """Return the first two answers of a comparison that is over; None for any other."""
    if comparison is None or comparison.proof is None or len(comparison.request.columns) < 2:
        return None
    before, after, *_ = comparison.texts()
    return AnswerPair(comparison.request.prompts[0], before, after)
