"""What a table is read as, in the shapes that people bring, and what is refused with which names."""

import csv
import json
import shlex
from pathlib import Path

import pytest

from studio.config import MappingConfig, RunConfig, parse_setting
from studio.data.conversation import RowProblem
from studio.data.detection import detect
from studio.data.rows import read_conversation
from studio.data.source import open_file
from studio.errors import DataError


def user(content) -> dict:
    return {"role": "user", "content": content}


def assistant(content, **more) -> dict:
    return {"role": "assistant", "content": content, **more}


@pytest.fixture
def csv_table(tmp_path):
    def make(*rows: dict):
        path = tmp_path / "table.csv"
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return open_file(path)

    return make


def read(opened, row: int = 0) -> list[tuple[str, str]]:
    """Return who says what in a row, as the table is detected."""
    turns = read_conversation(opened.row(row), detect(opened).mapping).turns
    return [(turn.role, turn.content) for turn in turns]


PAIR = [("user", "Ask."), ("assistant", "Reply.")]


@pytest.mark.parametrize("beside", [
    {"keywords": ["sea", "wind"]},
    {"choices": ["left", "right"]},
    {"tokens": ["Ask", ".", "Reply", "."]},
    {"embedding": [0.25, -1.5]},
    {"turns": ["Ask one.", "Ask two."]},
    {"conversations": ["one", "two"]},
    {"sources": [{"title": "A book", "url": "x"}]},
    {"tools": [{"type": "function", "function": {"name": "f"}}]},
])  # fmt: skip
def test_named_columns_win_over_any_list_beside_them(table, beside):
    assert read(table({"question": "Ask.", "answer": "Reply.", **beside})) == PAIR


def test_a_list_of_texts_in_a_csv_cell_counts_only_in_a_column_for_chats(csv_table):
    chat = csv_table({"id": "1", "conversations": '["Ask.", "Reply."]'})
    assert read(chat) == PAIR

    tags = csv_table({"id": "1", "tags": '["Ask.", "Reply."]', "text": "Once upon a time."})
    assert detect(tags).mapping.shape == "text"


def test_lists_of_questions_are_refused_with_the_setting_that_reads_them_as_turns(table):
    benchmark = table({"question_id": 81, "category": "writing", "turns": ["Write.", "Rewrite."]})
    with pytest.raises(DataError, match='"turns" holds lists of texts') as refused:
        detect(benchmark)
    assert read_with(benchmark, refused.value.values["setting"]) == [("user", "Write."), ("assistant", "Rewrite.")]


@pytest.mark.parametrize("row", [
    {"instruction": "Ask.", "output": ["Reply.", "Go away."]},
    {"question": "Ask.", "answers": {"text": ["Reply.", "A reply."], "answer_start": [4, 9]}},
    {"question": "Ask.", "answers": [{"text": "Reply."}, {"text": "A reply."}]},
    {"text": "Ask.", "label": ["Reply.", "A reply, too."]},
])  # fmt: skip
def test_of_several_answers_the_first_is_trained_and_the_row_counted(table, row):
    opened = table(row)
    assert read(opened) == PAIR
    assert read_conversation(row, detect(opened).mapping).notes == ("extra_answers",)


@pytest.mark.parametrize("row", [
    {"prompt": "Ask.", "responses": ["No.", "Reply."], "ranks": [2, 1]},
    {"prompt": "Ask.", "responses": ["No.", "Reply.", "Hm."], "scores": [0.1, 0.9, 0.5]},
    {"prompt": "Ask.", "Responses": ["No.", "Reply."], "Scores": ["1", "7.5"]},
    {"question": "Ask.", "answers": [{"text": "No.", "Score": None}, {"text": "Reply.", "Score": -1}]},
    {"question": "Ask.", "answers": [
        {"author": "a", "pm_score": 3, "selected": False, "text": "No."},
        {"author": "b", "pm_score": 1, "selected": True, "text": "Reply."},
    ]},
    {"instruction": "Ask.", "completions": [
        {"model": "a", "response": "No.", "overall_score": 2.0},
        {"model": "b", "response": "Reply.", "overall_score": 9.5},
    ]},
])  # fmt: skip
def test_of_several_answers_with_ranks_or_scores_the_best_is_trained(table, row):
    opened = table(row)
    assert read(opened) == PAIR
    assert set(read_conversation(row, detect(opened).mapping).notes) & {"extra_answers", "extra_entries"}


def test_turns_with_scores_stay_in_their_order(table):
    turns = [{"role": "user", "content": "Ask.", "score": 1}, {"role": "assistant", "content": "Reply.", "score": 5}]
    assert read(table({"prompt": "Ask.", "completion": turns, "scores": [1, 2]})) == PAIR


@pytest.mark.parametrize("cell", [
    '{"text": ["Reply.", "A reply."], "answer_start": [4, 9]}',
    "{'text': array(['Reply.', 'A reply.'], dtype=object), 'answer_start': array([4, 9], dtype=int32)}",
])  # fmt: skip
def test_answers_in_a_csv_cell_are_read_as_lists_too(csv_table, cell):
    assert read(csv_table({"question": "Ask.", "answers": cell})) == PAIR


def test_the_reason_says_that_the_first_of_several_answers_is_trained(table):
    reason = detect(table({"instruction": "Ask.", "output": ["Reply.", "Go away."]})).reason
    assert "the first" in reason.text("en")
    assert "첫 번째" in reason.text("ko")


def test_a_question_without_any_answer_in_its_list_is_left_out(table):
    opened = table({"question": "Ask.", "answers": {"text": ["Reply."]}}, {"question": "Ask.", "answers": {"text": []}})
    with pytest.raises(RowProblem, match="empty_answer"):
        read_conversation(opened.row(1), detect(opened).mapping)


@pytest.mark.parametrize("row", [
    {"contents": [{"role": "user", "parts": [{"text": "Ask."}]}, {"role": "model", "parts": [{"text": "Reply."}]}]},
    {"messages": [{"author": "user", "content": "Ask."}, {"author": "bot", "content": "Reply."}]},
    {"messages": [user([{"text": "Ask."}]), assistant([{"text": "Reply."}])], "schemaVersion": "x"},
    {"messages": [user([{"type": "text", "text": "Ask."}]), assistant("Reply.")]},
    {"messages": [{"type": "human", "content": "Ask."}, {"type": "ai", "content": "Reply."}]},
    {"messages": [{"type": "human", "data": {"content": "Ask."}}, {"type": "ai", "data": {"content": "Reply."}}]},
    {"messages": {"role": ["user", "assistant"], "content": ["Ask.", "Reply."]}},
    {"messages": [[user("Ask."), assistant("Reply.")]]},
    {"body": {"model": "x", "messages": [user("Ask."), assistant("Reply.")]}},
    {"input": [user("Ask.")],
     "output": [{"type": "message", **assistant([{"type": "output_text", "text": "Reply."}])}]},
    {"conversation": [{"input": "Ask.", "output": "Reply."}]},
    {"dialog": [{"user": "Ask.", "bot": "Reply."}]},
    {"dialog": [{"user": "Ask."}, {"assistant": "Reply."}]},
    {"conversation": {"human": "Ask.", "assistant": "Reply."}},
    {"대화": [{"speaker": "고객", "text": "Ask."}, {"speaker": "상담사", "text": "Reply."}]},
    {"대화": [{"sender": "사용자", "message": "Ask."}, {"sender": "챗봇", "message": "Reply."}]},
    {"utterances": ["patient: Ask.", "doctor: Reply."]},
    {"id": "7", "data": ["Ask.", "Reply."]},
    {"text": "Human: Ask.\n\nAssistant: Reply."},
    {"message": "Ask.", "chat_history": [], "response": "Reply."},
    {"messages": [user("Ask.")], "response": "Reply."},
    {"conversations": [{"from": "human", "value": "Ask."}], "chosen": {"from": "gpt", "value": "Reply."},
     "rejected": {"from": "gpt", "value": "Go away."}},
    {"chosen": [user("Ask."), assistant("Reply.")], "rejected": [user("Ask."), assistant("Go away.")]},
    {"input": {"messages": [user("Ask.")]}, "preferred_output": [assistant("Reply.")],
     "non_preferred_output": [assistant("Go away.")]},
    {"request": {"contents": [{"role": "user", "parts": [{"text": "Ask."}]}]},
     "response": {"candidates": [{"content": {"role": "model", "parts": [{"text": "Reply."}]}}]}},
    {"messages": [user("Ask.")], "choices": [{"message": assistant("Reply.")}]},
    {"human": "Ask.", "bot": "Reply."},
    {"고객": "Ask.", "상담사": "Reply."},
    {"text": "Ask.", "summary": "Reply."},
    {"text": "Ask.", "label": ["Reply."]},
    {"id": 1, "text": "Ask.", "answer": "Reply."},
    {"article": "Ask.", "highlights": "Reply."},
    {"dialogue": "Ask.", "summary": "Reply."},
    {"translation": {"en": "Ask.", "ko": "Reply."}},
    {"data": {"text": "Ask."}, "annotations": [{"result": [{"type": "textarea", "value": {"text": ["Reply."]}}]}]},
    {"fields": {"prompt": "Ask.", "response": "Reply."}, "status": "submitted"},
    {"src": "Ask.", "tgt": "Reply."},
])  # fmt: skip
def test_the_shapes_in_use_are_read(table, row):
    assert read(table(row)) == PAIR


@pytest.mark.parametrize("cell", [
    str([user("Ask."), assistant("It's here.")]),
    "[{'role': 'user', 'content': 'Ask.'}\n {'role': 'assistant', 'content': \"It's here.\"}]",
    json.dumps([user("Ask."), assistant("It's here.")]),
])  # fmt: skip
def test_turns_in_a_csv_cell_are_read_as_json_and_as_pandas_writes_them(csv_table, cell):
    assert read(csv_table({"messages": cell}))[-1] == ("assistant", "It's here.")


@pytest.mark.parametrize(("row", "system"), [
    ({"system": "Be brief.", "messages": [user("Ask."), assistant("Reply.")]}, "Be brief."),
    ({"system": [{"text": "Be brief."}], "messages": [user("Ask."), assistant("Reply.")]}, "Be brief."),
    ({"system_prompt": "Be brief.", "conversations": ["Ask.", "Reply."]}, "Be brief."),
    ({"systemInstruction": {"parts": [{"text": "Be brief."}]},
      "contents": [{"role": "user", "parts": [{"text": "Ask."}]}, {"role": "model", "parts": [{"text": "Reply."}]}]},
     "Be brief."),
    ({"context": "Be brief.",
      "messages": [{"author": "user", "content": "Ask."}, {"author": "bot", "content": "Reply."}]}, "Be brief."),
    ({"conversation": [{"system": "Be brief.", "input": "Ask.", "output": "Reply."}]}, "Be brief."),
    ({"body": {"system": "Be brief.", "messages": [user("Ask."), assistant("Reply.")]}}, "Be brief."),
])  # fmt: skip
def test_a_system_prompt_beside_the_turns_is_their_first(table, row, system):
    assert read(table(row)) == [("system", system), *PAIR]


def test_a_context_beside_turns_without_authors_is_no_system_prompt(table):
    assert read(table({"context": "A book.", "messages": [user("Ask."), assistant("Reply.")]})) == PAIR


def test_a_conversation_with_a_summary_is_no_question_for_the_summary(table):
    opened = table({"messages": [user("Ask."), assistant("Reply."), user("Thanks.")], "summary": "Someone asked."})
    assert read(opened) == PAIR


def test_a_history_of_prose_is_not_read_as_earlier_turns(table):
    opened = table({"history": "The patient smokes.", "question": "Ask.", "answer": "Reply."})
    assert read(opened) == PAIR


def test_a_table_whose_first_rows_are_odd_is_detected_from_the_others(table):
    odd = [{"note": "draft"}, {"messages": None}, {"messages": "?"}]
    assert read(table(*odd, *[{"messages": [user("Ask."), assistant("Reply.")]}] * 3), row=4) == PAIR


def test_of_mixed_shapes_the_one_in_most_rows_is_read_and_the_others_are_counted(table):
    chat, pair = {"messages": [user("Ask."), assistant("Reply.")]}, {"prompt": "Ask.", "completion": "Reply."}
    opened = table(chat, *[pair] * 4)
    assert detect(opened).mapping.shape == "pair"
    with pytest.raises(RowProblem, match="other_shape"):
        read_conversation(opened.row(0), detect(opened).mapping)
    assert detect(table(pair, *[chat] * 4)).mapping.shape == "messages"


def read_with(opened, setting: str) -> list[tuple[str, str]]:
    """Return the first row by the mapping that a message gives for the command line, as a shell splits it."""
    flag, text = shlex.split(setting)
    assert flag == "--set"
    mapping = RunConfig().with_settings(dict([parse_setting(text)])).data.mapping
    return [(turn.role, turn.content) for turn in read_conversation(opened.row(0), mapping).turns]


@pytest.mark.parametrize(("first", "second"), [("kim", "lee"), ("A", "B"), ("USER", "SYSTEM"), ("학생's", "선생 님")])
def test_unknown_roles_are_refused_by_name_and_the_advice_works(table, first, second):
    opened = table({"talk": [{"speaker": first, "text": "Ask."}, {"speaker": second, "text": "Reply."}], "text": "raw"})
    with pytest.raises(DataError) as refused:
        detect(opened)
    assert second in refused.value.text("en")
    assert second in refused.value.text("ko")
    assert "row 1" in refused.value.text("en")
    assert read_with(opened, refused.value.values["setting"]) == PAIR


@pytest.mark.parametrize("row", [
    {"messages": [{"sprecher": "A", "inhalt": "x"}], "text": "raw"},
    {"log": [{"sprecher": "click", "inhalt": "x"}], "text": "raw"},
    {"conversation": {"sprecher": "A", "inhalt": "x"}, "content": "raw"},
])  # fmt: skip
def test_objects_with_unknown_keys_are_refused_by_their_keys_and_never_read_as_text(table, row):
    with pytest.raises(DataError, match="sprecher, inhalt"):
        detect(table({"text": "An odd row."}, row))


def test_a_text_beside_objects_that_are_not_understood_is_trained_on_when_asked_for(table):
    opened = table({"text": "Once upon a time.", "log": [{"event": "click", "value": 3}]})
    with pytest.raises(DataError, match="event, value") as refused:
        detect(opened)
    assert read_with(opened, refused.value.values["setting"]) == [("assistant", "Once upon a time.")]


def test_spans_of_a_text_are_no_reason_to_refuse_it(table):
    row = {"text": "Seoul is large.", "marks": [{"start": 0, "end": 5, "label": "CITY"}]}
    assert detect(table(row)).mapping.shape == "text"


def test_messages_without_text_are_a_chat_whose_rows_are_left_out(table):
    opened = table({"messages": [user("Ask."), assistant(None)]}, {"messages": [user(5), assistant("Reply.")]})
    mapping = detect(opened).mapping
    assert mapping.shape == "messages"
    for number in (0, 1):
        with pytest.raises(RowProblem, match="not_text"):
            read_conversation(opened.row(number), mapping)


def test_a_label_studio_export_without_written_answers_is_refused(table):
    row = {"data": {"text": "Ask."}, "annotations": [{"result": [{"type": "choices", "value": {"choices": ["A"]}}]}]}
    with pytest.raises(DataError, match='"annotations"'):
        detect(table(row))


def test_a_label_that_may_be_a_class_is_asked_about_and_both_settings_work(table):
    opened = table({"text": "Good film.", "label": ["positive"]}, {"text": "Bad film.", "label": ["negative"]})
    with pytest.raises(DataError, match="positive, negative") as refused:
        detect(opened)
    assert read_with(opened, refused.value.values["answer"])[-1] == ("assistant", "positive")
    assert read_with(opened, refused.value.values["alone"]) == [("assistant", "Good film.")]


def test_numbered_classes_beside_a_text_leave_it_raw_text_and_are_named(csv_table):
    found = detect(csv_table({"text": "Good film.", "label": "1"}, {"text": "Bad film.", "label": "0"}))
    assert found.mapping.shape == "text"
    assert "label" in found.reason.text("en")


def test_verdicts_of_an_annotator_are_no_answers(table):
    opened = table({"text": "Keep.", "answer": "accept"}, {"text": "Drop.", "answer": "reject"})
    assert detect(opened).mapping.shape == "text"
    with pytest.raises(RowProblem, match="marked"):
        read_conversation(opened.row(1), detect(opened).mapping)


def test_one_message_a_row_is_refused_as_such(csv_table):
    with pytest.raises(DataError, match="one message, not a conversation"):
        detect(csv_table({"role": "user", "content": "Ask."}, {"role": "assistant", "content": "Reply."}))


def test_two_conversations_a_row_are_not_chosen_between(table):
    row = {"conversation_a": [user("Ask."), assistant("Reply.")], "conversation_b": [user("Ask."), assistant("No.")]}
    opened = table(row)
    with pytest.raises(DataError, match="conversation_a, conversation_b") as refused:
        detect(opened)
    assert read_with(opened, refused.value.values["setting"]) == PAIR


def test_columns_that_say_nothing_come_with_a_setting_that_works(table):
    opened = table({"english": "Ask.", "korean": "Reply."})
    with pytest.raises(DataError, match="english, korean") as refused:
        detect(opened)
    assert read_with(opened, refused.value.values["setting"]) == PAIR


def test_rows_without_columns_are_refused_without_an_empty_list(table):
    with pytest.raises(DataError, match="without any column"):
        detect(table({}, {}))


def test_a_nested_column_that_is_only_in_later_rows_may_be_chosen(table):
    from studio.data.rows import check_mapping

    check_mapping(MappingConfig(shape="messages", messages="body.messages"), ["id", "body"])
    with pytest.raises(DataError, match=r"other\.messages"):
        check_mapping(MappingConfig(shape="messages", messages="other.messages"), ["id", "body"])


BUNDLED = Path(__file__).parent.parent.parent / "presets" / "data"


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("*.jsonl")), ids=lambda path: path.name)
def test_every_bundled_row_is_read(path):
    opened = open_file(path)
    try:
        mapping = detect(opened).mapping
    except DataError:
        assert len(opened.names) == 1, "held-out prompts have one column"
        return
    assert all(read_conversation(row, mapping).turns for row in opened.rows())


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"instruction": "Answer.", "question": "What floats?", "answer": "A boat."}, ("instruction", "question")),
        ({"prompt": "Answer: What floats?", "question": "What floats?", "answer": "A boat."}, ("prompt",)),
        ({"instruction": "Add.", "input": "", "output": "Nothing."}, ("instruction", "input")),
    ],
)
def test_an_instruction_is_read_with_the_question_that_it_does_not_repeat(table, row, prompt):
    assert detect(table(row, row)).mapping.prompt == prompt


def test_a_chat_before_a_preferred_answer_fills_a_text_template_with_its_last_question(table):
    from studio.data.rows import columns_for_template

    chat = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Aye."}]
    row = {
        "input": {"messages": [*chat, {"role": "user", "content": "Where to?"}]},
        "preferred_output": [{"role": "assistant", "content": "Home."}],
        "non_preferred_output": [{"role": "assistant", "content": "Away."}],
    }
    mapping = detect(table(row)).mapping
    assert mapping.completion == "preferred_output"
    assert columns_for_template(row, mapping)["input"] == "Where to?"
