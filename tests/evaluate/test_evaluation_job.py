"""The scoreboard: held-out rows, stopped and resumed, and what the adapter has forgotten."""

import pytest
from asking import compare
from following import trained, wait_for, wait_until_over
from pydantic import TypeAdapter

from studio import gpu
from studio.compare.columns import ADAPTED, BASE, Column, CompareRequest, EvaluationRequest
from studio.config import GenerationConfig
from studio.errors import CompareError, DataError, DeviceError
from studio.evaluate import evaluation_job
from studio.evaluate.scoreboard import Scoreboard
from studio.files import write_json_lines
from studio.generation import generate

VALIDATION = {"data.validation": {"kind": "fraction", "fraction": 0.5}, "train.eval_steps": 20}
SAMPLED = GenerationConfig(max_new_tokens=8, temperature=1.0, seed=2)


@pytest.fixture
def run(tiny_config):
    return trained(tiny_config, **VALIDATION)


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setitem(generate.MAX_BATCH_ROWS, "cpu", 4)


def evaluated(run, **settings):
    request = EvaluationRequest(run.id, **{"forgetting": False, "generation": SAMPLED} | settings)
    return list(gpu.thread().evaluate(request).updates())


def test_the_rows_are_those_that_were_kept_from_training(run):
    made = evaluated(run)[-1]
    assert made.done == made.total == len(made.pairs) == 12
    from studio.data.prepare import prepare

    tokenizer = gpu.thread()._host.loaded.tokenizer
    held = [tokenizer.decode(row["input_ids"]) for row in prepare(run.config(), tokenizer).validation]
    assert all(any(before.prompt in text and before.reference in text for text in held) for before, _ in made.pairs)


def test_the_mean_likelihood_is_the_loss_that_training_has_measured(run):
    made = evaluated(run)[-1]
    losses = [event.loss for event in run.events()[0] if event.type == "evaluated"]
    tokens = sum(after.nll_tokens for _, after in made.pairs)
    mean = sum(after.nll * after.nll_tokens for _, after in made.pairs) / tokens
    assert mean == pytest.approx(losses[-1], rel=0.02)  # the trainer's is a mean of batches
    assert mean < sum(before.nll * before.nll_tokens for before, _ in made.pairs) / tokens
    assert made.board.score("perplexity").verdict == "better"


def test_stopped_and_resumed_it_gives_the_scoreboard_of_one_go(run, small_batches, tiny_config):
    request = EvaluationRequest(run.id, generation=SAMPLED, forgetting=False)
    job = gpu.thread().evaluate(request)
    for made in job.updates():
        if made.done:
            job.stop()
    assert made.stopped
    assert 0 < made.done < made.total
    assert made.board is None
    journal = made.path / "answers.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines()
    journal.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:30], encoding="utf-8")  # torn by a kill
    resumed = gpu.thread().evaluate(request).result()
    assert resumed.id == made.id
    assert len(journal.read_text(encoding="utf-8").splitlines()) == 12 + 1

    for path in made.path.iterdir():
        path.unlink()
    whole = gpu.thread().evaluate(request).result()
    assert whole.board == resumed.board
    assert TypeAdapter(Scoreboard).validate_json((made.path / "scoreboard.json").read_bytes()) == whole.board


def test_what_is_answered_is_not_answered_again(run, monkeypatch):
    first = evaluated(run)[-1]
    monkeypatch.setattr(evaluation_job.generate, "answer", None)
    assert evaluated(run)[-1].board == first.board


def test_other_settings_are_another_evaluation(run):
    names = {
        evaluated(run, **settings)[-1].id
        for settings in ({}, {"limit": 3}, {"column": Column(strength=0.5)}, {"generation": GenerationConfig(seed=9)})
    }
    assert len(names) == 4


def test_a_row_is_answered_as_it_is_alone(run, small_batches):
    made = evaluated(run)[-1]
    for before, after in made.pairs[:5]:
        assert compare(run, before.prompt, SAMPLED).texts() == (before.answer, after.answer)


def test_progress_grows_row_by_row(run, small_batches):
    steps = [(made.done, len(made.pairs)) for made in evaluated(run)]
    assert steps == sorted(steps)
    assert steps[-1] == (12, 12)


def test_ordinary_questions_show_what_was_forgotten(run):
    made = evaluated(run, forgetting=True, limit=6)[-1]
    assert made.total == 12
    assert made.forgetting.rows == 6
    assert made.forgetting.score("perplexity") is not None
    assert TypeAdapter(Scoreboard).validate_json((made.path / "forgetting.json").read_bytes()) == made.forgetting


def test_a_file_of_prompts_is_evaluated_with_the_references_that_it_has(run, tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("What is 3?\nWhat is 4?\n", encoding="utf-8")
    made = evaluated(run, rows=str(path))[-1]
    assert [before.prompt for before, _ in made.pairs] == ["What is 3?", "What is 4?"]
    assert made.pairs[0][0].reference is None
    path = tmp_path / "pairs.jsonl"
    rows = [{"instruction": "What is 3?", "output": "Three."}, {"instruction": "", "output": "Four."}]
    write_json_lines(path, rows)
    made = evaluated(run, rows=str(path))[-1]
    assert [before.reference for before, _ in made.pairs] == ["Three."]
    assert "left out: 1" in made.notes[0].text()
    with pytest.raises(DataError):
        evaluated(run, rows=str(tmp_path / "none.txt"))


def test_a_run_with_nothing_held_out_says_so(tiny_config):
    run = trained(tiny_config)
    with pytest.raises(CompareError, match="nothing to evaluate"):
        evaluated(run)
    asked = trained(tiny_config, **{"evaluation.prompts": "captain-heldout"})
    made = evaluated(asked, limit=2)[-1]
    assert made.pairs[0][0].prompt == "How do I make scrambled eggs?"


def test_rows_that_may_have_been_trained_are_refused(run, style_file):
    lines = style_file.read_text(encoding="utf-8").splitlines()
    style_file.write_text("\n".join(reversed(lines)) + "\n", encoding="utf-8")
    with pytest.raises(CompareError, match="have changed"):
        evaluated(run)


def test_a_text_is_gone_on_with_from_its_middle(tiny_config, tmp_path):
    path = tmp_path / "songs.jsonl"
    rows = [{"text": f"the sea is number {n} and it sings to me"} for n in range(12)]
    write_json_lines(path, rows)
    run = trained(tiny_config, **VALIDATION, **{"data.source": {"kind": "file", "name": str(path)}})
    for before, _ in evaluated(run)[-1].pairs:
        assert f"{before.prompt} {before.reference}" in {row["text"] for row in rows}
        assert before.nll_tokens == len(before.reference) + 2  # a space before it, and the end of text


def test_nothing_is_evaluated_while_a_run_trains(run, tiny_config):
    training = gpu.thread().start_run(tiny_config.with_settings({"train.max_steps": 100_000}))
    wait_for(training, lambda status: status.step >= 1)
    with pytest.raises(DeviceError, match=training.id):
        evaluated(run)
    training.request("cancel")
    wait_until_over(training)


def test_batches_are_of_like_length_and_hold_every_row_once():
    lengths = [5, 900, 7, 6, 8, 5, 1000, 9, 4, 3]
    made = list(generate.batches(lengths, 100))
    assert sorted(number for batch in made for number in batch) == list(range(10))
    assert [lengths[number] for batch in made for number in batch] == sorted(lengths)
    assert list(generate.batches([9000, 9000], 100)) == [[0], [1]]
    assert list(generate.batches([], 100)) == []


def test_the_scoreboard_compares_the_columns_that_were_asked_for(run):
    same = evaluated(run, column=Column(strength=0.0), limit=6)[-1]
    assert all(before.answer == after.answer for before, after in same.pairs)
    assert CompareRequest(run.id, ("hi",), SAMPLED).columns == (BASE, ADAPTED)
