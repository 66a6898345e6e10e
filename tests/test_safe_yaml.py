"""YAML from outside says no more than its text, takes no time, and ends no process."""

import time

import pytest

from studio import safe_yaml
from studio.config import RunConfig
from studio.errors import ConfigError


def bomb(levels=9, width=9, leaf="lol"):
    lines = [f"a0: &a0 [{', '.join([leaf] * width)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


MERGED = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 9))
TOO_MUCH = {
    "lists": bomb(),
    "a long text": f"a: &a {'x' * 900_000}\nb: [{', '.join(['*a'] * 50_000)}]",
    "merged mappings": MERGED,
    "keys": "a: &a [x, x, x]\nb: &b [*a, *a]\n? *b\n: 1",
    "itself": "a: &a [*a]",
    "itself further down": "a: &a {b: {c: *a}}",
    "deep lists": "[" * 100_000,
    "deep mappings": "{a: " * 100_000,
    "deep blocks": "- " * 100_000,
    "deep and closed": "[" * 900 + "]" * 900,
    "a number to the base of 60": "a: " + ":".join(["1"] * 300_000),
    "a number": "a: " + "1" * 100_000,
    "a date that is none": "a: 2026-13-45",
    "code": "a: !!python/object/apply:os.system ['true']",
    "a tag that does not fit": "a: !!timestamp x",
    "large": "a: " + "x" * 2_000_000,
    "no text": "\x00",
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_is_too_much_is_refused_in_few_words_and_soon(name):
    begun = time.process_time()
    with pytest.raises(ConfigError) as raised:
        RunConfig.from_yaml(TOO_MUCH[name])

    assert len(str(raised.value)) < 1000
    assert time.process_time() - begun < 20  # gigabytes, or the square of the length, take minutes


@pytest.mark.parametrize("field", ["name", "data", "model", "lora"])
def test_an_error_about_a_field_does_not_write_a_bomb_out(field):
    unfolded = bomb(5, 9).replace("a4:", f"{field}:", 1)
    with pytest.raises(ConfigError) as raised:
        RunConfig.from_yaml(unfolded)
    assert len(str(raised.value)) < 1000


def test_a_few_aliases_are_read():
    assert safe_yaml.load("a: &a [1, 2]\nb: *a\nc: {<<: {d: 3}}") == {"a": [1, 2], "b": [1, 2], "c": {"d": 3}}
    assert safe_yaml.load("") is None
    config = RunConfig()
    assert RunConfig.from_yaml(config.to_yaml()) == config
