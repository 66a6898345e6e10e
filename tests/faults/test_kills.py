"""kill -9, in a save too. The long version is `python -m tests.faults --kills 200`."""

import os
import subprocess
import sys

import pytest

from studio import runs
from studio.runs import State
from tests.faults.__main__ import summary
from tests.faults.killing import SAVE_STEPS, Killing, Result


def kill_and_resume(tmp_path, kills, seed, **kind):
    result = Killing(tmp_path, seed, **kind).carry_out(kills)
    assert result.problems == {}, "\n".join(summary(result))
    assert result.tried >= kills
    assert result.in_saves >= kills / 2
    assert max(result.lost) <= SAVE_STEPS
    assert result.finished > 0
    assert result.equal_bytes == result.finished
    assert (result.loss_difference, result.weight_difference) == (0.0, 0.0)


@pytest.mark.long
def test_a_run_that_was_killed_again_and_again_ends_with_the_bits_of_an_undisturbed_one(tmp_path):
    kill_and_resume(tmp_path, kills=6, seed=3)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_on_preferences_that_was_killed_ends_with_the_bits_of_an_undisturbed_one(tmp_path):
    kill_and_resume(tmp_path, kills=10, seed=5, preferences=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_hundred_kills_are_survived(tmp_path):
    kill_and_resume(tmp_path, kills=200, seed=0)


def test_the_summary_names_a_kill_that_was_not_survived():
    lines = summary(Result(tried=2, in_saves=1, lost=[9, 1], problems={1: ["9 steps are lost"]}, problems_in_saves={1}))
    assert lines[0] == "kill 1 was not survived: 9 steps are lost"
    assert "kills survived / tried: 1 / 2, inside a save: 0 / 1" in lines
    assert any(line.startswith("steps lost: at most 9, 5.00 on average") for line in lines)


def test_a_killed_process_that_nobody_has_waited_for_owns_no_run(home):
    code = (
        "import os; from studio import runs; from studio.config import RunConfig;"
        "run = runs.create(RunConfig()); run.enter(runs.State.TRAINING, step=7); os.kill(os.getpid(), 9)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the list of processes
    status = runs.find("last").status()
    assert (status.state, status.step) == (State.INTERRUPTED, 7)
    assert runs.alive_runs() == []
    process.wait()
