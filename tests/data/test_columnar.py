"""One cell that cannot be read never blocks a Parquet or Arrow file."""

import datetime
import decimal

import pyarrow
import pyarrow.parquet
import pytest

from studio.data import source
from studio.data.readers.base import RepairedRow
from studio.errors import DataError

pytestmark = pytest.mark.usefixtures("warm_reader")


@pytest.fixture(params=["a.parquet", "a.arrow"])
def read(request, tmp_path):
    def opened(table: pyarrow.Table):
        path = tmp_path / request.param
        if request.param == "a.parquet":
            pyarrow.parquet.write_table(table, path, row_group_size=2)
        else:
            with pyarrow.ipc.new_file(path, table.schema) as writer:
                writer.write_table(table)
        return source.open_file(path)

    return opened


def table_of(column, kind=None):
    return pyarrow.table({"q": ["a", "b", "c"], "x": column if kind is None else pyarrow.array(column, kind)})


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ([0, 2**62, None], pyarrow.timestamp("us")),
        ([0, -(2**61), None], pyarrow.timestamp("ms", tz="Asia/Seoul")),
        ([0, 2**31 - 1, None], pyarrow.date32()),
    ],
)
def test_moments_out_of_range_become_text_or_empty_and_are_noted(read, column, kind):
    rows = list(read(table_of(column, kind)).rows())
    assert [row["q"] for row in rows] == ["a", "b", "c"]
    assert rows[0]["x"].startswith("1970-01-01")
    assert [getattr(row, "notes", ()) for row in rows] == [(), ("unreadable_cell",), ()]
    assert isinstance(rows[1]["x"], str | None)


def test_moments_decimals_and_bytes_that_are_text_become_text(read):
    day = datetime.datetime(2024, 3, 1, 12, 30)
    assert [row["x"] for row in read(table_of([day, None, day])).rows()] == [
        "2024-03-01 12:30:00",
        None,
        "2024-03-01 12:30:00",
    ]
    price = decimal.Decimal("1.50")
    assert read(table_of([price, price, price])).row(0)["x"] == "1.50"
    assert [row["x"] for row in read(table_of([b"text", "글".encode(), b"\xff\xfe"])).rows()] == [
        "text",
        "글",
        b"\xff\xfe",
    ]


def test_numbers_that_are_none_are_empty(read):
    assert [row["x"] for row in read(table_of([1.5, float("nan"), float("inf")])).rows()] == [1.5, None, None]


def test_nested_null_dictionary_and_large_columns_are_read(read):
    table = pyarrow.table(
        {
            "turns": [[{"role": "user", "when": datetime.date(2024, 3, 1)}], None, []],
            "none": pyarrow.nulls(3),
            "word": pyarrow.array(["a", "b", "a"]).dictionary_encode(),
            "large": pyarrow.array(["x", "y", None], pyarrow.large_string()),
        }
    )
    rows = list(read(table).rows())
    assert rows[0] == {"turns": [{"role": "user", "when": "2024-03-01"}], "none": None, "word": "a", "large": "x"}


def test_letters_that_are_not_utf_8_are_replaced_and_noted(read):
    damaged = pyarrow.StringArray.from_buffers(
        3, pyarrow.array([b"ok", b"a\xff", b"z"]).buffers()[1], pyarrow.py_buffer(b"oka\xffz")
    )
    rows = list(read(pyarrow.table({"q": damaged})).rows())
    assert rows == [{"q": "ok"}, {"q": "a\ufffd"}, {"q": "z"}]
    assert isinstance(rows[1], RepairedRow)


def test_a_column_that_is_there_twice_is_refused(read):
    with pytest.raises(DataError, match="appears twice"):
        read(pyarrow.Table.from_arrays([pyarrow.array(["a"]), pyarrow.array(["b"])], ["q", "q"]))


def test_rows_are_had_by_their_numbers_in_any_order(read):
    table = read(pyarrow.table({"q": [f"row {n}" for n in range(2500)]}))

    assert table.count == 2500
    assert table.reader.rows_at([2400, 3, 1200, 3, 9999]) == [{"q": f"row {n}"} for n in (2400, 3, 1200, 3)]
    assert table.reader.rows_at([]) == []
    assert list(table.rows(1998, 2002)) == [{"q": f"row {n}"} for n in range(1998, 2002)]
    assert list(table.rows(2499)) == [{"q": "row 2499"}]
    assert next(table.rows()) == {"q": "row 0"}  # and the process ends with the iterator


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_every_cut_of_a_file_is_told_or_read(tmp_path, name):
    table = pyarrow.table({"q": [f"row {n}" for n in range(50)]})
    whole = tmp_path / f"whole.{name[2:]}"
    if name == "a.parquet":
        pyarrow.parquet.write_table(table, whole)
    else:
        with pyarrow.ipc.new_file(whole, table.schema) as writer:
            writer.write_table(table)
    content = whole.read_bytes()
    for size in range(1, len(content), 97):
        (tmp_path / name).write_bytes(content[:size])
        with pytest.raises(DataError):
            list(source.open_file(tmp_path / name).rows())
