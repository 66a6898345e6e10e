"""What libraries warn of does not reach the one who uses the command line."""

import os
import subprocess
import sys

import pytest

QUIET = {"GOMP_SPINCOUNT": "0", "OMP_NUM_THREADS": "1"}


@pytest.mark.long
def test_comparing_writes_nothing_to_standard_error(tiny_config, tmp_path):
    from architectures import make
    from following import trained

    folder = make("mixtral", tmp_path / "model")
    run = trained(tiny_config, **{"model.id": str(folder), "train.max_steps": 2, "samples.mode": "off"})
    command = [sys.executable, "-m", "studio", "compare", run.id, "--prompt", "What is 3?"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **QUIET})

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.long
def test_checking_writes_nothing_of_a_library_to_standard_error(tiny_config, tmp_path):
    from architectures import make

    config = tiny_config.with_settings({"model.id": str(make("mixtral", tmp_path / "model"))})
    (tmp_path / "run.yaml").write_text(config.to_yaml(), encoding="utf-8")
    command = [sys.executable, "-m", "studio", "train", str(tmp_path / "run.yaml"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **QUIET})

    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert "cannot be forecast" in " ".join(done.stdout.split())
