"""Make a card: what was compared last, as a picture, a page, Markdown or JSON, in one click."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from studio import runs
from studio.compare.comparison import Comparison
from studio.i18n import text
from studio.reports.run_card import is_scoreboard_missing
from studio.ui import cards
from studio.ui.frame import Frame
from studio.ui.words import Words

_DOWNLOAD = "(made) => { if (made) setTimeout(() => document.querySelector('#card-file').click(), 300); }"


@dataclass(frozen=True)
class CardMaker:
    """The controls that make a card."""

    kind: gr.Dropdown
    make: gr.Button
    file: gr.DownloadButton
    card_path: gr.Textbox
    """The name of the last card, for the browser alone; empty when none could be made."""


def build(words: Words) -> CardMaker:
    """Build the controls inside the current row."""
    kind = words.make(
        gr.Dropdown,
        label="ui.card.kind",
        value=cards.KINDS[0],
        choices={kind: f"ui.card.kinds.{kind}" for kind in cards.KINDS},
        scale=0,
        min_width=270,
        elem_id="card-kind",
    )
    make = words.make(gr.Button, text="ui.card.make", scale=0, min_width=150, elem_id="make-card")
    file = words.make(gr.DownloadButton, label="ui.card.make", visible="hidden", elem_id="card-file")
    return CardMaker(kind, make, file, gr.Textbox(visible=False))


def connect(
    maker: CardMaker, frame: Frame, last: gr.State, names: Callable[[str | None, str], tuple[str, str]]
) -> None:
    """Connect the controls; `last` holds what is put on the card, `names` tells what base and run are called."""
    language = frame.language

    def make(kind: str, comparison: Comparison | None) -> dict[Any, Any]:
        called = names(comparison and comparison.request.run_id, language)
        card = cards.card(comparison, called, language)
        if comparison and is_scoreboard_missing(runs.find(comparison.request.run_id), card):
            gr.Info(text("ui.card.no_board", language), title=text("ui.card.kind", language))
        path = str(cards.write(card, kind))
        return {maker.file: gr.update(value=path), maker.card_path: Path(path).name}

    def forget() -> str:
        return ""

    event = maker.make.click(forget, None, maker.card_path)
    event = event.then(make, [maker.kind, last], [maker.file, maker.card_path], concurrency_limit=None)
    event.then(None, maker.card_path, None, js=_DOWNLOAD)
