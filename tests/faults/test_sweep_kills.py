"""kill -9 while a sweep goes on: it goes on where it was, tries nothing twice, and ends as an undisturbed one."""

import pytest
from tiny import make_config

from tests.faults.sweeping import SETTINGS, kill_sweep


def kill(tmp_path, tiny_model, style_file, monkeypatch, kills, steps, seed):
    monkeypatch.setenv("RESTYLE_HOME", str(tmp_path / "home"))  # put back after the homes that are looked at
    settings = make_config(tiny_model, style_file).with_settings({**SETTINGS, "train.max_steps": steps}).to_yaml()
    result = kill_sweep(tmp_path, settings, kills, seed)
    assert result.problems == []
    assert result.kills == kills
    assert len(result.trials) == 3
    assert result.resumed > 0


@pytest.mark.long
def test_a_sweep_that_was_killed_again_and_again_ends_as_an_undisturbed_one(
    tmp_path, tiny_model, style_file, monkeypatch
):
    kill(tmp_path, tiny_model, style_file, monkeypatch, kills=3, steps=20, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_forty_kills_of_a_sweep_are_survived(tmp_path, tiny_model, style_file, monkeypatch):
    kill(tmp_path, tiny_model, style_file, monkeypatch, kills=40, steps=250, seed=2)
