"""Files are read as they are, and a bad one is refused with its line."""

import json

import pytest

from studio.config import SourceConfig
from studio.data import source
from studio.errors import DataError


@pytest.fixture
def write(tmp_path):
    def make(name: str, content: str | bytes) -> SourceConfig:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return SourceConfig(kind="file", name=str(path))

    return make


def test_csv_cells_stay_text(write):
    table = source.read(write("a.csv", 'instruction,output\n00123,None\nNA,"one, two\nthree"\n'))
    assert table.rows == [
        {"instruction": "00123", "output": "None"},
        {"instruction": "NA", "output": "one, two\nthree"},
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(write, delimiter):
    text = "\n".join(delimiter.join(cells) for cells in [("Q", "A"), ("hi there", "hello"), ("bye now", "so long")])
    assert source.read(write("a.csv", text)).columns == ["Q", "A"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp949"])
def test_korean_is_read_in_every_usual_encoding(write, encoding):
    table = source.read(write("a.csv", "질문,답변\n안녕하세요,반갑습니다\n".encode(encoding)))
    assert table.rows == [{"질문": "안녕하세요", "답변": "반갑습니다"}]
    assert table.encoding == encoding
    assert bool(table.notes) == (encoding != "utf-8")


def test_a_header_with_carriage_returns_and_spaces_is_clean(write):
    assert source.read(write("a.csv", " Q , A \r\nx,y\r\n")).columns == ["Q", "A"]


def test_json_in_its_three_shapes(write):
    rows = [{"instruction": "a", "output": "b"}, {"instruction": "c", "output": "d"}]
    assert source.read(write("a.json", json.dumps(rows))).rows == rows
    assert source.read(write("b.json", json.dumps({"version": 1, "data": rows}))).rows == rows
    lines = "\n".join(map(json.dumps, rows))
    assert source.read(write("c.json", lines)).rows == rows
    assert source.read(write("d.jsonl", lines + "\n\n")).rows == rows


def test_json_lines_keep_line_separators_of_other_alphabets(write):
    text = json.dumps({"instruction": "a\u2028b", "output": "c"}, ensure_ascii=False)
    assert source.read(write("a.jsonl", text)).rows[0]["instruction"] == "a\u2028b"


def test_a_bare_conversation_is_a_row(write):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert source.read(write("a.jsonl", json.dumps(turns))).rows == [{"messages": turns}]


def test_the_limit_takes_the_first_rows(write):
    text = "Q,A\n" + "".join(f"q{n},a{n}\n" for n in range(9))
    assert [row["Q"] for row in source.read(write("a.csv", text), limit=2).rows] == ["q0", "q1"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "Q,Q\nx,y\n", 'Column "Q" appears twice'),
        ("a.csv", "Q,A\nx,y\none,two,three\n", "Line 3"),
        ("a.csv", 'Q,A\nx,y\n"open,z\n', "from line 3"),
        ("a.csv", b"Q,A\nx,\x00\n", "line 2"),
        ("a.csv", "Q,A\n", "no rows"),
        ("a.csv", "", "no rows"),
        ("a.jsonl", '{"a": 1}\n{"a": \n', "Line 2"),
        ("a.jsonl", '{"a": 1}\n7\n', "Row 2"),
        ("a.json", '"text"', "no list of rows"),
        ("a.csv", b"Q,A\n\xff\xfe\xff,\x81\n", "cannot be read"),
        ("a.exe", "x", "csv, tsv, json, jsonl"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(write, name, content, said):
    with pytest.raises(DataError) as caught:
        source.read(write(name, content))
    assert said in str(caught.value)


def test_a_file_that_is_not_there_and_a_url_are_refused_alike(tmp_path):
    for name in (str(tmp_path / "gone.csv"), "https://example.invalid/a.csv"):
        with pytest.raises(DataError, match="is not there"):
            source.read(SourceConfig(kind="file", name=name))


def test_an_unknown_bundled_set_is_refused_with_those_that_are():
    with pytest.raises(DataError, match="captain"):
        source.read(SourceConfig(name="capitan"))
