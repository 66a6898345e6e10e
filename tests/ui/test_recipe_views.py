"""What the recipe says: values as the form names them, what differs from a preset, suggestions, the search."""

import re

import pytest

from studio import presets
from studio.config import RunConfig, fields
from studio.i18n import LANGUAGES, has, message, text
from studio.model.hardware import Choice
from studio.train.suggest import Advice, Suggestion
from studio.ui import recipe_views

UNITS = {
    "en": {"rows": "row", "tokens": "tokens", "steps": "steps", "share": "0 to 1", "batches": "batches",
           "evaluations": "evaluations"},
    "ko": {"rows": "행", "tokens": "토큰", "steps": "스텝", "share": "0~1", "batches": "배치", "evaluations": "횟수"},
}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("path", "info"), [pair for pair in fields().items() if pair[1].json_schema_extra["unit"]])
def test_a_setting_with_a_unit_names_it(path, info, language):
    assert UNITS[language][info.json_schema_extra["unit"]] in text(f"config.{path}.title", language).lower()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", presets.names())
def test_every_preset_says_what_it_is_for_on_one_line(name, language):
    assert has(f"presets.{name}")
    assert text(f"presets.{name}", language).startswith(f"{name}: ")
    assert len(text(f"presets.{name}", language)) <= 45


def test_an_unchanged_preset_is_said_to_be_one():
    base = presets.load("quickstart")
    told = recipe_views.differences("quickstart", base, base, "en")
    assert "As the preset quickstart has it." in told
    assert "<style>" not in told


def test_what_differs_stands_with_both_values_a_mark_and_a_way_back():
    base = presets.load("quickstart")
    config = base.with_settings({"lora.r": 8, "train.length_grouping": False, "train.learning_rate": 1e-4})
    told = recipe_views.differences("quickstart", base, config, "en")
    assert "Changed from quickstart: 3" in told
    assert "<b>16 → 8</b>" in told
    assert "<b>on → off</b>" in told
    assert "<b>0.0018 → 0.0001</b>" in told
    assert 'data-setting="lora.r" aria-label="Reset Rank to the preset"' in told
    assert '.setting-lora-r [data-testid="block-info"]::after' in told


def test_source_mapping_and_split_are_put_back_as_a_whole():
    base = presets.load("lyrics")
    config = base.with_settings({"data.source": {"kind": "file", "name": "a.csv"}, "data.mapping": None})
    told = recipe_views.differences("lyrics", base, config, "ko")
    assert re.findall('data-setting="([^"]+)"', told) == ["data.source", "data.source", "data.mapping"]


def test_markup_in_a_value_is_text():
    config = RunConfig().with_settings({"data.prompt.system": "<b>x</b></style>"})
    told = recipe_views.differences("quickstart", RunConfig(), config, "en")
    assert "&lt;b&gt;x&lt;/b&gt;" in told
    assert "<b>x</b>" not in told


@pytest.mark.parametrize(
    ("path", "given", "words"),
    [
        ("model.quantization", "nf4", "4 bit (NF4)"),
        ("data.limit", None, "none"),
        ("data.fixes", ("drop_cut", "deduplicate"), "drop_cut, deduplicate"),
        ("train.epochs", 3.0, "3"),
        ("train.learning_rate", 1e-5, "1e-5"),
        ("data.prompt.system", "a\nb", "a b"),
    ],
)
def test_a_value_is_said_as_the_form_says_it(path, given, words):
    if path == "data.fixes":
        words = ", ".join(text(f"config.data.fixes.options.{fix}") for fix in given)
    assert recipe_views.value(path, given, "en") == words


def test_the_search_leaves_what_holds_every_word_in_the_language_of_the_page():
    paths = ["train.warmup_steps", "train.warmup_ratio", "lora.dropout"]
    told = recipe_views.search("웜업 스텝", paths, "ko")
    assert ".setting-lora-dropout" in told
    assert ".section-lora" in told
    assert ".setting-train-warmup-steps" not in told.split("</style>")[0]
    assert ".section-train" not in told
    assert "nothing" not in recipe_views.search("", paths, "ko")
    assert "0 of 3 settings" in recipe_views.search("zzz", paths, "en")


def test_an_automatic_setting_says_what_it_is_now_and_why():
    choices = [Choice("precision", "float32", message("choice.precision.cpu_float32"))]
    assert "Now float32: This CPU has no native bfloat16" in recipe_views.reason("model.precision", choices, "en")
    assert recipe_views.reason("train.optimizer", choices, "en") == ""


def test_a_suggestion_reads_in_both_languages():
    made = Suggestion("lora.alpha", 5, 32, message("suggest.alpha", rank=16))
    assert recipe_views.suggestion(made, "en").startswith("Alpha: 5 → 32. The learning rates")
    assert recipe_views.suggestion(made, "ko").startswith("알파: 5 → 32. ")


def test_no_suggestions_are_said_to_be_none():
    assert "Nothing to change" in recipe_views.advice(Advice((), ()), "en")
