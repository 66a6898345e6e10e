"""The message that every chat format is read as, and the kinds of messages that are left out."""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Any, NamedTuple

from studio.data.readers.base import without_surrogates

MAX_TEXT = 20_000
"""Characters of the longest message that becomes part of a row: a pasted log teaches no style."""
KINDS = (
    "system", "media", "sticker", "deleted", "link", "call", "forwarded", "bot", "empty", "too_long", "unreadable",
)  # fmt: skip
"""Why a message is left out; the names in the catalogues under `material.left_out`."""
TEXT = "text"
_LINKS = re.compile(r"(?:(?:https?://|www\.)\S++(?:\s+|$))+", re.IGNORECASE)
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u2066\u2067\u2068\u2069\ufeff\0"))


class Place(NamedTuple):
    """Where a message stands."""

    file: str
    chat: str
    """The channel or thread; a conversation never spans two."""
    number: int
    """Number of the line or message in the file, from 1."""


class Message(NamedTuple):
    """A message of a chat; `kind` is `text`, or one of `KINDS` for what is left out."""

    speaker: str
    at: datetime | None
    """When it was sent, without time zone: only the gaps count."""
    text: str
    kind: str
    place: Place


def kind_of(text: str) -> str:
    """Return the kind of a message whose text is no placeholder of its format."""
    if not text:
        return "empty"
    if len(text) > MAX_TEXT:
        return "too_long"
    return "link" if text[:4].lower() in ("http", "www.") and _LINKS.fullmatch(text) else TEXT


def text(value: Any) -> str:
    """Return a value that should be a text, empty where it is none; halves of a letter are replaced."""
    return without_surrogates(value) if isinstance(value, str) else ""


def clean(text: str) -> str:
    """Return a text or name without marks that are not seen (directions, zero width) and outer white space.

    Letters are composed (NFC): a Mac writes Hangul in parts.
    """
    if text.isascii():
        return text.replace("\0", "").strip()
    return unicodedata.normalize("NFC", text.translate(_INVISIBLE)).strip()


def moment(seconds: float) -> datetime | None:
    """Return the time of a Unix timestamp in seconds; None for one that is no time."""
    try:
        return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):
        return None


def iso_moment(text: str) -> datetime | None:
    """Return the time of an ISO 8601 text, in UTC where it names an offset; None for one that is no time."""
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
    except (ValueError, OverflowError, TypeError):
        return None
