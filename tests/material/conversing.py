"""Chat exports of invented people, as the apps write them."""

import json
import zipfile
from collections import Counter
from pathlib import Path

from studio.material import reading
from studio.material.message import Message
from studio.material.parts import Part, walk

ANDROID_KO = """별빛 독서 모임 3 카카오톡 대화
저장한 날짜 : 2023년 5월 1일 오후 3:20


2023년 4월 30일 오후 11:58
2023년 4월 30일 오후 11:58, 한가람 : 내일 모임 몇 시야?
2023년 4월 30일 오후 11:59, 회원님 : 두 시!
장소는 그대로야
: 늦지 마
2023년 5월 1일 오전 12:01, 한가람 : 사진
2023년 5월 1일 오전 12:02, 한가람 : 이모티콘
2023년 5월 1일 오전 12:03, 오로라 [총무] : 삭제된 메시지입니다.
2023년 5월 1일 오전 12:04, 오로라 [총무] : https://example.com/a
2023년 5월 1일 오후 12:05, 오로라 [총무] : 링크 봤어? https://example.com/a
2023년 5월 1일 오후 12:06, 한가람님이 나갔습니다.
2023년 5월 1일 오후 12:07, 회원님 : 보이스톡 해요
"""
ANDROID_EN = """KakaoTalk Chats with Garam
Date Saved : May 1, 2023 at 3:20 PM


April 30, 2023 at 11:58 PM
April 30, 2023 at 11:58 PM, Garam : When do we meet?
April 30, 2023 at 11:59\u202fPM, Me: Two : At two!
Same place
May 1, 2023 at 12:01 AM, Garam : Photo
May 1, 2023, 12:02 AM, Garam : This message was deleted.
"""
IOS_KO = """별빛 님과 카카오톡 대화
저장한 날짜 : 2023. 5. 1. 오후 3:20


2023년 4월 30일 일요일
2023. 4. 30. 오후 11:58, 별빛 : 자?
2023. 4. 30. 23:59, 나 : 아직
2023. 5. 1. 오전 12:00: 별빛님이 들어왔습니다.
2023년 5월 1일 월요일
2023. 5. 1. 오전 12:01, 별빛 : 동영상
"""
IOS_EN = """Star with KakaoTalk Chats
Date Saved : 5/1/23, 3:20 PM

Sunday, April 30, 2023
Apr 30, 2023 at 23:58, Star : Awake?
4/30/23, 11:59 PM, Me : Still
"""
WINDOWS_KO = """별빛 님과 카카오톡 대화
저장한 날짜 : 2023-05-01 15:20:33

--------------- 2023년 4월 30일 일요일 ---------------
한가람님이 들어왔습니다.
[[총무] 한가람] [오후 11:58] [공지] 내일 봐요
2:15에 도착해요
[나] [오후 11:59] 네
--------------- 2023년 5월 1일 월요일 ---------------
[나] [오전 12:01] 사진 3장
[나] [오전 12:02] 파일: 보고서.pdf
채팅방 관리자가 메시지를 가렸습니다.
"""
WINDOWS_EN = """KakaoTalk Chats with Star
Date Saved : 2023-05-01 15:20:33

--------------- Sunday, April 30, 2023 ---------------
[Star] [11:58 PM] hi
[Me] [11:59 PM] yo
--------------- Monday, May 1, 2023 ---------------
[Me] [12:01 AM] Emoticons
"""
MAC = '''Date,User,Message
2023-04-30 23:58:10,"별빛","자?
안 자?"
2023-04-30 23:59:10,"나","응, ""아직"""
2023-05-01 00:01:10,"별빛","별빛님이 나갔습니다."
'''
WHATSAPP = {
    "android_day_first": """30/04/2023, 23:58 - Messages and calls are end-to-end encrypted. No one can read them.
30/04/2023, 23:58 - Mira: see you at 9: ok?
30/04/2023, 23:59 - Joon Park: sure
- and bring tea
01/05/2023, 00:01 - Mira: <Media omitted>
01/05/2023, 00:02 - Mira: This message was deleted
01/05/2023, 00:03 - Mira changed the subject from "a: b" to "c"
01/05/2023, 00:04 - +82 10-5555-0199: hello <This message was edited>
""",
    "android_month_first": """4/30/23, 11:58 PM - Mira: see you at 9: ok?
4/30/23, 11:59\u202fPM - Joon Park: sure
- and bring tea
5/1/23, 12:01 AM - Mira: <Media omitted>
5/1/23, 12:02 AM - Mira: null
""",
    "ios": """[30.04.23, 23:58:01] Mira: \u200eMessages and calls are end-to-end encrypted.
[30.04.23, 23:58:02] Mira: see you at 9: ok?
[30.04.23, 23:59:03] ~\u202fJoon Park: sure
- and bring tea
\u200e[01.05.23, 00:01:04] Mira: \u200eimage omitted
\u200e[01.05.23, 00:02:05] Mira: \u200eYou deleted this message.
\u200e[01.05.23, 00:02:06] Mira: \u200esticker omitted
\u200e[01.05.23, 00:02:07] Mira: \u200eMissed voice call, tap to call back
""",
    "korean": """2023. 4. 30. 오후 11:58 - 미라: 9시에 봐: 알았지?
2023. 4. 30. 오후 11:59 - 준 박: 응
- 차도 가져와
2023. 5. 1. 오전 12:01 - 미라: <미디어 파일 제외됨>
2023. 5. 1. 오전 12:02 - 미라: 삭제된 메시지입니다
""",
}
TELEGRAM = {
    "name": "별빛",
    "type": "personal_chat",
    "id": 4242,
    "messages": [
        {"id": 1, "type": "service", "date": "2023-04-30T23:57:00", "actor": "별빛", "action": "phone_call",
         "text": ""},
        {"id": 2, "type": "message", "date": "2023-04-30T23:58:00", "date_unixtime": "1682866680", "from": "별빛",
         "from_id": "user1", "text": ["look ", {"type": "link", "text": "https://example.com"}, " ok?"]},
        {"id": 3, "type": "message", "date": "2023-04-30T23:59:00", "from": "Me", "from_id": "user2", "text": "yes 😀"},
        {"id": 4, "type": "message", "date": "2023-05-01T00:00:00", "from": "Me", "from_id": "user2", "text": "",
         "media_type": "sticker", "sticker_emoji": "😀"},
        {"id": 5, "type": "message", "date": "2023-05-01T00:00:00", "from": "Me", "from_id": "user2", "text": "",
         "photo": "(File not included)"},
        {"id": 6, "type": "message", "date": "2023-05-01T00:01:00", "from": "Me", "from_id": "user2", "text": "news",
         "forwarded_from": "Channel"},
        {"id": 7, "type": "message", "date": "2023-05-01T00:02:00", "from": None, "from_id": "user9", "text": "bye"},
    ],
}  # fmt: skip
DISCORD = {
    "guild": {"id": "0", "name": "Direct Messages"},
    "channel": {"id": "1", "type": "DirectTextChat", "name": "Star"},
    "exportedAt": "2023-05-02T00:00:00+00:00",
    "messages": [
        {"id": "1", "type": "Default", "timestamp": "2023-04-30T23:58:00.123+09:00", 
         "content": "hi <:wave:123456789012>",
         "author": {"id": "7", "name": "star", "nickname": "Star", "isBot": False}, "attachments": [], "stickers": []},
        {"id": "2", "type": "Reply", "timestamp": "2023-04-30T23:59:00+09:00", "content": "yo <@123456789012> &",
         "author": {"id": "8", "name": "me", "isBot": False}, "attachments": [], "stickers": []},
        {"id": "3", "type": "Default", "timestamp": "2023-04-30T23:59:10+09:00", "content": "",
         "author": {"id": "8", "name": "me"}, "attachments": [{"id": "1"}], "stickers": []},
        {"id": "4", "type": "ChannelPinnedMessage", "timestamp": "2023-04-30T23:59:20+09:00", "content": "Pinned.",
         "author": {"id": "8", "name": "me"}},
        {"id": "5", "type": "Default", "timestamp": "2023-04-30T23:59:30+09:00", "content": "beep",
         "author": {"id": "9", "name": "robot", "isBot": True}},
    ],
    "messageCount": 5,
}  # fmt: skip
DISCORD_CSV = """AuthorID,Author,Date,Content,Attachments,Reactions
"7","Star#1234","2023-04-30T23:58:00.0000000+09:00","hi
there","",""
"8","me","30-Apr-23 11:59 PM","yo","",""
"8","me","2023-04-30T23:59:30+09:00","","https://cdn.example.com/a.png",""
"""
INSTAGRAM = {
    "participants": [{"name": "별빛"}, {"name": "Zoë"}],
    "messages": [
        {"sender_name": "Zoë", "timestamp_ms": 1682867000000, "photos": [{"uri": "a.jpg"}]},
        {"sender_name": "Zoë", "timestamp_ms": 1682866900000, "content": "Liked a message"},
        {"sender_name": "Zoë", "timestamp_ms": 1682866800000, "content": "응 ❤ café", "reactions": [{"reaction": "❤"}]},
        {"sender_name": "별빛", "timestamp_ms": 1682866700000, "content": "자?"},
        {"sender_name": "별빛", "timestamp_ms": 1682866600000, "is_unsent": True},
    ],
    "title": "별빛",
    "is_still_participant": True,
    "thread_path": "inbox/star_1",
}
MBOX = """From star@example.com Sun Apr 30 23:58:00 2023
From: =?UTF-8?B?67OE67mb?= <star@example.com>
To: me@example.com
Subject: =?UTF-8?B?64K07J28?=
Date: Sun, 30 Apr 2023 23:58:00 +0900
Content-Type: text/plain; charset=utf-8

내일 몇 시에 볼까?
>From here it is far.

--
별빛, 독서 모임 총무
010-5555-0100

From me@example.com Mon May 01 00:10:00 2023
From: Me <me@example.com>
To: star@example.com
Subject: Re: =?UTF-8?B?64K07J28?=
Date: Mon, 1 May 2023 00:10:00 +0900
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="b"

--b
Content-Type: text/plain; charset=utf-8

두 시가 좋겠어.

On Sun, Apr 30, 2023 at 11:58 PM 별빛 <star@example.com>
wrote:

> 내일 몇 시에 볼까?

--b
Content-Type: text/html; charset=utf-8

<p>두 시가 좋겠어.</p>
--b--

From news@example.com Mon May 01 00:20:00 2023
From: News <news@example.com>
To: me@example.com
Subject: Weekly
Date: Mon, 1 May 2023 00:20:00 +0900
List-Unsubscribe: <mailto:x@example.com>

Buy now
"""


def mangled(value):
    """Return a value as Meta writes it: every byte of UTF-8 as a letter of its own."""
    if isinstance(value, str):
        return value.encode().decode("latin-1")
    if isinstance(value, dict):
        return {key: mangled(inner) for key, inner in value.items()}
    return [mangled(inner) for inner in value] if isinstance(value, list) else value


def slack_zip(path: Path) -> Path:
    days = {
        "users.json": [
            {"id": "U1", "name": "star", "profile": {"display_name": "Star", "real_name": "Star Light"}},
            {"id": "U2", "name": "me", "profile": {"display_name": "", "real_name": "Me Too"}},
        ],
        "channels.json": [{"id": "C1", "name": "general"}],
        "general/2023-04-30.json": [
            {
                "type": "message",
                "subtype": "channel_join",
                "user": "U1",
                "text": "<@U1> has joined",
                "ts": "1682866600.1",
            },
            {
                "type": "message",
                "user": "U1",
                "text": "hi <@U2> &amp; all <https://example.com|here>",
                "ts": "1682866680.2",
            },
            {"type": "message", "user": "U2", "text": "yo", "ts": "1682866740.3"},
            {"type": "message", "user": "U2", "text": "", "files": [{"id": "F"}], "ts": "1682866741.3"},
            {"type": "message", "subtype": "bot_message", "bot_id": "B1", "text": "beep", "ts": "1682866742.3"},
        ],
        "general/2023-05-01.json": [
            {"type": "message", "user": "U1", "text": "in a thread", "ts": "1682867000.1", "thread_ts": "1682866680.2"}
        ],
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in days.items():
            archive.writestr(name, json.dumps(content))
    return path


def parts(path: Path) -> list[Part]:
    return list(walk([path], None, Counter()))


def messages(path: Path) -> list[Message]:
    """Read all messages of one file."""
    read = []
    for part in walk([path], None, Counter()):
        module = reading.chat_format_of(part)
        if module:
            read += module.read(part)
    return read


def spoken(path: Path) -> list[tuple[str, str]]:
    """Return speaker and text of the messages that are kept."""
    return [(entry.speaker, entry.text) for entry in messages(path) if entry.kind == "text"]


def kinds(path: Path) -> dict[str, int]:
    """Count what is left out."""
    return dict(Counter(entry.kind for entry in messages(path) if entry.kind != "text"))
