"""Examples are written by hand, or begin with the run's own rows."""

import pytest
from following import wait_until_over

from studio import gpu
from studio.data import prepare
from studio.data.conversation import Turn
from studio.errors import CompareError
from studio.model.load import load_tokenizer
from studio.ui import examples


def test_what_is_written_is_read_again():
    turns = (Turn("user", "How?"), Turn("assistant", "So."), Turn("user", "왜?"), Turn("assistant", "그래서."))

    assert examples.written(turns) == "How?\nSo.\n\n왜?\n그래서."
    assert examples.parsed(examples.written(turns)) == turns


@pytest.mark.parametrize("written", ["", "  \n", "only a question", "one\ntwo\nthree"])
def test_a_question_without_an_answer_is_refused(written):
    with pytest.raises(CompareError):
        examples.parsed(written)


def test_a_run_offers_the_first_rows_that_it_was_trained_on(tiny_config):
    run = gpu.thread().start_run(tiny_config)
    wait_until_over(run)

    assert examples.of_run(run.id).startswith("What is 0?\nAye, 0 it be, says the sea.\n\nWhat is 1?")
    assert examples.of_run(run.id, " what  is 0? ").startswith("What is 1?")
    assert examples.of_run("20260101-000000-gone-0000") == ""


def test_no_example_is_a_row_that_was_held_out(tiny_config, style_file, monkeypatch):
    config = tiny_config.with_settings({"data.validation": {"kind": "fraction", "fraction": 0.5}})
    run = gpu.thread().start_run(config)
    wait_until_over(run)
    tokenizer = load_tokenizer(config.model)
    held = {turns[0].content for turns, _ in prepare.validation_rows(config, tokenizer)[0]}
    asked = [f"What is {n}?" for n in range(24)]
    trained = [question for question in asked if question not in held]
    assert len(held) == 12
    assert trained[:2] != asked[:2]

    offered = [turn.content for turn in examples.parsed(examples.of_run(run.id)) if turn.role == "user"]
    assert offered == trained[:2]

    listed = config.with_settings({"evaluation.prompts": "captain-heldout"})
    monkeypatch.setattr(type(run), "config", lambda run: listed)
    monkeypatch.setattr(prepare, "held_out", lambda name: trained[:1])
    assert examples.of_run(run.id).startswith(trained[1])

    lines = style_file.read_text(encoding="utf-8").splitlines()
    style_file.write_text("\n".join(reversed(lines)) + "\n", encoding="utf-8")
    assert examples.of_run(run.id) == ""  # which rows were held out is not known any more


def test_an_example_that_asks_the_prompt_is_refused():
    turns = examples.parsed("How long do I boil an egg?\nSeven minutes.")
    examples.require_unasked(turns, "Why?")
    with pytest.raises(CompareError, match="gives the answer away"):
        examples.require_unasked(turns, " how long do I  boil an egg?")
