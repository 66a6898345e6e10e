"""Spreadsheets are read as they are shown, whatever they declare, and in little memory."""

import datetime
import re
import subprocess
import sys
import zipfile

import openpyxl
import pytest

from studio.config import SourceConfig
from studio.data import source
from studio.data.readers import workbook
from studio.data.readers.number_format import format_number
from studio.errors import DataError

HEADER = ("instruction", "output")


@pytest.fixture
def book(tmp_path):
    """Return a function that saves sheets of rows, changes their XML, and opens the file."""

    def make(sheets, change=None, sheet=None, prepare=None):
        made = openpyxl.Workbook()
        made.remove(made.active)
        for name, rows in sheets.items():
            page = made.create_sheet(name)
            for row in rows:
                page.append(row)
        if prepare:
            prepare(made)
        path = tmp_path / "a.xlsx"
        made.save(path)
        if change:
            old = path.rename(tmp_path / "old.xlsx")
            with zipfile.ZipFile(old) as parts, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
                for part in parts.infolist():
                    data = parts.read(part)
                    new.writestr(part.filename, change(data) if part.filename.endswith("sheet1.xml") else data)
        return source.open_file(path, SourceConfig(kind="file", name=str(path), sheet=sheet))

    return make


def cells(table):
    return [list(row.values()) for row in table.rows()]


@pytest.mark.parametrize("reference", [b"A1", b"A1:B2", b"A1:XFD1048576", b"Z99", b"nonsense"])
def test_a_declared_size_is_not_believed(book, reference):
    table = book(
        {"Sheet1": [HEADER, ("a", "b"), ("c", "d"), ("e", "f")]},
        lambda xml: re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="' + reference + b'"', xml),
    )
    assert cells(table) == [["a", "b"], ["c", "d"], ["e", "f"]]


def test_cells_without_references_and_a_missing_size_are_read_in_order(book):
    def change(xml):
        return re.sub(rb"<dimension[^>]*/>", b"", re.sub(rb' r="[A-Z]*\d+"', b"", xml))

    assert cells(book({"Sheet1": [HEADER, ("a", "b"), ("c", "d")]}, change)) == [["a", "b"], ["c", "d"]]


def test_rows_far_down_are_read_and_empty_ones_are_none(book):
    table = book(
        {"S": [HEADER, ("a", "b"), (None, None), ("  ", None)]},
        prepare=lambda made: made["S"].cell(1_048_576, 2, "far"),
    )
    assert cells(table) == [["a", "b"], ["", "far"]]


LIMITED = """
import resource, sys
from pathlib import Path
from studio.data import source
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 150_000_000,) * 2)
print(source.open_file(Path(sys.argv[1])).count)
"""


@pytest.mark.parametrize(
    "inner",
    [
        '<dimension ref="A1:XFD1048576"/><sheetData><row r="1"><c r="A1" t="str"><v>q</v></c></row>'
        '<row r="1048576"><c r="A1048576" t="str"><v>x</v></c><c r="XFD1048576" t="str"><v>y</v></c></row></sheetData>',
        '<sheetData><row r="1"><c r="A1" t="str"><v>q</v></c></row>' + '<row r="999999999"/>' * 200_000
        + '<row r="7"><c r="A7" t="str"><v>x</v></c></row></sheetData>',
        '<sheetData><row><c t="str"><v>q</v></c></row>' + "<row><c/><c/><c/></row>" * 200_000
        + '<row><c t="str"><v>x</v></c></row></sheetData>',
    ],
)  # fmt: skip
def test_a_small_file_that_declares_millions_of_cells_takes_little_memory(tmp_path, inner):
    path = tmp_path / "a.xlsx"
    bare(path, f'<worksheet xmlns="{MAIN}">{inner}</worksheet>')
    assert path.stat().st_size < 60_000
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr[-500:]) == ("1", "")


MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def bare(path, sheet, texts=None):
    """Write a workbook of the fewest parts, which names nothing that it need not."""
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    relations = "http://schemas.openxmlformats.org/package/2006/relationships"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{MAIN}" xmlns:r="{office}"><sheets><sheet name="S" r:id="r1"/></sheets></workbook>',
        )
        shared = f'<Relationship Id="r2" Type="{office}/sharedStrings" Target="/xl/texts.xml"/>' if texts else ""
        parts.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{relations}"><Relationship Id="r1" Type="{office}/worksheet" Target="s.xml"/>'
            f"{shared}</Relationships>",
        )
        parts.writestr("xl/s.xml", sheet)
        if texts:
            parts.writestr("xl/texts.xml", texts)


def test_one_shared_text_in_very_many_cells_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(workbook, "MAX_LETTERS", 1_000_000)
    rows = '<row><c t="s"><v>0</v></c></row>' * 100
    texts = f'<sst xmlns="{MAIN}"><si><t>{"x" * 20_000}</t></si></sst>'
    bare(tmp_path / "a.xlsx", f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>', texts)
    with pytest.raises(DataError, match="too many cells"):
        source.open_file(tmp_path / "a.xlsx")


def test_shared_texts_are_joined_and_unescaped(tmp_path):
    texts = (
        f'<x:sst xmlns:x="{MAIN}"><x:si><x:t>q</x:t></x:si>'
        "<x:si><x:r><x:t>東</x:t></x:r><x:r><x:t>京_x000D_</x:t></x:r><x:rPh><x:t>とうきょう</x:t></x:rPh></x:si></x:sst>"
    )
    rows = "".join(f'<x:row><x:c t="s"><x:v>{n}</x:v></x:c></x:row>' for n in (0, 1, 7, 1))
    bare(tmp_path / "a.xlsx", f'<x:worksheet xmlns:x="{MAIN}"><x:sheetData>{rows}</x:sheetData></x:worksheet>', texts)
    table = source.open_file(tmp_path / "a.xlsx")
    assert cells(table) == [["東京\r"], ["東京\r"]]
    assert [note.key for note in table.notes] == ["data.sheet_errors"]


def test_a_wide_header_over_many_rows_is_refused(tmp_path, monkeypatch):
    from studio.data.readers import spreadsheet

    monkeypatch.setattr(spreadsheet, "MAX_CELLS", 10_000)
    header = "".join(f'<c t="str"><v>n{n}</v></c>' for n in range(200))
    rows = '<row><c t="str"><v>x</v></c></row>' * 100
    bare(tmp_path / "a.xlsx", f'<worksheet xmlns="{MAIN}"><sheetData><row>{header}</row>{rows}</sheetData></worksheet>')
    with pytest.raises(DataError, match="too many cells"):
        source.open_file(tmp_path / "a.xlsx")


def test_entities_are_refused_before_they_unfold(tmp_path):
    sheet = f'<!DOCTYPE w [<!ENTITY a "{"x" * 1000}">]><worksheet xmlns="{MAIN}"><sheetData>&a;</sheetData></worksheet>'
    bare(tmp_path / "a.xlsx", sheet)
    with pytest.raises(DataError, match="document type"):
        source.open_file(tmp_path / "a.xlsx")


def test_the_first_sheet_with_rows_is_read_and_the_others_are_named(book):
    sheets = {
        "Cover": [],
        "Head only": [HEADER],
        "Train": [HEADER, ("a", "b")],
        "Test": [HEADER, ("c", "d")],
        "Empty": [],
    }
    table = book(sheets)
    assert cells(table) == [["a", "b"]]
    assert table.notes[0].values == {"sheet": "Train", "others": "Head only, Test"}
    assert table.sheets == list(sheets)


def test_a_sheet_is_chosen_by_its_name(book):
    sheets = {"Train": [HEADER, ("a", "b")], "시험": [HEADER, ("c", "d")]}
    assert cells(book(sheets, sheet="시험")) == [["c", "d"]]
    assert cells(book(sheets, sheet=" train ")) == [["a", "b"]]
    with pytest.raises(DataError, match="Its sheets: Train, 시험"):
        book(sheets, sheet="Tset")


def test_hidden_sheets_come_last_and_are_told(book):
    def hide(made):
        made["Old"].sheet_state = "hidden"

    table = book({"Old": [HEADER, ("x", "y")], "New": [HEADER, ("a", "b")]}, prepare=hide)
    assert cells(table) == [["a", "b"]]
    assert [note.key for note in table.notes] == ["data.hidden_sheets"]


def test_a_sheet_is_only_for_spreadsheets(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("q,a\nx,y\n", encoding="utf-8")
    with pytest.raises(DataError, match="has no sheets"):
        source.open_table(SourceConfig(kind="file", name=str(path), sheet="Train"))


def test_cells_are_what_the_sheet_shows(book):
    shown = [
        (1, "General", "1"), (1.0, "0.00", "1.00"), (0.1 + 0.2, "General", "0.3"), (42, "00000", "00042"),
        (0.256, "0%", "26%"), (1234567.5, "#,##0.0", "1,234,567.5"), (-5, "0;(0)", "(5)"), (True, "General", "TRUE"),
        (datetime.date(2024, 3, 1), "yyyy-mm-dd", "2024-03-01"),
        (datetime.date(2024, 3, 1), 'yyyy"년" m"월" d"일"', "2024년 3월 1일"),
        (datetime.datetime(2024, 3, 1, 14, 5), "yyyy-mm-dd h:mm AM/PM", "2024-03-01 2:05 PM"), (1.5, "[h]:mm", "36:00"),
        ("00123", "General", "00123"), ("a\rb", "General", "a\rb"),
        (9e9, "yyyy-mm-dd", "9000000000"), (-2, "yyyy-mm-dd", "-2"),
    ]  # fmt: skip

    def prepare(made):
        for place, (value, code, _) in enumerate(shown, 2):
            cell = made["S"].cell(place, 1, value)
            cell.number_format = code
            made["S"].cell(place, 2, "x")

    table = book({"S": [HEADER]}, prepare=prepare)
    assert [row["instruction"] for row in table.rows()] == [text for *_, text in shown]


@pytest.mark.parametrize(
    ("stored", "code", "text"),
    [
        ("5551234", "000-0000", "555-1234"),
        ("1234567", "#,##0,", "1,235"),
        ("3", "0.##", "3"),
        ("12345", "0.00E+00", "1.23E+04"),
        ("0", "0;-0;-", "-"),
        ("1234.5", '_("$"* #,##0.00_)', "$1,234.50"),
        ("1e400", "0", "1e400"),
        ("x", "0", "x"),
        ("0.5", "# ?/?", "0.5"),
        ("5", "0" * 600, "5"),
        ("12", '0"개"', "12개"),
        ("123456789012345678", "", "123456789012345678"),
        ("1", "[Red]0.0", "1.0"),
        ("-0.2", "0", "0"),
    ],
)
def test_number_formats(stored, code, text):
    assert format_number(stored, code) == text


def test_errors_and_formulas_without_results_are_counted_and_empty(book):
    table = book(
        {"S": [HEADER, ("a", "#N/A"), ("b", "=A1&A2"), ("c", "d")]},
    )
    assert cells(table) == [["a", ""], ["b", ""], ["c", "d"]]
    assert {note.key: note.values["rows"] for note in table.notes} == {
        "data.sheet_errors": "2",
        "data.sheet_formulas": "3",
    }


def test_a_cell_merged_over_rows_stands_in_each(book):
    table = book(
        {"S": [HEADER, ("Greet me", "Ahoy"), (None, "Hello"), ("Bye", "Farewell")]},
        prepare=lambda made: made["S"].merge_cells("A2:A3"),
    )
    assert cells(table) == [["Greet me", "Ahoy"], ["Greet me", "Hello"], ["Bye", "Farewell"]]
    assert [note.key for note in table.notes] == ["data.merged_cells"]


def test_a_title_above_the_header_is_left_out(book):
    table = book({"S": [("My data",), HEADER, ("a", "b")]})
    assert list(table.rows()) == [{"instruction": "a", "output": "b"}]
    assert [note.key for note in table.notes] == ["data.title_rows"]


def test_columns_without_a_name_get_their_letter(book):
    assert book({"S": [("q", None, "a"), ("x", "note", "y")]}).names == ["q", "column B", "a"]


@pytest.mark.parametrize("part", ["sheet1.xml", "workbook.xml", "styles.xml", "workbook.xml.rels"])
@pytest.mark.parametrize("left", [0, 10, -20])
def test_a_damaged_part_is_told(tmp_path, part, left):
    made = openpyxl.Workbook()
    for row in (HEADER, ("a", "b")):
        made.active.append(row)
    made.save(tmp_path / "old.xlsx")
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(tmp_path / "old.xlsx") as parts, zipfile.ZipFile(path, "w") as new:
        for name in parts.namelist():
            data = parts.read(name)
            new.writestr(name, data[:left] if name.endswith("/" + part) else data)
    with pytest.raises(DataError, match="damaged"):
        source.open_file(path)


def test_every_cut_of_a_file_is_told(tmp_path):
    made = openpyxl.Workbook()
    for row in (HEADER, ("a", "b")):
        made.active.append(row)
    made.save(tmp_path / "whole.xlsx")
    content = (tmp_path / "whole.xlsx").read_bytes()
    for size in range(1, len(content), 211):
        (tmp_path / "a.xlsx").write_bytes(content[:size])
        with pytest.raises(DataError):
            source.open_file(tmp_path / "a.xlsx")
