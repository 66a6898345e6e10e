"""A run keeps its single comparisons: they open again as they were, and the oldest go first."""

import errno
import threading
from dataclasses import replace

import pytest
from asking import GREEDY, SAMPLED, compare
from following import trained

from studio import gpu
from studio.compare import compare_job, comparison_history
from studio.compare.columns import ADAPTED, BASE, Column, CompareRequest
from studio.data.conversation import Turn
from studio.errors import DeviceError
from studio.generation.job_context import JobContext
from studio.journal import Journal


@pytest.fixture
def run(tiny_config):
    return trained(tiny_config)


def test_what_is_kept_is_what_was_shown_the_newest_first(run):
    columns = (BASE, replace(ADAPTED, strength=0.5), Column("base", shots=(Turn("user", "a"), Turn("assistant", "b"))))
    first = compare(run, "What is <b>3</b>?", SAMPLED, columns)
    chat = compare(run, "What is 4?")
    assert compare(run, ("many", "prompts")).notes == ()

    found = comparison_history.load_all(run)
    assert [one.comparison for one in found] == [chat, first]
    assert found[0].id == comparison_history.comparison_id(chat)
    assert found[0].comparison.next_turn("And 5?").earlier == ("What is 4?",)
    assert found[0].comparison.proof.verified

    again = compare(run, "What is <b>3</b>?", SAMPLED, columns)
    assert [one.comparison.request for one in comparison_history.load_all(run)] == [again.request, chat.request]


def test_the_oldest_go_first_and_what_cannot_be_read_takes_nothing_with_it(run, monkeypatch, caplog):
    monkeypatch.setattr(comparison_history, "MAX_SAVED", 2)
    made = [compare(run, prompt) for prompt in ("one", "two", "three")]
    assert [one.comparison for one in comparison_history.load_all(run)] == [made[2], made[1]]

    journal = Journal(run.path / "compare" / "comparisons.jsonl")
    journal.append({"id": "of another version", "at": 0, "comparison": {"request": None}})
    assert [one.comparison for one in comparison_history.load_all(run)] == [made[2], made[1]]
    assert "cannot be read" in caplog.text


def test_a_full_disk_takes_nobodys_answers_away(run, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("studio.journal.replace_file", full)
    made = compare(run, "hi", GREEDY)
    assert made.proof is not None
    assert "No space left" in made.notes[-1].text()
    assert comparison_history.load_all(run) == []


def test_a_batch_is_stored_before_and_after_it_is_answered_apart_from_single_comparisons(run, monkeypatch):
    stored, save = [], comparison_history.save
    monkeypatch.setattr(
        comparison_history, "save", lambda run, made, **kind: (stored.append(made), save(run, made, **kind))
    )
    request = CompareRequest(run.id, ("What is 3?", "hi"), GREEDY)
    made = gpu.thread().compare(request, batch=True).result()
    assert [len(each.answers) for each in stored] == [0, 2]
    [batch] = comparison_history.load_all(run, batch=True)
    assert batch.comparison == made
    assert comparison_history.load_all(run) == []


def test_a_batch_is_refused_while_a_run_is_trained(run):
    request = CompareRequest(run.id, ("hi",), GREEDY)
    with pytest.raises(DeviceError, match=run.id):
        compare_job.compare(request, JobContext(None, run, print, threading.Event()), batch=True)
    assert comparison_history.batch_stamp(run) is None


def test_a_column_that_is_taken_away_answers_no_further_turn(run):
    made = compare(run, "What is 3?", columns=(BASE, ADAPTED, replace(ADAPTED, strength=0.5)))
    two = made.without(2)
    assert two.request.columns == made.request.columns[:2]
    assert two.texts() == made.texts()[:2]
    assert two.proof.adapter_sha256 == made.proof.adapter_sha256[:2]
    assert len(two.next_turn("And 4?").columns) == 2
