"""Every chat format in its variants: who says what and when, and what is left out by kind."""

import json
import zipfile
from datetime import datetime

import conversing
import pytest
from conversing import kinds, messages, spoken

from studio.material import reading
from studio.material.mail import own_words


def write(tmp_path, text: str, name: str = "chat.txt", encoding: str = "utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def format_name(path) -> str | None:
    module = reading.chat_format_of(conversing.parts(path)[0])
    return module and module.__name__.rpartition(".")[2]


def test_kakaotalk_of_android_in_korean(tmp_path):
    path = write(tmp_path, conversing.ANDROID_KO)
    assert format_name(path) == "kakaotalk"
    assert spoken(path) == [
        ("한가람", "내일 모임 몇 시야?"),
        ("회원님", "두 시!\n장소는 그대로야\n: 늦지 마"),
        ("오로라 [총무]", "링크 봤어? https://example.com/a"),
    ]
    assert kinds(path) == {"media": 1, "sticker": 1, "deleted": 1, "link": 1, "system": 1, "call": 1}
    first, second, *_, last = messages(path)
    assert (first.at, second.at) == (datetime(2023, 4, 30, 23, 58), datetime(2023, 4, 30, 23, 59))
    assert last.at == datetime(2023, 5, 1, 12, 7)
    assert (first.place.number, second.place.number) == (6, 7)


def test_kakaotalk_of_android_in_english(tmp_path):
    path = write(tmp_path, conversing.ANDROID_EN)
    assert spoken(path) == [("Garam", "When do we meet?"), ("Me: Two", "At two!\nSame place")]
    assert kinds(path) == {"media": 1, "deleted": 1}
    assert messages(path)[2].at == datetime(2023, 5, 1, 0, 1)


def test_kakaotalk_of_ios(tmp_path):
    path = write(tmp_path, conversing.IOS_KO)
    assert spoken(path) == [("별빛", "자?"), ("나", "아직")]
    assert kinds(path) == {"system": 1, "media": 1}
    assert messages(path)[1].at == datetime(2023, 4, 30, 23, 59)
    path = write(tmp_path, conversing.IOS_EN)
    assert spoken(path) == [("Star", "Awake?"), ("Me", "Still")]
    assert [entry.at for entry in messages(path)] == [datetime(2023, 4, 30, 23, 58), datetime(2023, 4, 30, 23, 59)]


def test_kakaotalk_of_windows(tmp_path):
    path = write(tmp_path, conversing.WINDOWS_KO)
    assert format_name(path) == "kakaotalk"
    assert spoken(path) == [("[총무] 한가람", "[공지] 내일 봐요\n2:15에 도착해요"), ("나", "네")]
    assert kinds(path) == {"system": 2, "media": 2}
    assert messages(path)[3].at == datetime(2023, 5, 1, 0, 1)
    path = write(tmp_path, conversing.WINDOWS_EN)
    assert spoken(path) == [("Star", "hi"), ("Me", "yo")]
    assert kinds(path) == {"sticker": 1}


def test_kakaotalk_of_the_mac(tmp_path):
    path = write(tmp_path, conversing.MAC, "chat.csv", "utf-8-sig")
    assert format_name(path) == "kakaotalk"
    assert spoken(path) == [("별빛", "자?\n안 자?"), ("나", '응, "아직"')]
    assert kinds(path) == {"system": 1}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp949", "utf-8"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_and_line_ends_change_nothing(tmp_path, encoding, end):
    path = write(tmp_path, conversing.ANDROID_KO.replace("\n", end), encoding=encoding)
    assert len(spoken(path)) == 3
    assert spoken(path)[1] == ("회원님", "두 시!\n장소는 그대로야\n: 늦지 마")


@pytest.mark.parametrize("name", conversing.WHATSAPP)
def test_whatsapp(tmp_path, name):
    path = write(tmp_path, conversing.WHATSAPP[name], "_chat.txt")
    assert format_name(path) == "whatsapp"
    first, second = spoken(path)[:2]
    if name == "korean":
        assert (first, second) == (("미라", "9시에 봐: 알았지?"), ("준 박", "응\n- 차도 가져와"))
    else:
        assert (first, second) == (("Mira", "see you at 9: ok?"), ("Joon Park", "sure\n- and bring tea"))
    times = [entry.at for entry in messages(path) if entry.kind == "text"]
    assert [(at.month, at.day, at.hour, at.minute) for at in times[:2]] == [(4, 30, 23, 58), (4, 30, 23, 59)]
    assert (
        kinds(path)
        == {
            "android_day_first": {"system": 2, "media": 1, "deleted": 1},
            "android_month_first": {"media": 2},
            "ios": {"system": 1, "media": 1, "deleted": 1, "sticker": 1, "call": 1},
            "korean": {"media": 1, "deleted": 1},
        }[name]
    )


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("31.12.23, 23:59 - Mira: <Medien ausgeschlossen>", "media"),
        ("31.12.23, 23:59 - Mira: IMG-20231231-WA0001.jpg (archivo adjunto)", "media"),
        ("[31.12.23, 23:59:10] Mira: \u200eBild weggelassen", "system"),
        ("31.12.23, 23:59 - Mira: <3", "text"),
        ("31.12.23, 23:59 - Mira: see a.txt (new)\nand b", "text"),
    ],
)
def test_placeholders_of_whatsapp_in_whatever_language(tmp_path, line, kind):
    start = "[31.12.23, 23:58:10] Joon: hi" if line[0] == "[" else "31.12.23, 23:58 - Joon: hi"
    _, entry = messages(write(tmp_path, f"{start}\n{line}\n"))
    assert entry.kind == kind


def test_a_speaker_of_whatsapp_whose_name_has_a_colon(tmp_path):
    path = write(tmp_path, "31/12/2023, 23:58 - re:Mira: hi\n31/12/2023, 23:59 - Joon: :\n")
    assert spoken(path) == [("re:Mira", "hi"), ("Joon", ":")]


def test_whatsapp_without_the_mark_of_an_edit(tmp_path):
    path = write(tmp_path, conversing.WHATSAPP["android_day_first"])
    assert spoken(path)[-1] == ("+82 10-5555-0199", "hello")


def test_the_order_of_day_and_month_is_that_in_which_time_goes_on(tmp_path):
    lines = "".join(f"{day:02}/05/2023, 10:00 - Mira: {day}\n" for day in range(1, 10))
    assert [entry.at.day for entry in messages(write(tmp_path, lines))] == list(range(1, 10))
    lines = "".join(f"05/{day:02}/2023, 10:00 - Mira: {day}\n" for day in range(1, 10))
    assert [entry.at.day for entry in messages(write(tmp_path, lines))] == list(range(1, 10))


def test_a_day_above_12_decides_the_order(tmp_path):
    lines = "".join(f"{date}/2023, 10:00 - Mira: a\n" for date in ("01/13", "05/02", "05/03"))
    assert [(entry.at.month, entry.at.day) for entry in messages(write(tmp_path, lines))] == [(1, 13), (5, 2), (5, 3)]


def test_an_order_that_no_date_shows_is_noted(tmp_path):
    path = write(tmp_path, "01/02/2023, 10:00 - Mira: a\n01/02/2023, 10:01 - Joon: b\n")
    [part] = conversing.parts(path)
    list(reading.chat_format_of(part).read(part))
    assert "day first" in part.notes[0].text("en")


def test_telegram(tmp_path):
    path = write(tmp_path, json.dumps(conversing.TELEGRAM, ensure_ascii=False, indent=1), "result.json")
    assert format_name(path) == "telegram"
    assert spoken(path) == [("별빛", "look https://example.com ok?"), ("Me", "yes 😀"), ("user9", "bye")]
    assert kinds(path) == {"call": 1, "sticker": 1, "media": 1, "forwarded": 1}
    everything = {"about": "…", "chats": {"about": "…", "list": [conversing.TELEGRAM, conversing.TELEGRAM | {"id": 2}]}}
    path = write(tmp_path, json.dumps(everything), "all.json")
    assert len(spoken(path)) == 6
    assert len({entry.place.chat for entry in messages(path)}) == 2


def test_discord(tmp_path):
    path = write(tmp_path, json.dumps(conversing.DISCORD), "star.json", "utf-8-sig")
    assert format_name(path) == "discord"
    assert spoken(path) == [("Star", "hi :wave:"), ("me", "yo  &")]
    assert kinds(path) == {"media": 1, "system": 1, "bot": 1}
    assert messages(path)[0].at == datetime(2023, 4, 30, 14, 58, 0, 123000)
    path = write(tmp_path, conversing.DISCORD_CSV, "star.csv")
    assert format_name(path) == "discord"
    assert spoken(path) == [("Star", "hi\nthere"), ("me", "yo")]
    assert kinds(path) == {"media": 1}
    assert messages(path)[1].at == datetime(2023, 4, 30, 23, 59)


def test_slack(tmp_path):
    path = conversing.slack_zip(tmp_path / "slack.zip")
    assert spoken(path) == [("Star", "hi @Me Too & all here"), ("Me Too", "yo"), ("Star", "in a thread")]
    assert kinds(path) == {"system": 1, "media": 1, "bot": 1}
    assert len({entry.place.chat for entry in messages(path)}) == 2


def test_slack_in_a_folder_knows_its_users(tmp_path):
    with zipfile.ZipFile(conversing.slack_zip(tmp_path / "slack.zip")) as archive:
        archive.extractall(tmp_path / "slack")
    assert [speaker for speaker, _ in spoken(tmp_path / "slack")] == ["Star", "Me Too", "Star"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_json_in_another_encoding(tmp_path, encoding):
    text = json.dumps(conversing.TELEGRAM, ensure_ascii=False).replace("😀", "")
    assert spoken(write(tmp_path, text, "result.json", encoding))[0] == ("별빛", "look https://example.com ok?")


def test_instagram_is_repaired_and_turned_round(tmp_path):
    path = write(tmp_path, json.dumps(conversing.mangled(conversing.INSTAGRAM)), "message_1.json")
    assert format_name(path) == "messenger"
    assert spoken(path) == [("별빛", "자?"), ("Zoë", "응 ❤ café")]
    assert kinds(path) == {"deleted": 1, "system": 1, "media": 1}
    new = {
        "participants": ["별빛", "Zoë"],
        "threadName": "별빛_1",
        "messages": [{"senderName": "Zoë", "text": "응", "timestamp": 1682866800000, "isUnsent": False, "media": []}],
    }
    path = write(tmp_path, json.dumps(new, ensure_ascii=False), "star.json")
    assert spoken(path) == [("Zoë", "응")]


def test_mail(tmp_path):
    path = write(tmp_path, conversing.MBOX, "mail.mbox")
    assert format_name(path) == "mail"
    assert spoken(path) == [("별빛", "내일 몇 시에 볼까?\nFrom here it is far."), ("Me", "두 시가 좋겠어.")]
    assert kinds(path) == {"bot": 1}
    assert len({entry.place.chat for entry in messages(path)}) == 2
    single = conversing.MBOX.split("\nFrom news")[0].split("From me@example.com Mon May 01 00:10:00 2023\n")[1]
    path = write(tmp_path, single.replace("\n", "\r\n"), "one.eml")
    assert spoken(path) == [("Me", "두 시가 좋겠어.")]


@pytest.mark.parametrize(
    ("mail", "own"),
    [
        ("Yes.\n\n-----Original Message-----\nFrom: A\n\nold", "Yes."),
        ("네.\n\n2023년 5월 1일 (월) 오전 10:00, 별빛 <s@example.com>님이 작성:\n\n> 예전", "네."),
        ("네.\n\n보낸사람: 별빛\n받는사람: 나\n예전", "네."),
        ("On Monday A wrote:\n> is it?\nIt is.\n> sure?\nSure.", "It is.\nSure."),
        ("Fine\n\nSent from my phone", "Fine"),
        ("Ja.\n\nAm 30.04.2023 um 13:00 schrieb Ben <b@example.com>:\n> alt", "Ja."),
        ("Oui.\n\nLe 30 avr. 2023 à 13:00, Ben a écrit :\n\n> vieux\nNon.", "Oui.\n\nNon."),
        ("We need 3 things:\n- tea", "We need 3 things:\n- tea"),
        ("On the whole, this is what I wrote: nothing.", "On the whole, this is what I wrote: nothing."),
    ],
)
def test_quotes_and_signatures_are_cut(mail, own):
    assert own_words(mail) == own


def test_a_text_is_no_chat(tmp_path):
    assert format_name(write(tmp_path, "Chapter 1\n\nOn 3/4/2020 it rained, and: no.\n")) is None
    assert format_name(write(tmp_path, json.dumps([{"instruction": "a", "output": "b"}]), "rows.json")) is None
    assert format_name(write(tmp_path, "Q,A\na,b\n", "rows.csv")) is None


def test_mail_in_html_only(tmp_path):
    html = "<style>x{}</style><p>Yes &amp; no</p><blockquote><p>old</p></blockquote><div>Bye</div>"
    mail = f"From: Mira <m@example.com>\nTo: x@example.com\nSubject: a\nContent-Type: text/html\n\n{html}\n"
    assert spoken(write(tmp_path, mail, "a.eml")) == [("Mira", "Yes & no\n\nBye")]


ARABIC = str.maketrans("0123456789,", "٠١٢٣٤٥٦٧٨٩،") | {ord("/"): "\u200f/"}


@pytest.mark.parametrize(
    "lines",
    [
        f"[{'31/12/2023, 11:59:10'.translate(ARABIC)} م] Omar: a\n"
        f"[{'01/01/2024, 12:01:00'.translate(ARABIC)} ص] Lior ☀: b\n",
        "2023년 12월 31일 오후 11:59 - Omar: a\n2024년 1월 1일 오전 12:01 - Lior ☀: b\n",
    ],
    ids=["Arabic", "Korean"],
)
def test_whatsapp_of_phones_in_other_scripts(tmp_path, lines):
    (tmp_path / "chat.txt").write_text(lines, encoding="utf-8")
    first, second = messages(tmp_path / "chat.txt")
    assert (first.speaker, second.speaker) == ("Omar", "Lior ☀")
    assert (first.at.day, second.at.year) == (31, 2024)
    assert (first.at.hour, second.at.hour) == (23, 0)
