"""A fine-tuning job of OpenAI becomes the settings of a run: taken over, suggested, or named as left out."""

import json

import pytest

from studio.cli import app
from studio.config import RunConfig
from studio.errors import ConfigError
from studio.files import write_json_lines
from studio.train import openai_job

ROWS = [
    {"messages": [{"role": "user", "content": f"What is {n}?"}, {"role": "assistant", "content": f"It be {n}, lad."}]}
    for n in range(60)
]
NUMBERS = {"n_epochs": 4, "batch_size": 3, "learning_rate_multiplier": 0.5}
REQUEST = {"model": "gpt-4o-mini-2024-07-18", "training_file": "file-abc", "suffix": "captain", "seed": 7}


@pytest.fixture
def folder(tmp_path):
    write_json_lines(tmp_path / "file-abc.jsonl", ROWS)
    return tmp_path


@pytest.fixture
def recipe(folder, tiny_model):
    """The recipe of a job, for the tiny model."""

    def make(job, training_file=None, **settings):
        path = folder / "job.json"
        path.write_text(job if isinstance(job, str) else json.dumps(job), encoding="utf-8")
        settings = {"model.id": str(tiny_model)} | {name.replace("__", "."): value for name, value in settings.items()}
        return openai_job.to_recipe(path, training_file, None, settings, 4e9)

    return make


SUPERVISED = {"method": {"type": "supervised", "supervised": {"hyperparameters": NUMBERS}}}
RETURNED = {
    "object": "fine_tuning.job", "id": "ftjob-1", "created_at": 1, "finished_at": 2, "estimated_finish": None,
    "fine_tuned_model": "ft:gpt-4o-mini:me::1", "organization_id": "org", "status": "succeeded", "result_files": ["f"],
    "trained_tokens": 9, "error": {}, "metadata": None, "validation_file": None, "integrations": [],
}  # fmt: skip


@pytest.mark.parametrize(
    "job",
    [
        REQUEST | SUPERVISED,
        REQUEST | {"hyperparameters": NUMBERS},
        REQUEST | RETURNED | SUPERVISED | {"hyperparameters": NUMBERS},
        {"object": "list", "data": [REQUEST | RETURNED | SUPERVISED], "has_more": False},
        [REQUEST | SUPERVISED],
        {name: value for name, value in REQUEST.items() if name != "suffix"}
        | SUPERVISED
        | {"user_provided_suffix": "captain"},
    ],
    ids=["request", "old request", "returned", "list", "plain list", "suffix"],
)
def test_what_a_job_sets_is_taken_over(recipe, job):
    made = recipe(job)
    auto = recipe({"training_file": "file-abc"})
    train, rate = made.config.train, auto.config.train.learning_rate
    assert (train.epochs, train.batch_size, train.gradient_accumulation, train.seed) == (4, 3, 1, 7)
    assert train.learning_rate == pytest.approx(rate / 2, rel=0.05)
    assert (made.config.name, made.config.data.seed) == ("captain", 7)
    assert not {line.key for line in made.lines} & {"log.job.left_out"}
    assert [line.key for line in made.lines].count("log.job.taken") == 3
    assert made.lines[0].key == "log.job.model"
    assert RunConfig.from_yaml(made.config.to_yaml()) == made.config


def test_what_is_left_to_openai_is_suggested(recipe):
    numbers = dict.fromkeys(NUMBERS, "auto")
    made = recipe(REQUEST | {"hyperparameters": numbers | {"n_epochs": 9}})
    assert made.config.train.epochs == 9
    assert made.advice.suggestions
    paths = {suggestion.path for suggestion in made.advice.suggestions}
    assert "train.epochs" not in paths
    assert all(line.key != "log.job.rate" for line in made.lines)
    assert made.config == made.config.with_settings(made.advice.settings())


def test_own_settings_count_before_the_jobs(recipe):
    made = recipe(REQUEST | SUPERVISED, train__learning_rate=3e-4, train__batch_size=2)
    assert (made.config.train.learning_rate, made.config.train.batch_size) == (3e-4, 2)


def test_preferences_keep_their_method_and_beta(recipe, folder):
    turns = [{"role": "user", "content": "Ahoy?"}]
    rows = [
        {
            "input": {"messages": turns},
            "preferred_output": [{"role": "assistant", "content": f"Aye {n}"}],
            "non_preferred_output": [{"role": "assistant", "content": f"Yes {n}"}],
        }
        for n in range(30)
    ]
    path = folder / "pairs.jsonl"
    write_json_lines(path, rows)
    made = recipe(REQUEST | {"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.3}}}}, path)
    assert made.config.train.method == "dpo"
    assert made.config.preference.beta == 0.3


def test_what_nothing_corresponds_to_is_named(recipe):
    job = REQUEST | {"hyperparameters": {"compute_multiplier": 2}, "new_field": 1, "integrations": [{"type": "mlflow"}]}
    [line] = [line for line in recipe(job).lines if line.key == "log.job.left_out"]
    assert all(name in line.text("en") for name in ("compute_multiplier", "new_field", "mlflow"))
    wandb = recipe(REQUEST | {"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]})
    assert wandb.config.train.trackers == ("wandb",)


@pytest.mark.parametrize(
    ("job", "key", "words"),
    [
        ("no json", "job_json", "job.json"),
        ("[1, 2]", "job_field", "training_file"),
        ({"model": "gpt"}, "job_field", "training_file"),
        (REQUEST | {"hyperparameters": {"n_epochs": -1}}, "job_field", "n_epochs"),
        (REQUEST | {"hyperparameters": {"batch_size": "many"}}, "job_field", "batch_size"),
        (REQUEST | {"hyperparameters": {"batch_size": 2000}}, "job_field", "1024"),
        (REQUEST | {"method": {"type": "reinforcement"}}, "job_method", "reinforcement"),
        (REQUEST | {"training_file": "file-gone"}, "job_file", "--training-file"),
        (REQUEST | {"validation_file": "file-gone"}, "job_file", "--validation-file"),
    ],
)
def test_what_is_no_job_is_refused_by_name(recipe, job, key, words):
    with pytest.raises(ConfigError) as caught:
        recipe(job)
    assert caught.value.key == f"config.{key}"
    for language in ("en", "ko"):
        lines = caught.value.message.text(language).splitlines()
        assert len(lines) == 3
        assert words in " ".join(lines)


def test_the_command_trains_a_job(folder, tiny_model, home, capsys):
    (folder / "job.json").write_text(json.dumps(REQUEST | SUPERVISED), encoding="utf-8")
    changes = ["--set", f"model.id={tiny_model}", "--set", "train.max_steps=3"]
    assert not app(["train", "--openai-job", str(folder / "job.json"), *changes], standalone_mode=False)
    printed = " ".join(capsys.readouterr().out.split())
    assert "gpt-4o-mini-2024-07-18 cannot be trained outside of OpenAI" in printed
    assert "learning_rate_multiplier 0.5" in printed
    with pytest.raises(ConfigError, match="preset"):
        app(["train", "quickstart", "--openai-job", str(folder / "job.json")], standalone_mode=False)
    with pytest.raises(ConfigError, match="--openai-job"):
        app(["train", "quickstart", "--training-file", str(folder / "job.json")], standalone_mode=False)
