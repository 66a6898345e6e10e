"""Delimited files are read as they were written: quotes, separators and headers are told from the whole file."""

import csv

import pytest

from studio.data import source
from studio.data.readers import delimited
from studio.data.readers.base import BadRow, RepairedRow


def values(table):
    return [row.kind if isinstance(row, BadRow) else list(row.values()) for row in table.rows()]


def keys(table):
    return [note.key for note in table.notes]


@pytest.mark.parametrize(
    "cells",
    [
        ['"B is open', "C.", 'D."', "E."],
        ['"Hi," she said.', "C.", '"', "E."],
        ["'tis", '5" pipe', '"Stop!', "E."],
        ['"Yes.', 'No."', '"Yes.', 'No."'],
        ['"Hello."', "C.", '"Hi" and "bye"', "E."],
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quotes_of_a_tsv_without_quoting_are_part_of_the_text(read, cells, end):
    lines = ["instruction\toutput", *(f"Say {n}.\t{cell}" for n, cell in enumerate(cells))]
    table = read("a.tsv", end.join(lines) + end)
    assert values(table) == [[f"Say {n}.", cell] for n, cell in enumerate(cells)]
    assert table.count == len(cells)
    assert keys(table) in (["data.quotes_are_letters"], [])


def test_a_tsv_that_is_quoted_is_read_so(read):
    rows = [["one\ttab", "two\nlines"], ['a "quoted" word', "plain"], ["x", "y"]]
    text = "q\ta\n" + "".join(
        "\t".join(f'"{cell}"' if set(cell) & set('\t\n"') else cell for cell in (c.replace('"', '""') for c in row))
        + "\n"
        for row in rows
    )
    table = read("a.tsv", text)
    assert values(table) == rows
    assert keys(table) == []


def test_a_tsv_whose_columns_all_stand_in_quotes_is_read_so(read):
    assert values(read("a.tsv", 'q\ta\n"Two?"\t"Four."\n"Three?"\t"Nine."\n')) == [
        ["Two?", "Four."],
        ["Three?", "Nine."],
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "|"])
def test_a_quote_that_swallows_lines_of_a_consistent_file_is_a_letter(read, delimiter):
    lines = [f"q{delimiter}a", f'x{delimiter}"open', f"y{delimiter}b", f'z{delimiter}close"', f"v{delimiter}w"]
    table = read("a.csv", "\n".join(lines))
    assert values(table) == [["x", '"open'], ["y", "b"], ["z", 'close"'], ["v", "w"]]
    assert keys(table) == ["data.quotes_are_letters"]


def test_one_open_quote_in_a_quoted_file_costs_one_row(read):
    good = "".join(f'"a, {n}","b, {n}"\n' for n in range(30))
    table = read("a.csv", f'"q","a"\n{good}"open, "b"\n{good}"never closed,"x"y\n{good}')
    found = values(table)
    assert table.count == 92
    assert [place for place, row in enumerate(found) if row == "bad_csv"] == [30, 61]
    assert found[31] == ["a, 0", "b, 0"]
    assert list(table.rows(31, 32)) == [{"q": "a, 0", "a": "b, 0"}]
    assert table.reader.line_of(91) == 93


def test_quotes_behind_backslashes_are_quotes(read):
    table = read("a.csv", r"q,a" + "\n" + r'"He said \"hi, you\"","C:\\"' + "\n" + r'"x","a \\ b, \"c\""' + "\n")
    assert values(table) == [['He said "hi, you"', "C:\\\\"], ["x", 'a \\\\ b, "c"']]


def test_spaces_before_quotes_are_no_cell(read):
    assert values(read("a.csv", 'q, a\n"x, y", "z, w"\n')) == [["x, y", "z, w"]]


@pytest.mark.parametrize("line", ["sep=;", "SEP=;", '"sep=;"'])
def test_the_line_by_which_excel_is_told_the_separator_is_no_header(read, line):
    table = read("a.csv", f"{line}\r\nq;a\r\nx, or y;z\r\n")
    assert table.names == ["q", "a"]
    assert values(table) == [["x, or y", "z"]]
    assert table.reader.index() == 1
    assert table.reader.line_of(0) == 3


def test_sep_behind_a_byte_order_mark(read):
    assert read("a.csv", b"\xef\xbb\xbfsep=|\r\nq|a\r\nx|y\r\n").names == ["q", "a"]


def test_empty_columns_without_a_name_go(read):
    table = read("a.csv", "instruction,output,,\nx,y,,\nv,w\n")
    assert list(table.rows()) == [{"instruction": "x", "output": "y"}, {"instruction": "v", "output": "w"}]
    assert keys(table) == ["data.columns_dropped"]


def test_columns_without_a_name_that_hold_something_get_one(read):
    table = read("a.csv", ",instruction,output,\n0,x,y,\n1,v,w,note\n")
    assert table.names == ["column 1", "instruction", "output", "column 4"]
    assert table.notes[0].values == {"columns": "column 1, column 4"}


def test_content_far_down_in_a_column_that_was_left_out_is_counted(read):
    table = read("a.csv", "q,a,\n" + "x,y,\n" * 300 + "x,y,z\n")
    last = table.row(300)
    assert isinstance(last, RepairedRow)
    assert last.notes == ("cell_without_column",)


def test_empty_cells_behind_the_last_column_are_not_ragged(read):
    assert values(read("a.csv", "q,a\nx,y,,,\nv,w,z\nk\n")) == [["x", "y"], "ragged", "ragged"]


def test_a_zero_byte_costs_its_row(read):
    assert values(read("a.csv", b"q,a\nx,y\nv,\x00w\nk,l\n")) == [["x", "y"], "nul", ["k", "l"]]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_mixed_line_ends_are_line_ends(read, name):
    separator = "\t" if name == "a.tsv" else ","
    table = read(name, f"q{separator}a\r\nx{separator}y\rv{separator}w\nk{separator}l\r\n")
    assert values(table) == [["x", "y"], ["v", "w"], ["k", "l"]]
    assert table.count == 3
    assert list(table.rows(1, 2)) == [{"q": "v", "a": "w"}]


def test_a_quoted_cell_far_behind_the_beginning_is_seen(tmp_path):
    path = tmp_path / "a.csv"
    with open(path, "w", encoding="utf-8") as file:
        file.write("q,a\n")
        file.write("plain,cell\n" * ((2 << 20) // 11))
        file.write('"one, two","three\nfour"\n')
    table = source.open_file(path)
    assert table.row(table.count - 1) == {"q": "one, two", "a": "three\nfour"}


def test_a_csv_without_quotes_is_indexed_by_its_line_feeds_alone(read, monkeypatch):
    table = read("a.csv", "q,a\n" + 'x,5" pipe\n' * 50)
    monkeypatch.setattr(delimited.Dialect, "reader", lambda *args: pytest.fail("a record was parsed"))
    assert table.reader.index() == 50


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC])
def test_what_pythons_writer_writes_is_read_back(tmp_path, delimiter, quoting):
    rows = [["a, b; c", 'said "x"'], ["two\nlines", "tab\tpipe|"], ["", "end"], ["'", "a\\b"]]
    path = tmp_path / "a.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=quoting)
        writer.writerows([["q", "a"], *rows])
    assert values(source.open_file(path)) == rows


@pytest.mark.parametrize(
    ("content", "is_told"),
    [
        ("Hello there.,Good day to you!\nHow are you?,Fine.\n", True),
        ("잘 지내?,그럼\n뭐 해?,놀아\n", True),
        ("question,Your answer?\nHow are you?,Fine.\n", False),
        ("greeting,reply\nHow are you?,Fine.\n", False),
        ("What is it like?\nHow are you?\n", False),
    ],
)
def test_a_first_line_that_reads_like_a_row_is_told(read, content, is_told):
    assert ("data.header_reads_like_row" in keys(read("a.csv", content))) is is_told
