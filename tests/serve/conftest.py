"""What the tests of the endpoint share."""

import shutil

import pytest
from following import wait_until_free, wait_until_over
from tiny import make_config

from studio import gpu, runs
from studio.files import write_json_lines


@pytest.fixture(scope="session")
def two_runs(finished_home, tiny_model, tmp_path_factory):
    """A home with two finished runs of the tiny model, `tiny` and `pirate`, which answer differently."""
    folder = tmp_path_factory.mktemp("two-runs")
    shutil.copytree(finished_home, folder / "home")
    style = folder / "pirate.jsonl"
    rows = [{"instruction": f"Is it {number}?", "output": f"Arr! {number} doubloons."} for number in range(24)]
    write_json_lines(style, rows)
    settings = {"name": "pirate", "train.max_steps": 20, "lora.r": 2}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RESTYLE_HOME", str(folder / "home"))
        patched.setenv("RESTYLE_CACHE", str(folder / "cache"))
        wait_until_over(gpu.thread().start_run(make_config(tiny_model, style).with_settings(settings)))
    wait_until_free()
    return folder / "home"


@pytest.fixture
def tiny_and_pirate(two_runs, home):
    """The two runs, in a home of this test's own."""
    shutil.copytree(two_runs, home, dirs_exist_ok=True)
    pirate, tiny = runs.all_runs()
    assert pirate.config().name == "pirate"
    return tiny, pirate
