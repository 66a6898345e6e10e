"""RunConfig: one declaration for YAML, `--set`, checks and the form."""

import pytest

from studio import presets
from studio.config import RunConfig, allowed, choices, fields, parse_setting
from studio.errors import ConfigError


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_round_trips_through_yaml(name):
    config = presets.load(name)
    assert RunConfig.from_yaml(config.to_yaml()) == config


def test_a_config_with_every_kind_of_value_round_trips():
    config = RunConfig().with_settings(
        {
            "name": "한글 이름",
            "data.mapping": {"prompt": ["질문", "input"], "completion": "답변"},
            "data.prompt": {"style": "text", "template": "### q: {질문}\n### a: {답변}"},
            "lora.target_modules": ["q_proj", "v_proj"],
            "train.learning_rate": 1e-5,
            "train.max_steps": 7,
        }
    )
    assert RunConfig.from_yaml(config.to_yaml()) == config


def test_an_unknown_setting_is_refused_with_the_closest_names():
    with pytest.raises(ConfigError, match=r"train\.learning_rate"):
        RunConfig.from_mapping({"train": {"learnig_rate": 1e-3}})
    with pytest.raises(ConfigError, match=r"train\.max_steps"):
        RunConfig().with_settings({"max_steps": 3})


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("train.epochs", "three", "train.epochs"),
        ("lora.r", 0, "from 1 to 512"),
        ("train.schedule", "stairs", "linear, cosine, constant"),
        ("data.max_length", 8.5, "data.max_length"),
    ],
)
def test_a_wrong_value_is_refused_with_its_path_and_what_is_allowed(path, value, said):
    with pytest.raises(ConfigError) as caught:
        RunConfig().with_settings({path: value})
    assert path in str(caught.value)
    assert said in str(caught.value)


def test_conflicting_settings_are_both_named():
    with pytest.raises(ConfigError) as caught:
        RunConfig().with_settings({"train.schedule": "constant", "train.warmup_steps": 10})
    assert "constant_with_warmup" in str(caught.value)
    assert "warmup_steps" in str(caught.value)


def test_yaml_that_is_no_mapping_is_refused():
    for text in ("- a\n- b\n", "a: [", "42"):
        with pytest.raises(ConfigError):
            RunConfig.from_yaml(text)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("train.max_steps=20", "train.max_steps", 20),
        ("train.learning_rate=1e-3", "train.learning_rate", 0.001),
        ("data.prompt.system=You are terse.", "data.prompt.system", "You are terse."),
        ("lora.target_modules=[q_proj, k_proj]", "lora.target_modules", ["q_proj", "k_proj"]),
        ("data.limit=null", "data.limit", None),
    ],
)
def test_set_reads_path_and_value(text, path, value):
    assert parse_setting(text) == (path, value)


def test_set_without_a_value_is_refused():
    with pytest.raises(ConfigError):
        parse_setting("train.max_steps")


def test_fields_gives_every_leaf_once():
    paths = [path for path, _ in fields()]
    assert len(paths) == len(set(paths))
    assert {"name", "data.source.name", "data.mapping.prompt", "lora.r", "train.seed"} <= set(paths)


def test_choices_and_bounds_can_be_read_from_the_declaration():
    declared = dict(fields())
    assert choices(declared["data.train_on"]) == ("completion", "all")
    assert choices(declared["lora.r"]) == ()
    assert allowed("train.max_grad_norm") == "float above 0"


def test_on_and_off_are_words_also_where_yaml_takes_them_for_true_and_false():
    assert parse_setting("samples.mode=off") == ("samples.mode", False)  # as YAML 1.1 has it
    config = RunConfig().with_settings(dict([parse_setting("samples.mode=off")]))
    assert config.samples.mode == "off"
    assert RunConfig.from_yaml("train: {gradient_checkpointing: on}").train.gradient_checkpointing == "on"
    assert RunConfig().with_settings(dict([parse_setting("lora.rslora=on")])).lora.rslora is True
