"""The shape of a table is read from its first rows and its column names."""

from pathlib import Path

import pytest

from studio.config import MappingConfig
from studio.data.formats import RowProblem, check, conversation, detect
from studio.data.source import Table
from studio.errors import DataError


def table(*rows: dict) -> Table:
    return Table(list(rows), list(rows[0]), Path("x.jsonl"), "jsonl", "utf-8")


def turns(*roles: str) -> list[dict]:
    return [{"role": role, "content": f"{role} {n}"} for n, role in enumerate(roles)]


@pytest.mark.parametrize(
    ("row", "prompt", "completion"),
    [
        ({"instruction": "a", "output": "b"}, ("instruction",), "output"),
        ({"instruction": "a", "input": "b", "output": "c"}, ("instruction", "input"), "output"),
        ({"input": "a", "target": "b"}, ("input",), "target"),
        ({"Q": "a", "A": "b", "label": "0"}, ("Q",), "A"),
        ({"question": "a", "answer": "b"}, ("question",), "answer"),
        ({"prompt": "a", "completion": "b"}, ("prompt",), "completion"),
        ({"질문": "a", "답변": "b"}, ("질문",), "답변"),
        ({"id": "1", "Instruction ": "a", "RESPONSE": "b"}, ("Instruction ",), "RESPONSE"),
    ],
)
def test_a_pair_is_found_by_its_names(row, prompt, completion):
    found = detect(table(row))
    assert found.mapping.prompt == prompt
    assert found.mapping.completion == completion
    assert completion in found.reason.text("en")
    assert completion in found.reason.text("ko")


@pytest.mark.parametrize(
    "row",
    [
        {"messages": turns("user", "assistant")},
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
        {"대화": turns("user", "assistant")},
        {"id": 1, "talk": turns("user", "assistant")},
        {"messages": '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]'},
    ],
)
def test_conversations_are_found_by_their_turns(row):
    found = detect(table(row))
    assert found.mapping.shape == "messages"
    assert [turn.role for turn in conversation(row, found.mapping)] == ["user", "assistant"]


def test_a_column_called_messages_that_holds_text_is_no_conversation():
    assert detect(table({"messages": "hi", "question": "a", "answer": "b"})).mapping.shape == "pair"


def test_columns_that_tell_nothing_are_refused_and_listed():
    with pytest.raises(DataError, match="alpha, beta"):
        detect(table({"alpha": "a", "beta": "b"}))


def test_a_mapping_to_a_column_that_is_not_there_is_refused():
    with pytest.raises(DataError, match='"reply"'):
        check(MappingConfig(prompt=("a",), completion="reply"), ["a", "b"])


def test_several_prompt_columns_are_joined_and_empty_ones_skipped():
    mapping = MappingConfig(prompt=("instruction", "input"), completion="output")
    row = {"instruction": "Add.", "input": "", "output": "3"}
    assert conversation(row, mapping)[0].content == "Add."
    assert conversation(row | {"input": "1 2"}, mapping)[0].content == "Add.\n1 2"


def test_a_system_column_becomes_the_first_turn():
    mapping = MappingConfig(prompt=("q",), completion="a", system="s")
    assert [t.role for t in conversation({"q": "x", "a": "y", "s": "z"}, mapping)] == ["system", "user", "assistant"]
    assert [t.role for t in conversation({"q": "x", "a": "y", "s": ""}, mapping)] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"q": "a", "a": ""}, "empty_answer"),
        ({"q": "a", "a": " \n"}, "empty_answer"),
        ({"q": "a", "a": None}, "empty_answer"),
        ({"q": "a", "a": 7}, "not_text"),
        ({"q": " ", "a": "b"}, "empty_prompt"),
        ({"q": None, "a": "b"}, "empty_prompt"),
    ],
)
def test_a_pair_that_cannot_be_used_says_why(row, kind):
    with pytest.raises(RowProblem) as caught:
        conversation(row, MappingConfig(prompt=("q",), completion="a"))
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([], "no_answer"),
        (turns("user"), "no_answer"),
        (turns("assistant"), "order"),
        (turns("user", "user", "assistant"), "order"),
        (turns("user", "wizard"), "unknown_role"),
        ("text", "not_turns"),
        ([{"role": "user"}], "not_turns"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": None}], "not_text"),
        (None, "not_turns"),
    ],
)
def test_a_conversation_that_cannot_be_used_says_why(value, kind):
    with pytest.raises(RowProblem) as caught:
        conversation({"m": value}, MappingConfig(shape="messages", messages="m"))
    assert caught.value.kind == kind


def test_a_user_who_had_the_last_word_is_left_out():
    row = {"m": turns("system", "user", "assistant", "user")}
    found = conversation(row, MappingConfig(shape="messages", messages="m"))
    assert [turn.role for turn in found] == ["system", "user", "assistant"]
