"""The launch files that ship with the studio, and what is said of them and of worse ones."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from studio.cli import app
from studio.errors import RunError
from studio.train import launch_file

FOLDER = Path(__file__).parents[2] / "presets" / "accelerate"


def changed(name: str, folder: Path, **changes) -> Path:
    """Write a copy of a launch file with other settings; None takes one out."""
    settings = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8")) | changes
    path = folder / name
    path.write_text(yaml.safe_dump({k: v for k, v in settings.items() if v is not None}), encoding="utf-8")
    return path


def words(messages) -> str:
    return " ".join(told.text() for told in messages)


def check(path: Path, config, **settings):
    return launch_file.check(path, config.with_settings({"train.batch_size": 8, **settings}), "run.yaml")


@pytest.mark.parametrize(
    ("name", "kind", "processes", "machines"),
    [
        ("one-machine.yaml", "copies", 4, 1),
        ("many-machines.yaml", "copies", 8, 2),
        ("fsdp.yaml", "sharded", 4, 1),
        ("processors.yaml", "processors", 2, 1),
    ],
)
def test_each_file_says_what_it_would_do(tiny_config, tmp_path, name, kind, processes, machines):
    path = changed(name, tmp_path, **({"main_process_ip": "10.0.0.1"} if machines > 1 else {}))
    found = check(path, tiny_config)
    assert (found.kind, found.processes, found.machines) == (kind, processes, machines)
    assert found.blocks == ()
    assert f"A step of run.yaml takes 8 rows: 1 × {8 // processes} in each process" in words(found.facts)
    assert "The weights of" in words(found.facts)
    assert ("no sample timeline" in words(found.facts)) == (kind == "sharded")
    assert len(found.commands) == machines
    assert found.commands[-1].endswith("-m studio train run.yaml")
    assert ("--machine_rank 1" in found.commands[-1]) == (machines > 1)
    assert ("RESTYLE_HOME" in words(found.warnings)) == (machines > 1)


def test_accelerate_itself_reads_every_file_as_the_check_does():
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    for path in FOLDER.glob("*.yaml"):
        given = ["--config_file", str(path), "-m", "studio", "train", "run.yaml"]
        arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(given))
        assert arguments.use_fsdp == (path.stem == "fsdp")
        assert arguments.multi_gpu == (path.stem != "fsdp")
        assert arguments.mixed_precision == "no"
        if arguments.use_fsdp:
            assert int(arguments.fsdp_version) == 2


def test_the_file_for_many_machines_wants_the_address_of_the_first(tiny_config):
    assert "main_process_ip" in words(check(FOLDER / "many-machines.yaml", tiny_config).blocks)


@pytest.mark.parametrize(
    ("name", "changes", "settings", "said"),
    [
        ("one-machine.yaml", {"num_processes": 3}, {}, "cannot be divided among 3 processes"),
        ("many-machines.yaml", {"main_process_ip": "10.0.0.1", "num_processes": 5}, {}, "spread evenly over 2"),
        ("many-machines.yaml", {"main_process_ip": "10.0.0.1", "main_process_port": 0}, {}, "main_process_port"),
        ("fsdp.yaml", {"fsdp_config": {"fsdp_version": 1}}, {}, "fsdp_version must be 2; it is 1"),
        ("fsdp.yaml", {}, {"model.quantization": "nf4"}, "nf4 cannot be spread"),
    ],
)
def test_what_would_not_work_is_told(tiny_config, tmp_path, name, changes, settings, said):
    assert said in words(check(changed(name, tmp_path, **changes), tiny_config, **settings).blocks)


def test_what_would_be_ignored_is_told(tiny_config, tmp_path):
    path = changed("one-machine.yaml", tmp_path, mixed_precision="bf16", num_processes=8)
    told = words(check(path, tiny_config).warnings)
    assert "mixed_precision: bf16 is not used" in told
    assert "the file wants 8" in told


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("- a list", "run.launch_file"),
        ("num_processes: 2", "run.launch_file"),
        ("distributed_type: MULTI_GPU\nnum_processes: 2\nno_such: 1", "run.launch_file"),
        ("distributed_type: MULTI_GPU", "run.launch_file"),
        ("distributed_type: DEEPSPEED\nnum_processes: 2", "run.launch_kind"),
        (None, "run.launch_file"),
    ],
)
def test_what_is_no_launch_file_is_refused(tiny_config, tmp_path, content, key):
    path = tmp_path / "launch.yaml"
    if content:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(RunError) as refused:
        check(path, tiny_config)
    assert refused.value.key == key


def test_doctor_shows_it_and_ends_with_1_when_it_would_not_work(tiny_config, tmp_path):
    run = tmp_path / "run.yaml"
    run.write_text(tiny_config.to_yaml(), encoding="utf-8")
    given = ["doctor", "--accelerate", str(FOLDER / "one-machine.yaml"), "--for", str(run)]
    shown = CliRunner().invoke(app, given)
    assert shown.exit_code == 0, shown.output
    assert "4 processes" in shown.output
    assert "accelerate launch --config_file" in shown.output
    given[2] = str(FOLDER / "many-machines.yaml")
    shown = CliRunner().invoke(app, [*given, "--json"])
    assert shown.exit_code == 1
    told = json.loads(shown.output)
    assert (told["processes"], told["machines"], len(told["blocks"])) == (8, 2, 2)
