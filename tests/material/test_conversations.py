"""Messages become rows: whose are the answers, what is joined, where a conversation ends, what is counted."""

import json
import random
from collections import Counter
from datetime import datetime, timedelta

import conversing
import pytest

from studio.errors import DataError
from studio.material import conversations
from studio.material.make import Request, make, read
from studio.material.message import Message, Place

START = datetime(2024, 3, 1, 9, 0)


def chat(*said: tuple[str, str, int]) -> list[Message]:
    """Return messages of (speaker, text, minutes after the start)."""
    return [
        Message(speaker, START + timedelta(minutes=minute), text, "text", Place("a.txt", "a", number))
        for number, (speaker, text, minute) in enumerate(said, 1)
    ]


def rows(entries, speaker="Me", silence=3600.0, most=10_000):
    left_out: Counter[str] = Counter()
    return list(conversations.rows([entries], speaker, silence, most, left_out)), dict(left_out)


def contents(row) -> list[str]:
    return [f"{turn['role'][0]}:{turn['content']}" for turn in row["messages"]]


def test_the_speaker_is_the_assistant_and_messages_in_a_row_are_joined():
    made, left_out = rows(chat(("A", "hi", 0), ("B", "hello", 1), ("Me", "yo", 2), ("Me", "all", 3), ("A", "bye", 4)))
    assert [contents(row) for row in made] == [["u:hi\nhello", "a:yo\nall"]]
    assert made[0]["source"] == {"file": "a.txt", "place": "1-4", "recipe": "chat"}
    assert left_out == {"no_answer": 1}


def test_a_silence_ends_a_conversation():
    made, left_out = rows(chat(("Me", "alone", 0), ("A", "1", 1), ("Me", "2", 2), ("A", "3", 63), ("Me", "4", 64)))
    assert [contents(row) for row in made] == [["u:1", "a:2"], ["u:3", "a:4"]]
    assert left_out == {"no_prompt": 1}


def test_a_long_conversation_is_split_before_a_question_and_loses_nothing():
    said = [(("A", "Me")[number % 2], f"{number:03} " + "x" * 50, number) for number in range(100)]
    made, left_out = rows(chat(*said), most=300)
    assert len(made) > 10
    assert all(row["messages"][0]["role"] == "user" and row["messages"][-1]["role"] == "assistant" for row in made)
    assert sum(len(row["messages"]) for row in made) == 100
    assert left_out == {}


def test_the_silence_is_inferred_from_two_heaps_of_gaps():
    draw = random.Random(0)
    minutes, said = 0.0, []
    for _ in range(60):
        for number in range(12):
            said.append(("AB"[number % 2], "x", minutes))
            minutes += draw.lognormvariate(0.7, 0.8)
        minutes += draw.uniform(9, 30) * 60
    inferred = conversations.infer_silence([chat(*said)])
    assert 30 * 60 <= inferred.seconds <= 6 * 3600
    assert "inferred from" in inferred.reason.text("en")
    assert conversations.infer_silence([chat(*said[:20])]).seconds == 3 * 3600


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("6h", 21600), ("1.5h", 5400), ("2d", 172800), (" 6H ", 21600)]
)
def test_a_length_is_read(text, seconds):
    assert conversations.parse_length(text) == seconds


@pytest.mark.parametrize("text", ["", "6", "h", "6x", "-1h", "0m", "infh", "nanh", "1e9d"])
def test_what_is_no_length_is_refused(text):
    with pytest.raises(DataError, match="not a length"):
        conversations.parse_length(text)


def test_every_message_is_in_a_row_or_counted(tmp_path):
    (tmp_path / "chat.txt").write_text(conversing.ANDROID_KO, encoding="utf-8")
    out = tmp_path / "rows.jsonl"
    summary = make(Request((tmp_path / "chat.txt",), speaker="회원님"), out)
    [row] = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert contents(row) == ["u:내일 모임 몇 시야?", "a:두 시!\n장소는 그대로야\n: 늦지 마"]
    assert summary.messages == 2 + sum(summary.left_out.values())
    assert summary.left_out["no_answer"] == 1


def test_chats_of_two_exports_with_one_name_stay_apart(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        text = conversing.WHATSAPP["android_month_first"].replace("tea", folder)
        (tmp_path / folder / "_chat.txt").write_text(text, encoding="utf-8")
    material = read(Request((tmp_path / "a" / "_chat.txt", tmp_path / "b" / "_chat.txt")))
    assert sorted(len(entries) for entries in material.chats.values()) == [2, 2]


def test_messages_of_a_chat_in_many_files_are_put_in_order(tmp_path):
    newest, oldest = (dict(conversing.INSTAGRAM) for _ in range(2))
    oldest["messages"] = [
        {"sender_name": "별빛", "timestamp_ms": 1600000000000 + number, "content": f"old {number}"} for number in (2, 1)
    ]
    folder = tmp_path / "inbox"
    folder.mkdir()
    for number, content in ((1, newest), (2, oldest)):
        (folder / f"message_{number}.json").write_text(json.dumps(conversing.mangled(content)), encoding="utf-8")
    [entries] = read(Request((tmp_path,))).chats.values()
    assert [entry.text for entry in entries] == ["old 1", "old 2", "자?", "응 ❤ café"]


def test_an_unknown_speaker_is_told_the_others(tmp_path):
    (tmp_path / "chat.txt").write_text(conversing.ANDROID_KO, encoding="utf-8")
    with pytest.raises(DataError, match="한가람"):
        make(Request((tmp_path / "chat.txt",), speaker="Nobody"), tmp_path / "rows.jsonl")
    assert not (tmp_path / "rows.jsonl").exists()


def test_a_name_is_known_whatever_its_case_and_composition(tmp_path):
    assert conversations.resolve_speaker(" joon PARK", Counter({"Joon Park": 2, "Mira": 1})) == "Joon Park"
    (tmp_path / "chat.txt").write_text(conversing.ANDROID_KO, encoding="utf-8")
    decomposed = "회원님".encode().decode()
    import unicodedata

    request = Request((tmp_path / "chat.txt",), speaker=unicodedata.normalize("NFD", decomposed))
    assert make(request, tmp_path / "rows.jsonl").rows == 1
