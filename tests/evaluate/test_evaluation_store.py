"""How an evaluation stands is read from its directory, by whoever looks."""

import json
import subprocess
import sys

import psutil
import pytest
from asking import GREEDY
from following import trained

from studio import gpu
from studio.compare.columns import ADAPTED, Column, EvaluationRequest
from studio.evaluate import evaluation_store
from studio.files import sha256
from studio.generation import generate
from studio.owner import Owner


@pytest.fixture
def run(tiny_config):
    return trained(tiny_config, **{"data.validation": {"kind": "fraction", "fraction": 0.5}})


def evaluate(run, **settings):
    return gpu.thread().evaluate(EvaluationRequest(run.id, generation=GREEDY, **{"limit": 6} | settings))


def test_what_is_on_disk_is_what_was_shown(run):
    assert evaluation_store.newest(run) is evaluation_store.stamp(run) is None
    made = evaluate(run).result()
    found = evaluation_store.newest(run)
    assert (found.id, found.done, found.total, found.running, found.stopped) == (made.id, 12, 12, False, False)
    assert (found.pairs, found.notes, found.board) == (made.pairs, made.notes, made.board)
    assert found.forgetting == made.forgetting


def test_everybody_sees_it_go_on_and_stop(run, monkeypatch):
    monkeypatch.setitem(generate.MAX_BATCH_ROWS, "cpu", 2)
    job = evaluate(run)
    steps = []
    for made in job.updates():
        if not made.stopped and made.done == 2:
            steps.append((evaluation_store.newest(run), evaluation_store.stamp(run)))
            job.stop()
    (found, stamp), over = steps[0], evaluation_store.newest(run)
    assert found.running
    assert not found.stopped
    assert found.done >= 2
    assert found.pairs[:2] == made.pairs[:2]
    assert (over.running, over.stopped, over.board) == (False, True, None)
    assert evaluation_store.stamp(run) != stamp
    assert evaluate(run).result().board == evaluation_store.newest(run).board


def test_one_whose_process_is_gone_does_not_go_on(run):
    made = evaluate(run).result()
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    facts = json.loads((made.path / evaluation_store.METADATA).read_text(encoding="utf-8"))
    owner = Owner(pid=other.pid, started=psutil.Process(other.pid).create_time(), boot=psutil.boot_time())
    (made.path / evaluation_store.METADATA).write_text(
        json.dumps(facts | {"owner": owner.model_dump()}), encoding="utf-8"
    )
    running, stamp = evaluation_store.newest(run), evaluation_store.stamp(run)
    other.kill()
    other.communicate()
    assert running.running
    assert running.board is None
    assert not evaluation_store.newest(run).running
    assert evaluation_store.stamp(run) != stamp


def test_the_newest_is_shown_and_a_scoreboard_is_found_by_its_adapter(run):
    whole = evaluate(run).result()
    half = evaluate(run, column=Column(strength=0.5), forgetting=False).result()
    assert evaluation_store.newest(run).id == half.id
    assert evaluation_store.newest(run, ADAPTED).id == whole.id
    assert evaluation_store.newest(run, Column(strength=0.5)).column == half.column == Column(strength=0.5)
    assert evaluation_store.newest(run, Column(strength=0.7)) is None
    assert evaluation_store.measured_columns(run) == [half.column, ADAPTED]
    adapter = sha256(run.adapter / "adapter_model.safetensors")
    assert evaluation_store.find_scoreboard(run, ADAPTED, adapter) == whole.board
    assert evaluation_store.find_scoreboard(run, Column(strength=0.5), adapter) == half.board
    assert evaluation_store.find_scoreboard(run, Column(strength=0.7), adapter) is None
    assert evaluation_store.find_scoreboard(run, ADAPTED, "of another adapter") is None


def test_what_was_damaged_from_outside_is_no_evaluation_but_hides_no_other(run):
    made = evaluate(run).result()
    (made.path / evaluation_store.SCOREBOARD).write_text("{", encoding="utf-8")
    assert evaluation_store.newest(run).board is None
    (made.path / evaluation_store.METADATA).write_text("{", encoding="utf-8")
    assert evaluation_store.newest(run).done == 12
