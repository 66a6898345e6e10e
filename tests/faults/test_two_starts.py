"""Starts at the same moment, from threads and from processes: one run, and the others are told which."""

import multiprocessing
import threading
import time

import pytest
from following import wait_until_over

from studio import gpu, runs
from studio.errors import DeviceError
from studio.runs import State
from tests.faults import children


def wait_to_be_stopped(run, *args, **kwargs):
    """Stand in for a training, and cost nothing."""
    run.enter(State.PREPARING)
    while run.requested() != "stop":
        time.sleep(0.001)
    run.enter(State.STOPPED)


@pytest.mark.parametrize("times", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_twenty_threads_at_once_start_one_run_each_time(config, home, monkeypatch, times):
    monkeypatch.setattr("studio.train.run_training.train", wait_to_be_stopped)
    for number in range(times):
        monkeypatch.setenv("RESTYLE_HOME", str(home / str(number)))
        barrier = threading.Barrier(20)
        started, refused = [], []

        def press(barrier=barrier, started=started, refused=refused):
            barrier.wait()
            try:
                started.append(gpu.thread().start_run(config))
            except DeviceError as busy:
                refused.append((busy.key, busy.values["run"]))

        threads = [threading.Thread(target=press) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(started) == 1
        assert refused == [("device.busy", started[0].id)] * 19
        assert len(runs.all_runs()) == 1
        started[0].request("stop")
        assert wait_until_over(started[0]) is State.STOPPED


def start_at_the_same_moments(settings: str, together, times: int) -> None:
    """Try to start a run at the same moments as others do, and print what came of each."""
    from studio.config import RunConfig
    from studio.train import run_training

    run_training.train = wait_to_be_stopped
    config = RunConfig.from_yaml(settings)
    gpu.thread()
    for number in range(times):
        together.wait()
        try:
            run = gpu.thread().start_run(config)
        except DeviceError as error:
            run = None
            print(number, "refused", error.values["run"], flush=True)
        else:
            print(number, "started", run.id, flush=True)
        together.wait()
        if run:
            run.request("stop")
            wait_until_over(run)


@pytest.mark.long
@pytest.mark.parametrize("processes", [2, 4])
def test_processes_at_once_start_one_run(home, config, tmp_path, processes):
    together = multiprocessing.get_context("forkserver").Barrier(processes, timeout=60)
    outs = [tmp_path / f"{number}.txt" for number in range(processes)]
    started = [children.start(home, start_at_the_same_moments, config.to_yaml(), together, 25, out=out) for out in outs]
    for child in started:
        child.join(100)
        assert child.exitcode == 0, [out.read_text() for out in outs]
    answers = [line.split() for out in outs for line in out.read_text().splitlines()]
    for number in map(str, range(25)):
        ids = [run for moment, _, run in answers if moment == number]
        assert [what for moment, what, _ in answers if moment == number].count("started") == 1, answers
        assert len(ids) == processes
        assert len(set(ids)) == 1
    assert len(runs.all_runs()) == 25
