"""Deleting a run moves it into the trash, and can be undone until the trash is emptied."""

import os
import time

import pytest

from studio import runs
from studio.config import RunConfig
from studio.errors import RunError
from studio.runs import State, metadata, trash


@pytest.fixture
def run():
    made = runs.create(RunConfig(name="captain"))
    (made.path / "adapter").mkdir()
    (made.path / "adapter" / "adapter_model.safetensors").write_bytes(b"x" * 100)
    made.enter(State.FINISHED, step=3, total=3)
    return made


def test_a_deleted_run_is_in_no_list_and_comes_back_as_it_was(run):
    before = {path.relative_to(run.path): path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    metadata.annotate(run, "keep")
    going = trash.delete(run)
    assert runs.all_runs() == []
    with pytest.raises(RunError):
        runs.find(run.id)
    assert [(found.id, found.name) for found in trash.deleted_runs()] == [(run.id, "captain")]
    assert going.bytes > 100

    back = trash.restore(run.id)
    assert trash.deleted_runs() == []
    assert back.path == run.path
    assert metadata.load(back).note == "keep"
    assert all((back.path / name).read_bytes() == content for name, content in before.items())


def test_a_live_run_is_refused(run):
    alive = runs.create(RunConfig())
    with pytest.raises(RunError, match="still going on"):
        trash.delete(alive)
    assert alive.path.is_dir()


def test_a_damaged_run_can_be_deleted_and_put_back(run):
    (run.path / "status.json").write_text("{")
    (run.path / "run.yaml").unlink()
    trash.delete(run)
    assert trash.deleted_runs()[0].name == run.id
    assert trash.restore("last").id == run.id


def test_the_one_deleted_last_is_put_back_first(run):
    other = runs.create(RunConfig(name="other"))
    other.enter(State.STOPPED)
    trash.delete(run)
    time.sleep(0.002)
    trash.delete(other)
    assert [found.id for found in trash.deleted_runs()] == [other.id, run.id]
    assert trash.restore("last").id == other.id


def test_what_is_not_in_the_trash_or_has_its_place_taken_is_not_put_back(run):
    with pytest.raises(RunError, match="in the trash"):
        trash.restore("../../etc")
    trash.delete(run)
    run.path.mkdir()
    with pytest.raises(RunError, match="stands in its place"):
        trash.restore(run.id)
    assert len(trash.deleted_runs()) == 1


def test_emptying_removes_for_good_and_only_what_is_old_enough(run, home):
    trash.delete(run)
    assert trash.empty(older_than=trash.KEEP_SECONDS) == 0
    [found] = trash.deleted_runs()
    long_ago = int((time.time() - trash.KEEP_SECONDS - 5) * 1000)
    found.path.rename(found.path.with_name(f"{long_ago}~{run.id}"))
    assert trash.empty(older_than=trash.KEEP_SECONDS) == 1
    assert os.listdir(home / "trash") == []


def test_a_kill_while_emptying_leaves_nothing_that_is_listed_and_the_next_time_removes_it(run, home, monkeypatch):
    trash.delete(run)

    def killed(path, ignore_errors=False):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            trash.empty()
    assert trash.deleted_runs() == []
    trash.empty()
    assert os.listdir(home / "trash") == []
