"""An adapter is put into the base that it was made for, and into no other."""

from pathlib import Path

import outside
import pytest
from tiny import make_tiny_model

from studio.config import ModelConfig
from studio.errors import CompareError
from studio.model import adapter_files, builtin, compatibility, load
from studio.model.load import Located

COMMIT, OTHER_COMMIT = "a" * 40, "b" * 40


def named(name, revision=None, weights=None):
    return {"id": name, "revision": revision, "weights": weights}


HUB = named("owner/Tiny-1B", COMMIT, "hash")
FOLDER = named("/models/Tiny-1B", None, "hash")


@pytest.mark.parametrize(
    ("made_for", "base", "known"),
    [
        (named("anything", None, "hash"), HUB, "weights"),
        (named("owner/Tiny-1B", COMMIT, "another"), HUB, None),  # the hash counts, not the name
        (named("owner/Tiny-1B"), HUB, "name"),
        (named("owner/tiny-1b"), HUB, "name"),
        (named("owner/Tiny-1B", COMMIT), HUB, "name"),
        (named("owner/Tiny-1B", "main"), HUB, "name"),
        (named("owner/Tiny-1B", OTHER_COMMIT), HUB, "shapes"),
        (named("someone/Tiny-1B"), HUB, None),
        (named("owner/Tiny-7B"), HUB, None),
        (named(f"/c/models--owner--Tiny-1B/snapshots/{COMMIT}"), HUB, "name"),
        (named(f"/c/models--owner--Tiny-1B/snapshots/{OTHER_COMMIT}"), HUB, "shapes"),
        (named(f"/c/models--owner--Tiny-7B/snapshots/{COMMIT}"), HUB, None),
        (named("/home/bob/base"), HUB, "shapes"),
        (named("C:\\models\\base"), HUB, "shapes"),
        (named(""), HUB, "shapes"),
        (named("/models/Tiny-1B"), FOLDER, "name"),
        (named("/models/../models/Tiny-1B"), FOLDER, "name"),
        (named("/mnt/Tiny-1B/"), FOLDER, "shapes"),
        (named("owner/tiny-1b"), FOLDER, "shapes"),
        (named("owner/other"), FOLDER, None),
        (named("unsloth/Tiny-1B"), HUB, "shapes"),
        (named("unsloth/tiny-1b-bnb-4bit"), HUB, "shapes"),
        (named("unsloth/Tiny-1B-unsloth-bnb-4bit"), HUB, "shapes"),
        (named("someone/Tiny-1B-GPTQ-Int4"), HUB, "shapes"),
        (named("someone/Tiny-1B-AWQ"), HUB, "shapes"),
        (named("someone/Tiny-1B-4bit"), HUB, "shapes"),
        (named("owner/Tiny-1B"), named("unsloth/Tiny-1B-bnb-4bit", COMMIT, "hash"), "shapes"),
        (named("unsloth/Tiny-7B-bnb-4bit"), HUB, None),
        (named("someone/Tiny-1B-4bit-chat"), HUB, None),
        (named("someone/AWQ"), HUB, None),
        (named("unsloth/Whatever-bnb-4bit"), FOLDER, "shapes"),  # a folder has the name that somebody gave it
        (named(builtin.HUB_ID), named(builtin.HUB_ID, builtin.HUB_ID, "hash"), "name"),
        (named(builtin.HUB_ID), named(builtin.HUB_ID, builtin.PACKAGE, "hash"), "shapes"),  # 4-bit weights, same name
    ],
)
def test_what_two_names_of_a_base_tell(made_for, base, known):
    assert compatibility.compare_identities(made_for, base) == known


def test_the_folder_that_a_base_is_loaded_from_names_it_whatever_its_id(tmp_path):
    (tmp_path / "folder").mkdir()
    packaged = named(builtin.HUB_ID, builtin.PACKAGE, "hash")
    assert (
        compatibility.compare_identities(named(f"{tmp_path}/../{tmp_path.name}/folder"), packaged, tmp_path / "folder")
        == "name"
    )
    assert compatibility.compare_identities(named(f"{tmp_path}/another"), packaged, tmp_path / "folder") == "shapes"


@pytest.fixture
def located(tiny_model):
    return load.locate(ModelConfig(id=str(tiny_model)))


def judged(folder, located):
    return compatibility.check(adapter_files.read(folder), located)


def test_a_path_of_another_machine_is_judged_by_the_shapes(tmp_path, tiny_model, located):
    found = judged(outside.make(tmp_path / "made", tiny_model, "/home/bob/base"), located)
    assert (found.known, found.made_for) == ("shapes", "/home/bob/base")


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"hidden_size": 64}, "64 × 32"),
        ({"num_hidden_layers": 3}, "does not have"),
        ({"num_key_value_heads": 4}, "32 × 32"),
    ],
    ids=["width", "depth", "heads"],
)
def test_another_width_or_depth_is_refused_with_both_names_and_nothing_is_loaded(
    tmp_path, located, shape, said, monkeypatch
):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    other = make_tiny_model(tmp_path / "other", seed=1)
    LlamaForCausalLM(LlamaConfig.from_pretrained(other, **shape)).save_pretrained(other)
    folder = outside.make(tmp_path / "made", other, "/home/bob/base")
    monkeypatch.setattr(torch.Tensor, "copy_", lambda *given: pytest.fail("weights were loaded"))
    with pytest.raises(CompareError, match=said) as caught:
        judged(folder, located)
    for language in ("en", "ko"):
        words = caught.value.message.text(language)
        assert "/home/bob/base" in words
        assert located.id in words


def test_the_same_shape_under_another_hub_id_is_refused_with_both_names(tmp_path, tiny_model):
    located = Located("owner/tiny", tiny_model, COMMIT)
    with pytest.raises(CompareError, match=r"someone/tiny.*owner/tiny"):
        judged(outside.make(tmp_path / "made", tiny_model, "someone/tiny"), located)


def test_embeddings_and_every_linear_module_fit(tmp_path, tiny_model, located):
    folder = outside.make(tmp_path / "made", tiny_model, str(tiny_model), target_modules="all-linear")
    assert judged(folder, located).known == "name"
    assert len(adapter_files.read(Path(folder)).modules) == 14


@pytest.fixture
def mirror(tmp_path, tiny_model):
    """An adapter that names a fork of the tiny model."""
    return adapter_files.read(outside.make(tmp_path / "made", tiny_model, "someone/fork-of-tiny"))


def located_at(model):
    return load.locate(ModelConfig(id=str(model)))


def test_another_name_is_refused_until_the_user_vouches_for_it_and_the_shapes_are_checked(mirror, tiny_model, tmp_path):
    with pytest.raises(CompareError, match="--same-base") as caught:
        compatibility.check(mirror, located_at(tiny_model))
    assert caught.value.key == "compare.other_name"
    assert compatibility.check(mirror, located_at(tiny_model), same_base=True).known == "vouched"
    wide = make_wide(tmp_path / "wide")
    with pytest.raises(CompareError, match="it is for 32"):
        compatibility.check(mirror, located_at(wide), same_base=True)


def make_wide(folder):
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=300, **sizes)).save_pretrained(folder)
    return folder


def test_what_is_vouched_for_is_remembered_for_that_base_and_can_be_taken_back(mirror, tiny_model, tmp_path):
    located, other = located_at(tiny_model), located_at(make_tiny_model(tmp_path / "other", seed=3))
    compatibility.confirm("Someone/Fork-of-Tiny", located.identity)
    assert compatibility.check(mirror, located).known == "vouched"
    with pytest.raises(CompareError):
        compatibility.check(mirror, other)
    compatibility.confirm("someone/fork-of-tiny", located.identity, same=False)
    with pytest.raises(CompareError):
        compatibility.check(mirror, located)


def test_nobody_vouches_against_the_hash_of_the_weights(mirror, tiny_model):
    made_for = named("someone/tiny", None, "another")
    with pytest.raises(CompareError) as caught:
        compatibility.check(mirror, located_at(tiny_model), made_for, same_base=True)
    assert caught.value.key == "compare.other_base"
