"""The reading sheet: notes of many readers, exported for a spreadsheet that runs nothing of them."""

import csv
import io

import pytest

from studio.compare.comparison import AnswerPair
from studio.errors import CompareError
from studio.evaluate.human_reading import COLUMNS, MAX_NOTE_CHARACTERS, Sheet

PAIRS = [
    AnswerPair("계란은?", "물에 삶아요.", '=HYPERLINK("http://x", "y")'),
    AnswerPair("Rain?", "Clouds,\nthen water.", "Aye."),
]


@pytest.fixture
def sheet(tmp_path):
    return Sheet(tmp_path / "compare", PAIRS)


def read(exported: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(exported.decode("utf-8-sig"), newline="")))


def test_the_last_note_of_a_reader_on_an_answer_counts(sheet):
    sheet.note("ann", PAIRS[0].id, "after", natural=False)
    sheet.note("ann", PAIRS[0].id, "after", natural=True, wrong=False, note="좋아요")
    sheet.note("ben", PAIRS[0].id, "after", wrong=True)
    sheet.note("ann", PAIRS[0].id, "before", natural=True)

    said = {(one.reader, one.side): (one.natural, one.wrong, one.note) for one in sheet.readings()}
    assert said == {
        ("ann", "after"): (True, False, "좋아요"),
        ("ben", "after"): (None, True, ""),
        ("ann", "before"): (True, None, ""),
    }


def test_the_export_has_a_row_for_every_note_and_for_every_unread_answer(sheet):
    sheet.note("ann", PAIRS[1].id, "before", natural=True, wrong=False, note="a, b\nc")
    sheet.note("ben", PAIRS[1].id, "before", natural=False)
    rows = read(sheet.to_csv())

    assert list(rows[0]) == list(COLUMNS)
    assert [(row["prompt"], row["side"], row["reader"], row["natural"], row["wrong"]) for row in rows] == [
        ("계란은?", "before", "", "", ""),
        ("계란은?", "after", "", "", ""),
        ("Rain?", "before", "ann", "yes", "no"),
        ("Rain?", "before", "ben", "no", ""),
        ("Rain?", "after", "", "", ""),
    ]
    assert rows[2]["note"] == "a, b\nc"
    assert rows[2]["answer"] == "Clouds,\nthen water."


def test_excel_reads_the_korean(sheet):
    exported = sheet.to_csv("ko")
    assert exported.startswith(b"\xef\xbb\xbf")
    assert list(read(exported)[0])[:3] == ["항목", "프롬프트", "구분"]


STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@pytest.mark.parametrize("start", STARTS)
def test_no_cell_is_a_formula(sheet, start):
    sheet.note(f"{start}ann" if start.strip() else "ann", PAIRS[1].id, "after", note=f'{start}cmd|" /C calc"!A0')
    rows = read(sheet.to_csv())

    cells = [cell for row in rows for cell in row.values()]
    assert [cell for cell in cells if cell.startswith(STARTS)] == []
    assert rows[-1]["note"] == f'\'{start}cmd|" /C calc"!A0'
    assert rows[1]["answer"] == "'" + PAIRS[0].after


@pytest.mark.parametrize("cell", ["", "a=b", "3", "한글", " -1"])
def test_an_ordinary_cell_stays_as_it_is(sheet, cell):
    sheet.note("ann", PAIRS[1].id, "after", note=cell)
    assert read(sheet.to_csv())[-1]["note"] == cell


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"item": "0" * 16}, "compare.ballot_item"),
        ({"side": "both"}, "compare.ballot_item"),
        ({"reader": ""}, "compare.voter"),
        ({"note": "x" * (MAX_NOTE_CHARACTERS + 1)}, "compare.note"),
    ],
)
def test_what_cannot_be_noted_is_refused(sheet, values, key):
    with pytest.raises(CompareError) as raised:
        sheet.note(**{"reader": "ann", "item": PAIRS[0].id, "side": "after", **values})
    assert raised.value.key == key
    assert sheet.readings() == []
