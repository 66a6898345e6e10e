"""Make a before/after card of what was compared, as a file that may be downloaded."""

from pathlib import Path

from studio import runs
from studio.compare.comparison import Comparison
from studio.errors import CompareError
from studio.files import to_json
from studio.reports import card_html, card_png, comparison_card
from studio.reports.comparison_card import Card
from studio.reports.run_card import comparison_card_of
from studio.ui import downloads

PICTURES = {f"png-{size}": size for size in card_png.SIZES}
KINDS = (*PICTURES, "html", "markdown", "json")
_ENDINGS = {"html": "html", "markdown": "md", "json": "json"}
_WRITERS = {"html": card_html.to_html, "markdown": comparison_card.to_markdown, "json": to_json}


def card(comparison: Comparison | None, names: tuple[str, str], language: str) -> Card:
    """Return the card of a comparison with all its columns; `names` are what base and run are called.

    It holds the run's scoreboard if there is one of the second column's adapter.

    Raises CompareError when there is nothing to put on it.
    """
    if comparison is None or not comparison.answers or len(comparison.answers[0]) < 2:
        raise CompareError("compare.no_pairs")
    return comparison_card_of(runs.find(comparison.request.run_id), comparison, language, after=1, names=names)


def write(card: Card, kind: str) -> Path:
    """Write a card as one of `KINDS` where the page may serve it from, under a name of ours; return the path."""
    folder = downloads.folder("card")
    if kind in PICTURES:
        path = folder / f"before-after-{PICTURES[kind]}.png"
        path.write_bytes(card_png.to_png(card, PICTURES[kind]))
        return path
    path = folder / f"before-after.{_ENDINGS[kind]}"
    path.write_text(_WRITERS[kind](card), encoding="utf-8")
    return path
