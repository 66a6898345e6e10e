"""What is known of a model, as small HTML; everything from outside escaped."""

import html

from studio.i18n import Message, text
from studio.model import catalogue
from studio.model.catalogue import KnownModel, ModelFacts
from studio.ui.failures import box
from studio.ui.views import bar


def choice(model: KnownModel, language: str) -> tuple[str, str]:
    """Return a model as the list offers it: what is shown, and its id."""
    if model.id == "builtin":
        return text("ui.model.builtin_choice", language), model.id
    return text("ui.model.choice", language, id=model.id, size=catalogue.size(model.bytes)), model.id


def facts(model: ModelFacts, language: str) -> str:
    """Return the card of a model: what is known of it, and why it cannot be had or used."""
    items = []
    for title, value in catalogue.describe_facts(model):
        words = value.text(language) if isinstance(value, Message) else value
        items.append(f"<dt>{html.escape(title.text(language))}</dt><dd>{html.escape(words)}</dd>")
    return f'<dl class="model-facts">{"".join(items)}</dl>' * bool(items) + box(model.problem, language)


def progress(share: float | None, model: ModelFacts, language: str) -> str:
    """Return how far a fetch is: in bytes where the share is one of bytes, which the built-in model's is not."""
    done = f"{share or 0:.0%}"
    if model.where == "hub" and model.bytes:
        sizes = {"done": catalogue.size(int(model.bytes * (share or 0))), "all": catalogue.size(model.bytes)}
        done = text("ui.model.bytes", language, **sizes)
    words = text("phase.fetching", language)
    return f'<div class="scan">{bar(share, words)}<b>{html.escape(done)}</b></div>'
