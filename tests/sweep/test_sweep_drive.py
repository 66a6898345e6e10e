"""A sweep is carried out: its runs in the ordinary queue, ended early, stopped, resumed, and compared at the end."""

import json
import threading

import pytest
from following import wait_for, wait_until_over

from studio import gpu, runs
from studio.errors import RunError
from studio.runs import State, trash
from studio.sweep import axes, directory, drive, plan
from studio.sweep.directory import SweepState
from studio.sweep.trial import FILE, Trial, label_of, winner


def make_sweep(config, *over, prune="none", **settings):
    base = config.with_settings({"data.validation": {"kind": "fraction", "fraction": 0.25}, "train.eval_steps": 2})
    return directory.create(plan.make(base, [axes.parse(each) for each in over], by="loss", prune=prune, **settings))


def test_six_short_runs_end_with_a_winner(tiny_config):
    sweep = make_sweep(tiny_config, "train.learning_rate=1e-4,1e-2,3e-2", "lora.r=2,4")

    drive.drive(sweep)

    trials = sweep.trials()
    assert sweep.state() is SweepState.FINISHED
    assert [trial.settings["lora.r"] for trial in trials] == [2, 4, 2, 4, 2, 4]
    assert [trial.state for trial in trials] == ["finished"] * 6
    assert [share for share, _ in trials[0].points] == [333, 667, 1000]
    best = winner(trials)
    assert best.score == min(trial.score for trial in trials)
    assert best.settings["train.learning_rate"] > 1e-4  # six steps at 1e-4 learn nothing
    run = runs.find(best.run)
    assert run.config().lora.r == best.settings["lora.r"]
    assert run.has_adapter
    assert label_of(run).sweep == sweep.id


@pytest.mark.long
def test_a_range_is_searched_without_a_repetition(tiny_config):
    sweep = make_sweep(tiny_config, "train.learning_rate=1e-4..1e-1:log", "lora.r=2..6:step2", trials=5)

    drive.drive(sweep)

    tried = [tuple(trial.settings.values()) for trial in sweep.trials()]
    assert len(set(tried)) == 5
    assert all(1e-4 <= rate <= 1e-1 and rank in (2, 4, 6) for rate, rank in tried)


def test_a_run_that_falls_behind_is_ended_early(tiny_config):
    config = tiny_config.with_settings({"train.max_steps": 400, "samples.mode": "off"})
    sweep = make_sweep(config, "train.learning_rate=3e-2,2e-2,1e-2,1e-9", prune="median")
    rates = [settings["train.learning_rate"] for settings in sweep.plan().grid()]
    points = [(share, 1.0) for share in range(0, 1001, 10)]
    done = [
        Trial(number=at, settings={"train.learning_rate": rate}, run=f"gone-{at}", state="finished", points=points)
        for at, rate in enumerate(rates[:3])
    ]
    done = [trial.model_copy(update={"score": 1.0}) for trial in done]
    (sweep.path / "trials.json").write_text(json.dumps([trial.model_dump(mode="json") for trial in done]))

    drive.drive(sweep)

    trials = sweep.trials()
    assert [trial.state for trial in trials] == ["finished"] * 3 + ["pruned"]
    assert 100 <= runs.find(trials[3].run).status().step < 400
    assert winner(trials).number < 3


def test_a_stop_pauses_the_run_and_the_sweep_goes_on_with_it(tiny_config):
    sweep = make_sweep(tiny_config.with_settings({"train.max_steps": 40}), "lora.r=2,4")
    drive.drive_in_background(sweep)
    first = wait_for_run(sweep)
    wait_for(first, lambda status: status.step > 5)
    with pytest.raises(RunError, match="already"):
        drive.drive(sweep)
    sweep.request_stop()
    wait_for(first, lambda status: status.state is State.PAUSED)
    wait_until(lambda: not sweep.is_driven)
    assert sweep.state() is SweepState.STOPPED

    drive.drive(sweep)

    assert [trial.state for trial in sweep.trials()] == ["finished", "finished"]
    assert sweep.trials()[0].run == first.id
    assert [event.type for event in first.events()[0]].count("resumed") == 1


def test_a_run_that_failed_or_was_deleted_keeps_its_place(tiny_config):
    sweep = make_sweep(tiny_config, "train.learning_rate=1e30,1e-2")
    drive.drive(sweep)
    assert [trial.state for trial in sweep.trials()] == ["failed", "finished"]
    trash.delete(runs.find(sweep.trials()[0].run))
    trash.empty()

    drive.drive(sweep)

    assert [trial.state for trial in sweep.trials()] == ["failed", "finished"]
    assert len(runs.all_runs()) == 1
    assert winner(sweep.trials()).number == 1


@pytest.mark.long
def test_a_kill_before_its_run_exists_loses_nothing(tiny_config, monkeypatch):
    sweep = make_sweep(tiny_config, "lora.r=2,4")
    start = gpu.GpuThread.start_run

    def fail(*arguments, **settings):
        raise RuntimeError

    monkeypatch.setattr(gpu.GpuThread, "start_run", fail)
    with pytest.raises(RuntimeError):
        drive.drive(sweep)
    assert sweep.trials() == []
    monkeypatch.setattr(gpu.GpuThread, "start_run", start)
    drive.drive(sweep)
    assert [trial.number for trial in sweep.trials()] == [0, 1]


@pytest.mark.long
def test_a_clone_of_a_run_belongs_to_no_sweep(tiny_config):
    sweep = make_sweep(tiny_config, "lora.r=2,4")
    drive.drive(sweep)
    run = gpu.thread().start_run(runs.find("last").config(), wait=True)
    wait_until_over(run)
    assert not (run.path / FILE).exists()
    assert len(sweep.trials()) == 2


def wait_for_run(sweep):
    wait_until(sweep.trials)
    return runs.find(sweep.trials()[0].run)


def wait_until(condition, seconds=60):
    waiting = threading.Event()
    for _ in range(round(seconds / 0.02)):
        if condition():
            return
        waiting.wait(0.02)
    raise AssertionError("not reached")
