"""Files are replaced whole or not at all, and nothing of ours lies under the working directory."""

import os
import threading

import pytest

from studio import files
from studio.errors import HomeError


def test_a_replaced_file_is_the_new_one_and_leaves_no_draft(tmp_path):
    path = tmp_path / "한글 폴더" / "a.json"
    path.parent.mkdir()
    files.replace_file(path, "old")
    files.replace_file(path, "새것")
    assert path.read_text(encoding="utf-8") == "새것"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.json"]


@pytest.mark.parametrize(("number", "raised"), [(28, HomeError), (27, HomeError), (5, OSError)])
@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_when_the_disk_fails_the_old_file_stays(tmp_path, monkeypatch, failing, number, raised):
    path = tmp_path / "a.json"
    files.replace_file(path, "old")

    def fail(*args):
        raise OSError(number, "Refused")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(raised, match="Refused" if raised is OSError else "The disk is full"):
        files.replace_file(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == ["a.json"]


def test_the_home_is_chosen_by_the_environment_and_made(tmp_path, monkeypatch):
    monkeypatch.setenv("RESTYLE_HOME", str(tmp_path / "a" / "b"))
    assert files.home() == (tmp_path / "a" / "b").resolve()
    assert files.home().is_dir()


def test_without_a_choice_the_home_is_in_the_users_data(tmp_path, monkeypatch):
    monkeypatch.delenv("RESTYLE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert files.home().is_relative_to(tmp_path)
    assert not files.home().is_relative_to(os.getcwd())


def test_a_replaced_folder_is_the_new_one_and_an_old_one_survives_a_failure(tmp_path):
    def failing(draft):
        (draft / "a").write_text("half")
        raise OSError(28, "No space left on device")

    folder = tmp_path / "adapter"
    files.replace_folder(folder, lambda draft: (draft / "a").write_text("old"))
    with pytest.raises(HomeError, match="The disk is full"):
        files.replace_folder(folder, failing)
    assert (folder / "a").read_text() == "old"
    files.replace_folder(folder, lambda draft: (draft / "b").write_text("new"))
    assert [path.name for path in folder.iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_folder_that_a_kill_left_without_its_name_gets_it_back(tmp_path):
    (tmp_path / ".best.gone").mkdir()
    (tmp_path / ".best.gone" / "a").write_text("old")
    (tmp_path / ".best.draft").mkdir()
    files.clear_drafts(tmp_path)
    assert (tmp_path / "best" / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_what_was_put_aside_survives_a_failure_after_a_kill(tmp_path):
    def failing(draft):
        raise OSError(5, "Input/output error")

    (tmp_path / ".best.gone").mkdir()
    (tmp_path / ".best.gone" / "a").write_text("old")
    with pytest.raises(OSError, match="Input"):
        files.replace_folder(tmp_path / "best", failing)
    assert (tmp_path / "best" / "a").read_text() == "old"


def test_two_threads_that_replace_one_file_leave_one_of_both(tmp_path):
    path = tmp_path / "control.json"
    failures = []

    def replace(letter):
        try:
            for _ in range(100):
                files.replace_file(path, letter * 100)
                assert path.read_text() in ("a" * 100, "b" * 100)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=replace, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_folder_that_is_being_removed_has_lost_its_name_before_its_first_file(tmp_path, monkeypatch):
    folder = tmp_path / "step-000001"
    folder.mkdir()
    (folder / "a").write_text("")
    named = []
    real = os.unlink

    def unlink(*args, **kwargs):
        named.append(folder.exists())
        return real(*args, **kwargs)

    monkeypatch.setattr(os, "unlink", unlink)
    monkeypatch.setattr(os, "supports_dir_fd", os.supports_dir_fd | {unlink})
    files.remove_folder(folder)
    assert named == [False]
    assert list(tmp_path.iterdir()) == []
