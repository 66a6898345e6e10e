"""RunConfig: one declaration for YAML, `--set`, checks and the form."""

import re
from itertools import pairwise

import pytest

from studio import presets
from studio.config import RunConfig, choices, fields, parse_setting, value_of
from studio.errors import ConfigError
from studio.setting_text import describe


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


TEXTS = [
    "You are the #1 pirate. #1 at sea", "Rule: be kind", "no", "on", "123", "1e3", "2026-01-01", "12:30", "~", "a=b=c",
    "- one\n- two", "[INST] hi [/INST]", "{a}", "'quoted'", '"quoted"', "C:\\new\\table: x.csv",
    " spaced ", "바다 #1: 끝", "&a *b !c",
    "첫 줄\n  둘째 줄\n", "%", "@me", "`id`", "True", "NULL", "0x10", "...", "|", "> x",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("path", ["data.prompt.system", "evaluation.marker", "name", "data.source.name", "model.id"])
def test_text_is_taken_as_it_stands(path, text):
    assert value_of(RunConfig().with_settings(dict([parse_setting(f"{path}={text}")])), path) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("train.max_steps=20", 20),
        ("train.max_steps= 20 ", 20),
        ("train.max_steps=1e3", 1000),
        ("train.max_steps=1_000", 1000),
        ("train.learning_rate=1e-3", 0.001),
        ("train.epochs=2", 2.0),
        ("train.length_grouping=no", False),
        ("lora.rslora=on", True),
        ("train.save=no", "no"),
        ("samples.mode=off", "off"),
        ("train.gradient_checkpointing=on", "on"),
        ("train.gradient_checkpointing=false", "off"),
        ("data.limit=null", None),
        ("data.limit=", None),
        ("data.prompt.system=null", None),
        ("data.prompt.system=", None),
        ("data.mapping=null", None),
        ("lora.target_modules=all-linear", "all-linear"),
        ("lora.target_modules=q_proj", ("q_proj",)),
        ("lora.target_modules=[q_proj, 'k_proj', no]", ("q_proj", "k_proj", "no")),
        ("lora.target_modules=- q_proj\n- 7", ("q_proj", "7")),
        ("data.fixes=drop_cut", ("drop_cut",)),
        ("train.trackers=[]", ()),
        ("train.trackers=", ()),
        ("samples.prompts=What is 1 + 1? # two", ("What is 1 + 1? # two",)),
        ('samples.prompts=["a: b", 1e3, no]', ("a: b", "1e3", "no")),
    ],
)
def test_what_is_no_text_is_read_by_the_settings_own_type(text, value):
    path, read = parse_setting(text)
    assert value_of(RunConfig().with_settings({path: read}), path) == value


def test_columns_and_roles_are_text_whatever_yaml_makes_of_them():
    given = "data.mapping={prompt: [no, 1e3], completion: 2026-01-01, roles: {on: user, 7: skip}, system: null}"
    mapping = RunConfig().with_settings(dict([parse_setting(given)])).data.mapping
    assert mapping.prompt == ("no", "1e3")
    assert (mapping.completion, mapping.system) == ("2026-01-01", None)
    assert mapping.roles == {"on": "user", "7": "skip"}
    settings = ["data.mapping.prompt=질문", "data.mapping.completion=답: #1", "data.mapping.roles.no=assistant"]
    mapping = RunConfig().with_settings(dict(map(parse_setting, settings))).data.mapping
    assert (mapping.prompt, mapping.completion, mapping.roles) == (("질문",), "답: #1", {"no": "assistant"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train.max_steps=abc", "a whole number from 1, or empty (null)"),
        ("train.optimizer=adam", "adamw_torch, adamw_torch_fused"),
        ("train.save=off", "no, steps, epoch"),
        ("data.fixes=[merge]", "merge_turns, merge_system"),
        ("lora.dora=maybe", "true or false"),
        ("train.learning_rate=inf", "finite"),
        ("train.learning_rate=nan", "finite"),
        ("samples.prompts=[INST] hi [/INST]", '["a: b", "[c]"]'),
        ("samples.prompts=[a: b]", "a list [a, b]; each item is text"),
        ("data.mapping={prompt: [a", "mapping of YAML"),
        ("train=5", "train"),
        ("trian.max_steps=5", "train.max_steps"),
    ],
)
def test_what_cannot_be_is_refused_with_what_is_allowed(text, said):
    with pytest.raises(ConfigError) as caught:
        RunConfig().with_settings(dict([parse_setting(text)]))
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["no", "123", "1e3", "2026-01-01", "yes", "0x10", "12:30", ".5", "1_000"])
def test_a_file_holds_text_where_text_is_wanted(text):
    config = RunConfig.from_yaml(f"name: {text}\ndata:\n  prompt: {{system: {text}}}\nsamples: {{prompts: [{text}]}}\n")
    assert (config.name, config.data.prompt.system, config.samples.prompts) == (text, text, (text,))


def test_a_name_that_appears_twice_in_a_file_is_refused():
    with pytest.raises(ConfigError, match="'max_steps' appears twice"):
        RunConfig.from_yaml("train:\n  max_steps: 3\n  epochs: 1\n  max_steps: 5\n")


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x]\n" + "".join(f"{b}: &{b} [{', '.join(9 * ['*' + a])}]\n" for a, b in pairwise("abcdefgh")),
        "name: &a [*a]",
        "[" * 5000,
        "name: !!python/object/apply:os.getcwd []",
    ],
    ids=["aliases that unfold", "an alias of itself", "deep", "a tag"],
)  # fmt: skip
def test_a_file_that_unfolds_without_end_is_refused_at_once(text):
    with pytest.raises(ConfigError):
        RunConfig.from_yaml(text)


def test_an_alias_repeats_a_value():
    config = RunConfig.from_yaml("name: &n 바다\ndata: {prompt: {system: *n}}\n")
    assert config.data.prompt.system == "바다"


def test_set_without_a_value_is_refused():
    with pytest.raises(ConfigError):
        parse_setting("train.max_steps")


def test_fields_gives_every_leaf_once():
    paths = list(fields())
    assert len(paths) == len(set(paths))
    assert {"name", "data.source.name", "data.mapping.prompt", "lora.r", "train.seed"} <= set(paths)


def test_choices_and_bounds_can_be_read_from_the_declaration():
    declared = fields()
    assert choices(declared["data.train_on"]) == ("completion", "all")
    assert choices(declared["lora.r"]) == ()
    assert describe(declared["train.max_grad_norm"]).text() == "a number above 0"


def test_on_and_off_are_words_also_where_yaml_takes_them_for_true_and_false():
    config = RunConfig.from_yaml("train: {gradient_checkpointing: on, batch_split: off}\nsamples: {mode: off}\n")
    assert (config.train.gradient_checkpointing, config.train.batch_split) == ("on", "off")
    assert config.samples.mode == "off"


def test_all_that_is_wrong_is_named_in_the_readers_language():
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_mapping({"lora": {"r": 0, "alpha": "many"}, "train": {"warmup_steps": 9, "max_steps": 5}})

    problems = caught.value.problems
    assert [problem.values["path"] for problem in problems] == ["lora.r", "lora.alpha", "train.warmup_steps"]
    assert "2 more settings" in str(caught.value)
    for problem in problems:
        words = problem.text("ko").replace("lora.", "").replace("train.", "")
        assert not re.search(r"[a-zA-Z]{6,}", words.replace("warmup_steps", "").replace("max_steps", "")), words


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_setting_says_what_it_may_be(language):
    for path, info in fields().items():
        assert describe(info).text(language), path


def test_settings_that_are_given_stay_as_they_are():
    given = {"data.validation": {"kind": "none"}, "data.validation.kind": "fraction"}

    assert RunConfig().with_settings(given).data.validation.kind == "fraction"
    assert given["data.validation"] == {"kind": "none"}
