"""What is replaced: precision and recall on a labelled set of our own, stable stand-ins, and no value in any output."""

import json
import re
from collections import Counter
from pathlib import Path

import conversing
import pytest

from studio.material import privacy
from studio.material.make import Request, make
from studio.material.scrub import Scrubber

LABEL = re.compile(r"\{(\w+)\|([^}]*)\}")
NAMES = ["한가람", "오노을", "별똥별", "Mira Stone", "Joon Park", "Will"]


def labelled() -> list[tuple[str, list[tuple[int, int, str]]]]:
    """Return each text with the spans of its personal data."""
    sentences = []
    for line in Path(__file__).with_name("personal.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        spans, plain, done = [], "", 0
        for match in LABEL.finditer(line):
            plain += line[done : match.start()]
            spans.append((len(plain), len(plain) + len(match[2]), match[1]))
            plain += match[2]
            done = match.end()
        sentences.append((plain + line[done:], spans))
    return sentences


def measure() -> tuple[Counter, Counter, Counter, list[str]]:
    """Return hits, labels and replacements by kind, and what went wrong; a hit covers the whole value."""
    scrubber = Scrubber(NAMES, "en")
    hits, labels, replaced, wrong = Counter(), Counter(), Counter(), []
    for text, spans in labelled():
        replacements = scrubber._spans(text)
        for start, end, kind in spans:
            labels[kind] += 1
            if any(s <= start and end <= e and k == kind for s, e, k in replacements):
                hits[kind] += 1
            else:
                wrong.append(f"missed {kind}: {text}")
        for start, end, kind in replacements:
            replaced[kind] += 1
            if not any(s < end and start < e and k == kind for s, e, k in spans):
                wrong.append(f"false {kind}: {text[start:end]!r} in {text}")
    return hits, labels, replaced, wrong


def test_precision_and_recall_are_above_their_floors():
    hits, labels, replaced, wrong = measure()
    precision, recall = hits.total() / replaced.total(), hits.total() / labels.total()
    print(f"\nprecision {precision:.3f}, recall {recall:.3f} of {labels.total()} values in {len(labelled())} sentences")
    print("\n".join(wrong))
    assert labels.keys() == set(privacy.KINDS)
    assert recall >= 0.97, wrong
    assert precision >= 0.97, wrong


@pytest.mark.parametrize("kind", privacy.KINDS)
def test_every_kind_is_found_and_can_be_kept(kind):
    values = [text[start:end] for text, spans in labelled() for start, end, k in spans if k == kind]
    texts = [text for text, spans in labelled() if any(k == kind for *_, k in spans)]
    scrub, keep = Scrubber(NAMES, "en"), Scrubber(NAMES, "en", frozenset({kind}))
    scrubbed = "\n".join(scrub.scrub(text) for text in texts)
    kept = "\n".join(keep.scrub(text) for text in texts)
    assert not any(value in scrubbed for value in values if len(value) > 3)
    assert any(value in kept for value in values)
    assert keep.counts[kind] == 0


def test_the_same_value_has_the_same_stand_in_however_it_is_written():
    scrubber = Scrubber(["한가람"], "ko")
    assert scrubber.scrub("010-5555-0142, 010 5555 0142") == "[전화번호 1], [전화번호 1]"
    assert scrubber.scrub("01055550143 01055550142") == "[전화번호 2] [전화번호 1]"
    assert scrubber.scrub("+82 (0)10-5555-0142, ０１０５５５５０１４２") == "[전화번호 1], [전화번호 1]"
    assert scrubber.scrub("한가람은 가람아") == "[이름 1]은 [이름 1]아"
    assert scrubber.counts == {"phone": 6, "name": 2}
    assert scrubber.different == {"phone": 2, "name": 1}


def test_a_first_name_with_a_hyphen_or_an_apostrophe_is_a_name():
    scrubber = Scrubber(["Anna-Lena Weiß", "Mr. O'Brien"], "en")
    assert scrubber.scrub("Anna-Lena met O'Brien") == "[name 1] met [name 2]"


def test_numbers_are_checked_by_their_last_digit():
    assert privacy.luhn("4111111111111111")
    assert not any(privacy.luhn(f"411111111111111{digit}") for digit in "023456789")
    whole = re.compile(".*")
    valid = [digit for digit in "0123456789" if privacy.is_business(whole.match(f"123-45-6789{digit}"))]
    assert valid == ["1"]
    assert privacy.is_iban(whole.match("GB82 WEST 1234 5698 7654 32"))
    assert not privacy.is_iban(whole.match("GB83 WEST 1234 5698 7654 32"))


CANARIES = (
    "010-5555-7777", "canary.bird@example.com", "900101-2345671", "4111-1111-1111-1111", "123-45-67891",
    "3333-01-7654321", "서울특별시 마포구 카나리로 77", "open.kakao.com/o/canaryX", "한가람", "가람",
)  # fmt: skip


@pytest.fixture
def canary_chat(tmp_path):
    text = conversing.ANDROID_KO.replace(
        "내일 모임 몇 시야?",
        "내일 한가람 번호 010-5555-7777 메일 canary.bird@example.com 주민 900101-2345671 카드 4111-1111-1111-1111 "
        "사업자 123-45-67891 카카오뱅크 3333-01-7654321 서울특별시 마포구 카나리로 77 "
        "https://open.kakao.com/o/canaryX 가람아",
    )
    path = tmp_path / "in" / "KakaoTalk_한가람.txt"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_no_replaced_value_is_in_a_file_or_in_the_output(canary_chat, tmp_path, here, home, options, caplog):
    out = tmp_path / "out" / "rows.jsonl"
    out.parent.mkdir()
    made = here("data", "make", str(canary_chat), "--speaker", "회원님", "--out", str(out), *options)
    assert made.returncode == 0, made.stderr
    folders = [folder for folder in (out.parent, home, tmp_path / "cache") if folder.exists()]
    written = b"".join(path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file())
    text = written.decode() + json.dumps(json.loads(out.read_text(encoding="utf-8")), ensure_ascii=False)
    names = " ".join(str(path) for folder in folders for path in folder.rglob("*"))
    everything = text + names + made.stdout + made.stderr + caplog.text
    assert "전화번호 1" in everything
    assert [canary for canary in CANARIES if canary in everything] == []
    assert [canary for canary in CANARIES if json.dumps(canary)[1:-1] in everything] == []


def test_the_name_of_a_file_is_replaced_in_the_notes(tmp_path, here):
    path = tmp_path / "WhatsApp Chat with Joon Park.txt"
    path.write_text("01/02/2023, 10:00 - Joon Park: a\n01/02/2023, 10:01 - Mira: b\n", encoding="utf-8")
    for options in ((), ("--json",)):
        made = here("data", "make", str(path), "--speaker", "Mira", "-o", str(tmp_path / "rows.jsonl"), *options)
        assert "day first" in " ".join(made.stdout.split())
        assert "Joon" not in made.stdout + (tmp_path / "rows.jsonl").read_text(encoding="utf-8")


def test_a_kind_that_is_kept_and_scrubbing_switched_off(canary_chat, tmp_path):
    out = tmp_path / "rows.jsonl"
    make(Request((canary_chat,), speaker="회원님", keep=frozenset({"phone"})), out)
    text = out.read_text(encoding="utf-8")
    assert "010-5555-7777" in text
    assert "canary.bird" not in text
    make(Request((canary_chat,), speaker="회원님", scrub=False), out)
    text = out.read_text(encoding="utf-8")
    assert "canary.bird" in text
    assert "한가람" in text


def test_examples_show_the_text_around_and_not_the_value(canary_chat, tmp_path):
    summary = make(Request((canary_chat,), speaker="회원님"), tmp_path / "rows.jsonl")
    assert set(summary.examples) == set(privacy.KINDS)
    shown = " ".join(example.text for examples in summary.examples.values() for example in examples)
    assert [canary for canary in CANARIES if canary in shown] == []
    assert "메일 [이메일 1]" in shown
