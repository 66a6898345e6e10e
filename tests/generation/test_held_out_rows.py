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
