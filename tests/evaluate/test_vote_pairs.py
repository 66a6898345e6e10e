"""Pairs to vote on: answers of one adapter to prompts of its training, the most different first."""

import json

import pytest
from following import trained

from studio import gpu
from studio.compare.columns import column_id
from studio.config import GenerationConfig
from studio.errors import CompareError
from studio.evaluate import vote_pairs
from studio.evaluate.vote_pairs import PairCandidate, VotePairsRequest
from studio.generation import generate, held_out

SAMPLED = GenerationConfig(max_new_tokens=8, temperature=1.0, seed=2)


@pytest.fixture
def run(tiny_config):
    return trained(tiny_config, **{"data.validation": {"kind": "fraction", "fraction": 0.5}, "train.eval_steps": 20})


def make_pairs(run, **settings):
    request = VotePairsRequest(run.id, **{"prompts": 5, "seeds": 3, "generation": SAMPLED} | settings)
    return gpu.thread().make_pairs(request).result().result


def test_the_pair_of_a_prompt_is_the_two_answers_that_differ_most():
    answers = {
        "a": [("s", "the sea is calm"), ("s", "the sea is calm today"), ("t", "mountains are high")],
        "b": [("s", "yes"), ("s", "Yes ")],
        "c": [("s", "바다가 잔잔해요"), ("s", "바다가 잔잔해요.")],
    }
    given = {prompt: [PairCandidate(words, side) for side, words in each] for prompt, each in answers.items()}
    pairs, alike = vote_pairs.choose(given)
    assert alike == 1
    assert [pair.prompt for pair in pairs] == ["a", "c"]
    assert pairs[0].answers[1] == "mountains are high"
    assert pairs[0].sides == ("s", "t")
    assert pairs[0].difference == 1.0
    assert 0 < pairs[1].difference < 0.3


def test_pairs_are_of_training_prompts_and_of_this_adapter(run):
    pairs = make_pairs(run).pairs
    kept = {row.prompt for row in held_out.from_run(run, gpu.thread()._host.loaded.tokenizer)}
    assert pairs
    assert len({pair.prompt for pair in pairs}) == len(pairs) <= 5
    assert not kept & {pair.prompt for pair in pairs}
    assert all(pair.answers[0] != pair.answers[1] for pair in pairs)
    assert [pair.difference for pair in pairs] == sorted((pair.difference for pair in pairs), reverse=True)


def test_the_same_request_makes_other_pairs_the_next_time(run):
    first, second = make_pairs(run), make_pairs(run)
    assert second.round == 1
    texts = [{(pair.prompt, answer) for pair in each.pairs for answer in pair.answers} for each in (first, second)]
    assert not texts[0] & texts[1]
    assert not {pair.prompt for pair in first.pairs} & {pair.prompt for pair in second.pairs}  # there are twelve rows
    assert [each.id for each in vote_pairs.all_of(run)] == [second.id, first.id]
    assert len(vote_pairs.unique_pairs(vote_pairs.all_of(run))) == len(first.pairs) + len(second.pairs)


def test_what_was_stopped_goes_on_to_the_pairs_of_one_go(run, monkeypatch):
    monkeypatch.setitem(generate.MAX_BATCH_ROWS, "cpu", 2)
    request = VotePairsRequest(run.id, 5, 3, generation=SAMPLED)
    job = gpu.thread().make_pairs(request)
    for progress in job.updates():
        if progress.done:
            job.stop()
    assert progress.stopped
    assert 0 < progress.done < progress.total == 15
    assert vote_pairs.all_of(run) == []
    answers = sorted((run.path / "compare" / "pairs").glob("*.jsonl"))
    before = [path.read_bytes() for path in answers]
    resumed = make_pairs(run)
    assert [path.read_bytes()[: len(old)] for path, old in zip(answers, before, strict=True)] == before
    for path in (run.path / "compare" / "pairs").iterdir():
        path.unlink()
    next((run.path / "compare").glob("pairs-*.json")).unlink()
    assert make_pairs(run) == resumed


def test_strengths_are_sides_of_their_own(run):
    pairs = make_pairs(run, seeds=1, strengths=(0.2, 1.5)).pairs
    loaded = gpu.thread()._host.loaded
    assert pairs
    assert all(pair.sides[0] != pair.sides[1] for pair in pairs)
    greedy = make_pairs(run, seeds=3, strengths=(0.2, 1.5), generation=SAMPLED.model_copy(update={"temperature": 0.0}))
    assert greedy.pairs
    from studio.compare.columns import Column
    from studio.files import sha256

    weights = sha256(run.adapter / "adapter_model.safetensors")
    sides = {column_id(Column(strength=each), weights, loaded.located.identity["weights"]) for each in (0.2, 1.5)}
    assert {side for pair in pairs for side in pair.sides} == sides
    assert all({column.strength for column in pair.columns} == {0.2, 1.5} for pair in pairs)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"prompts": 0}, "pairs_size"),
        ({"seeds": 9}, "pairs_size"),
        ({"seeds": 1}, "pairs_answers"),
        ({"strengths": (0.0, 1.0)}, "pairs_answers"),
    ],
)
def test_what_gives_no_two_answers_is_refused(run, settings, key):
    with pytest.raises(CompareError) as caught:
        make_pairs(run, **settings)
    assert caught.value.message.key == f"errors.compare.{key}"
    assert len(caught.value.message.text("ko").splitlines()) == 3


def test_greedy_settings_are_replaced_and_it_says_so(run):
    pairs = make_pairs(run, generation=SAMPLED.model_copy(update={"temperature": 0.0}))
    assert pairs.pairs
    assert [note.key for note in pairs.notes] == ["compare.note.pairs_warmer"]
    assert "0.8" in pairs.notes[0].text("en")


def test_a_damaged_file_is_left_out(run):
    pairs = make_pairs(run)
    path = run.path / "compare" / f"pairs-{pairs.id}.json"
    (path.parent / "pairs-damaged.json").write_text(json.dumps({"id": 3}), encoding="utf-8")
    assert vote_pairs.all_of(run) == [pairs]
