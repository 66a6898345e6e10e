"""KakaoTalk: the text of Android, iOS and Windows, in Korean and English, and the table of the Mac.

Android writes `2023년 4월 30일 오후 2:15, 이름 : 말`, iOS `2023. 4. 30. 오후 2:15, 이름 : 말` below a line for each
day, Windows `[이름] [오후 2:15] 말` below `---- 2023년 4월 30일 일요일 ----`, and in English it is
`Apr 30, 2023 at 2:15 PM, Name : words`.
"""

import re
from collections.abc import Iterator
from itertools import islice

from studio.data.vocabulary import load
from studio.material.message import Message, Place, clean, iso_moment, kind_of
from studio.material.parts import Part
from studio.material.text_times import CLOCK, ENGLISH_DAY, KOREAN_DAY, at, day_of, pattern

NAME = "KakaoTalk"
_SPEECH = r"(?:,S(?P<speaker>.{1,120}?)S:(?:S(?P<text>.*))?|[,:]S(?P<notice>.*)|(?P<bare>))$"
_LINES = tuple(pattern(f"{day},?(?:S?at)?S{CLOCK}{_SPEECH}") for day in (KOREAN_DAY, ENGLISH_DAY))
_SHORT = pattern(r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{2,4}),?S" + CLOCK + _SPEECH)
_OF_DAY = pattern(CLOCK + r",S(?P<speaker>.{1,120}?)S:(?:S(?P<text>.*))?$")
_WINDOWS = pattern(r"\[(?P<speaker>.{1,120}?)\]S\[" + CLOCK + r"\](?:S(?P<text>.*))?$")
_DAY_LINES = tuple(
    pattern(f"(?:-{{3,}}S)?(?:{day})(?:S-{{3,}})?S*$")
    for day in (KOREAN_DAY + r"S\w요일", r"(?:[A-Z][a-z]{5,8},S)" + ENGLISH_DAY)
)
_RULE = re.compile(r"-{5,}")
_TITLE = re.compile(
    r"(?:.{0,200} )?(?:님과(?:의)? )?카카오톡 대화|KakaoTalk Chats with .*|.{0,200}(?:Talk|with KakaoTalk) Chats"
)
_SAVED = re.compile(r"(?:저장한 날짜|Date Saved|Saved Date) ?: ")
_NOTICE = re.compile(
    r".{1,120}(?:님이|님을) .{0,120}(?:들어왔습니다|나갔습니다|초대했습니다|초대하였습니다|내보냈습니다|되었습니다)\.?"
    r"(?:운영정책을 위반한.{0,200})?"
    r"|채팅방 관리자가 메시지를 가렸습니다\.?"
    r"|.{1,120} (?:joined this chatroom|left this chatroom|has left|was invited.{0,80}|invited .{1,120})\.?"
)
_PLACEHOLDERS = {words: kind for kind, group in load("vocabulary", __file__)["kakaotalk"].items() for words in group}
_MEDIA = re.compile(
    r"(?:사진|동영상) \d+장|\d+ photos|(?:파일|지도|연락처|투표|선물 ?메시지|일정|File|Map|Contact|Poll) ?: .{1,300}"
    r"|샵검색 ?: ?#.{0,200}|[\w-]{16,}\.(?:jpe?g|png|gif|mp4|m4a|webp)",
    re.IGNORECASE,
)
_CALL = re.compile(
    r"(?:보이스톡|페이스톡|그룹콜|라이브톡|Voice Call|Video Call|Group Call)"
    r"(?: ?(?:해요|취소|부재중|응답 없음|시작|종료|Canceled|Missed|No answer|Start|End)| \d{1,2}(?::\d{2}){1,2})?",
    re.IGNORECASE,
)


def matches(part: Part) -> bool:
    """Whether this is a KakaoTalk export."""
    lines = part.head.splitlines()[:400]
    if lines and lines[0].replace('"', "").replace(" ", "") == "Date,User,Message":
        return True
    if any(_SAVED.match(line) for line in lines[:12]) or (lines and _TITLE.fullmatch(lines[0].strip())):
        return True
    return sum(bool(_header(line)) for line in lines) >= 2


def read(part: Part) -> Iterator[Message]:
    """Yield the messages; a line that begins none goes on with the one before."""
    if part.suffix == ".csv" or part.head.startswith(("Date,User,Message", '"Date"')):
        yield from _read_table(part)
    else:
        yield from _read_text(part)


def _header(line: str) -> re.Match[str] | None:
    """Match a line that begins a message or notice, or is a day or time alone."""
    if not line or not (line[0].isdigit() or line[0] in "[오AJFMSOND"):
        return None
    if line[0] == "[":
        return _WINDOWS.match(line)
    for candidate in (*_LINES, _SHORT):
        if match := candidate.match(line):
            return match
    return None


def _read_text(part: Part) -> Iterator[Message]:
    speaker, when, texts, start = "", None, [], 0
    day: tuple[int, int, int] | None = None

    def finished() -> Iterator[Message]:
        if start:
            yield _message(part, speaker, when, "\n".join(texts), start)

    for number, raw in enumerate(part.lines(), 1):
        line = raw.rstrip()
        if match := next((m for p in _DAY_LINES if (m := p.match(line))), None):
            day = day_of(match)
            continue
        match = _header(line) or (day and _OF_DAY.match(line))
        if not match:
            if start and not (_NOTICE.fullmatch(line) or _RULE.fullmatch(line)):
                texts.append(line)
            elif _NOTICE.fullmatch(line):
                yield Message("", None, line, "system", Place(part.name, part.name, number))
            elif line and not (_SAVED.match(line) or _TITLE.fullmatch(line) or _RULE.fullmatch(line)):
                yield Message("", None, line, "unreadable", Place(part.name, part.name, number))
            continue
        groups = match.groupdict()
        if groups.get("bare") is not None:  # a day and time alone, above the messages of a day
            continue
        yield from finished()
        start = 0
        own_day = day_of(match) if "year" in groups else day
        moment = at(own_day, groups["half"] or groups["half2"], int(groups["hour"]), int(groups["minute"]))
        if groups.get("notice") is not None:
            yield Message("", moment, groups["notice"], "system", Place(part.name, part.name, number))
            continue
        speaker, when, texts, start = groups["speaker"], moment, [groups["text"] or ""], number
    yield from finished()


def _read_table(part: Part) -> Iterator[Message]:
    for number, row in islice(part.table(), 1, None):
        place = Place(part.name, part.name, number)
        if len(row) < 3:
            yield Message("", None, "", "unreadable", place)
            continue
        text = ",".join(row[2:])
        if _NOTICE.fullmatch(text):
            yield Message("", iso_moment(row[0]), text, "system", place)
        else:
            yield _message(part, row[1], iso_moment(row[0]), text, number)


def _message(part: Part, speaker: str, when, text: str, number: int) -> Message:
    text = clean(text)
    kind = _PLACEHOLDERS.get(text.lower())
    if kind is None and len(text) < 350:
        kind = "media" if _MEDIA.fullmatch(text) else "call" if _CALL.fullmatch(text) else None
    if when is None:
        kind = "unreadable"
    return Message(clean(speaker), when, text, kind or kind_of(text), Place(part.name, part.name, number))
