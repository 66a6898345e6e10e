"""What the preview shows is what is trained, and everything that is left out is counted."""

import json
import shutil

import pytest
from tiny import TEMPLATES, make_tokenizer

from studio.config import RunConfig
from studio.data import clean, prepare, scan, split, tokens
from studio.data.tokens import IGNORED
from studio.errors import DataError
from studio.model.load import load_tokenizer


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def test_the_preview_shows_exactly_what_is_trained(tiny_config):
    tokenizer = make_tokenizer()
    prepared = prepare.prepare(tiny_config, tokenizer)
    assert len(prepared.train) == 24
    for number, row in enumerate(prepared.train):
        shown = prepare.preview(tiny_config, number)
        trained = [label != IGNORED for label in row["labels"]]
        assert [label == "trained" for _, label in shown.spans] == trained
        assert "".join(text for text, _ in shown.spans) == tokenizer.decode(row["input_ids"]) == shown.text
        assert (shown.tokens, shown.trained, shown.ends) == (len(trained), sum(trained), True)


TALK = [
    {"role": role, "content": f"{said} {n}"}
    for n, (role, said) in enumerate([("user", "안녕?"), ("assistant", "Aye 🙂")] * 2)
]
SHAPES = {
    "pair": ([{"instruction": "What?", "output": "That."}], {}),
    "alpaca": ([{"instruction": "Add.", "input": "1 2", "output": "3"}], {}),
    "system": ([{"question": "What?", "answer": "That.", "history": [["a", "b"]]}], {}),
    "messages": ([{"messages": TALK}], {}),
    "last turn": ([{"messages": TALK}], {"data.turns": "last"}),
    "sharegpt": ([{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}], {}),
    "strings": ([{"conversations": ["a", "b", "c", "d"]}], {}),
    "tagged": ([{"text": "### Human: a ### Assistant: b"}], {}),
    "turns in two columns": ([{"prompt": TALK[:1], "completion": TALK[1:2]}], {}),
    "preference": ([{"prompt": "a", "chosen": "b", "rejected": "c"}], {}),
    "nested": ([{"instruction": "a", "tasks": [{"input": "b", "output": "c"}]}], {}),
    "keywords": ([{"key1": "a", "key2": "b", "Lyric": "c"}], {}),
    "raw text": ([{"text": "Once upon a time."}], {}),
    "text template": (
        [{"input": "a", "target": "b"}],
        {"data.prompt": {"style": "text", "template": "### context: {input}\n### question: {target}"}},
    ),
    "cut": ([{"instruction": "What?", "output": "x" * 300}], {}),
    "all": ([{"instruction": "What?", "output": "That."}], {"data.train_on": "all"}),
}


@pytest.fixture(params=TEMPLATES)
def family(request, tiny_model, tmp_path):
    """The tiny model with the chat template of one family."""
    folder = shutil.copytree(tiny_model, tmp_path / request.param)
    (folder / "chat_template.jinja").write_text(TEMPLATES[request.param], encoding="utf-8")
    return folder


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_shown_is_what_is_trained_in_every_shape_and_family(tiny_config, style_file, family, shape):
    rows, settings = SHAPES[shape]
    write(style_file, rows)
    config = tiny_config.with_settings({"model.id": str(family), **settings})
    tokenizer = load_tokenizer(config.model)
    trained = prepare.prepare(config, tokenizer).train[0]
    spans = [span for span in prepare.preview(config, 0).spans if span[1] != "cut"]
    assert "".join(text for text, _ in spans) == tokenizer.decode(trained["input_ids"])
    answer = [token for token, label in zip(trained["input_ids"], trained["labels"], strict=True) if label != IGNORED]
    assert "".join(text for text, label in spans if label == "trained") == tokenizer.decode(answer)
    assert answer


def test_a_row_of_a_hundred_thousand_letters_is_shown_and_counted(tiny_config, style_file):
    write(style_file, [{"instruction": "a", "output": "b"}, {"instruction": "long", "output": "바다 " * 33_000}])
    assert prepare.preview(tiny_config, 1).tokens > 100_000
    report = prepare.inspect(tiny_config)
    assert report.token_figures["longest"] > 100_000
    assert report.histogram()[-1][2] == 1


def test_a_character_of_several_tokens_is_shown_whole(tiny_config, style_file):
    write(style_file, [{"instruction": "인사해 🙂", "output": "반갑습니다"}])
    spans = prepare.preview(tiny_config, 0).spans
    assert ("🙂", "context") in spans
    assert ("반", "trained") in spans


def test_a_row_that_is_left_out_says_why_in_the_preview(tiny_config, style_file):
    write(style_file, [{"instruction": "a", "output": ""}, {"instruction": "a", "output": "b"}])
    shown = prepare.preview(tiny_config, 0)
    assert shown.spans == []
    assert "Empty answers" in shown.problem.text()


ODD = [
    {"instruction": "a", "output": "b"},
    {"instruction": "a", "output": ""},
    {"instruction": "a", "output": "b"},
    {"instruction": "long", "output": "x" * 500},
    {"instruction": "y" * 500, "output": "never seen"},
    {"instruction": "one two three four five six seven eight nine ten eleven", "output": "twelve thirteen"},
    {"instruction": "one two three four five six seven eight nine ten eleven", "output": "twelve fourteen"},
]


def test_every_row_that_is_left_out_or_odd_is_counted(tiny_config, style_file):
    write(style_file, ODD)
    report = prepare.inspect(tiny_config)
    found = {problem.kind: (problem.rows, problem.used) for problem in report.problems}
    assert found == {
        "empty_answer": ([2], False),
        "duplicate": ([3], True),
        "answer_cut": ([4], True),
        "nothing_trained": ([5], False),
        "near_duplicate": ([7], True),
    }
    assert (report.rows, report.usable, report.train) == (7, 5, 5)
    assert report.row_numbers.tolist() == [1, 3, 4, 6, 7]
    assert json.loads(report.problems[0].example) == ODD[1]


@pytest.mark.parametrize(
    ("fix", "left"),
    [("deduplicate", [1, 4, 6, 7]), ("near_deduplicate", [1, 3, 4, 6]), ("drop_cut", [1, 3, 6, 7])],
)
def test_a_fix_leaves_its_rows_out_and_says_so(tiny_config, style_file, fix, left):
    write(style_file, ODD)
    report = prepare.inspect(tiny_config.with_settings({"data.fixes": [fix]}))
    assert report.row_numbers.tolist() == left
    mended = [problem for problem in report.problems if problem.fix == fix]
    assert all(problem.fixed and not problem.used for problem in mended)
    assert "Mended" in mended[0].effect.text()


def test_turns_that_do_not_alternate_are_left_out_or_merged(tiny_config, style_file):
    turns = [{"role": role, "content": role} for role in ("user", "user", "assistant")]
    write(style_file, [{"messages": turns}, {"messages": turns[1:]}])
    assert prepare.inspect(tiny_config).usable == 1
    assert prepare.inspect(tiny_config.with_settings({"data.fixes": ["merge_turns"]})).usable == 2


def test_no_usable_row_blocks_the_start_and_says_why(tiny_config, style_file):
    write(style_file, [{"instruction": "a", "output": ""}])
    assert "0 of 1 row" in prepare.inspect(tiny_config).blocks[0].text()
    with pytest.raises(DataError, match=r"0 of 1 row.*Empty answers"):
        prepare.prepare(tiny_config, make_tokenizer())


def test_prompts_that_are_all_too_long_are_told_as_such(tiny_config, style_file):
    write(style_file, [{"instruction": "y" * 500, "output": "never seen"}] * 2)
    with pytest.raises(DataError, match="All prompts exceed 128 tokens"):
        prepare.prepare(tiny_config, make_tokenizer())


def test_the_hash_changes_with_the_data_and_with_the_split(tiny_config):
    tokenizer = make_tokenizer()
    first = prepare.prepare(tiny_config, tokenizer).sha256
    assert prepare.prepare(tiny_config, tokenizer).sha256 == first
    held = tiny_config.with_settings({"data.validation.kind": "fraction", "data.validation.fraction": 0.25})
    assert prepare.prepare(held, tokenizer).sha256 != first
    other = held.with_settings({"data.seed": 7})
    assert prepare.prepare(other, tokenizer).sha256 != prepare.prepare(held, tokenizer).sha256


def test_the_same_rows_are_never_tokenized_twice(tiny_config, style_file, monkeypatch):
    first = prepare.inspect(tiny_config)
    monkeypatch.setattr(tokens, "tokenize", None)
    again = prepare.inspect(tiny_config.with_settings({"train.epochs": 9, "data.fixes": ["deduplicate"]}))
    assert again.lengths.tolist() == first.lengths.tolist()
    with pytest.raises(TypeError):
        prepare.inspect(tiny_config.with_settings({"data.max_length": 64}))
    write(style_file, ODD)
    with pytest.raises(TypeError):
        prepare.inspect(tiny_config)


def test_a_pass_that_was_ended_leaves_nothing_behind(tiny_config, cache, monkeypatch):
    monkeypatch.setattr(scan, "BATCH", 5)

    class Enough(Exception):
        pass

    def going(share: float) -> None:
        if share > 0.2:  # in the middle of the rows
            raise Enough

    with pytest.raises(Enough):
        prepare.prepare(tiny_config, make_tokenizer(), going)
    assert list((cache / "tokens").iterdir()) == []


def test_a_limit_takes_the_first_rows_or_some_at_random(tiny_config):
    first = prepare.inspect(tiny_config.with_settings({"data.limit": 5}))
    assert first.row_numbers.tolist() == [1, 2, 3, 4, 5]
    some = prepare.inspect(tiny_config.with_settings({"data.limit": 5, "data.pick": "random"}))
    assert len(some.row_numbers) == some.rows == 5
    assert some.row_numbers.tolist() != [1, 2, 3, 4, 5]
    assert some.row_numbers.tolist() == sorted(some.row_numbers.tolist())


def test_only_the_last_turn_is_trained_when_asked_to(tiny_config, style_file):
    talk = [{"role": role, "content": f"{role} {n}"} for n, role in enumerate(("user", "assistant") * 2)]
    write(style_file, [{"messages": talk}])
    every = prepare.preview(tiny_config, 0).trained
    last = prepare.preview(tiny_config.with_settings({"data.turns": "last"}), 0)
    assert last.trained == every / 2
    assert last.ends


def test_raw_text_is_trained_as_a_whole_with_its_end(tiny_config, tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("Once upon a time.\n\nThe end.\n", encoding="utf-8")
    shown = prepare.preview(tiny_config.with_settings({"data.source.name": str(path)}), 1)
    assert shown.text == "The end.<|im_end|>"
    assert shown.trained == shown.tokens - 1  # nothing stands before the first
    assert shown.ends


def test_keywords_fill_the_lyrics_template(tiny_config, tmp_path):
    path = tmp_path / "lyrics.csv"
    path.write_text("key1,key2,key3,Lyric\n바다,,이별,파도가 친다\n", encoding="utf-8")
    template = "질문: 다음 키워드를 포함하는 가사를 작성하세요: {keywords}\n답변: {Lyric}"
    settings = {"data.source.name": str(path), "data.prompt": {"style": "text", "template": template}}
    shown = prepare.preview(tiny_config.with_settings(settings), 0)
    assert shown.text == "질문: 다음 키워드를 포함하는 가사를 작성하세요: 바다, 이별\n답변: 파도가 친다<|im_end|>"


def test_validation_rows_may_come_from_a_file_of_their_own(tiny_config, tmp_path):
    own = tmp_path / "own.jsonl"
    write(
        own,
        [{"instruction": "What is 3?", "output": "Aye, 3 it be, says the sea."}, {"instruction": "x", "output": "y"}],
    )
    config = tiny_config.with_settings({"data.validation": {"kind": "file", "name": str(own)}})
    prepared = prepare.prepare(config, make_tokenizer())
    assert (len(prepared.train), len(prepared.validation)) == (24, 2)
    leaks = [problem for problem in prepared.report.problems if problem.kind == "leak"]
    assert leaks[0].rows == [4]
    mended = prepare.prepare(config.with_settings({"data.fixes": ["remove_leaks"]}), make_tokenizer())
    assert (len(mended.train), len(mended.validation)) == (23, 2)


def test_only_a_data_set_of_the_hub_has_splits(tiny_config):
    config = tiny_config.with_settings({"data.validation": {"kind": "split", "name": "test"}})
    with pytest.raises(DataError, match="no splits of its own"):
        prepare.inspect(config)


def test_rows_of_a_group_stay_on_one_side(tiny_config, style_file):
    write(style_file, [{"instruction": f"q{n}", "output": f"a{n}", "book": str(n // 4)} for n in range(40)])
    chosen = {"kind": "fraction", "fraction": 0.2, "group": "book"}
    prepared = prepare.prepare(tiny_config.with_settings({"data.validation": chosen}), make_tokenizer())
    tokenizer = make_tokenizer()

    def books(rows):
        return {int(tokenizer.decode(row["input_ids"]).split("user\nq")[1].split("<")[0]) // 4 for row in rows}

    assert len(prepared.validation) == 8
    assert not books(prepared.train) & books(prepared.validation)


def test_one_row_gets_no_validation_and_says_so(tiny_config, style_file):
    write(style_file, ODD[:1])
    prepared = prepare.prepare(tiny_config.with_settings({"data.validation.kind": "fraction"}), make_tokenizer())
    assert prepared.validation is None
    assert [problem.kind for problem in prepared.report.problems] == ["few_rows"]


def test_the_cleaned_rows_are_those_that_are_trained_on(tiny_config, style_file, tmp_path):
    write(style_file, ODD)
    config = tiny_config.with_settings({"data.fixes": ["deduplicate", "drop_cut"]})
    assert clean.write(config, tmp_path / "clean.jsonl") == 3
    lines = (tmp_path / "clean.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [ODD[0], ODD[5], ODD[6]]
    again = tiny_config.with_settings({"data.source.name": str(tmp_path / "clean.jsonl")})
    assert prepare.inspect(again).usable == 3


def test_the_report_tells_what_padding_costs(tiny_config, style_file):
    write(style_file, [{"instruction": f"q{n}", "output": "x" * (1 + 60 * (n % 2))} for n in range(40)])
    report = prepare.inspect(tiny_config)
    figures = report.token_figures
    assert figures["total"] <= figures["padded_grouped"] < figures["total"] * 1.01
    assert figures["padded_random"] > figures["total"] * 1.2
    assert sum(rows for _, _, rows in report.histogram()) == 40


def test_a_file_that_was_changed_is_read_again(tiny_config, style_file):
    assert prepare.preview(tiny_config, 0).rows == 24
    write(style_file, [{"instruction": "new", "output": "row"}])
    assert prepare.preview(tiny_config, 0).row == {"instruction": "new", "output": "row"}


def test_without_the_models_tokenizer_the_rows_are_inspected_all_the_same(tiny_config):
    report = prepare.inspect(tiny_config.with_settings({"model.id": "nobody/nothing"}))
    assert (report.rows, report.usable, report.lengths) == (24, 24, None)
    assert prepare.inspect(tiny_config).token_figures["shortest"] > 10


@pytest.mark.parametrize(("count", "fraction", "held"), [(10, 0.2, 2), (1, 0.5, 0), (3, 0.01, 1), (2, 0.5, 1)])
def test_a_split_keeps_every_row_once(count, fraction, held):
    train, validation = split.split(range(count), fraction, seed=1)
    assert sorted(train + validation) == list(range(count))
    assert len(validation) == held
    assert split.split(range(count), fraction, seed=1) == (train, validation)


def test_held_out_prompts_come_from_the_bundled_file():
    prompts = prepare.held_out("captain-heldout")
    assert len(prompts) == 40
    assert prepare.held_out(None) == []


def test_the_default_config_is_about_the_quickstarts_data():
    assert prepare.table(RunConfig().data).names == ["instruction", "output"]
