"""How an evaluation stands is read from its directory, by whoever looks."""

import json
import subprocess
import sys

import psutil
import pytest
from asking import GREEDY
from following import trained

from studio import gpu
from studio.compare import generate, standing
from studio.compare.columns import ADAPTED, Column, EvaluationRequest
from studio.files import sha256
from studio.owner import Owner


@pytest.fixture
def run(tiny_config):
    return trained(tiny_config, **{"data.validation": {"kind": "fraction", "fraction": 0.5}})


def evaluate(run, **settings):
    return gpu.thread().evaluate(EvaluationRequest(run.id, generation=GREEDY, **{"limit": 6} | settings))


def test_what_is_on_disk_is_what_was_shown(run):
    assert standing.newest(run) is standing.stamp(run) is None
    made = evaluate(run).result()
    found = standing.newest(run)
    assert (found.id, found.done, found.total, found.going, found.stopped) == (made.id, 12, 12, False, False)
    assert (found.pairs, found.notes, found.board) == (made.pairs, made.notes, made.board)
    assert found.forgetting == made.forgetting


def test_everybody_sees_it_go_on_and_stop(run, monkeypatch):
    monkeypatch.setitem(generate.ROWS_AT_ONCE, "cpu", 2)
    job = evaluate(run)
    steps = []
    for made in job.updates():
        if not made.stopped and made.done == 2:
            steps.append((standing.newest(run), standing.stamp(run)))
            job.stop()
    (found, stamp), over = steps[0], standing.newest(run)
    assert found.going
    assert not found.stopped
    assert found.done >= 2
    assert found.pairs[:2] == made.pairs[:2]
    assert (over.going, over.stopped, over.board) == (False, True, None)
    assert standing.stamp(run) != stamp
    assert evaluate(run).result().board == standing.newest(run).board


def test_one_whose_process_is_gone_does_not_go_on(run):
    made = evaluate(run).result()
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    facts = json.loads((made.path / standing.FACTS).read_text(encoding="utf-8"))
    owner = Owner(pid=other.pid, started=psutil.Process(other.pid).create_time(), boot=psutil.boot_time())
    (made.path / standing.FACTS).write_text(json.dumps(facts | {"owner": owner.model_dump()}), encoding="utf-8")
    going, stamp = standing.newest(run), standing.stamp(run)
    other.kill()
    other.communicate()
    assert going.going
    assert going.board is None
    assert not standing.newest(run).going
    assert standing.stamp(run) != stamp


def test_the_newest_is_shown_and_a_scoreboard_is_found_by_its_adapter(run):
    whole = evaluate(run).result()
    half = evaluate(run, column=Column(strength=0.5), forgetting=False).result()
    assert standing.newest(run).id == half.id
    adapter = sha256(run.adapter / "adapter_model.safetensors")
    assert standing.board_of(run, ADAPTED, adapter) == whole.board
    assert standing.board_of(run, Column(strength=0.5), adapter) == half.board
    assert standing.board_of(run, Column(strength=0.7), adapter) is None
    assert standing.board_of(run, ADAPTED, "of another adapter") is None


def test_what_was_damaged_from_outside_is_no_evaluation_but_hides_no_other(run):
    made = evaluate(run).result()
    (made.path / standing.BOARD).write_text("{", encoding="utf-8")
    assert standing.newest(run).board is None
    (made.path / standing.FACTS).write_text("{", encoding="utf-8")
    assert standing.newest(run).done == 12
