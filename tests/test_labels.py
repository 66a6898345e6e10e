"""What a user calls a run, and notes about it."""

import threading

import pytest

from studio import runs
from studio.config import RunConfig
from studio.errors import RunError
from studio.runs import metadata
from studio.ui import status_views, views
from studio.ui.run_reader import RunSnapshot


def test_a_run_is_called_as_its_settings_say_until_it_is_named():
    run = runs.create(RunConfig(name="가사 쓰기"))
    assert metadata.name_of(run) == "가사 쓰기"
    metadata.rename(run, "  바다\n노래 ")
    assert metadata.name_of(run) == "바다 노래"
    assert run.config().name == "가사 쓰기"
    metadata.rename(run, "")
    assert metadata.name_of(run) == "가사 쓰기"


def test_the_page_shows_the_given_name_in_every_list():
    run = runs.create(RunConfig(name="first"))
    metadata.rename(run, "The <b>sea</b>")
    assert views.run_name(run.id).startswith("The <b>sea</b> · ")
    assert "The &lt;b&gt;sea" in status_views.status_panel(run.id, RunSnapshot(run.status()), "en")
    assert views.run_choice(run.id, run.status(), "ko").startswith("The <b>sea")


def test_name_and_note_given_at_once_are_both_kept():
    run = runs.create(RunConfig())
    both = threading.Barrier(2)

    def give(write, value):
        both.wait()
        for number in range(20):
            write(run, f"{value} {number}")

    threads = [
        threading.Thread(target=give, args=given) for given in ((metadata.rename, "a"), (metadata.annotate, "note"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metadata.load(run) == metadata.Metadata(name="a 19", note="note 19")


def test_what_is_too_long_is_refused_and_changes_nothing():
    run = runs.create(RunConfig(name="kept"))
    with pytest.raises(RunError, match="61 characters"):
        metadata.rename(run, "x" * 61)
    with pytest.raises(RunError, match="2001 characters"):
        metadata.annotate(run, "x" * 2001)
    assert metadata.load(run) == metadata.Metadata()


def test_a_damaged_label_or_run_still_has_a_name():
    run = runs.create(RunConfig(name="Old Captain"))
    (run.path / metadata.FILE).write_text("{")
    assert metadata.name_of(run) == "Old Captain"
    lost = runs.create(RunConfig(name="Old Ship"))
    (lost.path / "run.yaml").unlink()
    assert metadata.name_of(lost) == "old-ship"


def test_a_run_that_is_gone_is_not_brought_back_by_a_name():
    run = runs.create(RunConfig())
    run.path.rename(run.path.with_name(".away"))
    with pytest.raises(RunError, match="no run called"):
        metadata.rename(run, "ghost")
    assert not run.path.exists()


def test_a_run_is_published_by_its_owner_alone_and_keeps_its_name_and_note():
    run = runs.create(RunConfig(name="mine"))
    metadata.annotate(run, "a note")
    assert not metadata.is_published(run)
    metadata.publish(run, True)
    assert metadata.is_published(run)
    assert (metadata.name_of(run), metadata.load(run).note) == ("mine", "a note")
    metadata.publish(run, False)
    assert not metadata.is_published(run)


def test_a_damaged_label_publishes_nothing():
    run = runs.create(RunConfig())
    for damaged in ('{"published": 2}', '{"published": "x"}', "[]", "{"):
        (run.path / metadata.FILE).write_text(damaged, encoding="utf-8")
        assert not metadata.is_published(run)


def test_where_only_some_runs_may_be_shown_the_others_do_not_exist():
    mine, shown = runs.create(RunConfig(name="mine")), runs.create(RunConfig(name="shown"))
    metadata.publish(shown, True)
    with runs.visible_only(metadata.is_published):
        assert runs.is_restricted()
        assert [run.id for run in runs.all_runs()] == [shown.id] == [runs.find("last").id]
        with pytest.raises(RunError):
            runs.find(mine.id)
        elsewhere = []
        thread = threading.Thread(target=lambda: elsewhere.append(runs.find(mine.id)))
        thread.start()
        thread.join()
        assert elsewhere  # other threads work for others
    assert runs.find(mine.id).id == mine.id
    assert not runs.is_restricted()


def test_the_command_line_publishes_and_takes_back(capsys):
    from studio.cli import app

    run = runs.create(RunConfig())
    app(["runs", "publish", run.id], standalone_mode=False)
    assert metadata.is_published(run)
    assert run.id in capsys.readouterr().out
    app(["runs", "publish", "--off"], standalone_mode=False)
    assert not metadata.is_published(run)
