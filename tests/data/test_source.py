"""Files are read as they are, and a bad one is refused with its line."""

import csv
import json
import zipfile

import openpyxl
import pyarrow.parquet
import pytest

from studio.config import SourceConfig
from studio.data import source
from studio.data.readers.base import MAX_IN_MEMORY_BYTES, BadRow
from studio.errors import DataError

pytestmark = pytest.mark.usefixtures("warm_reader")


@pytest.fixture
def write(tmp_path):
    def make(name: str, content: str | bytes) -> SourceConfig:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return SourceConfig(kind="file", name=str(path))

    return make


def test_csv_cells_stay_text(write):
    table = source.open_table(write("a.csv", 'instruction,output\n00123,None\nNA,"one, two\nthree"\n'))
    assert list(table.rows()) == [
        {"instruction": "00123", "output": "None"},
        {"instruction": "NA", "output": "one, two\nthree"},
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(write, delimiter):
    text = "\n".join(delimiter.join(cells) for cells in [("Q", "A"), ("hi there", "hello"), ("bye now", "so long")])
    assert source.open_table(write("a.csv", text)).names == ["Q", "A"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp949"])
def test_korean_is_read_in_every_usual_encoding(write, encoding):
    table = source.open_table(write("a.csv", "질문,답변\n안녕하세요,반갑습니다\n".encode(encoding)))
    assert list(table.rows()) == [{"질문": "안녕하세요", "답변": "반갑습니다"}]
    assert [note.values["encoding"] for note in table.notes] == ([] if encoding == "utf-8" else [encoding])


def test_a_header_with_carriage_returns_and_spaces_is_clean(write):
    assert source.open_table(write("a.csv", " Q , A \r\nx,y\r\n")).names == ["Q", "A"]


def test_json_in_its_three_shapes(write):
    rows = [{"instruction": "a", "output": "b"}, {"instruction": "c", "output": "d"}]
    assert list(source.open_table(write("a.json", json.dumps(rows))).rows()) == rows
    assert list(source.open_table(write("b.json", json.dumps({"version": 1, "data": rows}))).rows()) == rows
    lines = "\n".join(map(json.dumps, rows))
    assert list(source.open_table(write("c.json", lines)).rows()) == rows
    assert list(source.open_table(write("d.jsonl", lines + "\n\n")).rows()) == rows


def test_json_lines_keep_line_separators_of_other_alphabets(write):
    text = json.dumps({"instruction": "a\u2028b", "output": "c"}, ensure_ascii=False)
    assert source.open_table(write("a.jsonl", text)).row(0)["instruction"] == "a\u2028b"


def test_a_bare_conversation_is_a_row(write):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert list(source.open_table(write("a.jsonl", json.dumps(turns))).rows()) == [{"messages": turns}]


ROWS = [{"instruction": f"질문 {n}", "output": f"답 {n}\n둘째 줄" if n % 3 else f"답 {n}"} for n in range(2500)]


def as_parquet(path):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path, row_group_size=700)


def as_arrow_file(path):
    with pyarrow.ipc.new_file(path, pyarrow.Table.from_pylist(ROWS).schema) as writer:
        writer.write_table(pyarrow.Table.from_pylist(ROWS), max_chunksize=600)


def as_arrow_stream(path):
    with open(path, "wb") as file, pyarrow.ipc.new_stream(file, pyarrow.Table.from_pylist(ROWS).schema) as writer:
        writer.write_table(pyarrow.Table.from_pylist(ROWS), max_chunksize=600)


def as_xlsx(path):
    book = openpyxl.Workbook()
    for row in [("instruction", "output"), *(tuple(row.values()) for row in ROWS)]:
        book.active.append(row)
    book.save(path)


def as_csv(path):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["instruction", "output"])
        writer.writeheader()
        writer.writerows(ROWS)


def as_jsonl(path):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS), encoding="utf-8")


def as_json(path):
    path.write_text(json.dumps(ROWS), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.parquet", as_parquet),
        ("a.arrow", as_arrow_file),
        ("b.arrow", as_arrow_stream),
        ("a.xlsx", as_xlsx),
        ("a.csv", as_csv),
        ("a.jsonl", as_jsonl),
        ("a.json", as_json),
    ],
)
def test_every_format_gives_the_same_rows_from_any_number_on(tmp_path, name, make):
    make(tmp_path / name)
    table = source.open_file(tmp_path / name)
    assert list(table.rows(5, 8)) == ROWS[5:8]
    assert table.count == 2500
    assert table.row(1700) == ROWS[1700]
    assert list(table.rows(699, 1402)) == ROWS[699:1402]
    assert list(table.rows()) == ROWS
    assert [column.type for column in table.columns] == ["text", "text"]


def test_a_text_file_is_a_row_a_line(write):
    table = source.open_table(write("a.txt", "첫 줄\r\n\r\n둘째 줄\r\n"))
    assert list(table.rows()) == [{"text": "첫 줄"}, {"text": "둘째 줄"}]
    assert table.reader.index() == 2
    assert table.reader.line_of(1) == 3


def test_rows_that_cannot_be_read_keep_their_numbers(write):
    table = source.open_table(write("a.jsonl", b'{"a": 1}\n{"a": \n7\n{"a": "\xff"}\n{"a": 2}\n'))
    found = [row.kind if isinstance(row, BadRow) else row for row in table.rows()]
    assert found == [{"a": 1}, "bad_json", "not_an_object", "bad_letters", {"a": 2}]
    assert table.count == 5
    assert table.row(4) == {"a": 2}


def test_ragged_records_are_told_with_their_text(write):
    table = source.open_table(write("a.csv", 'Q,A\nx,y\n"one\ntwo",three,four\nz\nv,w\n'))
    found = [(row.kind, row.text) if isinstance(row, BadRow) else row for row in table.rows()]
    expected = [{"Q": "x", "A": "y"}, ("ragged", "one\ntwo,three,four"), ("ragged", "z"), {"Q": "v", "A": "w"}]
    assert found == expected
    assert table.count == 4
    assert [table.reader.line_of(n) for n in range(4)] == [2, 3, 5, 6]
    assert table.row(3) == {"Q": "v", "A": "w"}


def test_cells_inside_cells_can_be_reached(write):
    row = {"q": "a", "tasks": [{"input": "x", "output": "y"}], "meta": {"lang": "ko"}}
    table = source.open_table(write("a.jsonl", json.dumps(row)))
    assert table.names == ["q", "tasks", "meta", "tasks.0.input", "tasks.0.output", "meta.lang"]
    assert source.cell(table.row(0), "tasks.0.output") == "y"
    assert source.cell(table.row(0), "tasks.1.output") is None
    assert source.cell(table.row(0), "meta.lang") == "ko"


def test_a_column_whose_name_has_a_dot_is_itself():
    assert source.cell({"a.b": 1, "a": {"b": 2}}, "a.b") == 1


def test_a_tree_of_messages_becomes_its_conversations(write):
    def node(name, parent, role):
        return {"message_id": name, "parent_id": parent, "role": role, "text": f"{role} {name}"}

    nodes = [
        node("1", None, "prompter"), node("2", "1", "assistant"), node("3", "1", "assistant"),
        node("4", "2", "prompter"), node("5", "4", "assistant"), node("6", "3", "prompter"),
    ]  # fmt: skip
    table = source.open_table(write("a.jsonl", "\n".join(map(json.dumps, nodes))))
    talks = [[turn["content"] for turn in row["messages"]] for row in table.rows()]
    long = ["prompter 1", "assistant 2", "prompter 4", "assistant 5"]
    assert sorted(talks) == sorted([long, ["prompter 1", "assistant 3"]])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "Q,Q\nx,y\n", 'Column "Q" appears twice'),
        ("a.csv", b"Q,A\n" + b"x,\x01\x00\x02\x03\x00\n" * 50, "line 2"),
        ("a.csv", "Q,A\n", "no rows"),
        ("a.csv", "", "no rows"),
        ("a.json", '"text"', "neither an object nor a list"),
        ("a.json", "[1,", "Line 1"),
        ("a.csv", b"Q,A\n" + b"\xff\xfe\x81," * 50, "cannot be read"),
        ("a.parquet", b"PAR1 no", "damaged"),
        ("a.arrow", b"ARROW1 no", "damaged"),
        ("a.xlsx", b"PK no", "damaged"),
        ("a.exe", "x", "csv, tsv, json, jsonl"),
        ("a.csv.gz", b"\x1f\x8b", "csv, tsv, json, jsonl"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(write, name, content, said):
    with pytest.raises(DataError) as caught:
        source.open_table(write(name, content)).count  # noqa: B018
    assert said in str(caught.value)


def test_a_spreadsheet_that_unpacks_to_much_is_refused_before_it_does(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.xlsx", "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("xl/workbook.xml", b"0" * (MAX_IN_MEMORY_BYTES + 1))
    with pytest.raises(DataError, match="too large"):
        source.open_file(tmp_path / "bomb.xlsx")


def test_a_file_that_is_not_there_and_a_url_are_refused_alike(tmp_path):
    for name in (str(tmp_path / "gone.csv"), "https://example.invalid/a.csv"):
        with pytest.raises(DataError, match="is not there"):
            source.open_table(SourceConfig(kind="file", name=name))


def test_an_unknown_bundled_set_is_refused_with_those_that_are():
    with pytest.raises(DataError, match="captain"):
        source.open_table(SourceConfig(name="capitan"))


def test_a_large_file_is_shown_from_its_beginning(tmp_path):
    path = tmp_path / "large.jsonl"
    with open(path, "w", encoding="utf-8") as file:
        for number in range(200_000):
            file.write(f'{{"instruction": "{number}", "output": "x"}}\n')
    opened = []
    table = source.open_file(path)
    real = table.reader._read
    table.reader._read = lambda line: opened.append(line) or real(line)
    assert table.names == ["instruction", "output"]
    assert len(opened) <= source.FIRST_ROWS + 1


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_every_kind_of_line_end_is_one(write, end):
    assert list(source.open_table(write("a.csv", f"Q,A{end}x,y{end}")).rows()) == [{"Q": "x", "A": "y"}]


def test_empty_and_blank_lines_are_no_rows_however_long(write):
    table = source.open_table(write("a.jsonl", '\n{"a": 1}\n   \n\t\r\n' + '{"a": "' + "x" * 99 + '"}\n\n{"a": 3}'))
    assert [table.reader.index(), table.reader.line_of(0), table.reader.line_of(2)] == [3, 2, 7]
    assert table.row(2) == {"a": 3}
    assert table.row(3) == {"a": 1}
