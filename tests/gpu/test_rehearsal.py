"""The command for the first card runs from end to end on this machine, with small shapes."""

import subprocess
import sys
from pathlib import Path

import pytest

from studio.model import hardware
from tests.gpu.__main__ import spread

ROOT = Path(__file__).parents[2]


def test_layers_are_spread_over_two_cards_that_could_each_hold_the_model():
    free = [1e12, 1e12]
    assert hardware.placement(10**9, free).value == "one device"
    with spread():
        assert hardware.placement(10**9, free).value == "auto"
        assert hardware.single_card(10**9, free) is None


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_preset_goes_through_all_stages_in_all_weights():
    command = [sys.executable, "-W", "ignore", "-m", "tests.gpu", "--tiny", "--seconds", "1500"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    lines = [line for line in ended.stdout.splitlines() if line.startswith("| ")]
    presets = {line.split("|")[1].strip() for line in lines}
    assert {"instruct", "socratic", "textbook", "lyrics", "chat"} <= presets
    assert not any("left out" in line for line in lines)
