"""Run directories: the only truth about a run."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from studio import runs
from studio.cli import training
from studio.config import RunConfig
from studio.errors import RunError
from studio.events import Step
from studio.i18n import message
from studio.runs import Run, State, writer


def step(number: int) -> Step:
    return Step(step=number, total=9, epoch=0.1, loss=2.0, learning_rate=1e-3, tokens=5)


def test_a_new_run_has_its_settings_and_is_queued():
    config = RunConfig(name="Old Captain!")
    run = runs.create(config)
    assert run.config() == config
    assert run.status().state is State.QUEUED
    assert "old-captain" in run.id
    assert [run.id for run in runs.all_runs()] == [run.id]


def test_ids_sort_by_time_and_a_korean_name_gives_a_safe_one():
    ids = [runs.create(RunConfig(name="가사 쓰기")).id for _ in range(3)]
    assert all(id.isascii() for id in ids)
    assert len(set(ids)) == 3


@pytest.mark.parametrize("name", ["../x", "", ".", "/etc", "20260101-000000-x-0000/../..", "a" * 300, "x\0y"])
def test_a_name_that_is_no_id_of_ours_opens_nothing(name):
    with pytest.raises(RunError):
        runs.find(name)


def test_events_come_back_as_they_were_and_from_where_one_left_off():
    run = runs.create(RunConfig())
    run.emit(step(1))
    first, offset = run.events()
    run.emit(step(2))
    second, _ = run.events(offset)
    assert [event.type for event in first] == ["state", "step"]
    assert second == [second[0]]
    assert second[0].step == 2


def test_a_message_in_an_event_is_put_into_words_by_its_reader():
    run = runs.create(RunConfig())
    run.note(message("log.usable", rows=3, usable=2), "warning")
    told = run.events()[0][-1]
    assert told.message.text("en") == "2 of 3 rows can be used."
    assert "2개" in told.message.text("ko")


def test_a_run_whose_owner_is_gone_is_interrupted(home):
    code = (
        "from studio import runs; from studio.config import RunConfig;"
        "run = runs.create(RunConfig()); run.enter(runs.State.TRAINING, step=7); print(run.id)"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status = runs.find(made.stdout.strip()).status()
    assert status.state is State.INTERRUPTED
    assert status.step == 7
    assert status.ended == status.heartbeat
    assert runs.alive_runs() == []


def test_another_process_with_the_same_number_is_not_the_owner():
    run = runs.create(RunConfig())
    status = json.loads((run.path / "status.json").read_text())
    status["owner"]["started"] -= 1000
    (run.path / "status.json").write_text(json.dumps(status))
    assert run.status().owner.pid == os.getpid()
    assert Run(run.path).status().state is State.INTERRUPTED


def test_whoever_waits_for_a_run_of_this_process_waits_no_longer_than_it_lives():
    run = runs.create(RunConfig())
    began = time.monotonic()
    Run(run.path).wait(0.05)
    run.wait(0.05)
    assert time.monotonic() - began >= 0.1
    threading.Timer(0.2, run.enter, [State.FINISHED]).start()
    assert training.follow(run, quiet=True) is State.FINISHED
    run.wait(60)
    assert time.monotonic() - began < 30
    resumed = writer.RunWriter.take_over(run)
    began = time.monotonic()
    resumed.wait(0.05)
    assert time.monotonic() - began >= 0.05


def test_what_is_asked_of_a_run_is_read_back():
    run = runs.create(RunConfig())
    assert run.requested() is None
    Run(run.path).request("stop")
    assert run.requested() == "stop"


def test_a_status_is_never_half_there_for_a_reader():
    run = runs.create(RunConfig())
    over = threading.Event()

    def write() -> None:
        for number in range(200):
            run.update(step=number, phase="x" * 2000)
        over.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not over.is_set():
        Run(run.path).status()
    writer.join()


def test_a_damaged_folder_does_not_hide_the_other_runs():
    good, bad = runs.create(RunConfig()), runs.create(RunConfig())
    (bad.path / "status.json").write_text("{")
    assert runs.try_status(bad) is None
    assert [run.id for run in runs.alive_runs()] == [good.id]


def test_a_scratch_run_is_in_no_list_at_any_moment(monkeypatch):
    seen = []
    write = writer.replace_file

    def looking(path, content):
        write(path, content)
        seen.append((len(runs.all_runs()), len(runs.alive_runs())))

    monkeypatch.setattr(writer, "replace_file", looking)
    rename = writer.Path.rename
    monkeypatch.setattr(
        writer.Path, "rename", lambda path, to: (seen.append(len(runs.all_runs())), rename(path, to))[1]
    )
    with runs.scratch(RunConfig()) as run:
        run.enter(State.TRAINING)
        assert runs.all_runs() == []
    assert set(seen) == {(0, 0)}
    assert not run.path.exists()


def test_a_scratch_run_that_a_kill_has_left_goes_with_the_next(home):
    code = (
        "from studio import runs; from studio.config import RunConfig; import os\n"
        "with runs.scratch(RunConfig()): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "RESTYLE_HOME": str(home)}, check=False)
    assert len(list(runs.folder().glob(".scratch-*"))) == 1
    with runs.scratch(RunConfig()) as first, runs.scratch(RunConfig()):
        assert first.path.is_dir()
        assert len(list(runs.folder().glob(".scratch-*"))) == 2


def test_steps_are_written_twice_a_second_at_most_and_none_is_lost_at_the_next_change(monkeypatch):
    run = runs.create(RunConfig())
    now, written = [100.0], []
    monkeypatch.setattr(writer.time, "monotonic", lambda: now[0])
    write = writer.replace_file
    monkeypatch.setattr(writer, "replace_file", lambda path, content: (written.append(path.name), write(path, content)))
    for step in range(40):  # two seconds at twenty a second
        now[0] += 0.05
        run.advance(step=step)
    assert 3 <= len(written) <= 5
    run.advance(step=41)
    run.enter_phase("evaluating")
    assert Run(run.path).status().step == 41


def test_the_events_of_a_step_wait_for_no_disk_and_are_there_at_once(monkeypatch):
    run = runs.create(RunConfig())
    monkeypatch.setattr(os, "fsync", lambda file: pytest.fail("a step waits for the disk"))
    for number in range(1, 4):
        run.emit(step(number))
        last = Run(run.path).events()[0][-1]
        assert last.step == number  # the system has it: a kill of this process takes nothing away


@pytest.mark.parametrize(
    ("state", "step", "has_checkpoint", "resumes"),
    [
        (State.FAILED, 0, False, False),
        (State.FAILED, 3, False, False),
        (State.FAILED, 3, True, True),
        (State.INTERRUPTED, 0, False, True),
        (State.INTERRUPTED, 3, False, False),
        (State.STOPPED, 3, True, True),
        (State.FINISHED, 3, True, False),
        (State.TRAINING, 3, True, False),
    ],
)
def test_a_run_resumes_from_a_checkpoint_or_from_its_start_unless_it_failed_there(state, step, has_checkpoint, resumes):
    status = runs.create(RunConfig(name="resumes")).status().model_copy(update={"state": state, "step": step})
    assert status.can_resume(has_checkpoint) is resumes
