"""What the page says of an adapter from outside: that it is here, and what can be removed."""

import html

from studio.compare.columns import Column
from studio.compare.external_adapters import ExternalAdapter
from studio.i18n import text
from studio.model import hub_models
from studio.model.uploaded_adapters import Upload
from studio.ui.views import column_label


def here(arrived: ExternalAdapter, language: str) -> str:
    """Return that an adapter is here, and how it is known that it was made for the base."""
    title = html.escape(column_label(Column(adapter=arrived.column), language))
    known = html.escape(
        text(f"ui.outside.known.{arrived.compatibility.known}", language, made_for=arrived.compatibility.made_for)
    )
    if arrived.compatibility.known in ("shapes", "vouched"):
        return f'<div class="failure" role="alert"><strong>⚠ {title}</strong><p>{known}</p></div>'
    return f'<p class="arrived"><b>✓ {title}</b> {known}</p>'


def saved(upload: Upload) -> tuple[str, str]:
    """Return an uploaded adapter as the list of what can be removed offers it: its name and size, and its column."""
    return f"{upload.name} · {hub_models.size(upload.bytes)}", upload.column
