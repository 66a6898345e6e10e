"""JSON is read by what it holds, whatever its ending says, and what is none is refused with its line."""

import json

import pytest

from studio.config import RunConfig, SourceConfig
from studio.data import clean, prepare
from studio.data.preview import preview_row
from studio.data.readers.base import MAX_DEPTH, BadRow, RepairedRow
from studio.errors import DataError

ROWS = [{"instruction": f"Say {n}.", "output": f"{n}!"} for n in range(3)]
TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ahoy"}]


def kinds(table):
    return [row.kind if isinstance(row, BadRow) else row for row in table.rows()]


SHAPES = {
    "array": json.dumps(ROWS),
    "array, pretty": json.dumps(ROWS, indent=2),
    "array, an object a line": "[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n",
    "array, begun on the first line": "[" + ",\n".join(map(json.dumps, ROWS)) + "]",
    "objects, a line each": "\n".join(map(json.dumps, ROWS)),
    "objects, commas behind": ",\n".join(map(json.dumps, ROWS)) + ",\n",
    "objects, pretty, one after another": "\n".join(json.dumps(row, indent=1) for row in ROWS),
    "objects on one line": "".join(map(json.dumps, ROWS)),
    "JSON text sequences": "".join(f"\x1e{json.dumps(row)}\n" for row in ROWS),
    "arrays, a line each": "\n".join(json.dumps([row]) for row in ROWS),
    "data beside a version": json.dumps({"version": "1", "data": ROWS}, indent=1),
    "train and test": json.dumps({"test": [{"x": 1}], "train": ROWS}, indent=1),
    "columns": json.dumps({name: [row[name] for row in ROWS] for name in ROWS[0]}, indent=1),
    "pandas split": json.dumps(
        {"columns": list(ROWS[0]), "index": [0, 1, 2], "data": [list(r.values()) for r in ROWS]}, indent=1
    ),
    "pandas index": json.dumps({str(n): row for n, row in enumerate(ROWS)}, indent=1),
    "pandas columns": json.dumps({name: {str(n): r[name] for n, r in enumerate(ROWS)} for name in ROWS[0]}, indent=1),
    "Python's literals": "\n".join(map(repr, ROWS)),
    "empty lines between": "\n\n".join(map(json.dumps, ROWS)) + "\n\n",
    "Windows and old Macintosh line ends": "\r\n".join(map(json.dumps, ROWS)).replace("\r\n", "\r", 1),
}


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_are_read_in_every_shape(read, name, shape):
    table = read(name, SHAPES[shape])
    assert list(table.rows()) == ROWS
    assert table.count == 3


def test_lists_that_are_left_out_are_named(read):
    assert read("a.json", SHAPES["train and test"]).notes[0].values == {"others": "test"}


def test_python_lines_are_told(read):
    assert [note.key for note in read("a.jsonl", "{'a': None, 'b': 'it\\'s'}\n{'a': True, 'b': 'c'}\n").notes] == [
        "data.lenient_json"
    ]


@pytest.mark.parametrize("text", [
    '[{"a": 1, "b": "x"}, {"a": 2, "b": "y"},]',
    '[\n  {\n    "a": 1,\n    "b": "x",\n  },\n  {"a": 2, "b": "y"},\n]\n',
    '[\n{"a": 1, "b": "x"},\n{"a": 2, "b": "y"},\n]\n',
    "[{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'y'}]\n",
    '[{"a": 1, "b": "x"},\n{"a": 2,\n"b": "y",},\n]',
    '{"data": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"},], "n": null, "ok": true}',
    "{'data': [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'y'}], 'n': None}",
])  # fmt: skip
def test_rows_in_a_literal_of_python_are_those_of_the_same_json(read, text):
    for name in ("a.json", "a.jsonl"):
        table = read(name, text)
        assert list(table.rows()) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
        assert [note.key for note in table.notes] == ["data.lenient_json"]


def test_what_python_would_run_is_no_literal(read):
    with pytest.raises(DataError, match="Line 1"):
        read("a.jsonl", "{'a': __import__('os').getcwd()}\n")


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("key", ["messages", "conversations", "contents"])
def test_one_conversation_is_one_row(read, name, indent, key):
    chat = {"title": "x", key: TALK, "tools": [{"name": "a"}, {"name": "b"}]}
    assert list(read(name, json.dumps(chat, indent=indent)).rows()) == [chat]
    assert list(read(name, json.dumps(TALK, indent=indent)).rows()) == [{"messages": TALK}]


def test_a_list_of_conversations_is_a_row_each(read):
    assert list(read("a.json", json.dumps([TALK, TALK], indent=1)).rows()) == [{"messages": TALK}] * 2
    rows = [{"messages": TALK}, {"messages": TALK}]
    assert list(read("b.json", json.dumps({"conversations": rows}, indent=1)).rows()) == rows


def test_rows_that_name_an_author_are_no_conversation(read):
    quotes = [{"author": "Ann", "quote": "Be."}, {"author": "Bob", "quote": "Do."}]
    assert list(read("a.json", json.dumps(quotes)).rows()) == quotes
    messages = [{"conversation_id": n, "role": "user", "content": "x"} for n in range(3)]
    assert list(read("b.json", json.dumps(messages)).rows()) == messages


def test_nested_data_stay_rows(read):
    articles = [{"title": "t", "paragraphs": [{"context": "c", "qas": [{"question": "q"}]}]}]
    assert list(read("a.json", json.dumps({"version": "2", "data": articles}, indent=1)).rows()) == articles


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('{"a": 1,\n "b": nope}\n', 2),
        ("instruction,output\nx,y\n", 1),
        ("{'a': 1}\n{\"a\": }\n", 1),
        ("\n\n# heading\n\ntext\n", 3),
        ("{" * 50_000, 1),
        ("[" * 50_000, 1),
        ('{"messages": [\n{"role": "user", "content": "a"},\n{"role": "assistant", "content": "b"},\n{"role"\n', 4),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_where_no_line_is_json_the_first_bad_one_is_named(read, name, content, line):
    with pytest.raises(DataError) as caught:
        read(name, content)
    assert caught.value.key == "data.json"
    assert f"Line {line} " in str(caught.value)
    assert caught.value.values["detail"]


def test_a_few_bad_lines_are_counted(read):
    lines = [json.dumps(row) for row in ROWS]
    assert kinds(read("a.jsonl", "\n".join(["{oops}", *lines, "more", "9" * 5000]))) == [
        "bad_json",
        *ROWS,
        "bad_json",
        "bad_json",
    ]


def test_an_object_a_line_is_read_as_far_as_a_cut_off_list_goes(read):
    assert kinds(read("a.json", '[\n {"a": 1},\n {"a": 2},\n {"a"')) == ["bad_json", {"a": 1}, {"a": 2}, "bad_json"]


def test_rows_without_columns_are_told(read):
    with pytest.raises(DataError, match="without any column"):
        read("a.jsonl", "{}\n{}\n")


HALF = r'{"instruction": "Say \ud83d.", "output": "Yes \ud83d\ude00"}'


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jsonl", "\n".join([HALF, *map(json.dumps, ROWS)])), ("a.json", f"[{HALF}, {json.dumps(ROWS)[1:]}")],
)
def test_half_a_character_is_replaced_and_its_row_noted(read, name, content):
    first, *others = read(name, content).rows()
    assert isinstance(first, RepairedRow)
    assert (first, first.notes) == ({"instruction": "Say \ufffd.", "output": "Yes 😀"}, ("half_letter",))
    assert others == ROWS


def test_a_column_called_by_half_a_character_is_replaced_too(read):
    assert read("a.jsonl", '{"a\\ud83d": 1}\n{"b": 2}').names == ["a\ufffd", "b"]


def test_numbers_that_are_none_are_empty_and_noted(read):
    table = read("a.jsonl", '{"a": NaN, "b": [1e999, -Infinity], "c": "NaN"}\n{"a": "x"}\n')
    assert list(table.rows()) == [{"a": None, "b": [None, None], "c": "NaN"}, {"a": "x"}]
    assert table.row(0).notes == ("not_a_number",)


def test_deep_nesting_costs_its_row(read):
    def deep(levels):
        return '{"a": ' + "[" * levels + "]" * levels + "}"

    table = read("a.jsonl", "\n".join([deep(MAX_DEPTH - 2), deep(MAX_DEPTH + 1), deep(5000), '{"a": 1}']))
    assert [row.kind if isinstance(row, BadRow) else "" for row in table.rows()] == ["", "too_deep", "too_deep", ""]


def test_a_zero_byte_costs_its_row_and_zeros_at_the_end_one(read):
    content = b"\n".join(json.dumps(row).encode() for row in ROWS)
    assert kinds(read("a.jsonl", content + b'\n{"a": "\x00"}\n' + b"\x00" * 4000)) == [*ROWS, "nul", "nul"]


def test_a_lone_surrogate_in_utf_16_costs_its_row(read):
    text = '{"a": "x"}\n{"a": "\ud83d"}\n{"a": "y"}\n'
    table = read("a.jsonl", text.encode("utf-16-le", "surrogatepass"))
    assert kinds(table) == [{"a": "x"}, "bad_letters", {"a": "y"}]
    assert table.encoding == "utf-16-le"


def test_everything_works_on_halves_of_characters_and_decomposed_text(tmp_path, tiny_config):
    path = tmp_path / "a.jsonl"
    lines = [
        HALF, '{"instruction": "\u1112\u1161\u11ab\u1100\u1173\u11af", "output": "\u1102\u1166"}',
        '{"instruction": "Say 1.", "output": "One \\udc00", "x": NaN}', *map(json.dumps, ROWS),
    ]  # fmt: skip
    path.write_text("\n".join(lines), encoding="utf-8")
    config = tiny_config.with_settings(
        {"data.source": {"kind": "file", "name": str(path)}, "data.fixes": ["deduplicate", "near_deduplicate"]}
    )
    report = prepare.inspect(config)
    assert report.usable == 6
    counted = {problem.kind: (problem.rows, problem.used) for problem in report.problems}
    assert counted["half_letter"] == ([1, 3], True)
    assert counted["not_a_number"] == ([3], True)
    assert preview_row(config, 0).problem is None
    assert clean.write(config, tmp_path / "clean.jsonl") == 6
    assert json.loads((tmp_path / "clean.jsonl").read_text(encoding="utf-8").splitlines()[2])["output"] == "One \ufffd"


def test_a_tree_with_damaged_messages_keeps_the_others(read):
    nodes = [
        {"message_id": "1", "parent_id": None, "role": "prompter", "text": "q"},
        {"message_id": "2", "parent_id": "1", "role": "assistant", "text": "a"},
        {"message_id": ["3"], "parent_id": "1", "role": "assistant", "text": "b"},
        {"text": "c"},
    ]
    found = kinds(read("a.jsonl", "\n".join(map(json.dumps, nodes))))
    assert [len(row["messages"]) if isinstance(row, dict) else row for row in found] == [2, "not_turns", "not_turns"]


def test_the_source_of_a_run_without_settings_of_its_own_is_as_before():
    assert RunConfig().data.source == SourceConfig(kind="bundled", name="captain", encoding=None, sheet=None)
