"""The real type of a file, whatever its name says, from its first bytes."""

import re
import zipfile
from pathlib import Path

from studio.errors import DataError
from studio.i18n import message

_HEAD = 1 << 16
_LFS = b"version https://git-lfs.github.com/spec/"
_MAGIC = (
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
    (b"\x1f\x8b", "packed"),
    (b"BZh", "packed"),
    (b"\xfd7zXZ\x00", "packed"),
    (b"\x28\xb5\x2f\xfd", "packed"),
    (b"7z\xbc\xaf\x27\x1c", "packed"),
    (b"Rar!\x1a\x07", "packed"),
    (b"%PDF-", "pdf"),
    (b"SQLite format 3\x00", "sqlite"),
)
_MARKUP = (b"<!doctype html", b"<html", b"<head", b"<body", b"<table", b"<?xml")
_NAMES = {"csv": "CSV", "tsv": "TSV", "json": "JSON", "jsonl": "JSON lines", "txt": "text", "parquet": "Parquet",
          "arrow": "Arrow", "xlsx": "Excel (.xlsx)"}  # fmt: skip
_BINARY = ("parquet", "xlsx")
"""Formats that always begin with a mark of their own; an Arrow stream has none."""


def require(path: Path, file_format: str) -> None:
    """Raise DataError with the real type of a file where that is not the format of its name."""
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    if head.startswith(_LFS):
        raise DataError("data.lfs", name=path.name)
    kind = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    if kind == "zip":
        kind = _kind_of_zip(path)
    elif kind == "ole":
        kind = "locked" if _is_locked(path, head) else "xls"
    elif kind is None and head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_MARKUP):
        kind = "markup"
    elif kind is None and file_format in _BINARY and not head.startswith(b"PK"):
        kind = None if re.search(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]", head) else "text"
    if kind in (None, file_format) or (kind == "markup" and file_format == "txt"):
        return
    raise DataError(
        "data.other_kind",
        name=path.name,
        expected=_NAMES[file_format],
        kind=message(f"data.kind.{kind}"),
        advice=message(f"data.kind_advice.{kind}"),
    )


def _kind_of_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as parts:
            names = parts.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "xlsx" if path.suffix.lower() == ".xlsx" else "zip"  # a damaged one is reported by its reader
    if any(name.startswith("xl/") for name in names):
        return "xlsx"
    return "ods" if "content.xml" in names else "zip"


def _is_locked(path: Path, head: bytes) -> bool:
    """Whether an OLE container holds an encrypted workbook: its directory has an entry for it (MS-OFFCRYPTO)."""
    sector = 1 << min(int.from_bytes(head[30:32], "little"), 12)
    with open(path, "rb") as file:
        file.seek((int.from_bytes(head[48:52], "little") + 1) * sector)
        directory = file.read(_HEAD)
    return "EncryptedPackage".encode("utf-16-le") in directory
