"""A file that is something else than its name says is refused with what it is, and what to do."""

import gzip
import io
import zipfile

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest

from studio.data import source
from studio.errors import DataError
from studio.i18n import LANGUAGES

ENDINGS = ["csv", "tsv", "json", "jsonl", "txt", "parquet", "arrow", "xlsx"]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 13085339\n"


def _xlsx():
    held = io.BytesIO()
    book = openpyxl.Workbook()
    book.active.append(("q", "a"))
    book.save(held)
    return held.getvalue()


def _zip():
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as parts:
        parts.writestr("a.csv", "q,a\n")
    return held.getvalue()


def _parquet():
    held = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"q": ["a"]}), held)
    return held.getvalue()


def _ole(name: str):
    header = bytearray(512)
    header[:8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    header[30:32] = (9).to_bytes(2, "little")
    header[48:52] = (200).to_bytes(4, "little")
    return bytes(header) + bytes(200 * 512) + name.encode("utf-16-le").ljust(512, b"\0")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_git_lfs_pointer_is_told_for_every_ending(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(POINTER)
    with pytest.raises(DataError, match=r"no JSON(.|\n)*git lfs pull"):
        source.open_file(path)


KINDS = {
    "xlsx": _xlsx(),
    "zip": _zip(),
    "parquet": _parquet(),
    "packed": gzip.compress(b"q,a\nx,y\n"),
    "xls": _ole("Workbook"),
    "locked": _ole("EncryptedPackage"),
    "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "sqlite": b"SQLite format 3\x00" + bytes(100),
    "markup": b"\xef\xbb\xbf\n<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "text": b"q,a\nx,y\n",
}
OWN = {
    "xlsx": ["xlsx"],
    "parquet": ["parquet"],
    "markup": ["txt"],
    "text": ["csv", "tsv", "json", "jsonl", "txt", "arrow"],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_wrong_ending_is_told(tmp_path, kind, ending):
    if ending in OWN.get(kind, ()):
        return
    path = tmp_path / f"a.{ending}"
    path.write_bytes(KINDS[kind])
    with pytest.raises(DataError) as caught:
        source.open_file(path)
    assert caught.value.key == "data.other_kind"
    assert caught.value.values["kind"].key == f"data.kind.{kind}"
    for language in LANGUAGES:
        assert len(caught.value.message.text(language).splitlines()) == 3


@pytest.mark.parametrize("kind", ["xlsx", "parquet"])
def test_advice_to_rename_works_when_it_is_followed(tmp_path, kind):
    path = tmp_path / "a.csv"
    path.write_bytes(_parquet() if kind == "parquet" else _with_a_row())
    with pytest.raises(DataError, match=rf"ends in \.{kind}"):
        source.open_file(path)
    assert source.open_file(path.rename(path.with_suffix(f".{kind}"))).count == 1


def _with_a_row():
    held = io.BytesIO()
    book = openpyxl.Workbook()
    for row in (("q", "a"), ("x", "y")):
        book.active.append(row)
    book.save(held)
    return held.getvalue()
