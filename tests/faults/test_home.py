"""A home that is missing or cannot be written is refused before anything is loaded."""

import os
import sys
from pathlib import Path

import pytest

from studio import files, gpu, runs
from studio.config import RunConfig
from studio.errors import HomeError
from tests.faults import children
from tests.faults.conftest import mount


@pytest.fixture
def in_the_way(tmp_path):
    """A home that cannot be made, since a file stands there."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "home"


@pytest.fixture
def read_only(tmp_path):
    """A home on a disk that cannot be written."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield folder
        return
    with mount(folder, "ro"):
        yield folder


@pytest.fixture(params=["in_the_way", "read_only"])
def bad_home(request, monkeypatch):
    folder = request.getfixturevalue(request.param)
    monkeypatch.setenv("RESTYLE_HOME", str(folder))
    return folder


def test_it_is_refused_with_its_folder_and_the_variable_that_chooses_another(bad_home):
    for asked in (files.home, runs.all_runs, lambda: runs.create(RunConfig())):
        with pytest.raises(HomeError) as raised:
            asked()
        assert raised.value.key == "home.read_only"
        assert str(bad_home) in str(raised.value)
        assert "RESTYLE_HOME" in str(raised.value)


def test_no_run_begins_and_no_model_is_loaded(bad_home, config, monkeypatch):
    from studio.model import load

    monkeypatch.setattr(load, "fetch", lambda *args: pytest.fail("a model was fetched"))
    with pytest.raises(HomeError):
        gpu.thread().start_run(config)


def command_line_without_torch(*arguments: str) -> None:
    """Be the command line where torch cannot be used: who asks for a model fails."""
    sys.modules["transformers"] = None
    children.command_line(*arguments)


def test_the_command_line_says_it_in_three_lines(bad_home, config, tmp_path):
    (tmp_path / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    out = tmp_path / "out.txt"
    arguments = ("train", str(tmp_path / "config.yaml"))
    child = children.start(bad_home, command_line_without_torch, *arguments, out=out)
    child.join(60)
    assert child.exitcode == 1
    said = out.read_text().strip().splitlines()
    assert len(said) == 3
    assert str(bad_home) in said[0]


def test_a_disk_that_turns_read_only_is_not_taken_for_a_full_one(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="Read-only"):
        files.replace_file(Path(tmp_path / "a"), "new")
