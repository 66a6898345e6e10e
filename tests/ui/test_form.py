"""The form is made from RunConfig and reads back into it."""

import gradio as gr
import pytest

from studio.config import MappingConfig, RunConfig, choices, fields
from studio.errors import ConfigError
from studio.i18n import text
from studio.ui import app, form
from studio.ui.form import Form
from studio.ui.words import Words

FIELDS = dict(fields())


@pytest.fixture
def whole_form() -> Form:
    """A form of all settings, of each type's own kind."""
    with gr.Blocks():
        made = Form(Words(), RunConfig())
        for path in FIELDS:
            made.add(path)
    return made


def round_trip(config: RunConfig) -> RunConfig:
    return form.read(form.to_values(config), RunConfig())


def test_the_defaults_round_trip():
    assert round_trip(RunConfig()) == RunConfig()


def test_changed_settings_of_every_type_round_trip():
    config = RunConfig().with_settings(
        {
            "name": "질문 답변",
            "data.limit": 100,
            "data.pick": "random",
            "data.fixes": ("deduplicate", "drop_cut"),
            "data.validation": {"kind": "file", "name": "own.jsonl", "fraction": 0.2, "group": "topic"},
            "data.mapping": MappingConfig(
                prompt=("instruction", "input"), completion="output", joiner=", ", roles={"wizard": "assistant"}
            ).model_dump(),
            "data.prompt.style": "text",
            "data.prompt.template": "{instruction}\n{output}",
            "model.revision": "main",
            "lora.target_modules": ("q_proj", "v_proj"),
            "train.max_steps": 20,
            "train.learning_rate": 1e-3,
            "train.length_grouping": False,
        }
    )

    assert round_trip(config) == config


def test_an_empty_mapping_means_that_it_is_detected():
    values = form.to_values(RunConfig())

    assert form.read(values, RunConfig()).data.mapping is None


def test_an_emptied_mapping_is_detected_even_when_the_base_had_one():
    base = RunConfig().with_settings({"data.mapping": {"prompt": ("q",), "completion": "a"}})
    values = form.to_values(base) | {"data.mapping.prompt": [], "data.mapping.completion": None}

    assert form.read(values, base).data.mapping is None


def test_every_setting_is_on_the_page(build):
    page = build(app)
    labels = {getattr(block, "label", None) for block in page.blocks.values()}

    missing = [path for path in FIELDS if text(f"config.{path}.title") not in labels]
    assert missing == ["data.source.name"]  # chosen by name, upload or id: no path ever comes from the browser


def test_what_names_a_file_stays_on_the_server(build):
    page = build(app)
    start = next(fn for fn in page.fns.values() if fn.api_name == "start")
    labels = [block.label for block in start.inputs if not isinstance(block, gr.State)]

    for path in ("data.source.kind", "data.source.split", "data.validation.kind", "data.validation.name"):
        assert text(f"config.{path}.title") not in labels


def test_roles_are_written_as_pairs():
    read = form.from_component("data.mapping.roles", "wizard: assistant\nnarrator:skip, ")

    assert read == {"wizard": "assistant", "narrator": "skip"}


def test_kinds_follow_types(whole_form):
    kinds = {path: type(component) for path, component in whole_form.parts.items()}

    assert kinds["train.epochs"] is gr.Number
    assert kinds["train.max_steps"] is gr.Number
    assert kinds["train.length_grouping"] is gr.Checkbox
    assert kinds["train.schedule"] is gr.Radio
    assert kinds["model.revision"] is gr.Textbox
    assert kinds["data.fixes"] is gr.CheckboxGroup
    assert kinds["data.mapping.prompt"] is gr.Dropdown
    assert kinds["data.mapping.roles"] is gr.Textbox
    assert all(kinds[path] is gr.Radio for path, info in FIELDS.items() if choices(info))


def test_a_radio_offers_exactly_the_allowed_values(whole_form):
    for path, info in FIELDS.items():
        if options := choices(info):
            assert [value for _, value in whole_form.parts[path].choices] == list(options)


def test_numbers_step_by_what_their_setting_is_about(whole_form):
    assert whole_form.parts["lora.r"].step == 1
    assert whole_form.parts["train.learning_rate"].step == pytest.approx(2e-5)


def test_a_number_out_of_bounds_is_refused_by_the_config_in_its_words(whole_form):
    assert whole_form.parts["lora.r"].preprocess(0) == 0

    values = form.to_values(RunConfig()) | {"lora.r": 0}
    with pytest.raises(ConfigError) as caught:
        form.read(values, RunConfig())

    assert caught.value.values["path"] == "lora.r"


@pytest.mark.parametrize("value", [None, 3.7])
def test_a_whole_number_is_not_rounded_silently(value):
    with pytest.raises(ConfigError):
        form.read(form.to_values(RunConfig()) | {"train.batch_size": value}, RunConfig())


def test_showing_a_config_gives_every_component_its_value(whole_form):
    shown = whole_form.show(RunConfig().with_settings({"lora.r": 4}))

    assert shown[whole_form.parts["lora.r"]]["value"] == 4
    without = {path for path, component in whole_form.parts.items() if component not in shown}
    assert without == {path for path in FIELDS if path.startswith(form.MAPPING)}


def test_rows_are_read_whatever_is_wrong_elsewhere_in_the_form(whole_form):
    values = form.to_values(RunConfig()) | {"lora.r": 0, "data.max_length": 64}
    base = RunConfig()
    ordered = [values[path] for path in whole_form.parts]
    with pytest.raises(ConfigError):
        whole_form.read(ordered, base)
    assert whole_form.read_rows(ordered, base).data.max_length == 64

    ordered = [(values | {"data.max_length": 3})[path] for path in whole_form.parts]
    with pytest.raises(ConfigError, match="max_length"):
        whole_form.read_rows(ordered, base)
