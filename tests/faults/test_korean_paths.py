"""Homes, data and models in folders with Korean names, composed and decomposed."""

import json
import shutil
import unicodedata

import pytest
from following import wait_for, wait_until_over

from studio import gpu, runs
from studio.compare.columns import CompareRequest
from studio.runs import State, checkpoints
from tests.faults import children
from tests.faults.conftest import only_run


@pytest.fixture(params=["NFC", "NFD"])
def folder(request, tmp_path):
    """A folder with a space, Korean letters, and a name in the form that Linux or that macOS gives it."""
    made = tmp_path / unicodedata.normalize(request.param, "한글 폴더") / unicodedata.normalize(request.param, "실험 1")
    made.mkdir(parents=True)
    return made


@pytest.fixture
def korean(folder, config, tiny_model, style_file):
    """The settings of a run whose data and model lie there."""
    shutil.copytree(tiny_model, folder / "모델")
    shutil.copy(style_file, folder / "가사 모음.jsonl")
    source = {"kind": "file", "name": str(folder / "가사 모음.jsonl")}
    return config.with_settings({"name": "가사 쓰기", "data.source": source, "model.id": str(folder / "모델")})


@pytest.mark.long
def test_a_whole_run_works_there(folder, korean, monkeypatch):
    monkeypatch.setenv("RESTYLE_HOME", str(folder / "집"))
    monkeypatch.setenv("RESTYLE_CACHE", str(folder / "임시"))
    run = gpu.thread().start_run(korean.with_settings({"train.max_steps": 100_000}))
    assert run.path.is_relative_to(folder)
    wait_for(run, lambda status: status.step >= 3)
    run.request("pause")
    assert wait_until_over(run) is State.PAUSED
    assert checkpoints.is_complete(checkpoints.newest_complete(run.path))
    assert wait_for(gpu.thread().resume_run(run.id), lambda status: status.state is State.TRAINING)
    run.request("stop")
    assert wait_until_over(run) is State.STOPPED
    assert runs.find("last").config().data.source.name == str(folder / "가사 모음.jsonl")
    made = gpu.thread().compare(CompareRequest(run.id, ("바다가 뭐야?",), korean.generation)).result()
    assert all(side.tokens for side in made.answers[0])
    assert json.loads((run.adapter / "restyle.json").read_text())["base"]["id"] == str(folder / "모델")


@pytest.mark.long
def test_the_command_line_works_there(folder, korean, tmp_path):
    path = folder / "설정.yaml"
    path.write_text(korean.to_yaml(), encoding="utf-8")
    out = tmp_path / "out.txt"
    child = children.start(folder / "집", children.command_line, "train", str(path), out=out)
    child.join(60)
    assert child.exitcode == 0, out.read_text()
    run = only_run(folder / "집")
    assert run.has_adapter
    assert str(run.path) in out.read_text()
