"""The check of an example or of a Space's app runs the files that lie there, and finds what is wrong in them."""

import pytest
from exporting import two_columns
from following import trained

from studio import gpu
from studio.errors import ExportError
from studio.export.export_context import load_context
from studio.export.request import ExportRequest
from studio.export.verify import reference_answers, verification
from studio.export.verify.checks import verify
from studio.export.verify.verification import EvalPrompt
from studio.model.adapter import ModelHost

pytestmark = pytest.mark.usefixtures("warm_python")


def exported(run, kind, folder=None):
    made = gpu.thread().export(ExportRequest(run.id, kind, folder, verify=folder is None)).result()
    assert made.verification == verification.read(made.folder)
    return made


def spoiled(run, kind, tmp_path, name, before, after):
    """Export, replace words in one of the files, and check."""
    path = exported(run, kind, tmp_path / "mine").folder / name
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")
    return verify(load_context(run), tmp_path / "mine", ModelHost(), lambda phase, share: None)


@pytest.fixture(autouse=True)
def writes_bytecode(monkeypatch):
    """Let Python leave its bytecode where it may."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)


def test_the_example_answers_as_the_run(finished_run):
    made = exported(finished_run, "example")
    found = made.verification
    assert found.passed
    assert (found.kind, found.precision, found.prompts) == ("example", "float32", (4, 4))
    assert (found.agreement.equal, found.agreement.questions) == (4, 4)
    assert not list(made.folder.rglob("__pycache__"))
    assert "4 of 4 greedy answers of ask.py" in found.sentences()[0].text("en")


def test_the_app_answers_on_both_sides_as_the_run_and_shows_what_was_recorded(finished_run):
    made = exported(finished_run, "space")
    found = made.verification
    assert found.passed
    assert found.prompts == (8, 8)
    assert found.recorded == (4, 4)
    assert (found.agreement.equal, found.base.equal, found.base.questions) == (4, 4, 4)
    assert not list(made.folder.rglob("__pycache__"))
    assert len({sentence.text("ko") for sentence in found.sentences()}) == 4


@pytest.mark.parametrize(
    ("before", "after", "wrong"),
    [
        ('"content": asked[0]}', '"content": asked[0].strip("?")}', "prompts"),
        ("PeftModel.from_pretrained(model, ADAPTER)", "model", "answers"),
    ],
)
@pytest.mark.slow
def test_an_example_that_asks_or_loads_otherwise_is_found(finished_run, tmp_path, before, after, wrong):
    found = spoiled(finished_run, "example", tmp_path, "ask.py", before, after)
    assert not found.passed
    assert (found.prompts == (4, 4)) == (wrong == "answers")
    assert wrong == "prompts" or not found.agreement.holds


@pytest.mark.parametrize(
    ("name", "before", "after", "wrong"),
    [
        ("app.py", "with model.disable_adapter():", "if True:", "base"),
        ("app.py", 'return next((one["answers"] for', 'return next((["", ""] for', "recorded"),
        ("demo.json", '"system": null', '"system": "Be brief."', "prompts"),
    ],
)
@pytest.mark.slow
def test_an_app_that_is_wrong_is_found(finished_run, tmp_path, name, before, after, wrong):
    found = spoiled(finished_run, "space", tmp_path, name, before, after)
    assert not found.passed
    right = {
        "base": found.base.holds,
        "recorded": found.recorded == (4, 4),
        "prompts": found.prompts == (8, 8),
    }
    assert not right[wrong]
    if wrong != "prompts":
        assert found.agreement.holds
        assert [name for name, holds in right.items() if not holds] == [wrong]


def test_without_a_question_that_fits_nothing_is_called_verified(finished_run, tmp_path, monkeypatch):
    folder = exported(finished_run, "example", tmp_path / "mine").folder
    monkeypatch.setattr(reference_answers, "sample_prompts", lambda context: [EvalPrompt((1,) * 2000, texts=("long",))])
    with pytest.raises(ExportError) as raised:
        verify(load_context(finished_run), folder, ModelHost(), lambda phase, share: None)
    assert raised.value.key == "export.no_questions"


@pytest.mark.slow
def test_an_example_of_more_columns_is_asked_in_all_of_them(tiny_config, tmp_path):
    run = trained(tiny_config, **two_columns(tmp_path) | {"model.quantization": "nf4"})
    found = exported(run, "example").verification
    assert found.passed
    assert found.prompts == (3, 3)
    assert found.agreement.questions == 3


@pytest.mark.slow
def test_the_repetition_penalty_is_that_of_the_settings(tiny_config):
    run = trained(tiny_config, **{"generation.repetition_penalty": 1.5})
    assert exported(run, "example").verification.passed
    assert exported(run, "space").verification.passed
