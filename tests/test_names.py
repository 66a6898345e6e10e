"""Identifiers are words of the field: no participle as a noun, and modules have at most 400 lines."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "studio"
FILES = sorted(ROOT.rglob("*.py"))
WORDS = {*re.findall(r"\w+", "found asked told said seen shown made going look begun anew story glance drawn beside")}
ALLOWED = {
    "compare": {"said", "made_for"},
    "export": {"made", "asked"},
    "model": {"made_for"},
    "train": {"said"},
    "ui": {"connection_made"},
}
"""By package: what is stored under such a name (a column's turns, a verification's time, an adapter's base), names in
exported code, and asyncio's name of a callback."""
MODULES = re.findall(
    r"\w+",
    "beside ends pieces shown made outlook subject usage living look clock standing placing ask fit child lean signs "
    "pulse vitals relief before waiting of_run fresh outside labels",
)
"""Modules that have the field's names now."""


def identifiers(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_identifiers_are_words_of_the_field(path):
    allowed = ALLOWED.get(path.relative_to(ROOT).parts[0], set())
    names = {name for name in identifiers(path) if name not in allowed}
    assert not [name for name in names if WORDS & set(re.split(r"_|(?<=[a-z])(?=[A-Z])", name.lower()))]
    assert path.stem not in MODULES
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
