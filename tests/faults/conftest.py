"""Runs that are long enough to be disturbed, and what they would have been."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from following import wait_until_over

from studio import gpu
from studio.runs import Run, State
from tests.faults import children

SETTINGS = {
    "lora.dropout": 0.2,
    "train.max_steps": 6,
    "train.save": "steps",
    "train.save_steps": 2,
    "train.gradient_accumulation": 2,
    "train.eval_steps": 3,
    "data.validation": {"kind": "fraction", "fraction": 0.25},
}


@pytest.fixture
def config(tiny_config):
    """The settings of a run of six steps that is saved every second step."""
    return tiny_config.with_settings(SETTINGS)


_known: dict[str, bytes] = {}
"""What an undisturbed run learns depends on the settings alone, so it is found out once."""


@pytest.fixture
def undisturbed(config) -> bytes:
    """The weights that this run learns when nothing disturbs it, in this process."""
    if "here" not in _known:
        run = gpu.thread().start_run(config)
        assert wait_until_over(run) is State.FINISHED
        _known["here"] = weights(run)
    return _known["here"]


@pytest.fixture
def in_child(tmp_path):
    """Carry out work about runs in a process of its own: a function of home and work, that returns its exit code."""

    def carry_out(home, work, *args, seconds=100):
        child = children.start(home, work, *args, out=tmp_path / "out.txt", env={"RESTYLE_CACHE": str(tmp_path / "c")})
        child.join(seconds)
        child.kill()
        child.join()
        return child.exitcode

    return carry_out


@pytest.fixture
def undisturbed_in_child(config, in_child, tmp_path) -> bytes:
    """The weights that it learns in a process of its own, on one core."""
    if "child" not in _known:
        assert in_child(tmp_path / "undisturbed", children.train, config.to_yaml()) == 0
        _known["child"] = weights(only_run(tmp_path / "undisturbed"))
    return _known["child"]


def only_run(home) -> Run:
    [path] = (home / "runs").glob("2*")
    return Run(path)


def weights(run) -> bytes:
    return (run.adapter / "adapter_model.safetensors").read_bytes()


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of 3 MB of its own; skipped where mounting is not permitted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with mount(folder, "size=3m"):
        yield folder


@contextlib.contextmanager
def mount(folder: Path, options: str) -> Iterator[None]:
    """Put a disk in memory at a folder; skips the test where that is not permitted."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("to mount a disk needs root")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"to mount a disk is not permitted: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
