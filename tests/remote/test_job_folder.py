"""The folder that trains on any machine: with stand-ins for uv and Slurm's scontrol."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from studio import runs
from studio.errors import HomeError
from studio.remote import bundle
from studio.runs import State, checkpoints
from studio.runs.directory import Run


@pytest.fixture
def folder(tiny_config, tmp_path, here):
    """The folder of a run of 2,000 steps."""
    settings = {"train.max_steps": 2000, "train.epochs": 1000, "samples.mode": "off"}
    (tmp_path / "run.yaml").write_text(tiny_config.with_settings(settings).to_yaml(), encoding="utf-8")
    written = here("train", str(tmp_path / "run.yaml"), "--write-job", str(tmp_path / "job"), "--json")
    assert written.returncode == 0, written.stderr
    assert json.loads(written.stdout)["path"] == str(tmp_path / "job")
    return tmp_path / "job"


@pytest.fixture
def programs(tmp_path) -> Path:
    """Stand-ins: uv runs the script with this Python, and scontrol notes what it is told."""
    place = tmp_path / "programs"
    place.mkdir()
    for name, line in (("uv", f'shift; exec {sys.executable} "$@"'), ("scontrol", f'echo "$@" >> {tmp_path}/requeued')):
        (place / name).write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        (place / name).chmod(0o755)
    return place


def sbatch(folder: Path, programs: Path) -> subprocess.Popen:
    """Start the job as Slurm does."""
    changes = {"PATH": f"{programs}:{os.environ['PATH']}", "SLURM_JOB_ID": "7", "SLURM_SUBMIT_DIR": str(folder)}
    with open(folder.parent / "log", "ab") as log:
        return subprocess.Popen(["bash", folder / "job.sh"], env={**os.environ, **changes}, stdout=log, stderr=log)


def wait_for_step(run: Run, step: int) -> None:
    end = time.monotonic() + 200
    while not run.status().state.alive or run.status().step < step:
        assert time.monotonic() < end, run.status()
        time.sleep(0.05)


@pytest.mark.long
def test_a_slurm_job_saves_before_its_time_is_over_and_is_queued_again(folder, programs, tmp_path, home):
    assert runs.all_runs() == []  # nothing was started here
    [path] = (folder / "home" / "runs").iterdir()
    run = Run(path)
    assert str(tmp_path) not in (path / "run.yaml").read_text(encoding="utf-8").replace(run.config().model.id, "")
    job = sbatch(folder, programs)
    wait_for_step(run, 3)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(200) == 75, (tmp_path / "log").read_text()
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
    assert run.status().state is State.PAUSED
    paused = run.status().step
    assert checkpoints.step_of(checkpoints.newest_complete(path)) == paused

    job = sbatch(folder, programs)
    wait_for_step(run, paused + 2)
    job.send_signal(signal.SIGTERM)  # as for a job that is preempted
    assert job.wait(200) == 75, (tmp_path / "log").read_text()
    assert [event.step for event in run.events()[0] if event.type == "resumed"] == [0, paused]


def test_the_task_is_yaml_and_the_script_says_what_it_needs(folder):
    task = yaml.safe_load((folder / "task.yaml").read_text(encoding="utf-8"))
    assert task["run"].startswith("uv run job.py")
    assert task["secrets"] == {"HF_TOKEN": ""}
    assert subprocess.run(["bash", "-n", folder / "job.sh"]).returncode == 0
    script = (folder / "job.py").read_text(encoding="utf-8")
    assert script.startswith("# /// script\n")
    import torch

    assert f'"torch=={torch.__version__.partition("+")[0]}"' in script


def test_a_folder_that_cannot_be_made_is_told_and_leaves_no_run(tiny_config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match="file"):
        bundle.export(tiny_config, tmp_path / "file" / "job")
    assert runs.all_runs() == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--write-job", "job", "--on", "hf-jobs", "--check"], "--on, --check"),
        (["--on", "hf-jobs", "--wait", "--pause-after", "60"], "--wait, --pause-after"),
        (["--flavor", "t4-small", "--timeout", "2h"], "--flavor, --timeout"),
    ],
)
def test_options_that_would_be_ignored_are_refused(here, home, tmp_path, options, named):
    refused = here("train", "quickstart", *(str(tmp_path / "job") if each == "job" else each for each in options))
    assert refused.returncode == 1
    assert f"{named} would have no effect" in refused.stderr
    assert runs.all_runs() == []


def test_a_folder_that_is_there_is_not_written_over(folder, here):
    again = here("train", "quickstart", "--write-job", str(folder))
    assert again.returncode == 1
    assert "is there already" in again.stderr
