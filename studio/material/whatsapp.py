"""WhatsApp: `31/12/2023, 23:59 - Name: words` (Android) and `[12/31/23, 11:59:10 PM] Name: words` (iOS).

Digits may be those of any script; a phone in Arabic puts marks of the direction behind them.

The order of day and month is that of the phone's settings, and is inferred from all dates of the file.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

from studio.i18n import message
from studio.material.message import Message, Place, clean, kind_of
from studio.material.parts import Part
from studio.material.text_times import at, pattern

NAME = "WhatsApp"
_LINE = pattern(
    r"[\u200e\u200f]?(?P<bracket>\[)?(?P<a>\d{1,4})M(?P<sep>[./-]|년)S?(?P<b>\d{1,2})M(?:(?P=sep)|월)S?"
    r"(?P<c>\d{1,4})M(?:\.|일)?[,،]?S"
    r"(?:klo?S|atS)?(?:(?P<half>HALF)S)?(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2}))?"
    r"(?:S?(?P<half2>HALF))?(?:\]S|S[-–]S)(?P<rest>.*)$".replace("M", "[\u200e\u200f]?")
)
_EDITED = re.compile(r"\s*\u200e?<(?:This message was edited|수정된 메시지(?:입니다)?)\.?>$")
_MEDIA = re.compile(
    r"<(?:Media omitted|미디어 (?:파일(?:을)? )?(?:제외|생략)(?:됨)?|(?:attached|첨부|첨부됨): .{1,300})>"
    r"|(?:image|video|audio|document|GIF|Contact card|video note|.{1,200} document) omitted"
    r"|(?:이미지|사진|동영상|음성|오디오|문서|GIF|연락처)[^\n]{0,40} (?:생략됨|생략|제외됨)"
    r"|<[^<>\n]{3,60}>|[\w-]{3,80}\.\w{2,5} \([^()\n]{3,40}\)"  # in whatever language
    r"|.{1,200} \((?:file attached|파일 첨부됨|첨부 파일)\)|(?:location|위치|live location shared): ?\S.{0,200}"
    r"|null",
    re.IGNORECASE,
)
_STICKER = re.compile(r"sticker omitted|스티커 (?:생략됨|생략|제외됨)|STK-[\w-]+\.webp \(.{1,40}\)", re.IGNORECASE)
_DELETED = re.compile(
    r"(?:This message was deleted|You deleted this message|This message was deleted by admin.{0,100}"
    r"|삭제된 메시지입니다|(?:이|회원님이|내가)? ?메시지(?:가|를) 삭제(?:되었습니다|했습니다))\.?"
)
_CALL = re.compile(
    r"(?:(?:Missed (?:group )?)?(?:voice|video) call|(?:부재중 )?(?:음성|영상) ?통화)(?:[,. ].{0,60})?", re.IGNORECASE
)
_NOTICE = re.compile(
    r"changed (?:the subject|the group|this group|their phone number|to)|created (?:group|this group)"
    r"|end-to-end encrypted|(?:added|removed|invited) |joined using|security code|\bleft$"
    r"|종단간 암호화|보안 코드|그룹을 만들|그룹 (?:이름|제목|설명|아이콘)"
)


def matches(part: Part) -> bool:
    """Whether this is a WhatsApp export: two of its first lines begin as messages do."""
    return sum(bool(_LINE.match(line)) for line in part.head.splitlines()[:400]) >= 2


def read(part: Part) -> Iterator[Message]:
    """Yield the messages; a line that begins none goes on with the one before."""
    is_day_first = _is_day_first(part)
    speaker, when, texts, start = "", None, [], 0
    for number, line in enumerate(part.lines(), 1):
        match = _LINE.match(line)
        if match is None:
            if start:
                texts.append(line)
            elif line.strip():
                yield Message("", None, line, "unreadable", Place(part.name, part.name, number))
            continue
        if start:
            yield _message(part, speaker, when, "\n".join(texts), start)
        start = 0
        day = _day(match, is_day_first)
        half = match["half"] or match["half2"]
        moment = at(day, half, int(match["hour"]), int(match["minute"]), int(match["second"] or 0))
        name, colon, text = f"{match['rest']} ".partition(": ")
        if not colon or len(name) > 120 or _NOTICE.search(name):
            yield Message("", moment, match["rest"], "system", Place(part.name, part.name, number))
            continue
        speaker, when, texts, start = name, moment, [text[:-1]], number
    if start:
        yield _message(part, speaker, when, "\n".join(texts), start)


def _message(part: Part, speaker: str, when, text: str, number: int) -> Message:
    is_marked = text.startswith(("\u200e", "\u200f"))
    text = clean(_EDITED.sub("", text[-200:]) if len(text) < 200 else text[:-200] + _EDITED.sub("", text[-200:]))
    kind = None
    if len(text) < 500:
        patterns = {"sticker": _STICKER, "media": _MEDIA, "deleted": _DELETED, "call": _CALL}
        kind = next((kind for kind, pattern in patterns.items() if pattern.fullmatch(text)), None)
        if kind is None and is_marked and (_NOTICE.search(text) or "\n" not in text):
            kind = "system"  # nobody types the mark
    if when is None:
        kind = "unreadable"
    name = clean(speaker).lstrip("~").strip(" \u00a0\u202f")
    return Message(name, when, text, kind or kind_of(text), Place(part.name, part.name, number))


def _day(match: re.Match[str], is_day_first: bool) -> tuple[int, int, int]:
    first, second, third = int(match["a"]), int(match["b"]), int(match["c"])
    if len(match["a"]) == 4:
        return first, second, third
    year = third + 2000 if third < 100 else third
    if first > 12 or (is_day_first and second <= 12):
        return year, second, first
    return year, first, second


def _is_day_first(part: Part) -> bool:
    """Return whether the day stands before the month: what no date contradicts, else what goes back in time less."""
    dates = [match for line in part.lines() if (match := _LINE.match(line)) and len(match["a"]) < 4]
    firsts, seconds = (any(int(match[group]) > 12 for match in dates) for group in ("a", "b"))
    if firsts and seconds:
        part.notes.append(message("material.notes.mixed_dates", name=part.name))
    if firsts != seconds:
        return firsts
    days = [[_day(match, is_day_first) for match in dates] for is_day_first in (False, True)]
    jumps = [sum(day < before for before, day in pairwise(each)) for each in days]
    if jumps[0] != jumps[1]:
        return jumps[1] < jumps[0]
    spans = [_months(each[-1]) - _months(each[0]) if each else 0 for each in days]
    is_day_first = not any(match["half2"] for match in dates)  # 12 hours and month first go together
    if spans[0] != spans[1]:  # people seldom write on one day of each month only
        is_day_first = spans[1] < spans[0]
    if any(match["a"] != match["b"] for match in dates):
        order = "day_first" if is_day_first else "month_first"
        part.notes.append(message("material.notes.unclear_dates", name=part.name, order=message(f"material.{order}")))
    return is_day_first


def _months(day: tuple[int, int, int]) -> float:
    return day[0] * 12 + day[1] + day[2] / 31
