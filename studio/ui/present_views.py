"""The presentation: one prompt a slide, the answers revealed one after the other. Pure functions without Gradio."""

import html
from collections.abc import Sequence

from studio.compare.comparison import AnswerPair
from studio.i18n import text

MOST_SLIDES = 40
_LONG, _LONGER = 280, 700
"""Characters from which on an answer is set smaller."""


def stage(pairs: Sequence[AnswerPair], base: str, run: str, language: str) -> str:
    """Return the slides in a dialog that is not open yet; `base` and `run` are what the sides are called."""
    slides = "".join(_slide(pair, base, run, language) for pair in pairs[:MOST_SLIDES])
    words = {name: html.escape(text(f"ui.present.{name}", language), quote=True) for name in ("back", "on", "close")}
    buttons = "".join(
        f'<button type="button" data-stage="{name}" aria-label="{words[name]}">{sign}</button>'
        for name, sign in (("back", "‹"), ("on", "›"), ("close", "✕"))
    )
    keys = html.escape(text("ui.present.keys", language))
    title = html.escape(text("ui.present.go", language), quote=True)
    return (
        f'<dialog class="stage" aria-label="{title}">{slides}'
        f'<footer><span class="place" aria-live="polite"></span><small>{keys}</small>{buttons}</footer></dialog>'
    )


def _slide(pair: AnswerPair, base: str, run: str, language: str) -> str:
    titles = (text("ui.compare.before", language), text("ui.compare.after", language), "3", "4")
    columns = zip(("before", "after", "third", "fourth"), titles, pair.names or (base, run), pair.answers, strict=False)
    sides = "".join(
        f'<div class="shown {side}"><h3>{html.escape(title)}'
        f"<small>{html.escape(name)}</small></h3><p>{html.escape(words) or '–'}</p></div>"
        for side, title, name, words in columns
    )
    count = len(pair.answers)
    longest = max(map(len, pair.answers)) * count // 2
    size = "longer" if longest > _LONGER else "long" if longest > _LONG else "short"
    return (
        f'<section class="slide {size}" data-columns="{count}" hidden>'
        f"<h2>{html.escape(pair.prompt)}</h2><div>{sides}</div></section>"
    )
