"""What a conversation's messages hold, what of it is trained, and what is counted as left out."""

import json
import random

import pytest

from studio.config import MappingConfig
from studio.data.conversation import RowProblem
from studio.data.rows import columns_for_template, read_conversation

CHAT = MappingConfig(shape="messages", messages="m")


def user(content, **more) -> dict:
    return {"role": "user", "content": content, **more}


def assistant(content, **more) -> dict:
    return {"role": "assistant", "content": content, **more}


def call(**more) -> dict:
    return {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}], **more}


RESULT = {"role": "tool", "tool_call_id": "1", "content": "21"}


def contents(messages, mapping=CHAT, merge=False, **columns) -> list[str]:
    return [turn.content for turn in read_conversation({"m": messages, **columns}, mapping, merge).turns]


def notes(messages, mapping=CHAT, merge=False, **columns) -> set[str]:
    return set(read_conversation({"m": messages, **columns}, mapping, merge).notes)


@pytest.mark.parametrize("messages", [
    [user("a"), call(content=None), RESULT, assistant("b")],
    [user("a"), call(), RESULT, assistant("b")],
    [user("a"), call(content=""), RESULT, call(content=[]), RESULT, assistant("b")],
    [user("a"), assistant(None, function_call={"name": "f"}), {"role": "function", "name": "f", "content": "1"},
     assistant("b")],
    [{"from": "human", "value": "a"}, {"from": "function_call", "value": "{}"}, {"from": "observation", "value": "1"},
     {"from": "gpt", "value": "b"}],
    [user("a"), assistant([{"type": "tool_use", "id": "1", "name": "f", "input": {}}]),
     user([{"type": "tool_result", "tool_use_id": "1", "content": "1"}]), assistant("b")],
    [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"functionCall": {"name": "f"}}]},
     {"role": "function", "parts": [{"functionResponse": {"name": "f"}}]}, {"role": "model", "parts": [{"text": "b"}]}],
    [{"type": "message", **user("a")}, {"type": "function_call", "name": "f", "arguments": "{}"},
     {"type": "function_call_output", "output": "1"}, {"type": "message", **assistant("b")}],
    [user("x"), call(), RESULT, user("a"), assistant("b")],
])  # fmt: skip
def test_tool_calls_and_results_are_left_out_and_counted(messages):
    assert contents(messages) == ["a", "b"]
    assert notes(messages) == {"tool_calls"}


def test_what_the_assistant_says_around_a_tool_call_is_one_answer():
    assert contents([user("a"), call(content="Let me look."), RESULT, assistant("b")]) == ["a", "Let me look.\n\nb"]


def test_a_tool_call_alone_is_never_trained_as_an_empty_answer():
    with pytest.raises(RowProblem, match="no_text_answer"):
        contents([user("a"), call(content=None)])
    assert contents([user("a"), assistant("b"), user("c"), call(content="")]) == ["a", "b"]


@pytest.mark.parametrize("column", ["tools", "functions"])
def test_definitions_of_tools_are_counted(column):
    messages = [user("a"), assistant("b")]
    assert notes(messages, **{column: [{"name": "f"}]}) == {"tool_definitions"}
    assert notes(messages, **{column: '[{"name": "f"}]'}) == {"tool_definitions"}
    assert notes(messages, **{column: "[]"}) == notes(messages, **{column: None}) == set()


@pytest.mark.parametrize("part", [
    {"type": "image_url", "image_url": {"url": "x"}}, {"type": "input_audio", "input_audio": {}}, {"image": {}},
    {"inlineData": {"mimeType": "image/png"}}, {"type": "document", "source": {}},
])  # fmt: skip
def test_images_and_the_like_are_left_out_and_counted(part):
    assert contents([user([part, {"type": "text", "text": "a"}]), assistant("b")]) == ["a", "b"]
    assert notes([user([part, {"type": "text", "text": "a"}]), assistant("b")]) == {"media"}
    with pytest.raises(RowProblem, match="only_media"):
        contents([user([part]), assistant("b")])


def test_an_image_in_a_column_of_its_own_is_counted():
    assert notes([user("a"), assistant("b")], image="cat.jpg") == {"media"}


@pytest.mark.parametrize("message", [
    assistant("b", reasoning_content="Hm."),
    assistant([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "b"}]),
    assistant([{"text": "Hm.", "thought": True}, {"text": "b"}]),
    assistant([{"reasoningContent": {"reasoningText": {"text": "Hm."}}}, {"text": "b"}]),
])  # fmt: skip
def test_reasoning_beside_an_answer_is_left_out_and_counted(message):
    assert contents([user("a"), message]) == ["a", "b"]
    assert notes([user("a"), message]) == {"reasoning"}


def test_parts_of_text_are_joined_by_lines():
    assert contents([user(["a", {"text": "b"}]), assistant([{"text": "c"}, {"text": "d"}])]) == ["a\nb", "c\nd"]


@pytest.mark.parametrize(("messages", "kind", "spoken"), [
    ([user("a"), assistant(None, refusal="No.")], "refusal", ["a", "No."]),
    ([user("a", name="Kim"), assistant("b")], "names", ["a", "b"]),
    ([user("a"), assistant("b"), user("c")], "unanswered", ["a", "b"]),
    ([user("a"), assistant(" "), user("c"), assistant("d")], "empty_turn", ["a", " ", "c", "d"]),
    ([{"role": "system", "content": "s"}, {"role": "developer", "content": "d"}, user("a"), assistant("b")],
     "joined_system", ["s\n\nd", "a", "b"]),
])  # fmt: skip
def test_what_is_odd_in_a_row_that_is_used_is_counted(messages, kind, spoken):
    assert contents(messages) == spoken
    assert notes(messages) == {kind}


def test_an_empty_answer_inside_a_conversation_is_not_trained():
    turns = read_conversation({"m": [user("a"), assistant(""), user("c"), assistant("d")]}, CHAT).turns
    assert [turn.trained for turn in turns if turn.role == "assistant"] == [False, True]


def test_a_later_system_prompt_leaves_the_row_out_unless_turns_are_merged():
    messages = [user("a"), assistant("b"), {"role": "system", "content": "s"}, user("c"), assistant("d")]
    with pytest.raises(RowProblem, match="late_system"):
        contents(messages)
    assert contents(messages, merge=True) == ["a", "b", "c", "d"]
    assert notes(messages, merge=True) == {"turns_dropped"}


def test_what_merging_leaves_out_is_counted():
    assert notes([assistant("x"), user("a"), assistant("b")], merge=True) == {"turns_dropped"}
    assert notes([user("x"), user("a"), assistant("b")], merge=True) == set()


def test_the_system_prompt_of_the_turns_is_kept_where_a_column_has_another():
    mapping = MappingConfig(shape="messages", messages="m", system="s")
    messages = [{"role": "system", "content": "own"}, user("a"), assistant("b")]
    assert contents(messages, mapping, s="other") == ["own", "a", "b"]
    assert notes(messages, mapping, s="other") == {"two_systems"}
    assert notes(messages, mapping, s="own ") == set()
    assert contents(messages[1:], mapping, s="other") == ["other", "a", "b"]
    assert contents(messages[1:], mapping, s=None) == contents(messages[1:], mapping, s=float("nan")) == ["a", "b"]


def test_an_unknown_role_is_named_with_what_it_may_stand_for():
    with pytest.raises(RowProblem) as wrong:
        contents([user("a"), {"role": "wizard", "content": "b"}, {"role": "narrator", "content": "c"}])
    assert wrong.value.names == {"wizard": "assistant", "narrator": "skip"}


def test_unknown_keys_are_named():
    with pytest.raises(RowProblem) as wrong:
        contents([{"role": "user", "inhalt": "a"}])
    assert (wrong.value.kind, list(wrong.value.names)) == ("unknown_keys", ["inhalt"])


def test_a_line_in_an_answer_that_looks_like_another_speaker_stays_in_it():
    text = "User: Describe it.\nAssistant: A phone.\nModel: X200\nUser: Thanks.\nAssistant: Sure."
    assert contents(text) == ["Describe it.", "A phone.\nModel: X200", "Thanks.", "Sure."]


def test_of_several_entries_of_a_list_the_first_is_read_and_the_row_counted():
    mapping = MappingConfig(prompt=("tasks.0.q",), completion="tasks.0.a")
    tasks = [{"q": "a", "a": "b", "score": 1}, {"q": "c", "a": "d", "score": 2}]  # of one task, not of the best answer
    found = read_conversation({"tasks": tasks}, mapping)
    assert [turn.content for turn in found.turns] == ["a", "b"]
    assert found.notes == ("extra_entries",)


def test_a_text_template_sees_the_first_of_several_answers():
    mapping = MappingConfig(prompt=("q",), completion="a")
    assert columns_for_template({"q": "Ask.", "a": ["Reply.", "Go away."]}, mapping)["a"] == "Reply."


@pytest.mark.parametrize("history", [
    [["a", "b"]], '[["a", "b"]]', [user("a"), assistant("b")], [{"user": "a", "assistant": "b"}],
])  # fmt: skip
def test_a_history_is_read_in_every_shape_of_turns(history):
    mapping = MappingConfig(prompt=("q",), completion="a", history="h")
    turns = read_conversation({"q": "c", "a": "d", "h": history}, mapping).turns
    assert [turn.content for turn in turns] == ["a", "b", "c", "d"]


def test_a_history_with_nothing_where_text_belongs_leaves_the_row_out():
    mapping = MappingConfig(prompt=("q",), completion="a", history="h")
    with pytest.raises(RowProblem):
        read_conversation({"q": "c", "a": "d", "h": [["a", None]]}, mapping)


NAMES = ["role", "content", "from", "value", "text", "messages", "parts", "type", "data", "user", "assistant", "system",
         "input", "tool_calls", "weight", "train_detail", "name", "message", "audio", "refusal", "annotations", "0",
         "label", "tools", "functionCall", "thought"]  # fmt: skip
TEXTS = ["user", "assistant", "tool", "", " ", "hi", "### Human: a ### Assistant: b", "[1, 2", "{'a': ", "[" * 500,
         json.dumps([user("a"), assistant("b")]),
         "false", "0", "nan", "\ud800", "user: a", "image", "thinking"]  # fmt: skip


def _anything(chance: random.Random, depth: int = 0):
    kind = chance.random()
    if depth > 5 or kind < 0.4:
        return chance.choice(TEXTS)
    if kind < 0.5:
        return chance.choice([None, True, False, 0, 1, -3, 1e308, float("nan"), float("inf"), 10**30])
    if kind < 0.7:
        return [_anything(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {chance.choice(NAMES): _anything(chance, depth + 1) for _ in range(chance.randrange(5))}


@pytest.mark.parametrize("mapping", [
    MappingConfig(prompt=("p", "input"), completion="c", system="s", history="h"),
    MappingConfig(prompt=("p.0.text",), completion="c.text"),
    MappingConfig(shape="messages", messages="m", system="s"),
    MappingConfig(shape="messages", messages="m.0.messages", roles={"hi": "skip"}, marks="ignore"),
    MappingConfig(shape="text", text="c"),
    MappingConfig(shape="text", text="c", split_text=True),
], ids=str)  # fmt: skip
def test_whatever_a_row_holds_it_is_read_or_left_out(mapping):
    chance = random.Random(14)
    for _ in range(1_500):
        row = {name: _anything(chance) for name in ("p", "input", "c", "s", "h", "m", "label", "weight", "tools")}
        try:
            turns = read_conversation(row, mapping, merge=chance.random() < 0.5).turns
            columns_for_template(row, mapping)
        except RowProblem:
            continue
        assert turns[-1].role == "assistant"
        assert all(isinstance(turn.content, str) for turn in turns)
