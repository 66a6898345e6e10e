"""Make a card: what was compared last, as a picture, a page, Markdown or JSON, in one click."""

from typing import Any

import gradio as gr

from studio import runs
from studio.compare.comparison import Comparison
from studio.i18n import text
from studio.reports.run_card import is_scoreboard_missing
from studio.ui import cards, downloads
from studio.ui.comparable import names
from studio.ui.words import Words


class CardMaker:
    """The controls that make a card."""

    def __init__(self, words: Words):
        self.language = words.language
        self.kind = words.make(
            gr.Dropdown,
            label="ui.card.kind",
            value=cards.KINDS[0],
            choices={kind: f"ui.card.kinds.{kind}" for kind in cards.KINDS},
            scale=0,
            min_width=270,
            elem_id="card-kind",
        )
        self.make = words.button("ui.card.make", scale=0, min_width=150, elem_id="make-card")
        self._file = downloads.Download(words, "ui.card.make", "card-file")

    def connect(self, last: gr.State) -> None:
        """Connect the controls; `last` holds what is put on the card."""
        language = self.language

        def make(kind: str, comparison: Comparison | None) -> dict[Any, Any]:
            called = names(comparison and comparison.request.run_id, language)
            card = cards.card(comparison, called, language)
            if comparison and is_scoreboard_missing(runs.find(comparison.request.run_id), card):
                gr.Info(text("ui.card.no_board", language), title=text("ui.card.kind", language))
            return self._file.fetch(cards.write(card, kind))

        self.make.click(make, [self.kind, last], self._file.outputs, concurrency_limit=None)
