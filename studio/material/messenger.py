"""Instagram and Messenger: the JSON of Meta's download, newest message first, its text encoded twice; and Messenger's
own download of end-to-end encrypted chats, which is not.
"""

import re
from collections.abc import Iterator
from itertools import count
from typing import Any

from studio.material.message import Message, Place, clean, kind_of, moment, text
from studio.material.parts import Part

NAME = "Instagram / Messenger"
_KEYS = re.compile(r'"(?:sender_name|senderName)"\s*:')
_TITLED = re.compile(r'"(?:thread_path|threadName|is_still_participant)"\s*:')
_MEDIA = ("photos", "videos", "audio_files", "gifs", "files", "share", "media")
_PLACEHOLDER = re.compile(
    r".{0,100}(?:sent an attachment|sent a (?:photo|video|voice message|GIF|link|reel|post|story)"
    r"|shared a (?:story|link)"
    r"|첨부 파일을 보냈습니다|(?:사진|동영상|음성 메시지|링크)(?:을|를) 보냈습니다)\.?"
)
_NOTICE = re.compile(
    r"(?:Reacted .{1,40} to your message|Liked a message|.{1,100} (?:added .{1,100} to the group|left the group"
    r"|named the group .{1,200}|changed the (?:theme|chat theme|group photo).{0,100}"
    r"|set the (?:nickname|emoji).{0,200})"
    r"|메시지에 .{1,40} 공감했습니다|메시지를 좋아합니다|.{1,100}님이 (?:그룹|테마|닉네임).{1,150})\s*\.?"
)


def matches(part: Part) -> bool:
    """Whether this is a chat of Meta's download."""
    head = part.head
    return (
        head.lstrip().startswith("{") and '"participants"' in head and bool(_KEYS.search(head) or _TITLED.search(head))
    )


def read(part: Part) -> Iterator[Message]:
    """Yield the messages, oldest first."""
    chat = part.name.rpartition("/")[0] or part.name  # message_1.json and message_2.json are one chat
    places = (Place(part.name, chat, number) for number in count(1))
    messages = map(_message, part.items("messages.item"), places)
    yield from sorted(messages, key=lambda message: (message.at is not None, message.at))


def _message(entry: Any, place: Place) -> Message:
    if not isinstance(entry, dict):
        return Message("", None, "", "unreadable", place)
    speaker = text(entry.get("sender_name")) or text(entry.get("senderName"))
    words = clean(repaired(text(entry.get("content")) or text(entry.get("text"))))
    stamp = entry.get("timestamp_ms", entry.get("timestamp"))
    at = moment(stamp / 1000) if isinstance(stamp, int | float) else None
    return Message(clean(repaired(speaker)), at, words, _kind(entry, words), place)


def _kind(entry: dict[str, Any], words: str) -> str:
    if entry.get("is_unsent") or entry.get("isUnsent"):
        return "deleted"
    if entry.get("call_duration") is not None or entry.get("type") == "Call":
        return "call"
    if entry.get("type") in ("Subscribe", "Unsubscribe") or entry.get("is_geoblocked_for_viewer") is True:
        return "system"
    if entry.get("sticker"):
        return "sticker"
    if len(words) < 300 and _NOTICE.fullmatch(words):
        return "system"
    if (len(words) < 200 and _PLACEHOLDER.fullmatch(words)) or (not words and any(entry.get(key) for key in _MEDIA)):
        return "media"
    return kind_of(words)


def repaired(words: str) -> str:
    """Return a text whose UTF-8 bytes were written as Latin-1 letters, repaired; any other as it is."""
    if words.isascii():
        return words
    try:
        return words.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return words
