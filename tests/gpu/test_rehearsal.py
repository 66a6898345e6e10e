"""The command for the first card runs from end to end on this machine, with small shapes."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


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
