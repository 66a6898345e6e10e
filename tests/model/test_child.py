"""A trial in a limited process: its limits are one thing, a process that could not try is another."""

import pytest

from studio.errors import ModelError
from studio.model import child


@pytest.fixture
def program(tmp_path):
    def write(text):
        (tmp_path / "trial.py").write_text(text, encoding="utf-8")
        return str(tmp_path / "trial.py")

    return write


@pytest.mark.parametrize(
    ("text", "bearable"),
    [
        ("", True),
        ("import sys; sys.exit(8)", True),
        (f"import sys; sys.exit({child.TOO_MUCH})", False),
        ("import os; os.kill(os.getpid(), 24)", False),
        ("import time; time.sleep(60)", False),
    ],
    ids=["done", "refused", "memory", "killed", "slow"],
)
def test_limits_are_told_from_success(program, text, bearable):
    assert child.is_bearable(program(text), seconds=3, bearable=(0, 8)) is bearable


@pytest.mark.parametrize("text", ["raise PermissionError('no entry')", "import sys; sys.exit('no entry')"])
def test_a_trial_that_could_not_run_gives_its_reason(program, text):
    with pytest.raises(ModelError, match="no entry"):
        child.is_bearable(program(text), seconds=30)


def test_a_program_that_cannot_be_read_is_no_verdict(tmp_path, monkeypatch):
    with pytest.raises(ModelError, match=r"gone\.py"):
        child.is_bearable(str(tmp_path / "gone.py"), seconds=30)
    monkeypatch.setattr(child.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ModelError, match="No such file"):
        child.is_bearable(str(tmp_path / "gone.py"), seconds=30)
