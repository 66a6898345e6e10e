"""SIGTERM and SIGINT to the command line, and a kill of the app."""

import json
import os
import signal
import socket
import sys
import time

import pytest
from following import wait_for, wait_until_over

from studio import gpu, runs
from studio.runs import State, checkpoints
from tests.faults import children


@pytest.fixture
def endless(config, tmp_path):
    """The file of a run that does not end by itself."""
    path = tmp_path / "endless.yaml"
    path.write_text(config.with_settings({"train.max_steps": 100_000}).to_yaml(), encoding="utf-8")
    return path


def wait_for_run(home, reached, seconds=60):
    """Wait until the newest run of a home has `reached(status)`, and return the run."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = runs.all_runs()
        if found and (status := runs.try_status(found[0])) and reached(status):
            return found[0]
        time.sleep(0.01)
    raise AssertionError(f"not reached in {seconds} s")


def training(status):
    return status.step >= 3


def evaluating(status):
    return status.phase == "evaluating"


def start_training(home, path, tmp_path):
    return children.start(home, children.command_line, "train", str(path), "--json", out=tmp_path / "out.txt")


@pytest.mark.long
@pytest.mark.parametrize("reached", [training, evaluating])
def test_sigterm_makes_a_checkpoint_and_the_run_can_go_on(home, endless, tmp_path, reached):
    process = start_training(home, endless, tmp_path)
    run = wait_for_run(home, reached)
    os.kill(process.pid, signal.SIGTERM)
    process.join(60)
    assert process.exitcode == 0
    said = (tmp_path / "out.txt").read_text()
    assert json.loads(said[said.index("{\n") :])["state"] == "paused"
    status = run.status()
    assert status.state is State.PAUSED
    assert checkpoints.step_of(checkpoints.newest_complete(run.path)) == status.step
    resumed = gpu.thread().resume_run(run.id)
    wait_for(resumed, lambda now: now.step > status.step)
    resumed.request("stop")
    assert wait_until_over(resumed) is State.STOPPED


def test_sigint_stops_the_run_and_keeps_the_adapter(home, endless, tmp_path):
    process = start_training(home, endless, tmp_path)
    run = wait_for_run(home, training)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 0
    assert run.status().state is State.STOPPED
    assert run.has_adapter


def train_in_slow_steps(*arguments: str) -> None:
    """Be the command line on a machine where a forward pass takes three seconds, after the third step."""
    from trl import SFTTrainer

    real = SFTTrainer.training_step

    def step(self, *args, **kwargs):
        if self.state.global_step >= 3:
            time.sleep(3)
        return real(self, *args, **kwargs)

    SFTTrainer.training_step = step
    children.command_line(*arguments)


def test_a_second_sigint_quits_and_the_run_is_found_as_interrupted(home, endless, tmp_path):
    process = children.start(home, train_in_slow_steps, "train", str(endless), out=tmp_path / "out.txt")
    run = wait_for_run(home, training)
    time.sleep(0.7)
    began = time.monotonic()
    while process.is_alive() and time.monotonic() < began + 30:
        os.kill(process.pid, signal.SIGINT)
        process.join(0.2)
    assert process.exitcode == 130
    assert run.status().state is State.INTERRUPTED
    assert not run.has_adapter
    resumed = gpu.thread().resume_run(run.id)
    wait_for(resumed, lambda now: now.state is State.TRAINING)
    resumed.request("stop")
    assert wait_until_over(resumed) is State.STOPPED


def be_the_app(settings: str, port: int, *arguments: str) -> None:
    """Be `python app.py`, whose quickstart preset is a run of these settings."""
    from studio import presets
    from studio.config import RunConfig

    os.chdir(children.ROOT)
    sys.path.insert(0, str(children.ROOT))
    presets.load = lambda name: RunConfig.from_yaml(settings)
    sys.argv = ["app.py", "--port", str(port), *arguments]
    import app

    app.main()


@pytest.mark.long
def test_the_run_of_an_app_that_was_killed_is_found_and_goes_on(home, config, tmp_path):
    slow = config.with_settings({"train.max_steps": 100_000})
    earlier = runs.create(config)
    earlier.enter(State.FAILED)
    port = free_port()
    app = children.start(home, be_the_app, slow.to_yaml(), port, "--quickstart", out=tmp_path / "app.txt")
    run = wait_for_run(home, training)
    app.kill()
    app.join()
    assert run.status().state is State.INTERRUPTED

    again = children.start(home, be_the_app, slow.to_yaml(), port, out=tmp_path / "app.txt")
    wait_for_page(port)
    assert {(found.id, found.status().state) for found in runs.all_runs()} == {
        (run.id, State.INTERRUPTED),
        (earlier.id, State.FAILED),
    }
    assert runs.alive_runs() == []
    resumed = gpu.thread().resume_run(run.id)
    newest = checkpoints.step_of(checkpoints.newest_complete(run.path))
    wait_for(resumed, lambda now: now.state is State.TRAINING and now.step > newest)
    resumed.request("stop")
    assert wait_until_over(resumed) is State.STOPPED
    assert [event.step for event in run.events()[0] if event.type == "resumed"] == [newest]
    again.kill()
    again.join()


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


def wait_for_page(port: int, seconds: float = 60) -> None:
    import urllib.request

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                assert answer.status == 200
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"no page in {seconds} s")
