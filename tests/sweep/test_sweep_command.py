"""The commands of a sweep: foretold, carried out, listed, shown, its winner as YAML, and its picture."""

import json

import pytest

from studio import presets, runs
from studio.config import RunConfig
from studio.sweep import directory


@pytest.fixture
def file(tiny_config, tmp_path):
    """The settings of a tiny run with validation rows, in a file."""
    validated = {"data.validation": {"kind": "fraction", "fraction": 0.25}, "train.eval_steps": 2}
    path = tmp_path / "tiny.yaml"
    path.write_text(tiny_config.with_settings(validated).to_yaml(), encoding="utf-8")
    return str(path)


@pytest.mark.long
def test_a_sweep_is_foretold_carried_out_shown_and_its_winner_can_be_trained_again(here, file, tmp_path):
    over = ("--over", "train.learning_rate=1e-4,1e-2,3e-2", "--over", "lora.r=2,4")
    expected = json.loads(here("sweep", file, *over, "--check", "--json").stdout)
    assert (expected["runs"], expected["blocks"]) == (6, [])
    assert directory.all_sweeps() == []

    done = here("sweep", file, *over, "--prune", "none", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["state"], record["by"], len(record["trials"])) == ("finished", "loss", 6)

    listed = here("sweep", "list").stdout
    assert record["id"] in listed
    assert "6/6" in listed
    table = here("sweep", "show", "--picture", str(tmp_path / "sweep.svg")).stdout.splitlines()
    best = next(trial for trial in record["trials"] if trial["run"] == record["winner"])
    assert f"★ {best['number'] + 1}" in table[1]
    assert record["winner"] in table[1]
    assert (tmp_path / "sweep.svg").read_text().count("<polyline") == 6

    config = RunConfig.from_yaml(here("sweep", "show", record["id"], "--yaml").stdout)
    assert (config.name, config.lora.r) == ("tiny", best["settings"]["lora.r"])
    assert here("sweep", "resume").returncode == 0
    assert len(runs.all_runs()) == 6
    assert "not running" in here("sweep", "stop").stdout


def test_every_wrong_combination_is_printed_and_nothing_starts(here, file):
    refused = here("sweep", file, "--over", "lora.init=default,orthogonal", "--over", "lora.r=7,9")

    assert refused.returncode == 1
    assert refused.stderr.count("Orthogonal initialization needs an even rank") == 2
    assert directory.all_sweeps() == []


def test_what_stands_in_the_way_of_one_run_keeps_the_sweep_from_starting(here, file):
    refused = here("sweep", file, "--over", "lora.target_modules=all-linear,[nothing_like_it]")

    assert refused.returncode == 1
    assert "lora.target_modules=[nothing_like_it]" in refused.stdout
    assert directory.all_sweeps() == []


def test_without_a_sweep_the_commands_say_how_to_start_one(here, file):
    assert "no sweeps yet" in here("sweep", "list").stdout
    assert "There is no sweep yet" in here("sweep", "show").stderr
    assert "no sweep with the id" in here("sweep", "stop", "20200101-000000-x-0000").stderr
    assert "There is nothing to vary" in here("sweep", file).stderr


def test_no_preset_is_hidden_by_a_command():
    from studio.cli.sweep import app

    assert not {command.name for command in app.registered_commands} & {*presets.names(), presets.OWN}
