"""What the preview shows is what is trained, and everything that is left out is counted."""

import json

import pytest
from tiny import make_tokenizer

from studio.config import RunConfig
from studio.data import prepare, split
from studio.errors import DataError


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def test_the_preview_shows_exactly_what_is_trained(tiny_config):
    tokenizer = make_tokenizer()
    prepared = prepare.prepare(tiny_config, tokenizer)
    for number, row in enumerate(prepared.train):
        shown = prepare.preview(tiny_config, number)
        assert [label for _, label in shown.spans] == list(row.labels)
        assert "".join(text for text, _ in shown.spans) == tokenizer.decode(list(row.ids))
        assert (shown.tokens, shown.trained, shown.ends) == (len(row.ids), row.trained, True)


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


def test_every_row_that_is_left_out_or_odd_is_counted(tiny_config, style_file):
    rows = [
        {"instruction": "a", "output": "b"},
        {"instruction": "a", "output": ""},
        {"instruction": "a", "output": "b"},
        {"instruction": "long", "output": "x" * 500},
        {"instruction": "y" * 500, "output": "never seen"},
    ]
    write(style_file, rows)
    prepared = prepare.prepare(tiny_config, make_tokenizer())
    found = {problem.kind: (problem.rows, problem.used) for problem in prepared.problems}
    assert found == {
        "empty_answer": ([2], False),
        "duplicate": ([3], True),
        "answer_cut": ([4], True),
        "nothing_trained": ([5], False),
    }
    assert (prepared.rows, prepared.usable) == (5, 3)


def test_no_usable_row_is_an_error_that_says_what_is_wrong(tiny_config, style_file):
    write(style_file, [{"instruction": "a", "output": ""}])
    with pytest.raises(DataError, match="0 of 1 rows"):
        prepare.prepare(tiny_config, make_tokenizer())


def test_the_hash_changes_with_the_data_and_with_the_split(tiny_config):
    tokenizer = make_tokenizer()
    first = prepare.prepare(tiny_config, tokenizer).sha256
    assert prepare.prepare(tiny_config, tokenizer).sha256 == first
    held = tiny_config.with_settings({"data.validation": 0.25})
    assert prepare.prepare(held, tokenizer).sha256 != first
    assert (
        prepare.prepare(held.with_settings({"data.seed": 7}), tokenizer).sha256
        != prepare.prepare(held, tokenizer).sha256
    )


def test_a_file_that_was_changed_is_read_again(tiny_config, style_file):
    assert prepare.preview(tiny_config, 0).rows == 24
    write(style_file, [{"instruction": "new", "output": "row"}])
    assert prepare.preview(tiny_config, 0).row == {"instruction": "new", "output": "row"}


def test_without_the_models_tokenizer_the_rows_are_inspected_all_the_same(tiny_config):
    report = prepare.inspect(tiny_config.with_settings({"model.id": "nobody/nothing"}))
    assert (report.rows, report.usable, report.lengths) == (24, 24, None)
    assert prepare.inspect(tiny_config).token_figures["shortest"] > 10


def test_work_can_be_ended_between_two_batches(tiny_config):
    class Enough(Exception):
        pass

    def going(share: float) -> None:
        raise Enough

    with pytest.raises(Enough):
        prepare.prepare(tiny_config, make_tokenizer(), going)


@pytest.mark.parametrize(
    ("count", "fraction", "held"), [(10, 0.2, 2), (10, 0.0, 0), (1, 0.5, 0), (3, 0.01, 1), (2, 0.5, 1)]
)
def test_a_split_keeps_every_row_once(count, fraction, held):
    train, validation = split.split(count, fraction, seed=1)
    assert sorted(train + validation) == list(range(count))
    assert len(validation) == held
    assert split.split(count, fraction, seed=1) == (train, validation)


def test_held_out_prompts_come_from_the_bundled_file():
    prompts = prepare.held_out("captain-heldout")
    assert len(prompts) == 40
    assert prepare.held_out(None) == []


def test_the_default_config_is_about_the_quickstarts_data():
    assert prepare.table(RunConfig().data).columns == ["instruction", "output"]
