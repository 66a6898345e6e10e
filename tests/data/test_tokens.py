"""Labels: what is trained, what is context, what is cut."""

from tiny import make_tokenizer
from transformers import GenerationConfig

from studio.data import tokens
from studio.data.conversation import Turn
from studio.data.prompt import ChatRenderer, TextRenderer
from studio.data.tokens import IGNORED, Label, Segment

ROW = [Segment("ask:", False), Segment("yes<|im_end|>\n", True)]


def label(max_length: int = 100, train_on: str = "completion", row: list[Segment] = ROW) -> tokens.Tokens:
    return tokens.tokenize([row], make_tokenizer(), max_length, train_on)[0]


def test_only_the_completion_has_labels():
    row = label()
    made = row.for_training()
    assert made["labels"][:4] == [IGNORED] * 4
    assert made["labels"][4:] == made["input_ids"][4:]
    assert len(made["input_ids"]) == 9


def test_train_on_all_trains_the_prompt_too():
    assert set(label(train_on="all").labels) == {Label.TRAINED}


def test_what_is_beyond_the_limit_is_cut_and_not_trained():
    row = label(max_length=6)
    assert row.labels[6:] == (Label.CUT,) * 3
    assert row.cut
    assert len(row.for_training()["input_ids"]) == 6


def test_a_row_of_exactly_the_limit_is_not_cut():
    assert not label(max_length=9).cut


def test_rows_tokenized_together_equal_rows_tokenized_alone():
    tokenizer = make_tokenizer()
    rows = [ROW, [Segment("", False), Segment("나<|im_end|>", True)], ROW[::-1]]
    together = tokens.tokenize(rows, tokenizer, 7, "completion")
    assert together == [tokens.tokenize([row], tokenizer, 7, "completion")[0] for row in rows]


def test_the_beginning_of_text_stands_once_and_only_at_the_beginning():
    tokenizer = make_tokenizer(None, adds_bos=True)
    render = TextRenderer(tokenizer, "q: {q}\na: {a}", "a")
    row = tokens.tokenize([render.example([], {"q": "x", "a": "y"}).segments], tokenizer, 100, "completion")[0]
    assert row.ids[0] == tokenizer.bos_token_id
    assert row.ids.count(tokenizer.bos_token_id) == 1
    tokenizer = make_tokenizer(adds_bos=True)
    chat = ChatRenderer(tokenizer, None).example([Turn("user", "x"), Turn("assistant", "y")], {})
    row = tokens.tokenize([chat.segments], tokenizer, 100, "completion")[0]
    assert row.ids.count(tokenizer.bos_token_id) == 2  # the template's own, one a turn


def test_no_rows_give_no_tokens():
    assert tokens.tokenize([], make_tokenizer(), 10, "completion") == []


def test_the_end_of_turn_is_read_from_the_chat_template():
    tokenizer = make_tokenizer()
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert tokens.end_of_turn(tokenizer) == end
    assert tokens.end_of_turn(make_tokenizer(None)) is None


def test_generation_stops_at_what_the_model_adds_too():
    assert tokens.stop_ids(make_tokenizer(), GenerationConfig(eos_token_id=[2, 7])) == {1, 2, 7}


def test_a_row_ends_by_itself_when_its_stop_token_is_trained():
    tokenizer = make_tokenizer()
    stops = tokens.stop_ids(tokenizer)
    assert tokens.ends_by_itself(label(), tokenizer, stops)
    assert not tokens.ends_by_itself(label(max_length=8), tokenizer, stops)
    assert not tokens.ends_by_itself(label(row=[Segment("a", False), Segment("b", True)]), tokenizer, stops)
    assert not tokens.ends_by_itself(label(row=[Segment("a", True), Segment("<|im_end|>", False)]), tokenizer, stops)
    assert tokens.ends_by_itself(label(row=[*ROW, Segment("not trained", False)]), tokenizer, stops)
