"""The measures that need a model's likelihoods, on the tiny model, against the same computed the long way."""

import pytest
import torch

from studio.config import ModelConfig
from studio.generation.generate import BASE_MODEL, ModelSet
from studio.generation.held_out import HeldOutRow
from studio.model import load
from studio.style import prompt_likelihood
from studio.style.drift import score_ordinary
from studio.style.prompt_likelihood import Text

TEXTS = ([3, 4, 5, 6, 7, 8, 9], [10, 11], [12, 13, 14, 15], [20, 21, 22], [30, 31, 32, 33, 34])
CANDIDATES = ([[40, 41], [42], [43, 44, 45, 46]], [[50], [51, 52], [53]]) * 3


@pytest.fixture(scope="module")
def base(tiny_model):
    loaded = load.load(
        ModelConfig(id=str(tiny_model), precision="float32"), load.locate(ModelConfig(id=str(tiny_model)))
    )
    with torch.no_grad():
        yield ModelSet(loaded.model, loaded.tokenizer, [1], (BASE_MODEL,), False)


BEGIN = (60, 61, 62, 63)


def texts(begin=BEGIN):
    return [Text([*begin, *ids], len(begin) + 1, len(begin) + max(2, len(ids) - 1)) for ids in TEXTS]


def assert_equal(readings, others):
    for one, other in zip(readings, others, strict=True):
        assert one.candidates == pytest.approx(other.candidates, abs=1e-3)
        assert one.loss == pytest.approx(other.loss, abs=1e-3)


@pytest.fixture
def passes(base, monkeypatch):
    """The tokens of each forward pass; nothing is known of the model yet."""
    sizes, original = [], base.model.forward

    def forward(*given, input_ids, **settings):
        sizes.append(input_ids.shape[1])
        return original(*given, input_ids=input_ids, **settings)

    monkeypatch.setattr(base.model, "forward", forward)
    monkeypatch.setattr(prompt_likelihood, "_reads_trees", {})
    return sizes


@pytest.mark.parametrize("begin", [(), BEGIN], ids=["nothing in common", "a common beginning"])
def test_a_tree_gives_the_likelihoods_of_reading_all_anew(base, passes, begin):
    anew = prompt_likelihood.one_by_one(base, texts(begin), CANDIDATES[:5])
    passes.clear()
    assert_equal(prompt_likelihood.read(base, texts(begin), CANDIDATES[:5]), anew)
    assert prompt_likelihood._reads_trees == {base.model: True}
    before = len(passes)
    assert_equal(prompt_likelihood.read(base, texts(begin), CANDIDATES[:5]), anew)
    assert len(passes) - before == 1 + bool(begin)
    assert bool(prompt_likelihood._read_prefix(base, texts(begin)).length) == bool(begin)


def test_candidates_share_what_they_begin_with(base):
    tree = prompt_likelihood._tree([[40, 41, 42], [40, 41, 43], [40], [44, 41]])
    assert (tree.ids, tree.parents) == ([40, 41, 44], [-1, 0, -1])
    alike = [[[40, 41, 42], [40, 41, 43], [40, 41, 43, 44], [40], [44, 41]]] * 5
    anew = prompt_likelihood.one_by_one(base, texts(), alike)
    assert_equal(prompt_likelihood.read(base, texts(), alike), anew)


def test_a_model_that_does_not_see_what_the_mask_shows_reads_all_anew(base, passes, monkeypatch):
    anew = prompt_likelihood.one_by_one(base, texts(), CANDIDATES[:5])
    counted = base.model.forward

    def blind(*given, attention_mask, **settings):
        shown = attention_mask if attention_mask.dim() == 2 else None
        return counted(*given, attention_mask=shown, **settings)

    monkeypatch.setattr(base.model, "forward", blind)
    assert_equal(prompt_likelihood.read(base, texts(), CANDIDATES[:5]), anew)
    assert prompt_likelihood._reads_trees == {base.model: False}

    def refuse(*given):
        raise AttributeError("no cache that can be repeated")

    monkeypatch.setattr(prompt_likelihood, "_reads_trees", {})
    monkeypatch.setattr(prompt_likelihood, "_read_trees", refuse)
    assert_equal(prompt_likelihood.read(base, texts(), CANDIDATES[:5]), anew)


def test_a_model_whose_window_is_shorter_than_the_tree_reads_all_anew(base, passes, monkeypatch):
    monkeypatch.setattr(base.model.config, "sliding_window", 8, raising=False)
    anew = prompt_likelihood.one_by_one(base, texts(), CANDIDATES[:5])
    assert_equal(prompt_likelihood.read(base, texts(), CANDIDATES[:5]), anew)
    assert prompt_likelihood._reads_trees == {}


def test_a_likelihood_is_that_of_the_models_own_loss(base):
    text, candidate = TEXTS[0], CANDIDATES[0][2]
    ids = torch.tensor([[*text, *candidate]])
    labels = torch.tensor([[-100] * len(text) + candidate])
    loss = base.model(input_ids=ids, labels=labels).loss.item() * len(candidate)
    reading = prompt_likelihood.read(base, texts(()), CANDIDATES[:5])[0]
    assert reading.candidates[2] == pytest.approx(-loss, abs=1e-3)
    ids = torch.tensor([text[:-1]])
    assert reading.loss == pytest.approx(base.model(input_ids=ids, labels=ids).loss.item(), abs=1e-3)
    assert prompt_likelihood.losses(base, texts(()))[0] == pytest.approx(reading.loss, abs=1e-3)


def test_the_base_has_no_drift_from_itself_and_the_loss_is_its_own(base):
    rows = [HeldOutRow("?", "!", (3, 4, 5), (6, 7)), HeldOutRow("?", "!", (8, 9), (10, 11, 12))] * 6
    [made] = score_ordinary(base, BASE_MODEL, rows)
    assert made.divergence == (0.0,) * 12
    labels = torch.tensor([[-100] * 3 + [6, 7]])
    loss = base.model(input_ids=torch.tensor([[3, 4, 5, 6, 7]]), labels=labels).loss.item()
    assert sorted(made.losses)[0] == pytest.approx(min(loss, *made.losses), abs=1e-4)
    assert any(each == pytest.approx(loss, abs=1e-4) for each in made.losses)
