"""Disks that are full, and calls that fail: the run stops and says why, and what was saved before is whole.

The runs are in processes of their own, so that one that does not stop is seen to.
"""

import errno
import os
import resource
import shutil
from pathlib import Path

import pytest

from studio.files import home as the_home
from studio.runs import State, checkpoints
from tests.faults import children
from tests.faults.conftest import only_run, weights
from tests.faults.dying import PLACES, at_each_call


def fill(disk: Path, leave: int = 0) -> None:
    """Take all that is left of a disk, to the last byte, and give `leave` bytes back."""
    with open(disk / "ballast", "wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
        file.truncate(file.tell() - leave)


def train_while_the_disk_fills(settings: str, disk: Path, leave: int, at: str) -> None:
    """Train; when the run makes the folder called `at`, somebody else fills the disk."""
    real = os.mkdir

    def make(path, *args, **kwargs):
        if os.path.basename(path) == at:
            fill(disk, leave)
        return real(path, *args, **kwargs)

    os.mkdir = make
    children.train(settings)


@pytest.mark.long
@pytest.mark.parametrize("leave", [0, 60_000, 120_000])
def test_a_disk_that_fills_up_stops_the_run_and_with_room_it_goes_on(
    config, undisturbed_in_child, small_disk, in_child, leave
):
    home = small_disk / "home"
    home.mkdir()
    arguments = (config.to_yaml(), small_disk, leave, ".step-000004.draft")
    assert in_child(home, train_while_the_disk_fills, *arguments, seconds=120) == 1
    run = only_run(home)
    assert_stopped_by_a_full_disk(run)
    values = run.status().error.values
    assert Path(values["folder"]).is_relative_to(run.path)
    assert float(values["needs"]) > 0
    assert float(values["free"]) * 1e6 < leave + 60_000  # it is rounded
    (small_disk / "ballast").unlink()
    assert in_child(home, children.train, "", run.id) == 0
    assert weights(run) == undisturbed_in_child


def assert_stopped_by_a_full_disk(run):
    status = run.status()
    assert status.state is State.FAILED
    assert status.error.key == "errors.home.full"
    assert len(status.error.text().splitlines()) == 3
    assert run.events()[0][-1].state == "failed"
    assert [checkpoints.step_of(folder) for folder in checkpoints.all_of(run.path)] == [2]
    assert checkpoints.is_complete(checkpoints.newest_complete(run.path))
    assert not list((run.path / "checkpoints").glob(".*"))


def end_on_a_full_disk(disk: Path) -> None:
    """Let a run fail when not a byte is free, also not what it had kept aside."""
    from studio import runs
    from studio.config import RunConfig
    from studio.i18n import message

    run = runs.create(RunConfig())
    run.enter(State.TRAINING, step=7)
    (run.path / ".spare").unlink()
    fill(disk)
    run.enter(State.FAILED, error=message("errors.run.none"))
    assert shutil.disk_usage(disk).free == 0


@pytest.mark.long
def test_a_run_says_how_it_ended_even_when_not_a_byte_is_free(small_disk, in_child):
    assert in_child(small_disk / "home", end_on_a_full_disk, small_disk) == 0
    status = only_run(small_disk / "home").status()
    assert (status.state, status.step, status.error.key) == (State.FAILED, 7, "errors.run.none")


def train_with_small_files(settings: str, at: str) -> None:
    """Train; from the moment on at which the folder called `at` is made, no file may grow beyond 20 KB."""
    real = os.mkdir

    def make(path, *args, **kwargs):
        if os.path.basename(path) == at:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        return real(path, *args, **kwargs)

    os.mkdir = make
    children.train(settings)


@pytest.mark.long
def test_files_that_may_not_grow_stop_the_run_the_same_way(config, undisturbed_in_child, in_child, tmp_path):
    home = tmp_path / "limited"
    assert in_child(home, train_with_small_files, config.to_yaml(), ".step-000004.draft", seconds=120) == 1
    run = only_run(home)
    assert_stopped_by_a_full_disk(run)
    assert in_child(home, children.train, "", run.id) == 0
    assert weights(run) == undisturbed_in_child


def train_until_all_calls_pass(settings: str, first: int, step: int) -> None:
    """Let the `first`-th call about what a run saves fail, resume the run, and so on with every `step`-th call."""
    from following import wait_until_over

    from studio import gpu
    from studio.config import RunConfig

    left = [0]

    def fail(name: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(errno.EIO, "Input/output error")

    for place in PLACES:
        at_each_call(place, fail, before=True)
    config = RunConfig.from_yaml(settings)
    failed = finished = 0
    for number in range(first, 10_000, step):
        left[0] = number
        run = gpu.thread().start_run(config)
        state = wait_until_over(run)
        assert all(checkpoints.is_complete(folder) for folder in checkpoints.all_of(run.path)), number
        if left[0] > 0:
            break
        if state is State.FAILED:
            failed += 1
            error = run.status().error.text()
            assert "Input/output error" in error, error
            if not checkpoints.all_of(run.path):
                continue
            state = wait_until_over(gpu.thread().resume_run(run.id))
        assert state is State.FINISHED, (number, run.status())  # also when what could not be removed is left behind
        finished += 1
        shutil.copyfile(run.adapter / "adapter_model.safetensors", the_home() / f"{number}.safetensors")
    print(f"failed {failed} finished {finished} to {number}")
    assert failed > 3


@pytest.mark.long
@pytest.mark.parametrize(
    ("first", "step"), [(2, 31), *(pytest.param(first, 3, marks=pytest.mark.slow) for first in (1, 2, 3))]
)
def test_whatever_call_fails_the_checkpoints_are_whole_and_the_run_goes_on(config, in_child, tmp_path, first, step):
    shorter = config.with_settings({"train.keep": "best"})
    code = in_child(tmp_path / "failing", train_until_all_calls_pass, shorter.to_yaml(), first, step, seconds=280)
    assert code == 0, (tmp_path / "out.txt").read_text()[-3000:]
    ends = {path.read_bytes() for path in (tmp_path / "failing").glob("*.safetensors")}
    assert len(ends) == 1
