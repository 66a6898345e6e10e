"""A fresh process says what an export says, and what is wrong is found."""

import json
import shutil

import pytest
from exporting import two_columns, without_chat_template
from following import trained

from studio import gpu
from studio.errors import ExportError
from studio.export import adapter
from studio.export.export_context import load_context
from studio.export.request import ExportRequest
from studio.export.verify import reference_answers, verification
from studio.export.verify.checks import verify, without_stop_token
from studio.export.verify.verification import Answer, EvalPrompt, ModelAnswers, compare_answers
from studio.model.adapter import ModelHost

pytestmark = pytest.mark.usefixtures("warm_python")


def checked(run, kind, **settings):
    made = gpu.thread().export(ExportRequest(run.id, kind, verify=True, **settings)).result()
    assert made.verification == verification.read(made.folder)
    return made.verification


@pytest.mark.parametrize(
    "settings",
    [
        {},
        pytest.param({"lora.dora": True, "lora.rslora": True}, marks=pytest.mark.slow),
        pytest.param({"model.quantization": "nf4"}, marks=pytest.mark.slow),
    ],
)
def test_the_adapter_answers_token_for_token_as_the_run(tiny_config, settings):
    found = checked(trained(tiny_config, **settings), "adapter")
    assert found.passed
    assert (found.agreement.equal, found.agreement.questions) == (8, 8)
    assert found.prompts == (3, 3)
    assert found.rows == "trained"
    before, after = found.agreement.perplexity
    assert before == pytest.approx(after, rel=1e-4)
    assert [sentence.text("ko") for sentence in found.sentences()]


@pytest.mark.parametrize("kind", ["adapter", "merged", "example"])
def test_an_export_has_the_adapter_at_the_strength_that_was_chosen(tiny_config, kind):
    run = trained(tiny_config, **{"train.max_steps": 4, "train.learning_rate": 0.05})
    assert checked(run, kind, strength=0.5).passed
    folder = run.path / "exports" / kind
    assert json.loads((folder / "restyle.json").read_text())["strength"] == 0.5
    if kind == "adapter":
        trained_alpha = json.loads((run.adapter / "adapter_config.json").read_text())["lora_alpha"]
        assert json.loads((folder / "adapter_config.json").read_text())["lora_alpha"] == trained_alpha / 2
        assert "50 %" in (folder / "README.md").read_text(encoding="utf-8")
        weaker = load_context(run, strength=0.01)
        adapter.write_weights(folder, weaker)  # as if it were that of another strength
        assert not verify(weaker, folder, ModelHost(), lambda phase, share: None).passed


def test_a_script_has_no_strength(finished_run):
    with pytest.raises(ExportError, match="strength"):
        gpu.thread().export(ExportRequest(finished_run.id, "script", strength=0.5)).result()


def test_the_merged_model_answers_as_the_adapter_on_the_same_base(tiny_config, tmp_path):
    settings = {"data.validation": {"kind": "fraction", "fraction": 0.25}}
    run = trained(tiny_config, **without_chat_template(tmp_path / "base") | settings)
    found = checked(run, "merged")
    assert found.passed
    assert found.precision == "bfloat16"
    assert found.rows == "held_out"
    assert found.agreement.questions == 6
    assert found.distance is None
    before, after = found.agreement.perplexity
    assert before == pytest.approx(after, rel=0.05)


@pytest.mark.slow
def test_the_distance_from_a_quantized_run_to_its_merged_model_is_shown(tiny_config):
    found = checked(trained(tiny_config, **{"model.quantization": "nf4"}), "merged", precision="float32")
    assert found.passed
    assert found.trained_as == "nf4"
    assert found.distance.questions == 8
    before, after = found.distance.perplexity
    assert before != after
    assert "nf4" in " ".join(sentence.text() for sentence in found.sentences())


def spoiled(run, tmp_path, spoil):
    folder = adapter.export(load_context(run), tmp_path / "mine")
    spoil(folder)
    return verify(load_context(run), folder, ModelHost(), lambda phase, share: None)


def test_another_adapter_is_found(tiny_config, tmp_path):
    other = trained(tiny_config, **{"train.seed": 7, "train.learning_rate": 5e-2})
    run = trained(tiny_config)
    weights = "adapter_model.safetensors"
    found = spoiled(run, tmp_path, lambda folder: shutil.copy(other.adapter / weights, folder / weights))
    assert not found.passed
    assert found.agreement.equal < 8


@pytest.mark.slow
def test_another_template_is_found(tiny_config, tmp_path):
    def spoil(folder):
        path = folder / "chat_template.jinja"
        path.write_text(path.read_text(encoding="utf-8").replace("assistant", "bot"), encoding="utf-8")

    found = spoiled(trained(tiny_config), tmp_path, spoil)
    assert not found.passed
    assert found.agreement.holds
    assert found.prompts == (0, 3)


@pytest.mark.slow
def test_an_adapter_that_cannot_be_loaded_is_told_with_the_reason(tiny_config, tmp_path):
    def spoil(folder):
        (folder / "adapter_model.safetensors").write_bytes(b"nothing")

    with pytest.raises(ExportError) as raised:
        spoiled(trained(tiny_config), tmp_path, spoil)
    assert raised.value.key == "export.does_not_load"
    assert "header" in str(raised.value).lower() or "safetensor" in str(raised.value).lower()


def test_answers_that_part_at_a_tie_are_rounding_and_others_are_not():
    rows = [EvalPrompt((1,), (5, 6))] * 3
    first = ModelAnswers(
        (Answer((5, 6), (9, 9), (3.0, 3.0)), Answer((5, 6), (9, 7), (3.0, 0.1)), Answer((5, 6), (9, 8), (3.0, 2.0))),
        (2.0, 2.0, 2.0),
    )
    second = ModelAnswers((Answer((5, 6)), Answer((5, 7)), Answer((5, 8))), (2.0, 2.0, 2.0))
    found = compare_answers(first, second, rows, tolerance=0.2)
    assert (found.equal, found.near, found.gap) == (1, 1, 2.0)
    assert not found.holds
    assert found.tokens == pytest.approx(4 / 6)
    assert found.perplexity == pytest.approx((2.718282, 2.718282))


def test_the_token_that_ends_an_answer_is_not_compared_where_llama_cpp_may_not_tell_it():
    ended = without_stop_token(Answer((5, 6, 1), (9, 9, 7), (3.0, 3.0, 0.1)), (1, 2))
    assert ended.ids == (5, 6)
    assert without_stop_token(Answer((5, 6)), (1, 2)).ids == (5, 6)
    longer = Answer((5, 6, 7))
    found = compare_answers(ModelAnswers((ended,)), ModelAnswers((longer,)), [EvalPrompt((1,))], tolerance=0.2)
    assert (found.equal, found.near, found.gap) == (0, 1, 0.1)


def test_the_questions_are_the_prompts_of_the_rows(tiny_config):
    found = load_context(trained(tiny_config))
    rows, where = reference_answers.prompts_with_references(found, 12)
    assert where == "trained"
    text = found.tokenizer.decode(list(rows[0].ids))
    assert text.endswith("<|im_start|>assistant\n")
    assert found.tokenizer.decode(list(rows[0].reference)).startswith("Aye")


@pytest.mark.slow
def test_a_template_of_more_columns_is_not_tried_on_a_question(tiny_config, tmp_path):
    run = trained(tiny_config, **two_columns(tmp_path))
    found = checked(run, "adapter")
    assert found.passed
    assert found.prompts is None
