"""What the page says of an adapter from outside: that it is awaited, that it is here, or why it is not."""

import html

from studio.compare.columns import Column
from studio.compare.external_adapters import ExternalAdapter
from studio.i18n import text
from studio.model import hub_models
from studio.model.uploaded_adapters import Upload
from studio.ui.failures import box, message_of
from studio.ui.views import bar, column_label


def hint(language: str) -> str:
    """Return what can be brought here."""
    return _quiet("ui.outside.hint", language)


def cancelled(language: str) -> str:
    """Return that nothing was fetched because the user did not want it any more."""
    return _quiet("ui.outside.cancelled", language)


def progress(key: str, share: float | None, language: str) -> str:
    """Return how far it is."""
    words = text(key, language)
    done = "" if share is None else f"<b>{share:.0%}</b>"
    return f'<div class="scan"><span>{html.escape(words)}</span>{bar(share, words)}{done}</div>'


def here(arrived: ExternalAdapter, language: str) -> str:
    """Return that an adapter is here, and how it is known that it was made for the base."""
    title = html.escape(column_label(Column(adapter=arrived.column), language))
    known = html.escape(
        text(f"ui.outside.known.{arrived.compatibility.known}", language, made_for=arrived.compatibility.made_for)
    )
    if arrived.compatibility.known in ("shapes", "vouched"):
        return f'<div class="failure" role="alert"><strong>⚠ {title}</strong><p>{known}</p></div>'
    return f'<p class="arrived"><b>✓ {title}</b> {known}</p>'


def failure(error: Exception, language: str) -> str:
    """Return why it is not here."""
    return box(message_of(error), language)


def saved(upload: Upload) -> tuple[str, str]:
    """Return an uploaded adapter as the list of what can be removed offers it: its name and size, and its column."""
    return f"{upload.name} · {hub_models.size(upload.bytes)}", upload.column


def _quiet(key: str, language: str) -> str:
    return f'<p class="hint">{html.escape(text(key, language))}</p>'
