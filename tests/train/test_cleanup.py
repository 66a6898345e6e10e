"""Old checkpoints go; what a resume or the best adapter needs stays."""

import pytest

from studio import runs
from studio.config import RunConfig
from studio.errors import RunError
from studio.runs import State, checkpoints


@pytest.fixture
def run():
    made = runs.create(RunConfig())
    for step in (10, 20, 30):
        checkpoints.write(made.path, step, lambda folder: (folder / "optimizer.pt").write_bytes(b"x" * 1000))
    (made.path / "best" / "step-000010").mkdir(parents=True)
    return made


def steps(run) -> list[int]:
    return [checkpoints.step_of(path) for path in checkpoints.all_of(run.path)]


def test_all_but_the_newest_go_and_the_bytes_are_told(run):
    run.enter(State.FINISHED)
    told = checkpoints.removable_bytes(run)
    assert told > 2000
    assert checkpoints.remove_old(run) == told
    assert steps(run) == [30]
    assert checkpoints.is_complete(checkpoints.all_of(run.path)[0])
    assert (run.path / "best" / "step-000010").is_dir()
    assert checkpoints.remove_old(run) == 0


def test_the_newest_that_is_whole_stays_when_a_newer_one_is_damaged(run):
    run.enter(State.FINISHED)
    (run.path / "checkpoints" / "step-000030" / "optimizer.pt").write_bytes(b"y")
    checkpoints.remove_old(run)
    assert steps(run) == [20]


def test_nothing_goes_when_none_is_whole(run):
    run.enter(State.FINISHED)
    for path in checkpoints.all_of(run.path):
        (path / "optimizer.pt").unlink()
    with pytest.raises(RunError, match="no complete checkpoint"):
        checkpoints.remove_old(run)
    assert steps(run) == [30, 20, 10]


@pytest.mark.parametrize("state", [State.TRAINING, State.PAUSED, State.STOPPED, State.FAILED])
def test_a_run_that_is_not_finished_keeps_all(run, state):
    run.enter(state)
    assert checkpoints.removable_bytes(run) == 0
    with pytest.raises(RunError, match="not finished"):
        checkpoints.remove_old(run)
    assert steps(run) == [30, 20, 10]
