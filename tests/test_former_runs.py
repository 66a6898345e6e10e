"""Run directories that an earlier version made open, resume, compare, evaluate and export as before.

`former_runs.zip` holds a tiny model and five runs of it, one for each preset's shape, made by the command line of the
version of 2026-11-28 (76db07d): `lyrics` with a comparison, `textbook` with an evaluation, votes and a reading,
`chat` and `socratic` paused, `instruct` in nf4.
"""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from studio import runs

ARCHIVE = Path(__file__).with_name("former_runs.zip")
BUILT_AT = "/models/tiny"
STATES = {"lyrics": "finished", "socratic": "paused", "textbook": "finished", "chat": "paused", "instruct": "finished"}


@pytest.fixture
def former(home, tmp_path):
    """Unpack the runs into the home of this test; returns their ids by preset."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path / "former")
    shutil.copytree(tmp_path / "former/home", home, dirs_exist_ok=True)
    model = str(tmp_path / "former/model")
    folders = sorted((home / "runs").iterdir())
    for folder in folders:
        for path in (*folder.glob("*.yaml"), *folder.glob("*.json"), *folder.glob("*/restyle.json")):
            path.write_bytes(path.read_bytes().replace(BUILT_AT.encode(), model.encode()))
    return {folder.name.split("-")[2]: folder.name for folder in folders}


@pytest.fixture
def studio(capsys):
    """Run the command line in this process; returns the document that it prints."""

    def run(*arguments: str):
        from studio.cli import app

        capsys.readouterr()
        app(list(arguments), standalone_mode=False)
        printed = capsys.readouterr().out
        return json.loads(printed) if "--json" in arguments else printed

    return run


@pytest.mark.parametrize("preset", STATES)
def test_a_former_run_is_read_as_it_was(former, studio, preset):
    shown = studio("runs", "show", former[preset], "--json")
    assert shown["state"] == STATES[preset]
    assert studio("runs", "list", "--json")
    assert studio("samples", former[preset])


@pytest.mark.parametrize("preset", [preset for preset, state in STATES.items() if state == "paused"])
def test_a_former_run_is_resumed_to_its_end(former, studio, preset):
    run = runs.find(former[preset])
    before = [event.step for event in run.events()[0] if event.type == "step"]
    studio("resume", former[preset])
    after = [event.step for event in run.events()[0] if event.type == "step"]
    assert after[: len(before)] == before
    assert after[-1] == 40
    assert (run.path / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize("preset", STATES)
def test_a_former_run_is_compared(former, studio, preset):
    compared = studio("compare", former[preset], "--prompt", "Hello", "--json")
    assert "Hello" in json.dumps(compared)


def test_a_former_evaluation_and_its_votes_count(former, studio):
    before = {path: path.read_bytes() for path in runs.find(former["textbook"]).path.glob("compare/*/answers.jsonl")}
    scores = studio("evaluate", former["textbook"], "--limit", "3", "--json")
    assert scores
    assert {path: path.read_bytes() for path in before} == before  # nothing was answered again


@pytest.mark.parametrize("preset", [preset for preset, state in STATES.items() if state == "finished"])
def test_a_former_run_is_exported(former, studio, preset, tmp_path):
    studio("export", former[preset], "--to", "adapter", "--out", str(tmp_path / "out"))
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
