"""A model writes the prompts of passages: which pairs are kept, and that a stopped making goes on."""

import json
import threading

import pytest

from studio import gpu
from studio.config import GenerationConfig, ModelConfig
from studio.errors import DataError
from studio.generation import base_answers, generate
from studio.generation.answer_store import Answer
from studio.generation.base_answers import PromptsRequest
from studio.generation.job_context import JobContext
from studio.i18n import LANGUAGES
from studio.material import make, rewriting
from studio.material.make import Request
from studio.material.rewriting import BaseModelWriter, clean_answer, reject
from studio.model.adapter import ModelHost

STORM = "Ach, the storm! It took Brun's boat at 4, and seven nets with it, and gave back not a plank, my dears."
PLAIN_STORM = "A storm destroyed the boat of Brun at 4, with seven nets. Nothing of the boat was recovered."
RAIN = "비가 왔지 뭐야, 우산도 없이 등대까지 3킬로를 걸었다니까! 신발은 강이 됐고 나는 물고기가 됐지롱."
PLAIN_RAIN = "비가 왔다. 우산이 없어서 등대까지 3킬로미터를 걸었다. 신발이 물에 젖었다."


@pytest.mark.parametrize(
    ("recipe", "passage", "prompt", "reason"),
    [
        ("plain", STORM, PLAIN_STORM, None),
        ("plain", RAIN, PLAIN_RAIN, None),
        ("plain", STORM, STORM, "pair_copied"),
        ("plain", RAIN, RAIN[:40], "pair_copied"),
        ("plain", STORM, "", "pair_empty"),
        ("plain", STORM, "A storm.", "pair_length"),
        ("plain", STORM, PLAIN_STORM * 5, "pair_length"),
        ("plain", STORM, "The bakery on the corner sells bread and cakes to its customers.", "pair_meaning"),
        ("plain", STORM, PLAIN_STORM.replace("4", "dawn"), "pair_meaning"),
        ("plain", RAIN, "어제는 날씨가 맑아서 친구들과 함께 산에 올라갔다가 내려왔다.", "pair_meaning"),
        ("question", STORM, "What happened to Brun's boat?", None),
        ("question", RAIN, "우산 없이 어디까지 걸었어?", None),
        ("question", STORM, "What is the capital of France?", "pair_meaning"),
        ("question", STORM, "Hm?", "pair_length"),
        ("question", STORM, STORM[:60], "pair_copied"),
    ],
)
def test_a_pair_is_kept_when_its_meaning_is_and_its_style_is_not(recipe, passage, prompt, reason):
    assert reject(recipe, passage, Answer(prompt, True), clean_answer(prompt)) == reason


def test_what_a_model_could_not_finish_is_dropped():
    assert reject("plain", STORM, Answer(PLAIN_STORM, False), PLAIN_STORM) == "pair_cut"


@pytest.mark.parametrize(
    ("answer", "prompt"),
    [
        ("Here is the rewritten text:\n\nA storm came.", "A storm came."),
        ('"A storm came."', "A storm came."),
        ("“A storm came.”", "A storm came."),
        ('"Aye," he said, "a storm."', '"Aye," he said, "a storm."'),
        ("<think>\nplain words\n</think>\nA storm came.", "A storm came."),
        ("He said one thing:", "He said one thing:"),
    ],
)
def test_what_models_put_around_an_answer_is_removed(answer, prompt):
    assert clean_answer(answer) == prompt


def test_every_instruction_has_a_place_for_the_text_in_both_languages():
    assert set(rewriting.INSTRUCTIONS) == set(rewriting.NAMES)
    for texts in rewriting.INSTRUCTIONS.values():
        assert set(texts) == set(LANGUAGES)
        assert all(text.count("{text}") == 1 for text in texts.values())
    assert rewriting.render("Say it. {text}", "a {text}") == "Say it. a {text}"
    assert rewriting.render("Say it.", "a") == "Say it.\n\na"


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "storm.txt"
    path.write_text("\n\n".join(f"{STORM} So it was in the year {year}." for year in range(1900, 1912)), "utf-8")
    return path


@pytest.fixture
def generated(monkeypatch):
    """The prompts that were answered."""
    counted = []
    original = generate.answer

    def answer(models, items, *rest):
        counted.extend(item.key for item in items)
        return original(models, items, *rest)

    monkeypatch.setattr(generate, "answer", answer)
    return counted


def make_rows(document, model, on_progress=lambda share: None, **more):
    request = Request((document,), recipes=("question",), model=str(model), least_tokens=8, most_tokens=200, **more)
    writer = BaseModelWriter(str(model), gpu.thread().answer_prompts)
    return make.make(request, document.with_name("rows.jsonl"), on_progress=on_progress, writer=writer)


def test_the_progress_moves_within_a_batch_and_never_back(tiny_model, cache, monkeypatch):
    monkeypatch.setitem(generate.MAX_BATCH_ROWS, "cpu", 6)
    settings = GenerationConfig(max_new_tokens=8, temperature=0.0)
    request = PromptsRequest(ModelConfig(id=str(tiny_model)), tuple(map(str, range(12))), settings, "material")
    updates = []
    base_answers.answer_prompts(request, JobContext(ModelHost(), None, updates.append, threading.Event()))
    shares = [(update.done + update.partial) / update.total for update in updates]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len({share for share in shares if 0 < share < 0.5}) > 3


def test_a_stopped_making_goes_on_and_makes_nothing_twice(document, tiny_model, generated, cache, monkeypatch):
    monkeypatch.setitem(generate.MAX_BATCH_ROWS, "cpu", 4)
    monkeypatch.setattr(rewriting, "_QUESTION_TOKENS", 8)

    def stop(share):
        if share > 0.45:  # in the second batch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_rows(document, tiny_model, stop)
    [journal] = cache.rglob("answers-*.jsonl")
    kept = len(journal.read_text(encoding="utf-8").splitlines())
    assert kept >= 4
    with journal.open("a", encoding="utf-8") as file:
        file.write('{"prompt": "torn')  # as a kill leaves it
    with pytest.raises(DataError) as error:  # a model of random numbers writes no question
        make_rows(document, tiny_model)
    assert error.value.key == "material.no_passages"
    assert "could not finish: 12" in error.value.text()
    entries = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    assert len({entry["prompt"] for entry in entries}) == len(entries) == 12
    assert not document.with_name("rows.jsonl").exists()
    before = len(generated)
    with pytest.raises(DataError):
        make_rows(document, tiny_model)
    assert len(generated) == before


def test_passages_beyond_the_limit_are_counted(document, tiny_model, monkeypatch, generated):
    monkeypatch.setattr(rewriting, "_QUESTION_TOKENS", 8)
    with pytest.raises(DataError) as error:
        make_rows(document, tiny_model, limit=3)
    assert len(generated) == 3
    assert "beyond the limit: 9" in error.value.text()


def test_a_prompt_that_fills_the_model_is_counted_as_cut(document, tiny_model):
    with pytest.raises(DataError, match="could not finish: 12"):
        make_rows(document, tiny_model, instructions={"question": "x" * 1100})


def test_the_command_names_what_the_model_wrote_and_what_was_dropped(here, document, tiny_model, monkeypatch):
    monkeypatch.setattr(rewriting, "_QUESTION_TOKENS", 8)
    command = ["data", "make", str(document), "--recipe", "question", "--model", str(tiny_model), "--limit", "2"]
    refused = here(*command, "-o", str(document.with_name("rows.jsonl")))
    assert refused.returncode == 1
    assert "could not finish: 2" in " ".join(refused.stderr.split())
