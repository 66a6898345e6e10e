"""Whether somebody works on a run: a process of this machine is looked up, another is judged by its heartbeat."""

import json
import os
import time
from pathlib import Path

import pytest

from studio import gpu, runs
from studio.config import RunConfig
from studio.errors import DeviceError, RunError
from studio.owner import GONE_SECONDS, Owner
from studio.runs import State, trash, writer


def elsewhere(run: runs.Run, silent: float, **changes) -> runs.Run:
    """Let a run be another machine's, whose last sign of life is some seconds old."""
    path = run.path / "status.json"
    status = json.loads(path.read_bytes())
    status["owner"] |= {"pid": 1, "started": 5.0, "boot": 5.0, "host": "node7", "kernel": "other 1"} | changes
    status["state"] = "training"
    path.write_text(json.dumps(status), encoding="utf-8")
    for file in run.heartbeat_files:
        if file.exists():
            os.utime(file, (time.time() - silent,) * 2)
    return run


@pytest.fixture
def run():
    return runs.create(RunConfig())


def test_a_run_of_another_machine_lives_as_long_as_its_heart_beats(run):
    assert elsewhere(run, silent=GONE_SECONDS / 2).status().state is State.TRAINING
    assert elsewhere(run, silent=GONE_SECONDS + 5).status().state is State.INTERRUPTED
    (run.path / runs.RESOURCE_USAGE).write_text("{}")  # which is written every second
    assert run.status().state is State.TRAINING


def test_the_clocks_of_the_machines_may_differ(run, monkeypatch):
    elsewhere(run, silent=5)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)  # ours is an hour ahead of the file system's
    assert run.status().state is State.TRAINING


def test_while_it_lives_it_is_not_taken_over_and_the_message_names_its_machine(run):
    elsewhere(run, silent=3)
    with pytest.raises(DeviceError, match="on the machine node7") as caught:
        gpu.thread().resume_run(run.id)
    assert f"{GONE_SECONDS:.0f} s" in str(caught.value)
    with pytest.raises(DeviceError, match="node7"):
        gpu.thread().start_run(RunConfig())
    with pytest.raises(RunError, match="node7"):
        trash.delete(run)
    elsewhere(run, silent=GONE_SECONDS + 5)
    trash.delete(run)


def test_a_process_that_wakes_up_writes_no_more_into_a_run_that_was_taken_over(run, monkeypatch):
    elsewhere(run, silent=1)
    before = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    real = time.time
    monkeypatch.setattr(writer.time, "time", lambda: real() + GONE_SECONDS + 1)
    for write in (lambda: run.enter_phase("training"), lambda: run.update(step=7), lambda: run.enter(State.FAILED)):
        with pytest.raises(RunError, match="node7"):
            write()
    assert {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()} == before


def test_a_container_of_this_machine_is_not_looked_up_by_its_process_numbers(run):
    me = Owner.current()
    assert elsewhere(run, silent=3, host=me.host, kernel="the same boot, other namespace").status().state.alive


def test_a_record_of_an_older_version_is_of_this_machine(run):
    status = json.loads((run.path / "status.json").read_bytes())
    for name in ("host", "kernel", "devices"):
        del status["owner"][name]
    (run.path / "status.json").write_text(json.dumps(status))
    assert run.status().state is State.QUEUED
    status["owner"]["pid"] = 2**22 - 1
    (run.path / "status.json").write_text(json.dumps(status))
    assert run.status().state is State.INTERRUPTED


def test_a_run_that_waits_gives_signs_of_life(run):
    for file in run.heartbeat_files[:1]:
        os.utime(file, (5, 5))
    run.touch_heartbeat()
    assert time.time() - Path(run.heartbeat_files[0]).stat().st_mtime < 60


def test_a_run_that_uses_another_device_is_in_nobodys_way(run):
    elsewhere(run, silent=3, devices=["GPU-a"])
    assert [each.id for each in runs.alive_runs(["GPU-a", "GPU-b"])] == [run.id]
    assert runs.alive_runs(["GPU-b"]) == []
    assert [each.id for each in runs.alive_runs()] == [run.id]
