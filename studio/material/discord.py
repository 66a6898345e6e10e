"""Discord, as DiscordChatExporter writes it: JSON and CSV.

https://github.com/Tyrrrz/DiscordChatExporter
"""

import re
from collections.abc import Iterator
from typing import Any

from studio.errors import DataError
from studio.material.message import Message, Place, clean, iso_moment, kind_of, text
from studio.material.parts import Part
from studio.material.text_times import MONTHS, at

NAME = "Discord (DiscordChatExporter)"
_COLUMNS = ["AuthorID", "Author", "Date", "Content", "Attachments", "Reactions"]
_MARKUP = re.compile(r"<(?:a?:(\w{1,40}):\d{1,24}|@[!&]?\d{1,24}|#\d{1,24})>")
_DATE = re.compile(r"(\d{1,2})[/-](\w{1,3})[/-](\d{2,4}) (\d{1,2}):(\d{2})(?::\d{2})?(?: ?([AP]M))?")


def matches(part: Part) -> bool:
    """Whether this is an export of DiscordChatExporter."""
    head = part.head.lstrip()
    if head.startswith("{"):
        return '"guild"' in head and '"channel"' in head and ('"exportedAt"' in head or '"messages"' in head)
    return head.split("\n", 1)[0].replace('"', "").strip().split(",")[:4] == _COLUMNS[:4]


def read(part: Part) -> Iterator[Message]:
    """Yield the messages."""
    if part.head.lstrip().startswith("{"):
        for number, entry in enumerate(part.items("messages.item"), 1):
            yield _message(part, entry, number)
    else:
        yield from _read_table(part)


def _message(part: Part, entry: Any, number: int) -> Message:
    place = Place(part.name, part.name, number)
    author = entry.get("author") if isinstance(entry, dict) else None
    if not isinstance(author, dict):
        return Message("", None, "", "unreadable", place)
    words = _plain(text(entry.get("content")))
    if author.get("isBot"):
        kind = "bot"
    elif entry.get("type") in ("Call", "20"):
        kind = "call"
    elif entry.get("type", "Default") not in ("Default", "Reply", "0", "19"):
        kind = "system"
    else:
        kind = _kind(words, entry.get("stickers"), entry.get("attachments") or entry.get("embeds"))
        if entry.get("forwardedMessage"):
            kind = "forwarded"
    name = text(author.get("nickname")) or text(author.get("name"))
    return Message(clean(name), iso_moment(entry.get("timestamp")), words, kind, place)


def _kind(words: str, stickers: Any, files: Any) -> str:
    return kind_of(words) if words else "sticker" if stickers else "media" if files else "empty"


def _plain(words: str) -> str:
    """Return a text with its emoji by name and without mentions by number."""
    return clean(_MARKUP.sub(lambda match: f":{match[1]}:" if match[1] else "", words) if "<" in words else words)


def _read_table(part: Part) -> Iterator[Message]:
    rows = part.table()
    _, head = next(rows, (0, []))
    columns = {name: number for number, name in enumerate(head)}
    if missing := {"Author", "Date", "Content"} - columns.keys():
        raise DataError("data.damaged", name=part.name, detail=", ".join(sorted(missing)))
    width = max(columns[name] for name in ("Author", "Date", "Content"))
    for number, row in rows:
        place = Place(part.name, part.name, number)
        if len(row) <= width:
            yield Message("", None, "", "unreadable", place)
            continue
        cells = dict(zip(head, row, strict=False))
        words, name = _plain(cells["Content"]), re.sub(r"#(?:\d{4}|0)$", "", cells["Author"])
        when = iso_moment(cells["Date"]) or _moment_of(cells["Date"])
        yield Message(clean(name), when, words, _kind(words, None, cells.get("Attachments")), place)


def _moment_of(cell: str):
    """Return the time of the older exports, `30-Apr-23 02:15 PM` or `04/30/2023 2:15 PM`; None for another."""
    match = _DATE.match(cell)
    if not match:
        return None
    first, second, year = match[1], match[2], int(match[3]) % 100 + 2000
    if second.isalpha():
        if second.lower() not in MONTHS:
            return None
        day = (year, MONTHS.index(second.lower()) + 1, int(first))
    elif second.isdigit():
        day = (year, int(first), int(second)) if int(first) <= 12 else (year, int(second), int(first))
    else:
        return None
    return at(day, match[6], int(match[4]), int(match[5]))
