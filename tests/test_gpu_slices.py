"""Training on a GPU that is lent for a call at a time, with a stand-in that forks and kills as ZeroGPU does."""

import contextvars
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from following import trained

from studio import gpu_slices, runs
from studio.model import hardware
from studio.runs import State, checkpoints

ROOT = Path(__file__).parent.parent
STAND_IN = ROOT / "tests" / "zero_gpu"
SETTINGS = {"train.max_steps": 20, "train.save": "steps", "train.save_steps": 5, "train.logging_steps": 1}


def weights(run) -> bytes:
    return (run.adapter / "adapter_model.safetensors").read_bytes()


def states(run) -> list[str]:
    return [event.state for event in run.events()[0] if event.type == "state"]


def notes(run) -> list[str]:
    return [event.message.key for event in run.events()[0] if event.type == "note"]


def train(run, work) -> None:
    """Train in slices which `work(run_id, token)` carries out."""

    def run_slice(arguments, variables):
        assert variables[gpu_slices.SLICE_OF] == run.id
        return work(arguments[arguments.index("resume") + 1], variables.get("HF_TOKEN"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu_slices, "borrow", lambda: run_slice)
        gpu_slices.train(run, contextvars.copy_context(), None, lambda: None)


def resumed(run_id: str, until, then):
    """Resume a run in a process as a slice does; once `until(run)` is true, do `then(run, process)`."""
    run = runs.find(run_id)
    command = [sys.executable, "-m", "studio", "resume", run_id, "--json"]
    environment = os.environ | {gpu_slices.SLICE_OF: run_id}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not until(run):
            time.sleep(0.01)
        then(run, process)
        printed = process.communicate()[0]
    return json.loads(printed)


def run_program(program: str, variables: dict[str, str]) -> str:
    """Run a program in a process that has no GPU but may be lent one; return what it prints."""
    command, environment = [sys.executable, "-c", program], os.environ | variables
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.usefixtures("warm_python")
def test_slices_that_are_paused_end_in_the_same_bits(tiny_config):
    whole = trained(tiny_config, **SETTINGS)
    run = runs.create(tiny_config.with_settings(SETTINGS))
    ends = iter((3, 12, 1000))
    handed = []

    def work(run_id, token):
        end = next(ends)
        handed.append(runs.find(run_id).status().owner.pid)

        def pause(run, process):
            if end < 1000:
                run.request("pause")

        outcome = resumed(run_id, lambda run: run.status().step >= end, pause)
        return json.dumps({**outcome, "time_over": outcome["state"] == "paused"})

    train(run, work)
    assert run.status().state is State.FINISHED
    assert states(run).count("paused") == 2
    assert handed == [os.getpid()] * 3  # between two slices the run is this process's, and nobody else can take it
    assert weights(run) == weights(whole)


@pytest.mark.usefixtures("warm_python")
def test_a_slice_that_is_killed_loses_no_more_than_its_last_steps(tiny_config):
    whole = trained(tiny_config, **SETTINGS)
    run = runs.create(tiny_config.with_settings(SETTINGS))
    calls = []

    def work(run_id, token):
        calls.append(token)
        if len(calls) == 1:
            return resumed(run_id, lambda run: checkpoints.all_of(run.path), kill)
        return json.dumps(resumed(run_id, lambda run: False, lambda run, process: None))

    def kill(run, process):
        psutil.Process(run.status().owner.pid).kill()
        process.wait()
        raise RuntimeError("GPU task aborted")

    train(run, work)
    assert run.status().state is State.FINISHED
    assert len(calls) == 2
    assert weights(run) == weights(whole)


@pytest.mark.usefixtures("warm_python")
def test_a_users_request_ends_the_slices(tiny_config):
    run = runs.create(tiny_config.with_settings(SETTINGS))

    def work(run_id, token):
        return json.dumps(resumed(run_id, lambda run: run.status().step >= 3, lambda run, process: run.request("stop")))

    train(run, work)
    assert run.status().state is State.STOPPED
    assert run.has_adapter


def test_where_no_gpu_is_lent_the_run_is_paused_and_says_why(tiny_config):
    run = runs.create(tiny_config)
    asked = []

    def work(run_id, token):
        asked.append(run_id)
        raise RuntimeError("You have exceeded your GPU quota")

    train(run, work)
    assert asked == [run.id]
    assert run.status().state is State.PAUSED
    (note,) = [event for event in run.events()[0] if event.type == "note"]
    assert "GPU quota" in note.message.text()


@pytest.mark.usefixtures("warm_python")
def test_time_that_is_too_short_for_a_step_pauses_the_run(tiny_config, monkeypatch):
    monkeypatch.setenv("RESTYLE_SLICE_SECONDS", "0")
    run = runs.create(tiny_config.with_settings(SETTINGS))
    monkeypatch.setattr(gpu_slices, "borrow", lambda: gpu_slices.run_slice)
    gpu_slices.train(run, contextvars.copy_context(), None, lambda: None)
    assert run.status().state is State.PAUSED
    assert run.status().step == 0
    assert notes(run)[-1] == "log.slice"


def test_a_process_that_is_killed_takes_its_slice_with_it(tiny_config, tmp_path):
    """The stand-in kills the process that it forked, which has started another."""
    run = runs.create(tiny_config)
    program = f"""
import sys
sys.path.insert(0, {str(STAND_IN)!r})
from studio import gpu_slices
try:
    gpu_slices.borrow()(("-m", "studio", "resume", {run.id!r}), {{gpu_slices.SLICE_OF: {run.id!r}}})
except Exception as error:
    print(error, "torch" in sys.modules)
"""
    variables = {"SPACES_ZERO_GPU": "true", "RESTYLE_SLICE_SECONDS": "1"}
    printed = run_program(program, variables)
    assert "GPU task aborted" in printed
    assert "False" in printed
    end = time.monotonic() + 10
    while time.monotonic() < end and any(
        run.id in " ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])
    ):
        time.sleep(0.05)
    assert not [p for p in psutil.process_iter(["cmdline"]) if run.id in " ".join(p.info["cmdline"] or ())]


def test_the_page_of_such_a_host_uses_the_processor(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # as the package `spaces` lets torch say
    assert hardware.device() == "cuda"
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert hardware.device() == "cpu"
    assert "cuda" not in hardware.random_state()


@pytest.mark.slow
def test_the_whole_on_a_stand_in(tiny_config, tmp_path):
    """A process without a GPU starts a run as the page does, and the stand-in lends it one for ten minutes."""
    whole = trained(tiny_config, **SETTINGS)
    path = tmp_path / "config.yaml"
    path.write_text(tiny_config.with_settings(SETTINGS).to_yaml(), encoding="utf-8")
    program = f"""
import sys, time
sys.path.insert(0, {str(STAND_IN)!r})
from studio.model import hardware
hardware.prepare_process()
from studio import gpu, gpu_slices
from studio.config import RunConfig
gpu_slices.borrow()
run = gpu.thread().start_run(RunConfig.from_yaml(open({str(path)!r}).read()))
while run.status().state.alive or gpu.thread()._current:
    time.sleep(0.05)
gpu.shutdown()
print(run.id)
"""
    variables = {"SPACES_ZERO_GPU": "true", "RESTYLE_SLICE_SECONDS": "600"}
    printed = run_program(program, variables)
    run = runs.find(printed.split()[-1])
    assert run.status().state is State.FINISHED
    assert weights(run) == weights(whole)
