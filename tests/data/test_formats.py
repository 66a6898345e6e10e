"""The shape of a table is read from its first rows and its column names."""

import pytest

from studio.config import MappingConfig
from studio.data.conversation import RowProblem
from studio.data.detection import detect
from studio.data.rows import check_mapping, columns_for_template, read_conversation
from studio.errors import DataError


def conversation_turns(row, mapping, merge=False):
    return read_conversation(row, mapping, merge).turns


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
        ({"id": "1", "Instruction ": "a", "RESPONSE": "b"}, ("Instruction",), "RESPONSE"),
        ({"system_prompt": "s", "question": "a", "response": "b"}, ("question",), "response"),
        ({"context": "c", "question": "a", "answer": "b"}, ("context", "question"), "answer"),
        ({"질의": "a", "민원 답변": "b"}, ("질의",), "민원 답변"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, ("prompt",), "chosen"),
        ({"key1": "a", "key2": "b", "key3": "", "Lyric": "c"}, ("key1", "key2", "key3"), "Lyric"),
        (
            {"instruction": "a", "tasks": [{"input": "b", "output": "c"}]},
            ("instruction", "tasks.0.input"),
            "tasks.0.output",
        ),
    ],
)
def test_a_pair_is_found_by_its_names(table, row, prompt, completion):
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
        {"conversations": ["a", "b"]},
        {"text": "### Human: a### Assistant: b"},
        {"text": "### Human: a\n### Assistant: b\n"},
    ],
)
def test_conversations_are_found_by_their_turns(table, row):
    found = detect(table(row))
    assert found.mapping.shape == "messages"
    assert [turn.role for turn in conversation_turns(row, found.mapping)] == ["user", "assistant"]


def test_a_column_called_messages_that_holds_text_is_no_conversation(table):
    assert detect(table({"messages": "hi", "question": "a", "answer": "b"})).mapping.shape == "pair"


def test_columns_that_tell_nothing_are_refused_and_listed(table):
    with pytest.raises(DataError, match="alpha, beta"):
        detect(table({"alpha": "a", "beta": "b"}))


def test_a_mapping_to_a_column_that_is_not_there_is_refused():
    with pytest.raises(DataError, match='"reply"'):
        check_mapping(MappingConfig(prompt=("a",), completion="reply"), ["a", "b"])


def test_several_prompt_columns_are_joined_and_empty_ones_skipped():
    mapping = MappingConfig(prompt=("instruction", "input"), completion="output")
    row = {"instruction": "Add.", "input": "", "output": "3"}
    assert conversation_turns(row, mapping)[0].content == "Add."
    assert conversation_turns(row | {"input": "1 2"}, mapping)[0].content == "Add.\n1 2"


def test_a_system_column_becomes_the_first_turn():
    mapping = MappingConfig(prompt=("q",), completion="a", system="s")
    assert [t.role for t in conversation_turns({"q": "x", "a": "y", "s": "z"}, mapping)] == [
        "system",
        "user",
        "assistant",
    ]
    assert [t.role for t in conversation_turns({"q": "x", "a": "y", "s": ""}, mapping)] == ["user", "assistant"]


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
        conversation_turns(row, MappingConfig(prompt=("q",), completion="a"))
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([], "no_answer"),
        (turns("user"), "no_answer"),
        (turns("assistant"), "assistant_first"),
        (turns("user", "user", "assistant"), "order"),
        (turns("user", "assistant", "assistant"), "order"),
        (turns("user", "wizard"), "unknown_role"),
        ("text", "not_turns"),
        ([{"role": "user"}], "not_turns"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": None}], "not_text"),
        (None, "not_turns"),
    ],
)
def test_a_conversation_that_cannot_be_used_says_why(value, kind):
    with pytest.raises(RowProblem) as caught:
        conversation_turns({"m": value}, MappingConfig(shape="messages", messages="m"))
    assert caught.value.kind == kind


def test_a_user_who_had_the_last_word_is_left_out():
    row = {"m": turns("system", "user", "assistant", "user")}
    found = conversation_turns(row, MappingConfig(shape="messages", messages="m"))
    assert [turn.role for turn in found] == ["system", "user", "assistant"]


def test_raw_text_is_found_and_trained_as_a_whole(table):
    found = detect(table({"text": "Once upon a time."}))
    assert found.mapping.shape == "text"
    assert [turn.content for turn in conversation_turns({"text": "a"}, found.mapping)] == ["a"]


def test_keywords_are_joined_by_commas_and_empty_ones_skipped(table):
    row = {"key1": "바다", "key2": "", "key3": "이별", "Lyric": "노래"}
    mapping = detect(table(row)).mapping
    assert conversation_turns(row, mapping)[0].content == "바다, 이별"
    assert columns_for_template(row, mapping)["keywords"] == "바다, 이별"


def test_prompt_and_completion_may_be_lists_of_turns(table):
    row = {"prompt": turns("system", "user"), "completion": turns("assistant")}
    mapping = detect(table(row)).mapping
    assert mapping.shape == "pair"
    assert [turn.role for turn in conversation_turns(row, mapping)] == ["system", "user", "assistant"]


def test_a_chosen_answer_may_be_a_whole_conversation(table):
    row = {"prompt": "a", "chosen": turns("user", "assistant"), "rejected": turns("user", "assistant")}
    assert [turn.role for turn in conversation_turns(row, detect(table(row)).mapping)] == ["user", "assistant"]


def test_an_answer_that_looks_like_a_list_stays_text():
    mapping = MappingConfig(prompt=("q",), completion="a")
    assert conversation_turns({"q": "Sort.", "a": "[1, 2, 3]"}, mapping)[-1].content == "[1, 2, 3]"


def test_an_alpaca_history_comes_before_the_question():
    mapping = MappingConfig(prompt=("q",), completion="a", history="h")
    row = {"q": "third", "a": "3", "h": [["first", "1"], ["second", "2"]]}
    assert [turn.content for turn in conversation_turns(row, mapping)] == ["first", "1", "second", "2", "third", "3"]


def test_a_role_of_the_users_own_is_mapped_or_skipped():
    mapping = MappingConfig(shape="messages", messages="m", roles={"wizard": "assistant", "narrator": "skip"})
    row = {"m": turns("narrator", "user", "wizard")}
    assert [turn.role for turn in conversation_turns(row, mapping)] == ["user", "assistant"]


def test_merging_joins_speakers_and_drops_what_the_assistant_says_first():
    row = {"m": turns("system", "assistant", "user", "user", "assistant", "assistant")}
    found = conversation_turns(row, MappingConfig(shape="messages", messages="m"), merge=True)
    assert [turn.role for turn in found] == ["system", "user", "assistant"]
    assert found[1].content == "user 2\n\nuser 3"
