"""The card as a page: one file that needs nothing else, runs nothing, and shows every text as it is."""

import base64
import hashlib
from html import escape
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from studio.reports.comparison_card import Card, curve_places, remove_control_characters

_FOLDER = Path(__file__).parent
_STYLE = (_FOLDER / "card.css").read_text(encoding="utf-8")
_POINTS, _WIDTH, _HEIGHT = 120, 240, 48


def to_html(card: Card) -> str:
    """Return the card as one HTML page: works offline and without scripts, which its own policy also forbids."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode("utf-8")).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    points = curve_places(card.losses, _POINTS, (4, 4, _WIDTH - 8, _HEIGHT - 8))
    body = _BODY.render(card=card, points=points, width=_WIDTH, height=_HEIGHT)
    return (
        f'<!doctype html>\n<html lang="{_escape(card.language)}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{_escape(card.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>{body}</main>\n"
        "</body>\n</html>\n"
    )


def _escape(value: object) -> Markup:
    """Escape a value of the template, unless it is HTML of the template's own."""
    if isinstance(value, Markup):
        return value
    return Markup(escape(remove_control_characters(str(value)), quote=True))


_ENVIRONMENT = Environment(autoescape=True, finalize=_escape, undefined=StrictUndefined)
_LINES = (_FOLDER / "card.html.jinja").read_text(encoding="utf-8").splitlines()
_BODY = _ENVIRONMENT.from_string("".join(_LINES))
"""The page's body; the line breaks of the template are not in it."""
