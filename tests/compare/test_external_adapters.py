"""Adapters from outside beside the run's own: they answer, and the proof says loudly what is not known of them."""

import shutil

import outside
import pytest
from asking import PROMPTS, compare, ids
from following import trained
from tiny import TEMPLATES, make_tiny_model

from studio import gpu
from studio.compare import comparison
from studio.compare import comparison_history as saved_comparisons
from studio.compare import external_adapters as arriving
from studio.compare.columns import ADAPTED, BASE, Column
from studio.errors import CompareError
from studio.model import uploaded_adapters


@pytest.fixture
def run(tiny_config):
    return trained(tiny_config)


@pytest.fixture
def folder(tmp_path, tiny_model):
    return outside.make(tmp_path / "captain", tiny_model, str(tiny_model))


def beside(run, named):
    return compare(run, PROMPTS, columns=[BASE, ADAPTED, Column("adapter", named)])


def alone(model, folder):
    """Answer with PEFT itself, one prompt at a time."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder if (folder / "tokenizer.json").is_file() else model)
    wrapped = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), folder).eval()
    answers = []
    for prompt in PROMPTS:
        turns = [{"role": "user", "content": prompt}]
        given = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        said = wrapped.generate(**given, do_sample=False, max_new_tokens=12)
        answers.append(said[0, given["input_ids"].shape[1] :].tolist())
    return answers


@pytest.mark.parametrize(
    "settings",
    [{}, {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 32}}, {"target_modules": r".*\.(up|down)_proj"}],
    ids=["plain", "patterns", "regular expression"],
)
def test_a_foreign_adapter_answers_as_peft_alone_would(run, tmp_path, tiny_model, settings):
    folder = outside.make(tmp_path / "made", tiny_model, str(tiny_model), **settings)
    made = beside(run, str(folder))
    wanted = alone(tiny_model, folder)
    assert [list(row[2]) for row in ids(made)] == [
        answer[: len(row[2])] for answer, row in zip(wanted, ids(made), strict=True)
    ]
    assert ids(made)[0][2] != ids(made)[0][0]
    assert made.proof.verified
    assert made.proof.made_for == (None, "weights", "name")


def test_an_upload_and_an_adapter_of_the_hub_are_columns(run, folder, hub_stand_in, tmp_path):
    hub_stand_in.add("someone/captain", folder)
    upload = arriving.make_available(str(outside.zipped(folder, tmp_path / "captain.zip")), run)
    fetched = arriving.make_available("someone/captain", run)
    columns = [Column("adapter", named) for named in (str(folder), upload, fetched)]
    made = compare(run, PROMPTS, columns=[BASE, *columns])
    assert all(one == two == three for _, one, two, three in ids(made))
    assert [column.title("en") for column in columns[1:]] == [
        f"Adapter {upload.removeprefix('upload:')} (uploaded)",
        "Adapter someone/captain (Hub)",
    ]
    assert arriving.available_columns(run) == [upload, fetched]
    uploaded_adapters.remove(upload)
    with pytest.raises(CompareError, match="no uploaded adapter"):
        beside(run, upload)
    with pytest.raises(CompareError, match="never fetched"):
        beside(run, "someone/else")


def test_an_adapter_that_only_fits_by_its_shapes_is_answered_and_not_verified(run, folder):
    outside.change(folder, base_model_name_or_path="/home/bob/base")
    proof = beside(run, str(folder)).proof
    assert proof.problems == ()
    assert proof.made_for == (None, "weights", "shapes")
    assert [left.key for left in proof.unproven] == ["compare.unproven.base"]
    assert "/home/bob/base" in proof.unproven[0].text()
    assert not proof.verified
    told = comparison.as_json(beside(run, str(folder)))["proof"]
    assert told["verified"] is False
    assert "not proven to be of this base" in str(told["unproven"][0])


def test_another_chat_template_beside_it_is_not_proven_to_be_the_one_of_training(run, folder, tiny_model):
    shutil.copy(tiny_model / "chat_template.jinja", folder)
    assert beside(run, str(folder)).proof.verified
    (folder / "chat_template.jinja").write_text(TEMPLATES["llama3"])
    made = beside(run, str(folder))
    assert [(left.key, left.values) for left in made.proof.unproven] == [("compare.unproven.template", {"number": 3})]
    assert made.proof.template_as_trained is None


def test_a_template_of_a_foreign_adapter_is_never_run(run, folder):
    (folder / "chat_template.jinja").write_text(
        "{% for a in range(10**9) %}{% for b in range(10**9) %}x{% endfor %}{% endfor %}"
    )
    assert not beside(run, str(folder)).proof.verified


def test_an_adapter_of_another_base_is_refused_before_the_base_is_loaded(run, tmp_path, monkeypatch):
    other = make_tiny_model(tmp_path / "other", seed=1)
    folder = outside.make(tmp_path / "made", other, "someone/else")
    monkeypatch.setattr("studio.model.load.load", lambda *given: pytest.fail("the base was loaded"))
    gpu.thread()._host.release()
    with pytest.raises(CompareError, match=r"someone/else.*tiny-model"):
        beside(run, str(folder))


def test_what_arrives_for_another_base_is_not_kept_and_not_offered(run, tmp_path, tiny_model, hub_stand_in):
    folder = outside.make(tmp_path / "made", tiny_model, "someone/else")
    hub_stand_in.add("someone/captain", folder)
    for named in (str(outside.zipped(folder, tmp_path / "made.zip")), "someone/captain"):
        with pytest.raises(CompareError, match="someone/else"):
            arriving.make_available(named, run)
    assert uploaded_adapters.all_uploads() == []
    assert arriving.available_columns(run) == []


def test_the_studios_own_adapter_is_known_by_its_hash_wherever_it_comes_from(run, tmp_path):
    zipped = outside.zipped(run.adapter, tmp_path / "own.zip")
    made = beside(run, arriving.make_available(str(zipped), run))
    assert made.proof.made_for[2] == "weights"
    assert all(now == again for _, now, again in ids(made))
    assert [problem.key for problem in made.proof.problems] == ["compare.wrong.same"]


def test_an_adapter_that_names_a_fork_is_compared_on_the_users_word_and_every_proof_says_so(run, folder, hub_stand_in):
    outside.change(folder, base_model_name_or_path="someone/fork")
    with pytest.raises(CompareError, match="--same-base"):
        beside(run, str(folder))
    arriving.make_available(str(folder), run, same_base=True)
    made = beside(run, str(folder))
    assert made.proof.made_for == (None, "weights", "vouched")
    assert [left.key for left in made.proof.unproven] == ["compare.unproven.vouched"]
    assert not made.proof.verified
    assert comparison.as_json(made)["proof"]["made_for"][2] == "vouched"
    hub_stand_in.add("someone/captain", folder)
    arriving.make_available("someone/captain", run)
    assert arriving.available_columns(run) == ["someone/captain"]
    arriving.make_available(str(folder), run, same_base=None)
    with pytest.raises(CompareError, match="someone/fork"):
        arriving.make_available(str(folder), run, same_base=False)
    assert arriving.available_columns(run) == []


def test_a_comparison_that_was_vouched_for_is_kept_as_such(run, folder):
    outside.change(folder, base_model_name_or_path="someone/fork")
    arriving.make_available(str(folder), run, same_base=True)
    compare(run, PROMPTS[:1], columns=[BASE, ADAPTED, Column("adapter", str(folder))])
    (kept,) = saved_comparisons.load_all(run)
    assert kept.comparison.proof.made_for[2] == "vouched"
    assert kept.comparison.proof.unproven[0].key == "compare.unproven.vouched"
