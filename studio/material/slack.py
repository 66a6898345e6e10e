"""Slack's export: a zip with a folder for each channel, in it a JSON file for each day, and `users.json` above.

https://slack.com/help/articles/220556107
"""

import html
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from studio.errors import DataError, one_line
from studio.material.message import Message, Place, clean, kind_of, moment, text
from studio.material.parts import Part

NAME = "Slack"
_TS = re.compile(r'"ts"\s*:\s*"\d{9,11}\.\d{1,9}"')
_MARKUP = re.compile(r"<([^<>|]{1,2000})(?:\|([^<>]{0,500}))?>")
_SPOKEN = ("thread_broadcast", "me_message", "file_share", None)
"""Subtypes of what people write; all others are notices of channels, files and bots."""
_UNSPOKEN = (
    "users channels dms groups mpims integration_logs canvases org_users file_conversations huddle_transcripts lists"
)
LISTS = frozenset(f"{name}.json" for name in _UNSPOKEN.split())
"""Files of an export that hold no messages."""


def matches(part: Part) -> bool:
    """Whether this is a day of a Slack export."""
    return part.head.lstrip().startswith("[") and bool(_TS.search(part.head))


def is_list(part: Part) -> bool:
    """Whether this file of an export is known to hold no messages."""
    return not part.is_named and PurePosixPath(part.name).name in LISTS


def read(part: Part) -> Iterator[Message]:
    """Yield the messages of a day; those of a thread are a chat of their own."""
    users = part.neighbour("users.json")
    names = _names(users.read()) if users else {}
    folder = PurePosixPath(part.name).parent.name or part.path.parent.name
    for number, entry in enumerate(part.items("item"), 1):
        if not isinstance(entry, dict) or "ts" not in entry:
            yield Message("", None, "", "unreadable", Place(part.name, folder, number))
            continue
        is_thread = entry.get("thread_ts") and (entry.get("reply_count") or entry["thread_ts"] != entry["ts"])
        chat = f"{folder} {text(entry.get('thread_ts'))}" if is_thread else folder
        words = _plain(text(entry.get("text")), names)
        try:
            at = moment(float(entry["ts"]))
        except (ValueError, TypeError):
            at = None
        yield Message(_speaker(entry, names), at, words, _kind(entry, words), Place(part.name, chat, number))


def _kind(entry: dict[str, Any], words: str) -> str:
    subtype = entry.get("subtype")
    if subtype == "tombstone" or entry.get("hidden"):
        return "deleted"
    if subtype == "bot_message" or entry.get("bot_id"):
        return "bot"
    if subtype not in _SPOKEN or entry.get("type", "message") != "message":
        return "system"
    return kind_of(words) if words or not entry.get("files") else "media"


def _speaker(entry: dict[str, Any], names: dict[str, str]) -> str:
    user, profile = text(entry.get("user")), entry.get("user_profile")
    own = profile if isinstance(profile, dict) else {}
    return names.get(user) or clean(text(own.get("display_name")) or text(own.get("real_name"))) or user


@lru_cache(maxsize=2)
def _names(content: bytes) -> dict[str, str]:
    try:
        users = json.loads(content)
    except ValueError as error:
        raise DataError("data.damaged", name="users.json", detail=one_line(error)) from error
    names = {}
    for user in users if isinstance(users, list) else ():
        if isinstance(user, dict) and isinstance(user.get("id"), str):
            profile = user.get("profile") if isinstance(user.get("profile"), dict) else {}
            name = text(profile.get("display_name")) or text(profile.get("real_name")) or text(user.get("real_name"))
            names[user["id"]] = clean(name or text(user.get("name"))) or user["id"]
    return names


def _plain(words: str, names: dict[str, str]) -> str:
    """Return a text without Slack's markup: mentions by name, links by address, `&amp;` as `&`."""

    def plain(match: re.Match[str]) -> str:
        target, label = match[1], match[2]
        if target[0] == "@":
            return "@" + (names.get(target[1:]) or label or target[1:])
        if target[0] in "#!":
            return (target[0] if target[0] == "#" else "@") + (label or target[1:])
        return label or target.removeprefix("mailto:")

    return clean(html.unescape(_MARKUP.sub(plain, words))) if "<" in words or "&" in words else clean(words)
