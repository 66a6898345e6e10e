"""What is suggested for a run, with its figures; and that it fits."""

import json

import pytest

from studio import presets
from studio.data import prepare
from studio.i18n import LANGUAGES
from studio.model import load
from studio.train import preflight, suggest
from studio.train.plan import MEMORY_SHARE

FREE = 8e9


@pytest.fixture
def rows(tiny_config, tmp_path):
    """Make the tiny settings over a file of as many rows as asked for, with answers of some length."""

    def made(count: int, answer: str = "Aye, {n} it be.", **settings):
        path = tmp_path / f"rows-{count}.jsonl"
        lines = [{"instruction": f"What is {n}?", "output": answer.format(n=n)} for n in range(count)]
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
        plain = {"data.source.name": str(path), "train.max_steps": None, "train.learning_rate": 2e-3}
        return tiny_config.with_settings(plain | {name.replace("__", "."): v for name, v in settings.items()})

    return made


def values(advice) -> dict:
    return advice.settings()


def test_settings_that_follow_the_suggestions_call_for_none(rows):
    first = rows(300, train__warmup_steps=80, data__max_length=32, train__batch_size=64, lora__alpha=5)
    advice = suggest.suggest(first, FREE)
    assert {"data.max_length", "train.batch_size", "data.validation.kind"} <= set(values(advice))

    again = suggest.suggest(first.with_settings(values(advice)), FREE)

    assert again.suggestions == ()


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_settles_after_one_round_with_its_sample(name, tiny_model):
    config = presets.offline_sample(presets.load(name)).with_settings({"model.id": str(tiny_model)})
    advice = suggest.suggest(config, FREE)
    assert suggest.suggest(config.with_settings(values(advice)), FREE).suggestions == ()
    assert all(s.reason.text(language) for s in advice.suggestions for language in LANGUAGES)


def test_rows_that_would_be_cut_ask_for_a_longer_maximum_with_its_share(rows):
    config = rows(60, answer="Aye, {n}. " * 12, data__max_length=64)
    found = next(s for s in suggest.suggest(config, FREE).suggestions if s.path == "data.max_length")
    assert found.before == 64
    assert found.value == 192
    assert "100.0% of the rows fit into 192 tokens" in found.reason.text()


def test_a_single_long_row_does_not_decide_the_length(rows, tmp_path):
    config = rows(300, data__max_length=1024)
    with open(config.data.source.name, "a", encoding="utf-8") as file:
        file.write(json.dumps({"instruction": "What is sea?", "output": "water " * 140}) + "\n")
    assert values(suggest.suggest(config, FREE))["data.max_length"] == 64


def test_what_is_suggested_fits_where_what_was_asked_for_does_not(rows):
    config = rows(300, answer="Aye, {n}. " * 40, data__max_length=512, train__batch_size=16, lora__r=16)
    planned = preflight.check(config.with_settings({"train.batch_split": "off"}), FREE).plan
    tight = planned.memory.libraries + (planned.memory.total - planned.memory.libraries) / 2
    assert not preflight.check(config.with_settings({"train.batch_split": "off"}), tight).plan.fits

    advice = suggest.suggest(config, tight)

    taken = config.with_settings({**values(advice), "train.batch_split": "off"})
    fitting = preflight.check(taken, tight).plan
    assert fitting.memory.total <= MEMORY_SHARE * tight
    assert values(advice)["train.batch_size"] < 16


def test_a_base_that_does_not_fit_is_quantized_and_one_that_does_is_not(rows):
    config = rows(60, answer="Aye, {n}. " * 4)
    smallest = {"train.batch_size": 1, "train.batch_split": "off", "train.gradient_checkpointing": "on"}
    needed = preflight.check(config.with_settings(smallest), FREE).plan.memory.total
    tight = suggest.suggest(config, needed)
    assert values(tight)["model.quantization"] == "nf4"
    assert "in 4 bit about" in next(s for s in tight.suggestions if s.path == "model.quantization").reason.text()

    roomy = suggest.suggest(config.with_settings({"model.quantization": "nf4"}), FREE)
    assert values(roomy)["model.quantization"] == "none"


def test_too_little_memory_for_anything_is_said(rows):
    advice = suggest.suggest(rows(60), 1e6)
    assert any("choose a smaller model" in warning.text() for warning in advice.warnings)


def test_few_rows_are_seen_oftener_and_many_less(rows):
    assert "train.epochs" not in values(suggest.suggest(rows(300), FREE))
    assert values(suggest.suggest(rows(24, train__epochs=1.0), FREE))["train.epochs"] == 10.0
    assert values(suggest.suggest(rows(300, train__epochs=40.0), FREE))["train.epochs"] == 3.0


def test_a_number_of_steps_that_means_many_passes_gives_way_to_epochs(rows):
    advice = suggest.suggest(rows(300, train__max_steps=50_000, train__epochs=9.0), FREE)
    found = values(advice)
    assert found["train.max_steps"] is None
    assert found["train.epochs"] == 3.0
    assert all("e+" not in one.reason.text() for one in advice.suggestions)


def test_validation_rows_bring_their_cadence_and_the_best_checkpoint(rows):
    found = values(suggest.suggest(rows(300, train__eval_steps=500), FREE))
    assert found["data.validation.kind"] == "fraction"
    assert found["train.keep"] == "best"
    assert found["train.eval_steps"] == 20
    few = values(suggest.suggest(rows(24), FREE))
    assert "data.validation.kind" not in few
    assert "train.keep" not in few


@pytest.mark.parametrize(
    ("model_type", "width", "rate"),
    [("llama", 2048, 5e-4), ("llama", 4096, 3e-4), ("qwen2", 3584, 5e-4), ("gemma2", 2304, 4e-4)],
)
def test_the_learning_rate_follows_the_width_and_the_family(rows, model_type, width, rate):
    config = rows(600, train__learning_rate=1e-6, train__batch_size=4)
    report, located = prepare.inspect(config), load.locate(config.model)

    draft = suggest._Draft(config, report, located, (FREE,))
    draft.architecture = {"model_type": model_type, "hidden_size": width}
    suggest._learning_rate(draft)
    assert draft.steps >= 100
    assert draft.config.train.learning_rate == rate


def test_a_rate_near_the_rule_stays(rows):
    assert "train.learning_rate" not in values(suggest.suggest(rows(300, train__learning_rate=1.5e-3), FREE))
    assert "train.learning_rate" in values(suggest.suggest(rows(300, train__learning_rate=1e-5), FREE))


def test_a_precision_that_this_device_is_slow_in_gives_way(rows, monkeypatch):
    monkeypatch.setattr(suggest.hardware, "_native_bfloat16", lambda: False)
    found = suggest.suggest(rows(60, model__precision="bfloat16"), FREE).suggestions
    assert next(s for s in found if s.path == "model.precision").reason.key == "choice.precision.cpu_float32"


def test_without_the_model_only_the_rows_speak(rows):
    advice = suggest.suggest(rows(300, model__id="nobody/nothing", train__epochs=40.0), FREE)
    assert values(advice)["train.epochs"] == 3.0
    assert not {"data.max_length", "train.learning_rate", "model.quantization"} & set(values(advice))
    assert "nobody/nothing is not on this machine" in advice.warnings[0].text()


def test_korean_rows_are_recognized(rows):
    korean = suggest.suggest(rows(60, answer="그렇지, {n}일세. 바다가 그리 말하는구먼."), FREE)
    english = suggest.suggest(rows(60), FREE)
    assert "suggest.read.korean" in [told.key for told in korean.read]
    assert "suggest.read.korean" not in [told.key for told in english.read]
