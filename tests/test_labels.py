"""What a user calls a run, and notes about it."""

import threading

import pytest

from studio import labels, runs
from studio.config import RunConfig
from studio.errors import RunError
from studio.ui import status_views, views
from studio.ui.story import Glance


def test_a_run_is_called_as_its_settings_say_until_it_is_named():
    run = runs.create(RunConfig(name="가사 쓰기"))
    assert labels.name_of(run) == "가사 쓰기"
    labels.rename(run, "  바다\n노래 ")
    assert labels.name_of(run) == "바다 노래"
    assert run.config().name == "가사 쓰기"
    labels.rename(run, "")
    assert labels.name_of(run) == "가사 쓰기"


def test_the_page_shows_the_given_name_in_every_list():
    run = runs.create(RunConfig(name="first"))
    labels.rename(run, "The <b>sea</b>")
    assert views.run_name(run.id).startswith("The <b>sea</b> · ")
    assert "The &lt;b&gt;sea" in status_views.status_panel(run.id, Glance(run.status()), "en")
    assert views.run_choice(run.id, run.status(), "ko").startswith("The <b>sea")


def test_name_and_note_given_at_once_are_both_kept():
    run = runs.create(RunConfig())
    both = threading.Barrier(2)

    def give(write, value):
        both.wait()
        for number in range(20):
            write(run, f"{value} {number}")

    threads = [threading.Thread(target=give, args=given) for given in ((labels.rename, "a"), (labels.annotate, "note"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert labels.of(run) == labels.Label(name="a 19", note="note 19")


def test_what_is_too_long_is_refused_and_changes_nothing():
    run = runs.create(RunConfig(name="kept"))
    with pytest.raises(RunError, match="61 characters"):
        labels.rename(run, "x" * 61)
    with pytest.raises(RunError, match="2001 characters"):
        labels.annotate(run, "x" * 2001)
    assert labels.of(run) == labels.Label()


def test_a_damaged_label_or_run_still_has_a_name():
    run = runs.create(RunConfig(name="Old Captain"))
    (run.path / labels.FILE).write_text("{")
    assert labels.name_of(run) == "Old Captain"
    lost = runs.create(RunConfig(name="Old Ship"))
    (lost.path / "run.yaml").unlink()
    assert labels.name_of(lost) == "old-ship"


def test_a_run_that_is_gone_is_not_brought_back_by_a_name():
    run = runs.create(RunConfig())
    run.path.rename(run.path.with_name(".away"))
    with pytest.raises(RunError, match="no run called"):
        labels.rename(run, "ghost")
    assert not run.path.exists()
