"""Telegram Desktop's JSON: one chat (`result.json`), or an export of all.

https://core.telegram.org/import-export
"""

import re
from collections.abc import Iterator
from typing import Any

from studio.material.message import Message, Place, clean, iso_moment, kind_of, moment, text
from studio.material.parts import Part

NAME = "Telegram"
_CHAT = re.compile(r'"type"\s*:\s*"(?:\w*_(?:chat|group|supergroup|channel)|saved_messages)"')
_ALL = re.compile(r'"(?:chats|left_chats)"\s*:\s*\{')

_MEDIA = ("photo", "file", "location_information", "contact_information", "poll")


def matches(part: Part) -> bool:
    """Whether this is a Telegram export."""
    head = part.head
    if not head.lstrip().startswith("{"):
        return False
    return bool((_CHAT.search(head) and '"messages"' in head) or (_ALL.search(head) and '"about"' in head))


def read(part: Part) -> Iterator[Message]:
    """Yield the messages of all chats."""
    if not _ALL.search(part.head):
        for number, entry in enumerate(part.items("messages.item"), 1):
            yield _message(part, "", entry, number)
        return
    for prefix in ("chats.list.item", "left_chats.list.item"):
        for chat in part.items(prefix):
            entries = chat.get("messages") if isinstance(chat, dict) else None
            for number, entry in enumerate(entries if isinstance(entries, list) else (), 1):
                yield _message(part, f"{chat.get('name') or ''} {chat.get('id', '')}".strip(), entry, number)


def _message(part: Part, chat: str, entry: Any, number: int) -> Message:
    place = Place(part.name, chat, number)
    if not isinstance(entry, dict):
        return Message("", None, "", "unreadable", place)
    try:
        at = moment(float(entry["date_unixtime"]))
    except (KeyError, ValueError, TypeError):
        at = iso_moment(entry.get("date"))
    words = clean(_flat(entry.get("text")))
    return Message(clean(text(entry.get("from"))) or text(entry.get("from_id")), at, words, _kind(entry, words), place)


def _kind(entry: dict[str, Any], words: str) -> str:
    media = entry.get("media_type")
    if entry.get("type") == "service":
        return "call" if entry.get("action") == "phone_call" else "system"
    if entry.get("forwarded_from") or "saved_from" in entry:
        return "forwarded"
    if media == "sticker":
        return "sticker"
    if entry.get("via_bot"):
        return "bot"
    if words:
        return kind_of(words)
    return "media" if media or any(name in entry for name in _MEDIA) else "empty"


def _flat(value: Any) -> str:
    """Return the text of a message: a string, or a list of strings and entities."""
    if isinstance(value, list):
        return "".join(text(piece) if isinstance(piece, str) else text(piece.get("text")) for piece in value
                       if isinstance(piece, str | dict))  # fmt: skip
    return text(value)
