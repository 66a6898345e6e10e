"""The advice in messages is followed literally: its commands are read by the command line, its settings exist."""

import re
import shlex
import string
from pathlib import Path

import click
import pytest
import typer

from studio import cli
from studio.config import RunConfig, fields, parse_setting
from studio.i18n import LANGUAGES, catalogue

ROOT = Path(__file__).parent.parent
SETTINGS = set(fields())
SECTIONS = {path.rsplit(".", end)[0] for path in SETTINGS for end in range(1, path.count(".") + 1)}
COMMAND = re.compile(r"python -m studio((?: +(?:\"[^\"]*\"|[\w./@{}=-]+))*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
SETTING = re.compile(
    rf"(?<![\w./])(?:{'|'.join(sorted({path.split('.')[0] for path in SECTIONS}))})(?:\.[a-z_]+)+(?![\w/])"
)
SET = re.compile(r"--set ([\w.]+=[^\s`]+)")
FILES = (".gguf", ".json", ".jsonl", ".yaml", ".py", ".safetensors")
EXAMPLES = {"id": "owner/name", "tenth": "2e-05", "encoding": "cp949"}
PROGRAM = typer.main.get_command(cli.app)


def texts(pattern: re.Pattern):
    for language in LANGUAGES:
        for key, words in catalogue(language).items():
            for found in pattern.finditer(words):
                yield pytest.param(found[1] if pattern.groups else found[0], id=f"{language} {key} {found.start()}")


def filled(text: str) -> str:
    names = [name for _, name, _, _ in string.Formatter().parse(text) if name]
    return text.format(**{name: EXAMPLES.get(name, "20261128-120000-run-abcd") for name in names})


def options(command: click.Command) -> set[str]:
    own = {name for part in command.params for name in (*part.opts, *part.secondary_opts)}
    return own.union(*map(options, getattr(command, "commands", {}).values()))


@pytest.mark.parametrize("arguments", texts(COMMAND))
def test_a_command_in_a_message_is_one(arguments):
    words = shlex.split(filled(arguments))
    command, name = PROGRAM, "studio"
    while words and isinstance(command, click.Group):
        name, *words = words
        assert name in command.commands, name
        command = command.commands[name]
    command.make_context(name, words)  # raises for an option or an argument that it does not take


@pytest.mark.parametrize("option", texts(OPTION))
def test_an_option_in_a_message_is_one(option):
    page = set(OPTION.findall((ROOT / "app.py").read_text(encoding="utf-8")))
    assert option in options(PROGRAM) | page


@pytest.mark.parametrize("path", texts(SETTING))
def test_a_setting_in_a_message_is_one(path):
    assert path in SETTINGS | SECTIONS or path.endswith(FILES)


@pytest.mark.parametrize("setting", texts(SET))
def test_a_setting_with_a_value_in_a_message_is_taken(setting):
    RunConfig().with_settings(dict([parse_setting(filled(setting))]))


CONFLICTS = [
    ({"data.prompt.style": "text"}, {"data.prompt.template": "{question} {answer}"}),
    ({"data.prompt.style": "text"}, {"data.prompt.style": "chat"}),
    ({"data.validation.kind": "split"}, {"data.validation.kind": "fraction"}),
    ({"lora.init": "orthogonal", "lora.r": 3}, {"lora.r": 4}),
    ({"lora.init": "orthogonal", "lora.r": 3}, {"lora.init": "default"}),
    ({"train.warmup_steps": 3, "train.warmup_ratio": 0.1}, {"train.warmup_steps": 0}),
    ({"train.schedule": "constant", "train.warmup_steps": 3}, {"train.schedule": "constant_with_warmup"}),
    ({"train.schedule": "constant", "train.warmup_ratio": 0.1}, {"train.warmup_steps": 0, "train.warmup_ratio": 0.0}),
    ({"train.max_steps": 3, "train.warmup_steps": 5}, {"train.warmup_steps": 2}),
    ({"train.max_steps": 3, "train.warmup_steps": 5}, {"train.max_steps": 6}),
    ({"train.keep": "best"}, {"data.validation.kind": "fraction"}),
    ({"train.early_stopping": 2}, {"data.validation.kind": "fraction"}),
]


@pytest.mark.parametrize(("settings", "advice"), CONFLICTS)
def test_what_a_conflict_advises_ends_it(settings, advice):
    from studio.errors import ConfigError

    with pytest.raises(ConfigError) as caught:
        RunConfig().with_settings(settings)
    assert all(path.rsplit(".", 1)[-1] in str(caught.value) for path in advice)
    RunConfig().with_settings(settings | advice)
