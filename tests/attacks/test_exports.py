"""What is exported runs as it was meant, whatever a run, a column or a token is called."""

import ast
import csv
import io
import shlex
from dataclasses import replace
from types import SimpleNamespace

import pytest

from studio.compare.comparison import AnswerPair
from studio.evaluate import human_reading
from studio.export import code_snippets, script
from studio.export.export_context import ExportContext, load_context

NAMES = [
    'say "hi"',
    '"',
    '""',
    '"""',
    'x"""',
    '""+print("run")+""',
    "\\",
    'ends in \\"',
    "''' # \\N{DASH} \\x41 \\u00e9 \\",
    "one\r\nimport os",
    "nul \x00 \x1b \u2028",
    "<script>alert(1)</script>",
    "{name} %s {{x}}",
    "가나다 😀",
]


@pytest.fixture
def whole(finished_run):
    return load_context(finished_run)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stays_within_the_docstring_of_an_exported_script(whole, name, monkeypatch):
    monkeypatch.setattr(ExportContext, "name", name)
    whole = replace(whole, base=replace(whole.base, id=name, origin="folder"))
    for made in (script.text(whole), code_snippets.example(whole)):
        first, *others = ast.parse(made).body
        assert name.splitlines()[0] in ast.literal_eval(first.value)
        assert [node for node in others if isinstance(node, ast.Expr)] == []
        bases = [
            node.value for node in others if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "BASE"
        ]
        assert [ast.literal_eval(base) for base in bases] == [name]


@pytest.mark.parametrize("token", ["\nimport os", "\r", '"', "</s>", "\x85"])
def test_a_token_stays_within_its_comment(whole, token):
    tokenizer = SimpleNamespace(convert_ids_to_tokens=lambda ids: [token] * len(ids))
    made = ast.parse(code_snippets.example(replace(whole, tokenizer=tokenizer)))
    assert not [node for node in ast.walk(made) if isinstance(node, ast.Import) and node.names[0].name == "os"]


@pytest.mark.parametrize("column", ["$(touch x)", "`touch x`", '"; touch x; "', "a b", "it's", "질문", "$HOME", "a!b"])
def test_a_column_is_one_word_of_the_command_that_is_copied(column):
    assert shlex.split(code_snippets.quote_argument(column)) == [column]
    assert "$" not in code_snippets.quote_argument(column).strip("'") or code_snippets.quote_argument(
        column
    ).startswith("'")


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1+1", "＋1", "－1", "＠A1"])
def test_no_cell_of_an_exported_sheet_is_a_formula(tmp_path, cell):
    pair = AnswerPair(f"{cell} ?", cell, f"{cell}!")
    sheet = human_reading.Sheet(tmp_path, [pair])
    sheet.note(f"{cell}n", pair.id, "after", note=cell)

    rows = list(csv.reader(io.StringIO(sheet.to_csv("en").decode("utf-8-sig"), newline="")))
    assert len(rows) == 3
    assert not [each for row in rows for each in row if each.startswith(human_reading._FORMULA_PREFIXES)]
