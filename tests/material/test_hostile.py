"""Odd and hostile input: a clear error or a right result, and no file that was not asked for."""

import contextlib
import json
import random
import time
import zipfile

import conversing
import pytest
import test_documents

from studio.errors import DataError
from studio.material import parts, privacy
from studio.material.make import Request, make, read
from studio.material.message import kind_of
from studio.material.scrub import Scrubber


def given(tmp_path, content: bytes, name: str):
    path = tmp_path / name
    path.write_bytes(content)
    return Request((path,), speaker="회원님")


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"", "empty.txt", "empty"),
        (b"\xef\xbb\xbf \n", "blank.txt", "empty"),
        (b"\0" * 5000, "zeros.txt", "."),
        (bytes(range(256)) * 40, "noise.bin", "."),
        (b"PK\3\4broken", "broken.zip", "damaged"),
        (b"{\"hello\": 1}", "other.json", "not a chat export"),
        (b"\x89PNG\r\n\x1a\n" + b"\0\1\2\3" * 99, "picture.png", "."),
    ],
)  # fmt: skip
def test_a_wrong_file_gets_a_clear_error(tmp_path, content, name, words):
    with pytest.raises(DataError, match=words) as refused:
        make(given(tmp_path, content, name), tmp_path / "rows.jsonl")
    assert len(refused.value.message.text("ko").splitlines()) == 3
    assert name in str(refused.value)
    assert not (tmp_path / "rows.jsonl").exists()


@pytest.mark.parametrize("content", [conversing.TELEGRAM, conversing.DISCORD, conversing.INSTAGRAM])
def test_a_cut_json_is_reported_as_damaged(tmp_path, content):
    text = json.dumps(content).encode()
    with pytest.raises(DataError, match="damaged"):
        read(given(tmp_path, text[: int(len(text) * 0.7)], "cut.json"))


def test_odd_values_in_json_are_counted(tmp_path):
    for whole in (conversing.TELEGRAM, conversing.DISCORD, conversing.INSTAGRAM):
        odd = [None, 3, "x", [], {}, {"author": 1, "from": 3, "ts": [], "date": {}, "text": {"a": 1}, "content": 5}]
        odd += [{"timestamp_ms": 1e300, "sender_name": "\ud800", "content": "\ud800a", "date_unixtime": "nan"}]
        summary = read(given(tmp_path, json.dumps(whole | {"messages": odd}).encode(), "odd.json")).summary
        assert summary.messages == 7
        assert sum(summary.left_out.values()) + sum(summary.speakers.values()) == 7


def test_a_cut_text_and_a_cut_letter_are_read(tmp_path):
    text = conversing.ANDROID_KO.encode()
    for size in range(120, len(text), 37):
        summary = read(given(tmp_path, text[:size], "cut.txt")).summary
        assert summary.messages == sum(summary.left_out.values()) + sum(summary.speakers.values())


def test_a_line_of_a_million_letters_is_left_out_in_time(tmp_path):
    text = conversing.ANDROID_KO.replace("두 시!", "[" * 500_000 + "a:" * 250_000)
    began = time.perf_counter()
    summary = read(given(tmp_path, text.encode(), "long.txt")).summary
    assert summary.left_out["too_long"] == 1
    assert time.perf_counter() - began < 10


def test_a_table_with_a_stray_quote_is_read_or_counted(tmp_path):
    summary = read(given(tmp_path, (conversing.MAC + '2023-05-01 00:02:10,"별빛","open\n').encode(), "a.csv")).summary
    assert summary.messages == 4


def test_a_zip_writes_nothing_and_its_paths_are_only_names(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    with zipfile.ZipFile(work / "chat.zip", "w") as archive:
        archive.writestr("../../evil.txt", conversing.ANDROID_KO)
        archive.writestr("/abs.txt", conversing.ANDROID_KO)
        archive.writestr("photo.jpg", b"\xff\xd8")
        archive.writestr("inner.zip", b"PK\3\4 and nothing")
    summary = make(Request((work / "chat.zip",), speaker="회원님"), work / "rows.jsonl")
    assert summary.rows == 2
    assert (summary.left_out["other_file"], summary.left_out["damaged_file"]) == (1, 1)
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert written == ["work/chat.zip", "work/rows.jsonl"]


def packed(path, **files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path.read_bytes()


def test_zips_in_a_zip_are_read_and_their_chats_are_not_mixed_up(tmp_path):
    first = packed(tmp_path / "a.zip", **{"chat.txt": conversing.ANDROID_KO})
    second = packed(tmp_path / "b.zip", **{"chat.txt": conversing.ANDROID_KO, "deeper.zip": first})
    packed(tmp_path / "both.zip", **{"a.zip": first, "b.zip": second})
    material = read(Request((tmp_path / "both.zip",)))
    assert len(material.chats) == 2
    assert material.summary.left_out["nested_zip"] == 1
    alone = read(Request((tmp_path / "a.zip",))).summary
    assert material.summary.speakers == alone.speakers + alone.speakers


def test_zips_in_a_zip_unpack_to_no_more_than_one_zip_may(tmp_path, monkeypatch):
    inner = packed(tmp_path / "i.zip", **{"a.txt": "0" * 400_000})
    packed(tmp_path / "bomb.zip", **{f"{number}.zip": inner for number in range(2)})
    monkeypatch.setattr(parts, "MAX_BYTES", 1 << 20)
    with pytest.raises(DataError, match="MB"):
        read(Request((tmp_path / "bomb.zip",)))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):
            archive.writestr(f"{number}.txt", b"0" * 700_000)
    monkeypatch.setattr(parts, "MAX_BYTES", 1 << 20)
    with pytest.raises(DataError, match="MB"):
        read(Request((path,)))


def test_a_zip_with_too_many_files_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20):
            archive.writestr(f"{number}.txt", "x")
    monkeypatch.setattr(parts, "MAX_ENTRIES", 10)
    with pytest.raises(DataError, match="20 files"):
        read(Request((path,)))


def test_an_encrypted_zip_says_so(tmp_path):
    path = tmp_path / "locked.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("chat.txt", conversing.ANDROID_KO)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        read(Request((path,)))


def test_a_missing_path_and_the_source_as_output_are_refused(tmp_path):
    with pytest.raises(DataError, match="no file or folder"):
        read(Request((tmp_path / "gone.txt",)))
    request = given(tmp_path, conversing.ANDROID_KO.encode(), "chat.txt")
    with pytest.raises(DataError, match="never overwritten"):
        make(request, request.paths[0])
    assert request.paths[0].read_text(encoding="utf-8") == conversing.ANDROID_KO


@pytest.mark.parametrize(
    "piece",
    [
        "0",
        "1-",
        "010-",
        "a@",
        "a.",
        "http://",
        "www.",
        "[",
        "서울 강남구 ",
        "12 Main ",
        "+1 ",
        "(",
        " ",
        "가",
        "A1 ",
        "계좌",
    ],
)
def test_the_scrubber_takes_linear_time(piece):
    scrubber = Scrubber(["한가람", "Joon Park"], "ko")
    began = time.perf_counter()
    scrubber.scrub(piece * (200_000 // len(piece)))
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("text", ["http://" * 2_000 + " x", "www." * 4_000 + " x", "https://a " * 1_500 + "x"])
def test_links_alone_are_told_in_linear_time(text):
    began = time.perf_counter()
    assert kind_of(text) == "text"
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    "text", ["." * 1_000_000, "a " * 300_000, "[" * 300_000, "# " * 300_000, "\n" * 300_000, "<" * 300_000]
)
@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.srt"])
def test_odd_documents_are_read_in_time(tmp_path, text, name):
    (tmp_path / name).write_text(text, encoding="utf-8")
    began = time.perf_counter()
    with contextlib.suppress(DataError):
        read(Request((tmp_path / name,), recipes=("beginning",)))
    assert time.perf_counter() - began < 10


def test_a_folder_for_the_rows_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="gone"):
        make(given(tmp_path, conversing.ANDROID_KO.encode(), "chat.txt"), tmp_path / "gone" / "rows.jsonl")


def test_a_speaker_of_a_document_is_refused(tmp_path):
    with pytest.raises(DataError, match="not a chat export"):
        make(given(tmp_path, b"Just a text.\n\nOf two paragraphs.", "a.txt"), tmp_path / "rows.jsonl")


WHOLE = {
    "a.txt": conversing.ANDROID_KO.encode(),
    "w.txt": conversing.WINDOWS_KO.encode("cp949"),
    "i.txt": conversing.IOS_EN.encode("utf-16"),
    "m.csv": conversing.MAC.encode(),
    "whatsapp.txt": conversing.WHATSAPP["ios"].encode(),
    "t.json": json.dumps(conversing.TELEGRAM).encode(),
    "d.csv": conversing.DISCORD_CSV.encode(),
    "m.mbox": conversing.MBOX.encode(),
    "h.html": b"<p>a<b>c</p><table><tr><td>x</table>",
    "x.srt": b"1\n00:00:01,000 --> 00:00:02,000\nhi\n",
}
PIECES = (b"\0", b"{", b'"', b"\xff", b"\n", b"9" * 20, b"\xed\xa0\x80", b"<![CDATA[", b"null")


@pytest.mark.parametrize("name", [*WHOLE, "s.zip", "e.epub"])
def test_damage_gives_an_error_of_ours_or_a_result(tmp_path, name):
    draw = random.Random(name)
    if name == "s.zip":
        content = conversing.slack_zip(tmp_path / "whole.zip").read_bytes()
    else:
        content = test_documents.epub(["<h1>One</h1><p>x</p>"]) if name == "e.epub" else WHOLE[name]
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(draw.randint(1, 6)):
            place = draw.randrange(len(damaged) + 1)
            match draw.randrange(4):
                case 0:
                    damaged[place : place + 1] = bytes([draw.randrange(256)])
                case 1:
                    del damaged[place : place + draw.randint(1, 40)]
                case 2:
                    damaged[place:place] = draw.choice(PIECES)
                case 3:
                    damaged[place:place] = content[draw.randrange(len(content)) :][:40]
        (tmp_path / name).write_bytes(damaged)
        with contextlib.suppress(DataError):
            read(Request((tmp_path / name,)))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"AuthorID,Author,Date,Content,Attachments\n".replace(b"Author,", b'"Aut""hor",', 1), "d.csv"),
        (b"<p>a<![\x00x<p>", "h.html"),
    ],
)
def test_odd_files_that_once_broke_the_reader(tmp_path, content, name):
    with contextlib.suppress(DataError):
        read(given(tmp_path, content, name))


def test_a_mail_with_an_impossible_date_is_counted(tmp_path):
    mail = conversing.MBOX.replace("30 Apr 2023 23:58:00 +0900", "30 Apr 99999999999999999999 23:58:00 +0900")
    summary = read(given(tmp_path, mail.encode(), "m.mbox")).summary
    assert summary.messages == 3


def test_names_with_odd_letters_make_a_pattern():
    names = ["a(b", "[총무]", "*", "😀", "x" * 200, "O'Brien", "  ", "김", "$1"]
    pattern = privacy.name_pattern(names)
    assert pattern.search("hey O'Brien!")
    assert pattern.search("[총무] 왔다")


def test_making_rows_can_be_ended_and_leaves_no_file(tmp_path):
    lines = "".join(f"31/12/2023, 10:{n % 60:02} - {'Mira' if n % 2 else 'Joon'}: {n}\n" for n in range(2000))
    path = tmp_path / "chat.txt"
    path.write_text(lines, encoding="utf-8")
    seen = []

    def end_half_way(share):
        seen.append(share)
        if share > 0.4:
            raise KeyboardInterrupt

    request = Request((path,), speaker="Mira")
    with pytest.raises(KeyboardInterrupt):
        make(request, tmp_path / "rows.jsonl", read(request), end_half_way)
    assert seen == [0, 0.25, 0.5]
    assert not [file for file in tmp_path.iterdir() if "rows" in file.name]
