"""Several adapters mixed into one column: what they add up to, what cannot be mixed, and the base beside them."""

import json

import pytest
from asking import PROMPTS, compare, ids
from following import trained
from tiny import make_tiny_model

from studio.compare import mixes
from studio.compare.columns import ADAPTED, BASE, Column, parse_column
from studio.errors import CompareError, RunError
from studio.model import adapter_files, adapter_mix

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def run(tiny_config):
    return trained(tiny_config)


@pytest.fixture
def other(tiny_config, run):
    """An adapter of the same base with another rank, other modules and layers, and rsLoRA."""
    more = {"lora.r": 2, "lora.alpha": 8, "lora.rslora": True, "lora.target_modules": ["q_proj", "down_proj"]}
    return trained(tiny_config, **more, **{"lora.layers": "upper-half", "train.seed": 7, "train.learning_rate": 0.03})


def mix_of(*parts, combination="cat"):
    named = ",".join(f"{getattr(run, 'id', run)}={weight}" for run, weight in parts)
    return parse_column(f"mix:{named}@{combination}")


def added(folder):
    """Return what an adapter adds to each module, as PEFT would: B·A times its scaling."""
    from safetensors.torch import load_file

    saved, weights = adapter_files.read(folder), load_file(folder / adapter_files.WEIGHTS)
    settings = saved.settings
    deltas = {}
    for path, shape in saved.modules.items():
        first, second = (weights[f"base_model.model.{path}.lora_{side}.weight"].double() for side in "AB")
        scaling = settings["lora_alpha"] / (shape.rank**0.5 if settings.get("use_rslora") else shape.rank)
        deltas[path] = second @ first * scaling
    return deltas


@pytest.mark.parametrize(
    ("named", "mix"),
    [
        ("mix:a=0.7,b=0.3@cat", mixes.Mix((("a", 0.7), ("b", 0.3)), "cat")),
        ("mix:a=1,b=0", mixes.Mix((("a", 1.0), ("b", 0.0)), "cat")),
        ("mix:now=1,20=1@ties:0.2", mixes.Mix((("now", 1.0), ("step-000020", 1.0)), "ties", 0.2)),
        ("mix:me/a@main=1,/x, y/=z=0.5@svd", mixes.Mix((("me/a@main", 1.0), ("/x, y/=z", 0.5)), "svd")),
        ("mix:me/a@main=1,b=0.5", mixes.Mix((("me/a@main", 1.0), ("b", 0.5)), "cat")),
    ],
)
def test_a_mix_is_named_and_read_back(named, mix):
    assert mixes.parse(named) == mix
    assert mixes.parse(str(mix)) == mix
    assert parse_column(named).mix == mix


@pytest.mark.parametrize(
    ("named", "key"),
    [
        ("mix:", "parts"), ("mix:a", "form"), ("mix:a=x,b=1", "parts"), ("mix:a=1,b", "form"),
        ("mix:a=1", "parts"), ("mix:a=1,a=1", "parts"),
        ("mix:base=1,a=1", "form"), ("mix:a=4,b=1", "weight"), ("mix:a=-1,b=1", "weight"),
        ("mix:a=1,b=1@sum", "combination"), ("mix:a=1,b=1@ties:0", "density"), ("mix:a=1,b=1@ties:x", "density"),
        ("mix:a=1,b=1,c=1,d=1,e=1", "parts"),
    ],
)  # fmt: skip
def test_a_name_that_is_no_mix_is_refused(named, key):
    with pytest.raises(CompareError) as error:
        parse_column(named)
    assert error.value.key == f"compare.mix.{key}"
    with pytest.raises(CompareError):
        Column(adapter=named)


def test_cat_is_the_sum_of_what_both_add_whatever_their_ranks_and_modules(run, other, here, tmp_path):
    folder = tmp_path / "mixed"
    made = here("mix", run.id, str(mix_of((run, 0.7), (other, 0.4)).adapter), "--out", str(folder))
    assert made.returncode == 0, made.stderr
    one, two, both = added(run.adapter), added(other.adapter), added(folder)
    assert set(both) == set(one) | set(two)
    assert not set(one) <= set(two)
    for path, delta in both.items():
        wanted = 0.7 * one.get(path, 0) + 0.4 * two.get(path, 0)
        assert (delta - wanted).abs().max() <= 1e-6 * wanted.abs().max(), path


@pytest.mark.long
def test_a_base_in_16_bits_takes_no_precision_from_the_mix(tiny_config, here, tmp_path):
    config = tiny_config.with_settings({"model.precision": "bfloat16"})
    first, second = trained(config), trained(config, **{"train.seed": 7, "lora.r": 2})
    column, folder = mix_of((first, 0.7), (second, 0.7)), tmp_path / "mixed"
    assert here("mix", first.id, column.adapter, "--out", str(folder)).returncode == 0
    one, two, both = added(first.adapter), added(second.adapter), added(folder)
    for path, delta in both.items():
        wanted = 0.7 * one[path] + 0.7 * two[path]
        assert (delta - wanted).abs().max() <= 1e-6 * wanted.abs().max(), path
    made = compare(first, PROMPTS, columns=[BASE, column, Column(adapter=str(folder))])
    assert made.proof.base_is_untouched
    assert all(mixed == saved for _, mixed, saved in ids(made))


def test_a_weight_of_1_beside_0_is_the_adapter_itself_in_every_combination(run, other):
    for combination in adapter_mix.COMBINATIONS:
        column = mix_of((run, 1), (other, 0), combination=combination)
        assert column.parts == (Column(adapter=run.id),)
    columns = [ADAPTED, mix_of((run, 1), (other, 0), combination="ties"), mix_of((run, 0), (other, 0))]
    made = compare(run, PROMPTS, columns=[BASE, *columns])
    assert all(base == none and own == mixed for base, own, mixed, none in ids(made))
    assert made.proof.adapter_sha256[1] == made.proof.adapter_sha256[2]
    half = mix_of((run, 0.5), (other, 0))
    made = compare(run, PROMPTS, columns=[Column(adapter=run.id, strength=0.5), half])
    assert all(one == two for one, two in ids(made))


def test_the_base_beside_a_mix_is_untouched_and_every_side_is_proven(run, other):
    columns = [BASE, ADAPTED, Column(adapter=other.id), mix_of((run, 0.7), (other, 0.7))]
    made = compare(run, PROMPTS, columns=columns)
    assert made.notes == ()
    assert made.proof.verified, made.proof
    assert made.proof.base_difference == 0
    assert made.proof.template_as_trained
    assert made.proof.made_for == (None, "weights", "weights", "weights")
    assert len(set(made.proof.adapter_sha256)) == 4
    assert [row[0] for row in ids(made)] == [row[0] for row in ids(compare(run, PROMPTS, columns=[BASE]))]
    half = Column(adapter=columns[3].adapter, strength=0.5)
    weaker = mix_of((run, 0.35), (other, 0.35))
    assert all(one == two for one, two in ids(compare(run, PROMPTS, columns=[half, weaker])))


@pytest.fixture
def twin(tiny_config, run):
    return trained(tiny_config, **{"train.seed": 9, "train.learning_rate": 0.03})


@pytest.mark.parametrize("combination", adapter_mix.COMBINATIONS)
def test_every_combination_of_equal_adapters_answers_and_comes_back_the_same(run, twin, combination):
    columns = [BASE, mix_of((run, 0.6), (twin, 0.6), combination=combination)]
    made = compare(run, PROMPTS[0], columns=columns)
    assert made.proof.verified, made.proof
    compare(run, PROMPTS[0], columns=[BASE])  # another mix is no more on the device
    assert ids(compare(run, PROMPTS[0], columns=columns)) == ids(made)


@pytest.mark.long
def test_what_cannot_be_mixed_is_refused_before_anything_is_loaded(run, other, tiny_config, tmp_path):
    def refused(column):
        with pytest.raises(CompareError) as error:
            compare(run, PROMPTS[0], columns=[BASE, column])
        return error.value

    error = refused(mix_of((run, 1), (other, 1), combination="linear"))
    assert error.key == "compare.mix.ranks"
    assert "svd" in error.text()
    dora = trained(tiny_config, **{"lora.dora": True, "train.max_steps": 2})
    assert refused(mix_of((run, 1), (dora, 1))).key == "compare.mix.more"
    with pytest.raises(RunError):
        compare(run, PROMPTS[0], columns=[mix_of((run, 1), ("nobody", 1))])
    far = trained(tiny_config.with_settings({"model.id": str(make_tiny_model(tmp_path / "far", seed=5))}))
    assert refused(mix_of((run, 1), (far, 1))).key == "compare.other_base"
    assert compare(run, PROMPTS[0]).proof.verified


def test_a_saved_mix_is_loaded_by_peft_and_answers_as_the_column(run, other, here, tmp_path):
    column, folder = mix_of((run, 0.7), (other, 0.7)), tmp_path / "mixed"
    assert here("mix", run.id, column.adapter, "--out", str(folder)).returncode == 0
    made = compare(run, PROMPTS, columns=[column, Column(adapter=str(folder))])
    assert all(one == two for one, two in ids(made))
    record = json.loads((folder / "restyle.json").read_text(encoding="utf-8"))
    assert record["base"]["weights"] == run.resolved()["base"]["weights"]
    assert record["mix"]["combination"] == "cat"
    assert [part["run"] for part in record["mix"]["parts"]] == [run.id, other.id]
    assert [part["weight"] for part in record["mix"]["parts"]] == [0.7, 0.7]
    assert other.id in (folder / "README.md").read_text(encoding="utf-8")
    assert str(tmp_path) not in "".join(path.read_text("utf-8") for path in folder.glob("*.json"))
    again = here("mix", run.id, column.adapter, "--out", str(folder))
    assert again.returncode == 1
    assert "not empty" in again.stderr

    kept = here("mix", run.id, column.adapter, "--json")
    assert kept.returncode == 0, kept.stderr
    named = json.loads(kept.stdout)["column"]
    assert named.startswith("upload:")
    made = compare(run, PROMPTS, columns=[column, parse_column(named)])
    assert all(one == two for one, two in ids(made))


def test_the_command_compares_a_mix(run, other, here):
    named = f"mix:now=0.7,{other.id}=0.3@svd"
    told = here("compare", run.id, "--prompt", "What is 3?", "--against", "base", "--against", named, "--json")
    assert told.returncode == 0, told.stderr
    document = json.loads(told.stdout)
    assert document["columns"][1].startswith("Mix of")
    assert document["proof"]["verified"]
