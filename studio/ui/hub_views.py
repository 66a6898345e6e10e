"""What the Hub says about a data set: small HTML, everything from outside escaped."""

import html

from studio.i18n import text
from studio.ui.data_state import Offer
from studio.ui.failures import box, message_of
from studio.ui.views import bar


def waiting(key: str, language: str) -> str:
    """Return what is being waited for."""
    words = text(key, language)
    return f'<div class="scan"><span>{html.escape(words)}</span>{bar(None, words)}</div>'


def failure(error: Exception, language: str) -> str:
    """Return what went wrong."""
    return box(message_of(error), language)


def offer(dataset: Offer, language: str) -> str:
    """Return the subsets of a data set, each with its splits, and what to do next."""
    items = "".join(
        f"<li><b>{html.escape(subset)}</b> <span>{html.escape(', '.join(splits))}</span></li>"
        for subset, splits in dataset.parts.items()
    )
    words = html.escape(text("ui.hub.found", language, n=len(dataset.parts)))
    return f'<p class="hint">{words}</p><ul class="structure">{items}</ul>'
