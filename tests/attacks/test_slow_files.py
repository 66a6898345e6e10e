"""A file holds the page up for a moment at most: its long lines, open quotes and bombs are refused or left out."""

import json
import resource
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from studio.data import conversation, source
from studio.data.readers import base, delimited, documents, workbook
from studio.data.readers.base import BadRow
from studio.errors import DataError

ROOT = Path(__file__).parent.parent.parent
CHILD = """
import resource, sys
from pathlib import Path
from studio.data import source
from studio.errors import DataError

resource.setrlimit(resource.RLIMIT_CPU, ({seconds}, {seconds}))
held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    table = source.open_file(Path(sys.argv[1]))
    print("read", table.count)
except DataError as error:
    print("refused", error.key)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held) >> 10)
"""
RELATED = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
SHEET = '<worksheet><sheetData><row><c t="s"><v>0</v></c></row><row><c t="s"><v>0</v></c></row></sheetData></worksheet>'
PARTS = {
    "_rels/.rels": f'<r><Relationship Id="a" Type="{RELATED}/officeDocument" Target="xl/workbook.xml"/></r>',
    "xl/workbook.xml": f'<workbook xmlns:r="{RELATED}"><sheets><sheet name="S" r:id="1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": "<r>"
    + f'<Relationship Id="1" Type="{RELATED}/worksheet" Target="sheet.xml"/>'
    + f'<Relationship Id="2" Type="{RELATED}/styles" Target="styles.xml"/>'
    + f'<Relationship Id="3" Type="{RELATED}/sharedStrings" Target="texts.xml"/></r>',
    "xl/sheet.xml": SHEET,
    "xl/styles.xml": "<styleSheet/>",
    "xl/texts.xml": "<sst><si><t>text</t></si></sst>",
}


def opened(path: Path, seconds: int = 20) -> tuple[str, int]:
    """Open a file in a process that may take some processor seconds; returns what came of it, and megabytes."""
    child = [sys.executable, "-c", CHILD.format(seconds=seconds), str(path)]
    done = subprocess.run(child, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.returncode} {done.stderr[-500:]}"
    told, megabytes = done.stdout.splitlines()
    return told, int(megabytes)


def book(path: Path, **parts: str) -> Path:
    """Write a workbook with some parts in place of the usual ones; `_` stands for the folder's slash."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, text in {**PARTS, **{f"xl/{part}.xml": text for part, text in parts.items()}}.items():
            archive.writestr(name, text)
    return path


def long_file(path: Path, head: str, tail: str) -> Path:
    with open(path, "w", encoding="utf-8") as file:
        file.write(head)
        for _ in range(200):
            file.write("x" * 2**20)
        file.write(tail)
    return path


@pytest.mark.parametrize(
    ("name", "head", "tail", "answer"),
    [
        ("a.csv", "question,answer\na,b\na,", "\nc,d\n", "read 3"),
        ("a.csv", 'question,answer\na,b\na,"', '"\nc,d\n', "read 3"),
        ("a.csv", "question,", "\na,b\n", "refused data.long_header"),
        ("a.jsonl", '{"question":"a","answer":"b"}\n{"question":"', '","answer":"b"}\n{"question":"a"}\n', "read 3"),
        ("a.txt", "", "\n", "refused data.no_readable_row"),
    ],
)
def test_a_line_of_200_mb_is_never_in_memory(tmp_path, name, head, tail, answer):
    told, megabytes = opened(long_file(tmp_path / name, head, tail))

    assert told == answer
    assert megabytes < 150


@pytest.mark.parametrize(
    ("name", "begin", "end"), [("a.csv", "a,", ""), ("a.jsonl", '{"a":"', '"}'), ("a.txt", "", "")]
)
def test_only_the_long_row_is_left_out(tmp_path, monkeypatch, name, begin, end):
    for module in (base, delimited):
        monkeypatch.setattr(module, "MAX_ROW_BYTES", 1000)
    monkeypatch.setattr("studio.data.readers.lines.MAX_ROW_BYTES", 1000)
    head = "question,answer\n" if name == "a.csv" else ""
    rows = [f"{begin}{'x' * length}{end}" for length in (10, 2000, 20, 998, 5000, 30)]
    (tmp_path / name).write_text(head + "\n".join(rows), encoding="utf-8")

    table = source.open_file(tmp_path / name)
    read = list(table.rows())
    counted = table.count

    assert [row.kind if isinstance(row, BadRow) else "row" for row in read].count("row") == 3 + (name == "a.txt")
    assert counted == len(read) == 6
    assert [table.row(number) for number in (0, 2, 5)] == [read[0], read[2], read[5]]


def test_a_long_string_in_a_json_list_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "MAX_ROW_BYTES", 100)
    (tmp_path / "a.json").write_text(f'[{{"text": "{"x" * 200}"}}, {{"text": "short"}}]', encoding="utf-8")

    long, short = source.open_file(tmp_path / "a.json").rows()

    assert isinstance(long, BadRow)
    assert long.kind == "too_long"
    assert short == {"text": "short"}


def test_records_of_open_quotes_are_not_all_read_one_by_one(tmp_path):
    (tmp_path / "a.csv").write_text("question,answer\n" + '"a,"b,"c\n' * 2_000_000, encoding="utf-8")

    assert opened(tmp_path / "a.csv", seconds=12)[0] == "refused data.open_quote"


def test_quotes_between_lone_returns_are_not_read_again_and_again(tmp_path):
    lines = '"a"b,c\r' * 40_000
    head = "question,answer\n" + '"x",y\n' * 60_000  # as much as is looked at to see how quotes are written
    (tmp_path / "a.csv").write_text(head + lines + "\nc,d\n", encoding="utf-8", newline="")

    table = source.open_file(tmp_path / "a.csv")
    begun = time.process_time()
    kinds = [row.kind if isinstance(row, BadRow) else "row" for row in table.rows()]

    assert (kinds.count("bad_csv"), kinds.count("row")) == (40_000, 60_001)
    assert time.process_time() - begun < 10


@pytest.mark.parametrize(
    "search",
    [
        lambda: list(delimited.Dialect(",", quoted=True, backslash=True).reader(["a," + "\\" * 200_000 + "x"])),
        lambda: conversation.parsed("{'a': 1}" + "\n" * 200_000 + "x"),
        lambda: conversation.parsed("[" + "array([" * 40_000),
    ],
    ids=["backslashes", "line feeds", "arrays"],
)
def test_no_pattern_takes_the_square_of_a_text(search):
    begun = time.process_time()
    search()

    assert time.process_time() - begun < 3


def test_patterns_still_read_what_they_are_for():
    rows = list(delimited.Dialect(",", quoted=True, backslash=True).reader([r'"a \"b\" \\",c']))

    assert rows == [['a "b" \\\\', "c"]]
    assert conversation.parsed("[{'a': 1}\n {'a': array(['x', 'y'], dtype=object)}]") == [{"a": 1}, {"a": ["x", "y"]}]


BOMBS = {
    "styles": {"styles": "<styleSheet><fonts>" + "<font><b/></font>" * 2_000_000 + "</fonts></styleSheet>"},
    "formats": {"styles": "<styleSheet><numFmts>" + '<numFmt numFmtId="1"/>' * 4_000_000 + "</numFmts></styleSheet>"},
    "texts": {"texts": "<sst>" + "<si/>" * 50_000_000 + "</sst>"},
    "a text": {"texts": "<sst><si><t>" + "\n" * 100_000_000 + "</t></si></sst>"},
    "a tag": {"styles": f"<styleSheet><a b='{'x' * 100_000_000}'/></styleSheet>"},
    "depth": {"styles": "<styleSheet>" + "<a>" * 20_000_000 + "</a>" * 20_000_000 + "</styleSheet>"},
    "cells": {"sheet": "<worksheet><sheetData><row>" + "<c/>" * 60_000_000 + "</row></sheetData></worksheet>"},
}


@pytest.mark.long
@pytest.mark.parametrize("parts", BOMBS.values(), ids=BOMBS)
def test_a_part_of_a_workbook_is_read_up_to_a_limit(tmp_path, monkeypatch, parts):
    monkeypatch.setattr(workbook, "MAX_ELEMENTS", 1_000_000)  # as many as a test has time for
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = book(tmp_path / "a.xlsx", **parts)
    held = max(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    begun = time.process_time()
    with pytest.raises(DataError) as refused:
        source.open_file(path)

    assert refused.value.key == "data.too_complex"
    assert time.process_time() - begun < 15
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < 300 * 1024


def test_one_part_is_not_read_as_many_sheets(tmp_path):
    sheets = '<sheet name="S" r:id="1"/>' * 10_000
    parts = {"workbook": f'<workbook xmlns:r="{RELATED}"><sheets>{sheets}</sheets></workbook>'}

    assert source.open_file(book(tmp_path / "a.xlsx", **parts)).sheets == ["S"]


def test_an_archive_of_very_many_parts_is_refused(tmp_path):
    path = book(tmp_path / "a.xlsx")
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(60_000):
            archive.writestr(f"xl/{'x' * 30}{number}", b"")

    with pytest.raises(DataError) as refused:
        source.open_file(path)

    assert refused.value.key == "data.damaged"


@pytest.mark.long
@pytest.mark.parametrize("inside", ["[],", "1,", '{"a":1},'])
def test_json_of_very_many_values_is_refused_before_it_is_parsed(tmp_path, inside):
    (tmp_path / "a.json").write_text(f'[{{"a":[{inside * (120_000_000 // len(inside))}1]}}]', encoding="utf-8")

    told, megabytes = opened(tmp_path / "a.json")

    assert told == "refused data.too_many_values"
    assert megabytes < 600


STALL = """
import sys, threading, time
from pathlib import Path
from studio.data import source
from studio.errors import DataError

worst = 0.0
def tick():
    global worst
    last = time.monotonic()
    while True:
        time.sleep(0.005)
        now = time.monotonic()
        worst, last = max(worst, now - last), now

threading.Thread(target=tick, daemon=True).start()
begun = time.monotonic()
try:
    print("read", source.open_file(Path(sys.argv[1])).count)
except DataError as error:
    print("refused", error.key)
print(worst / (time.monotonic() - begun))
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("inside", "answer"),
    [
        ('"' + "x" * 200_000_000 + '"', "refused data.long_value"),
        ('"' + '\\"' * 100_000_000 + '"', "refused data.long_value"),
        ('"' + "\\\\" * 50_000_000 + '", "' + "\\u0041" * 15_000_000 + '"', "refused data.long_value"),
        ('["' + '","'.join(["xxxx"] * 8_000_000) + '"]', "read 1"),
    ],
    ids=["text", "quotes", "backslashes", "texts"],
)
def test_json_does_not_keep_the_page_waiting(tmp_path, inside, answer):
    (tmp_path / "a.json").write_text(f'[{{"a": {inside if inside[0] == "[" else f"[{inside}]"}}}]', encoding="utf-8")

    command = [sys.executable, "-c", STALL, str(tmp_path / "a.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)

    told, share = done.stdout.splitlines()
    assert told == answer, done.stderr[-500:]
    assert told != "read 1" or float(share) < 0.1  # of the time that it took, at a time: 0.02, and 0.15 in C


def test_escapes_hide_no_end_of_a_text(monkeypatch):
    monkeypatch.setattr(documents, "_CHUNK", 3)
    for size in range(12):
        texts = ["y" * size, "\\" * size, '"' * size, "\\" * size + '"', "z"]
        assert max(documents._runs(json.dumps(texts))) == max(len(json.dumps(text)) - 2 for text in texts)


def test_very_many_columns_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("," * 9_000_000 + "\n" + "a,b\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text("{" + ",".join(f'"{n}":1' for n in range(30_000)) + "}\n" * 2, encoding="utf-8")

    assert opened(tmp_path / "a.csv")[0] == "refused data.too_many_columns"
    assert opened(tmp_path / "a.jsonl")[0] == "refused data.too_many_columns"
