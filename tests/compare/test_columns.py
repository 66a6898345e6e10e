"""Up to four columns and many prompts, in one batch and alone."""

import json
import shutil
from dataclasses import replace

import pytest
from asking import GREEDY, PROMPTS, SAMPLED, compare, ids
from following import trained

from studio import gpu, runs
from studio.compare import column_loading
from studio.compare.columns import ADAPTED, BASE, Column, CompareRequest, parse_column
from studio.config import GenerationConfig
from studio.data.conversation import Turn
from studio.errors import CompareError
from studio.generation.generate import logits_processors
from studio.runs import checkpoints
from studio.style import style_store

SHOTS = (Turn("user", "What is 1?"), Turn("assistant", "One, matey."))


@pytest.fixture
def run(tiny_config):
    return trained(tiny_config, **{"train.save": "steps", "train.save_steps": 10, "train.keep_checkpoints": 3})


@pytest.mark.parametrize("settings", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_many_prompts_in_one_batch_are_answered_as_each_alone(run, settings):
    together = ids(compare(run, PROMPTS, settings))
    alone = [ids(compare(run, prompt, settings))[0] for prompt in PROMPTS]
    assert together == alone
    assert len({tuple(answers) for answers in together}) == len(PROMPTS)


@pytest.mark.parametrize("settings", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_a_column_answers_the_same_whatever_stands_beside_it(run, settings):
    columns = (BASE, ADAPTED, Column("adapter", "step-000010"), Column("base", system="Be brief."))
    together = compare(run, PROMPTS, settings, columns)
    assert together.notes == ()
    alone = [ids(compare(run, PROMPTS, settings, [column])) for column in columns]
    assert [[one[0] for one in column] for column in alone] == [
        list(column) for column in zip(*ids(together), strict=True)
    ]
    assert len(set(zip(*ids(together), strict=True))) == 4


def test_a_checkpoint_and_another_run_are_columns(run, tiny_config):
    other = trained(tiny_config, **{"train.seed": 7, "lora.target_modules": ["q_proj"], "lora.layers": "upper-half"})
    columns = [
        ADAPTED,
        Column("adapter", "step-000020"),
        Column("adapter", other.id),
        Column("adapter", str(run.adapter)),
    ]
    now, last, theirs, folder = ids(compare(run, PROMPTS, columns=columns))[0]
    assert now == last == folder
    assert theirs == ids(compare(other, PROMPTS[:1], columns=[ADAPTED]))[0][0]
    assert theirs != now


def test_strength_0_is_exactly_the_base_and_100_percent_the_plain_adapter(run):
    strengths = [replace(ADAPTED, strength=strength) for strength in (0.0, 1.0, 0.5, 1.5)]
    for settings in (GREEDY, SAMPLED):
        made = ids(compare(run, PROMPTS, settings, strengths))
        plain = ids(compare(run, PROMPTS, settings))
        assert [row[:2] for row in made] == plain
    half, most = (ids(compare(run, PROMPTS, columns=[replace(ADAPTED, strength=s)])) for s in (0.5, 1.5))
    assert half != most
    assert [row[0] for row in half] == [row[2] for row in ids(compare(run, PROMPTS, columns=strengths))]


def test_strength_scales_what_the_adapter_adds(run, tiny_model, tmp_path):
    folder = tmp_path / "half"
    shutil.copytree(run.adapter, folder)
    settings = json.loads((folder / "adapter_config.json").read_text())
    settings["lora_alpha"] /= 2
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    halves = compare(run, PROMPTS, columns=[replace(ADAPTED, strength=0.5), Column("adapter", str(folder))])
    assert all(one == other for one, other in ids(halves))


def test_a_system_prompt_and_examples_change_what_is_asked(run):
    columns = [BASE, Column("base", system="Be brief."), Column("base", shots=SHOTS)]
    made = compare(run, "What is 3?", columns=columns)
    assert len(set(made.proof.prompt_sha256)) == 3
    assert len(set(made.texts())) > 1
    assert columns[2].title("en") == "Base model, with examples: 1"


def test_a_chat_goes_on_with_each_columns_own_answers(run):
    first = compare(run, "What is 3?")
    asked = first.next_turn("And 4?")
    assert [column.said for column in asked.columns] == [(text,) for text in first.texts()]
    second = gpu.thread().compare(asked).result()
    assert len(set(second.proof.prompt_sha256)) == 2
    assert second.proof.verified, second.proof
    third = second.next_turn("And 5?")
    assert third.earlier == ("What is 3?", "And 4?")
    assert [turn.role for turn in third.turns("And 5?", third.columns[0])] == ["user", "assistant"] * 2 + ["user"]


def test_the_noise_is_that_of_the_prompt_and_nothing_else():
    import torch

    def noise(keys, seed=3):
        steps = logits_processors(GenerationConfig(temperature=1.0, top_k=0, top_p=1.0, seed=seed), keys, None)
        zeros, before = torch.zeros(len(keys), 50), torch.zeros(len(keys), 1, dtype=torch.long)
        return torch.stack([steps[-1](before, zeros) for _ in range(3)])

    both, one = noise(["a", "a", "b", "b"]), noise(["b"])
    assert both[:, 0].equal(both[:, 1])
    assert both[:, 2].equal(one[:, 0])
    assert not both[:, 0].equal(both[:, 2])
    assert not one[0].equal(one[1])
    assert not one.equal(noise(["b"], seed=4))


def test_padding_is_not_taken_for_text_by_the_repetition_penalty():
    import torch

    mask = torch.tensor([[0, 0, 1], [1, 1, 1]])
    ids = torch.tensor([[7, 7, 2, 4], [7, 1, 2, 4]])
    step = logits_processors(GenerationConfig(temperature=0.0, repetition_penalty=2.0), ["a", "b"], mask)[0]
    scores = step(ids, torch.ones(2, 9))
    assert [(row < 1).nonzero().flatten().tolist() for row in scores] == [[2, 4], [1, 2, 4, 7]]


def test_dora_answers_in_turn_and_says_so(tiny_config):
    run = trained(tiny_config, **{"lora.dora": True})
    made = compare(run, PROMPTS)
    assert "DoRA" in made.notes[0].text()
    assert made.proof.verified, made.proof
    assert all(before != after for before, after in ids(made))
    assert ids(made) == [ids(compare(run, prompt))[0] for prompt in PROMPTS]
    plain = trained(tiny_config)
    mixed = compare(plain, PROMPTS, columns=[BASE, ADAPTED, Column("adapter", run.id)])
    assert [[row[0], row[2]] for row in ids(mixed)] == ids(made)
    assert [row[1] for row in ids(mixed)] == [row[1] for row in ids(compare(plain, PROMPTS))]


def test_times_and_ends_are_told(run):
    side = compare(run, "What is 3?", GREEDY.model_copy(update={"max_new_tokens": 3})).answers[0][1]
    assert (side.tokens, side.end) == (3, "length")
    assert 0 < side.first_seconds < side.seconds
    assert side.tokens_a_second > 0


def test_a_run_without_result_is_compared_by_its_last_checkpoint_and_says_so(run):
    expected = ids(compare(run, "hi"))
    shutil.rmtree(run.adapter)
    made = compare(run, "hi")
    assert ids(made) == expected
    assert "step 20" in made.notes[0].text()


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (Column("adapter", "step-000011"), "no checkpoint at step 11"),
        (Column("adapter", "20260101-000000-none-0000"), "no run called"),
        (Column("adapter", "/no/such/folder"), "adapter_config.json"),
    ],
)
def test_an_adapter_that_is_not_there_is_named(run, column, said):
    with pytest.raises(Exception, match=said):
        compare(run, "hi", columns=[BASE, column])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"init_lora_weights": "pissa"}, "more than add"),
        ({"modules_to_save": ["lm_head"]}, "more than add"),
        ({"peft_type": "IA3"}, "more than add"),
        ({"r": 8}, "contradict each other"),
        ({"target_modules": ["no_such_module"]}, "contradict each other"),
    ],
)
def test_an_adapter_that_cannot_be_used_is_refused_and_leaves_the_base_alone(run, tmp_path, changes, said):
    folder = tmp_path / "outside"
    shutil.copytree(run.adapter, folder)
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | changes))
    for first in (Column("adapter", str(folder)), ADAPTED):
        gpu.thread()._host.remove_adapter()
        with pytest.raises(CompareError, match=said):
            compare(run, "hi", columns=[first, Column("adapter", str(folder))])
        assert compare(run, "hi").proof.verified


def test_pickled_weights_are_refused(run, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(run.adapter, folder)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(CompareError, match="safetensors"):
        compare(run, "hi", columns=[BASE, Column("adapter", str(folder))])


def test_an_adapter_of_another_base_is_refused_also_from_outside(run, tmp_path):
    folder = tmp_path / "outside"
    shutil.copytree(run.adapter, folder)
    (folder / "restyle.json").unlink()
    assert compare(run, "hi", columns=[BASE, Column("adapter", str(folder))]).proof.base_is_untouched
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": "someone/else"}))
    with pytest.raises(CompareError, match="someone/else"):
        compare(run, "hi", columns=[BASE, Column("adapter", str(folder))])


def test_what_cannot_be_compared_is_refused_before_anything_is_loaded():
    with pytest.raises(CompareError, match="200 %"):
        Column(strength=2.0)
    with pytest.raises(CompareError, match="pairs"):
        Column(shots=SHOTS[:1])
    for columns in ((), (BASE,) * 5):
        with pytest.raises(CompareError, match="one to 4"):
            CompareRequest("run", ("hi",), GREEDY, columns)
    with pytest.raises(CompareError, match="no prompt"):
        CompareRequest("run", (), GREEDY)
    with pytest.raises(CompareError, match="earlier"):
        CompareRequest("run", ("hi",), GREEDY, earlier=("before",))


def test_a_prompt_that_leaves_no_room_is_refused(run):
    with pytest.raises(CompareError, match="no room"):
        compare(run, "x" * 1100)


def test_columns_are_named_on_the_command_line():
    assert parse_column("base") == BASE
    assert parse_column("now") == ADAPTED
    assert parse_column("100") == parse_column("step-000100") == Column("adapter", "step-000100")
    assert parse_column("now", 0.5).title("en") == "Adapter of this run at 50 %"
    assert parse_column("100").title("ko") == "100스텝 체크포인트"


def test_a_checkpoint_is_a_column_where_its_run_has_not_recorded_a_base(home, tiny_config):
    run = runs.create(tiny_config)
    checkpoints.write(run.path, 4, lambda folder: (folder / "optimizer.pt").write_bytes(b"x"))
    source = column_loading.find_adapter(run, Column("adapter", "now"), None)
    assert source.folder == checkpoints.newest_complete(run.path)
    assert source.made_for is None
    assert style_store.measured_at(run, Column("adapter", "now")) is None
