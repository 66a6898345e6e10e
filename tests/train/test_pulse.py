"""The sign of life of a run."""

import time

from studio import runs
from studio.config import RunConfig
from studio.train import heartbeat


def wait_for_another(run, before):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = heartbeat.latest(run)
        if found and (before is None or found.at > before.at):
            return found
        time.sleep(0.02)
    raise AssertionError("no sign of life")


def test_a_run_that_is_at_work_shows_signs_of_life(home, monkeypatch):
    monkeypatch.setattr(heartbeat, "INTERVAL_SECONDS", 0.05)
    run = runs.create(RunConfig())
    assert heartbeat.latest(run) is None

    with heartbeat.writing(run):
        first = wait_for_another(run, None)
        second = wait_for_another(run, first)

    assert second.memory > 0
    assert not list(run.path.glob(".vitals*"))
    assert time.time() - heartbeat.latest(run).at < 30


def test_a_run_whose_folder_is_taken_away_is_not_disturbed_by_its_pulse(home, tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "INTERVAL_SECONDS", 0.01)
    run = runs.create(RunConfig())
    with heartbeat.writing(run):
        wait_for_another(run, None)
        run.path.rename(tmp_path / "taken away")
        time.sleep(0.1)

    assert heartbeat.latest(run) is None


def test_a_damaged_sign_is_none(home):
    run = runs.create(RunConfig())
    (run.path / heartbeat.RESOURCE_USAGE).write_text("{")

    assert heartbeat.latest(run) is None
