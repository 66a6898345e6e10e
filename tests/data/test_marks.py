"""What is marked as not to be learned is not trained, in every format; what only looks like a mark is."""

import csv
import json

import pytest

from studio.config import MappingConfig
from studio.data.conversation import RowProblem
from studio.data.detection import detect
from studio.data.rows import read_conversation
from studio.data.source import open_file

PAIR = MappingConfig(prompt=("q",), completion="a")
CHAT = MappingConfig(shape="messages", messages="m")


def messages(**more) -> list[dict]:
    return [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", **more}]


MARKS = [
    {"label": False}, {"label": "False"}, {"kto_tag": False}, {"weight": 0}, {"weight": 0.0}, {"weight": "0"},
    {"train": False}, {"trainable": "no"}, {"Train": "FALSE"}, {"deleted": True}, {"is_deleted": "1"},
    {"review_result": False}, {"rejected": True}, {"accepted": "N"}, {"approved": 0}, {"valid": False},
    {"flagged": True}, {"status": "rejected"}, {"status": "Discarded"}, {"review_status": "declined"},
    {"answer": "reject"}, {"검수결과": "반려"}, {"삭제여부": "Y"}, {"annotations": [{"was_cancelled": True}]},
    {"annotations": [{"reviews": [{"accepted": False}]}]}, {"reviews": [{"accepted": True}, {"accepted": False}]},
    {"review": {"status": "rejected"}}, {"responses": [{"status": "discarded"}, {"status": "discarded"}]},
]  # fmt: skip


@pytest.mark.parametrize("mark", MARKS, ids=str)
@pytest.mark.parametrize(("row", "mapping"), [({"q": "q", "a": "a"}, PAIR), ({"m": messages()}, CHAT)])
def test_a_marked_row_is_left_out_in_every_shape(row, mapping, mark):
    with pytest.raises(RowProblem, match="marked"):
        read_conversation({**row, **mark}, mapping)
    ignoring = mapping.model_copy(update={"marks": "ignore"})
    assert len(read_conversation({**row, **mark}, ignoring).turns) == 2


NO_MARKS = [
    {"label": True}, {"label": 0}, {"label": "0"}, {"label": 2}, {"label": "negative"}, {"label": None},
    {"weight": 1}, {"weight": None}, {"weight": ""}, {"weight": "2.5kg"}, {"train": True}, {"train": "train"},
    {"deleted": False}, {"deleted": None}, {"review_result": None}, {"review_result": True},
    {"rejected": "A worse one."},
    {"loss": 0.0}, {"mask": 1}, {"valid": "validation"}, {"flagged": 3}, {"status": "submitted"}, {"split": "train"},
    {"answer": "Accept it."}, {"accepted": ""}, {"review": "rejected the offer"}, {"reviews": [{"accepted": True}]},
    {"responses": [{"status": "discarded"}, {"status": "submitted"}]}, {"annotations": [{"was_cancelled": False}]},
]  # fmt: skip


@pytest.mark.parametrize("column", NO_MARKS, ids=str)
def test_a_column_that_only_looks_like_a_mark_changes_nothing(column):
    found = read_conversation({"q": "q", "a": "a", **column}, PAIR)
    assert (len(found.turns), found.notes) == (2, ())


def test_a_column_that_is_read_is_no_mark():
    mapping = MappingConfig(prompt=("claim",), completion="label")
    assert read_conversation({"claim": "The sun is cold.", "label": "false"}, mapping).turns[-1].content == "false"


@pytest.mark.parametrize("mark", [
    {"weight": 0}, {"weight": 0.0}, {"train": False}, {"trainable": False}, {"loss": False}, {"mask": True},
    {"masked": True}, {"ignore": True}, {"training": False}, {"loss_scale": 0}, {"deleted": True},
    {"review_result": False}, {"train_detail": [{"begin_offset": 0, "end_offset": 3, "train": False}]},
], ids=str)  # fmt: skip
def test_a_marked_answer_is_context_and_counted(mark):
    found = read_conversation({"m": [*messages(**mark), *messages()]}, CHAT)
    assert [turn.trained for turn in found.turns if turn.role == "assistant"] == [False, True]
    assert found.notes == ("marked_turn",)
    with pytest.raises(RowProblem, match="marked"):
        read_conversation({"m": messages(**mark)}, CHAT)
    ignoring = CHAT.model_copy(update={"marks": "ignore"})
    assert all(turn.trained for turn in read_conversation({"m": messages(**mark)}, ignoring).turns)


def test_a_mark_at_a_question_has_no_effect():
    asked = {"role": "user", "content": "q", "weight": 0}
    assert read_conversation({"m": [asked, messages()[1]]}, CHAT).notes == ()


@pytest.mark.parametrize("weight", [0.5, 2, "0.25"])
def test_other_weights_are_counted_as_not_supported(weight):
    assert read_conversation({"m": messages(weight=weight)}, CHAT).notes == ("weights",)
    assert read_conversation({"q": "q", "a": "a", "weight": weight}, PAIR).notes == ("weights",)


def test_an_answer_joined_from_a_marked_one_is_not_trained():
    row = {"m": [*messages(weight=0), {"role": "assistant", "content": "b"}, *messages()]}
    turns = read_conversation(row, CHAT, merge=True).turns
    assert [turn.trained for turn in turns if turn.role == "assistant"] == [False, True]


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_marks_in_a_table_of_text_are_followed(tmp_path, suffix):
    path = tmp_path / f"rows.{suffix}"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if suffix == "tsv" else ",")
        writer.writerows([["prompt", "completion", "label"], ["q", "a", "True"], ["q", "b", "False"]])
    assert _answers(path) == ["a", None]


def test_marks_in_a_tree_are_followed(tmp_path):
    tree = [
        {"message_id": "1", "parent_id": None, "role": "prompter", "text": "q", "deleted": False},
        {"message_id": "2", "parent_id": "1", "role": "assistant", "text": "a", "deleted": False},
        {"message_id": "3", "parent_id": "1", "role": "assistant", "text": "b", "deleted": True},
        {"message_id": "4", "parent_id": "1", "role": "assistant", "text": "c", "review_result": False},
    ]
    path = tmp_path / "tree.jsonl"
    path.write_text("\n".join(map(json.dumps, tree)), encoding="utf-8")
    assert _answers(path) == ["a", None, None]


def _answers(path) -> list[str | None]:
    table = open_file(path)
    mapping, answers = detect(table).mapping, []
    for row in table.rows():
        try:
            answers.append(read_conversation(row, mapping).turns[-1].content)
        except RowProblem:
            answers.append(None)
    return answers
