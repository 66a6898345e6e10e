"""Architectures whose adapters PEFT does not mix in a batch answer in turn; answers end with the model's positions."""

import pytest
from architectures import make
from asking import compare, ids
from following import trained

from studio.compare.columns import ADAPTED, BASE
from studio.config import GenerationConfig
from studio.errors import CompareError


@pytest.fixture(scope="module")
def opt(tmp_path_factory):
    """An OPT of 128 positions, which joins the batch with the tokens before its feed-forward layers."""
    return make("opt", tmp_path_factory.mktemp("opt"))


def run_on(config, model):
    return trained(config, **{"model.id": str(model), "train.max_steps": 12, "samples.mode": "off"})


def test_opt_answers_in_turn_and_says_why(tiny_config, opt):
    run = run_on(tiny_config, opt)
    made = compare(run, ["What is 3?", "hi"])

    assert [note.key for note in made.notes] == ["compare.note.in_turn"]
    assert made.proof.base_is_untouched
    assert not made.proof.problems
    for prompt, sides in zip(("What is 3?", "hi"), ids(made), strict=True):
        assert sides == [compare(run, prompt, columns=(column,)).answers[0][0].ids for column in (BASE, ADAPTED)]


def test_an_answer_ends_where_the_positions_do_and_others_are_not_shorter_for_it(tiny_config, opt):
    run = run_on(tiny_config, opt)
    settings = GenerationConfig(max_new_tokens=40, temperature=0.0)
    long, short = "x" * 60, "hi"  # a byte a token, and the template's
    made = compare(run, [long, short], settings)
    prompt = len("".join(("<|im_start|>user\n", long, "<|im_end|>\n<|im_start|>assistant\n"))) - 3 * 11

    assert all(side.tokens <= 128 for sides in made.answers for side in sides)
    assert ids(made)[1] == ids(compare(run, short, settings))[0]
    assert max(side.tokens for side in made.answers[0]) <= 128 - prompt


def test_a_prompt_that_fills_all_positions_is_refused(tiny_config, opt):
    run = run_on(tiny_config, opt)
    with pytest.raises(CompareError, match="takes 128 in all"):
        compare(run, "x" * 200)
