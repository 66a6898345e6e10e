"""The command on the page starts the very run that the page shows."""

import random
import shlex
import subprocess
import sys

import pytest
import typer

from studio import cli, command, presets
from studio.cli.training import read_config
from studio.config import RunConfig

BASH = "/bin/bash"


def parsed(line: str) -> RunConfig:
    """Read a command back: the shell takes it apart, the studio's own command line reads what is left."""
    program = [sys.executable, "-c", "import sys; sys.stdout.buffer.write('\\0'.join(sys.argv[1:]).encode())"]
    shell = subprocess.run([BASH, "-c", f"{shlex.join(program)} {line}"], capture_output=True, check=True)
    words = shell.stdout.decode().split("\0")
    assert words[:4] == list(command.PROGRAM)
    train = typer.main.get_command(cli.app).commands["train"]
    given = train.make_context("train", words[4:]).params
    return read_config(given["preset"], list(given["settings"] or []), given["offline_sample"])


@pytest.mark.parametrize("name", presets.names())
def test_an_unchanged_preset_is_its_name_alone(name):
    line = command.shell_line(presets.load(name))
    assert line == f"python -m studio train {name}"
    assert parsed(line) == presets.load(name)


@pytest.mark.parametrize("name", presets.names())
def test_a_changed_preset_is_read_back_equal(name):
    changes = {
        "name": "바다 'captain' \"$HOME\" `id` !x",
        "data.source": {"kind": "file", "name": "/내 파일/a b;c.csv"},
        "data.prompt.system": "첫 줄\n둘째 줄\r\n\t끝 \\n  ",
        "data.limit": None,
        "data.fixes": ("drop_cut", "deduplicate"),
        "data.mapping": {"prompt": ("a, b", "질문"), "joiner": "\n", "completion": "1e5", "roles": {"요 정": "user"}},
        "lora.target_modules": ("q_proj", "v_proj"),
        "train.learning_rate": 1e-7,
        "train.length_grouping": False,
    }
    config = presets.load(name).with_settings(changes)
    line = command.shell_line(config)
    assert line.startswith("python -m studio train " + name)
    assert parsed(line) == config


@pytest.mark.parametrize(
    "text",
    ["1e5", "nan", "null", "~", "true", "no", "-3", "0x10", "1_000", "12:30", "2026-01-01", "=", "a=b", "#x", " x ",
     "- x", "{a}", "[a]", "*a", "&a", "!a", "%a", "@a", "a: b", "'", '"', "''", "\\", "\u2028x\u0085", "\x7f\x01", "😀",
     "--set", "", "...", "---", "'1e5'", "inf", "a'b\"c$d`e"],
)  # fmt: skip
def test_every_text_is_read_back_as_it_was(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = presets.load("quickstart").with_settings({"data.prompt.system": text, "model.revision": text or None})
    assert command.needs_file(config) == (text in ("", "null"))  # which clear a setting on the command line
    (tmp_path / command.FILE).write_text(config.to_yaml(), encoding="utf-8")
    assert parsed(command.shell_line(config)) == config


def test_random_texts_are_read_back_as_they_were():
    letters = "ab 01.-+e:#'\"\\{}[],&*!|>%@`$;~?=\n\t한글é😀"
    chance = random.Random(0)
    texts = ["".join(chance.choices(letters, k=chance.randrange(1, 12))) for _ in range(40)]
    for text in texts:
        config = RunConfig().with_settings({"data.prompt.template": text, "evaluation.marker": text})
        settings = [
            f"{path}={command.format_value(value)}" for path, value in command.differences(RunConfig(), config).items()
        ]
        from studio.config import parse_setting

        assert RunConfig().with_settings(dict(map(parse_setting, settings))) == config, repr(text)


def test_a_mapping_that_is_taken_back_is_said():
    config = presets.load("lyrics").with_settings({"data.mapping": None})
    assert "--set data.mapping=null" in command.shell_line(config)
    assert parsed(command.shell_line(config)) == config


def test_many_differences_are_a_file_of_settings(tmp_path, monkeypatch):
    config = presets.load("chat").with_settings(
        {f"train.{name}": 7 for name in ("eval_steps", "save_steps", "keep_checkpoints", "logging_steps", "seed")}
        | {f"generation.{name}": 3 for name in ("max_new_tokens", "temperature", "top_k", "seed")}
        | {"data.seed": 1, "data.limit": 5, "lora.r": 2, "lora.alpha": 3, "name": "x", "model.id": "a/b"}
    )
    assert command.needs_file(config)
    assert command.shell_line(config) == "python -m studio train run.yaml"
    monkeypatch.chdir(tmp_path)
    (tmp_path / command.FILE).write_text(config.to_yaml(), encoding="utf-8")
    assert parsed(command.shell_line(config)) == config


def test_the_nearest_preset_is_the_one_with_the_fewest_differences():
    assert command.nearest_preset(presets.load("textbook").with_settings({"lora.r": 3})) == "textbook"
