"""The command line that starts the run of a config: the nearest preset, and what differs from it."""

import math
import re
import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from studio import presets
from studio.config import RunConfig, fields, value_of

PROGRAM = ("python", "-m", "studio", "train")
FILE = "run.yaml"
MAX_SETTINGS = 12
"""Differences from a preset above which the command names the settings file instead."""
MAPPING = "data.mapping"

_PLAIN = re.compile(r"[\w가-힣][\w가-힣./@-]*", re.ASCII)
"""Text that YAML and the shell read as it stands, unless it is a word such as `null`."""


def differences(base: RunConfig, config: RunConfig) -> dict[str, Any]:
    """Return the settings in which `config` differs from `base`, by dotted path; the mapping of columns is one."""
    changed: dict[str, Any] = {}
    for path in fields():
        if path.startswith(MAPPING + "."):
            if base.data.mapping != config.data.mapping:
                mapping = config.data.mapping
                changed[MAPPING] = mapping and mapping.model_dump(exclude_defaults=True)
        elif value_of(base, path) != value_of(config, path):
            changed[path] = value_of(config, path)
    return changed


def nearest_preset(config: RunConfig) -> str:
    """Return the preset from which `config` differs in the fewest settings."""
    return min(presets.names(), key=lambda name: len(differences(presets.load(name), config)))


def arguments(config: RunConfig) -> list[str]:
    """Return the arguments after `train`: a preset with `--set` for each difference, or the settings' file."""
    name = nearest_preset(config)
    different = differences(presets.load(name), config)
    # an empty value and `null` clear a setting, and a null character ends an argument
    unsuitable = any(isinstance(v, str) and (v in ("", "null") or "\0" in v) for v in different.values())
    if unsuitable or len(different) > MAX_SETTINGS:
        return [FILE]
    return [name, *(part for path, value in different.items() for part in ("--set", f"{path}={format_value(value)}"))]


def needs_file(config: RunConfig) -> bool:
    """Whether the command names the settings' file, which has to be downloaded beside it."""
    return arguments(config) == [FILE]


def shell_line(config: RunConfig) -> str:
    """Return the command for a POSIX shell, a setting a line; a line break in a text stays in its quotation marks."""
    first, *rest = (shlex.quote(part) for part in arguments(config))
    settings = zip(rest[::2], rest[1::2], strict=True)
    return " \\\n  ".join([" ".join([*PROGRAM, first]), *(" ".join(pair) for pair in settings)])


def format_value(value: Any) -> str:
    """Return a value as `parse_setting` reads it: text as it stands, lists and mappings as YAML on one line."""
    return value if isinstance(value, str) else _yaml(value)


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(int(value)) if value == math.trunc(value) and abs(value) < 1e15 else repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)}: {_yaml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return _text(value) if isinstance(value, str) else repr(value)


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and yaml.safe_load(value) == value:
        return value
    return yaml.safe_dump(value, default_style='"', allow_unicode=True, width=math.inf).rstrip("\n")
