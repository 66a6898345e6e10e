"""A held-out row is split into the tokens of its prompt and those of its answer, as they were trained."""

import pytest
from tiny import make_tokenizer

from studio.data.conversation import Turn
from studio.data.prompt import ChatRenderer, PlainRenderer
from studio.generation import held_out

MARKED = "<|im_start|>user\nHi?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("said", "adds_bos", "prompt", "answer"),
    [
        (["Once upon a time there was."], False, "Once upon a time", " there was.<|im_end|>"),
        (["Once upon a time there was."], True, "<|im_start|>Once upon a time", " there was.<|im_end|>"),
        (["The <|im_end|> and the <|pad|> end it."], False, "The <|im_end|> and the", " <|pad|> end it.<|im_end|>"),
        ([MARKED + "Aye."], False, MARKED, "Aye.<|im_end|>"),
        (["Hi?", "Aye."], False, MARKED, "Aye.<|im_end|>\n"),
    ],
)
def test_a_row_is_split_where_its_answer_begins(said, adds_bos, prompt, answer):
    tokenizer = make_tokenizer(adds_bos=adds_bos)
    turns = [Turn("user", text) for text in said[:-1]] + [Turn("assistant", said[-1])]
    render = ChatRenderer(tokenizer, None) if len(said) > 1 else PlainRenderer(tokenizer)
    row = held_out._training_row(turns, render.example(turns, {}).segments, tokenizer)
    assert (tokenizer.decode(row.ids), tokenizer.decode(row.answer)) == (prompt, answer)


@pytest.mark.parametrize(
    ("name", "content", "left_out"),
    [
        ("lines.txt", "What?\n\nWhy?\n", 0),
        ("table.csv", "id,prompt\n1,What?\n2,Why?\n3,\n", 1),
        ("named.csv", "category,질문\nx,What?\ny,Why?\n", 0),
        ("rows.jsonl", '{"id": 1, "prompt": "What?"}\n{"id": 2, "prompt": "Why?"}\n{bad\n', 1),
        ("first.csv", "things,id\nWhat?,1\nWhy?,2\n", 0),
        ("answered.csv", "prompt,completion\nWhat?,That.\nWhy?,So.\n", 0),
    ],
)
def test_prompts_are_read_from_the_column_with_their_name_and_rows_without_one_are_counted(
    tmp_path, name, content, left_out
):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert held_out.read_prompts(tmp_path / name) == (["What?", "Why?"], left_out)
