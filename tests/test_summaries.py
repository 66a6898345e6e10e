"""One summary per run, read again only when the run has changed."""

import json
import subprocess
import sys

import pytest

from studio import runs
from studio.config import RunConfig
from studio.events import Evaluated, Resumed, Step
from studio.runs import State, history, metadata, trash


def step(number: int, loss: float, total: int = 400) -> Step:
    return Step(step=number, total=total, epoch=0.1, loss=loss, learning_rate=1e-3, tokens=5)


@pytest.fixture
def finished():
    from studio import presets

    run = runs.create(presets.load("quickstart").with_settings({"name": "선장", "data.validation.kind": "fraction"}))
    for number in range(1, 301):
        run.emit(step(number, 4 - number / 100))
    for at, loss in ((100, 3.0), (200, 2.5), (300, 2.75)):
        run.emit(Evaluated(step=at, loss=loss))
    (run.path / "checkpoints" / "step-000300").mkdir(parents=True)
    (run.path / "checkpoints" / "step-000300" / "optimizer.pt").write_bytes(b"x" * 5000)
    run.enter(State.FINISHED, step=300, total=300, started=1000.0, ended=1090.0)
    return run


def test_a_summary_tells_origin_losses_time_and_place(finished):
    [found] = history.all_summaries()
    assert (found.name, found.preset, found.model, found.data) == ("선장", "quickstart", "builtin", "captain")
    assert (found.state, found.damaged, found.seconds(0)) == ("finished", "", 90.0)
    assert (found.first, found.last, found.lowest) == (3.99, 1.0, 1.0)
    assert (found.validated, found.best, found.best_step, found.best_known) == (2.75, 2.5, 200, 2.5)
    assert 20 <= len(found.sparkline) <= history.SPARKLINE
    assert list(found.sparkline) == sorted(found.sparkline, reverse=True)
    assert found.disk["checkpoints"] == 5000
    assert found.bytes == sum(path.stat().st_size for path in finished.path.rglob("*") if path.is_file())


def test_a_long_run_keeps_its_shape_in_few_points():
    run = runs.create(RunConfig())
    with open(run.path / "events.jsonl", "a", encoding="utf-8") as file:
        file.write(
            "".join(step(n, 5.0 if n <= 5000 else 1.0, 10_000).model_dump_json() + "\n" for n in range(1, 10_001))
        )
    [found] = history.all_summaries()
    assert len(found.sparkline) <= history.SPARKLINE
    assert (found.sparkline[0], found.sparkline[-1]) == (5.0, 1.0)
    half = len(found.sparkline) // 2
    assert found.sparkline[half - 2] == 5.0
    assert found.sparkline[half + 2] == 1.0


def test_a_live_run_is_read_on_and_what_a_resume_made_void_is_forgotten():
    run = runs.create(RunConfig())
    run.emit(step(1, 3.0))
    assert history.all_summaries()[0].last == 3.0
    run.emit(step(2, 0.5))
    assert history.all_summaries()[0].lowest == 0.5
    run.emit(Resumed(step=1))
    run.emit(step(2, 2.0))
    [found] = history.all_summaries()
    assert (found.first, found.last, found.lowest, found.sparkline) == (3.0, 2.0, 2.0, (3.0, 2.0))


def test_a_change_of_name_note_state_or_files_is_seen(finished):
    history.all_summaries()
    metadata.rename(finished, "new")
    assert history.all_summaries()[0].name == "new"
    metadata.annotate(finished, "good")
    assert history.all_summaries()[0].note == "good"
    (finished.path / "checkpoints" / "step-000300").rename(finished.path / "checkpoints" / "step-000301")
    (finished.path / "checkpoints" / "more").write_bytes(b"x" * 7)
    assert history.all_summaries()[0].disk["checkpoints"] == 5007
    trash.delete(finished)
    assert history.all_summaries() == []
    trash.restore(finished.id)
    assert [found.name for found in history.all_summaries()] == ["new"]


def test_a_run_whose_owner_is_gone_is_interrupted_in_the_list_too():
    code = (
        "from studio import runs; from studio.config import RunConfig;"
        "runs.create(RunConfig()).enter(runs.State.TRAINING, step=7)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert [found.state for found in history.all_summaries()] == ["interrupted"]


def test_a_damaged_run_is_listed_and_says_what_is_wrong(finished):
    for name in ("status.json", "run.yaml"):
        run = runs.create(RunConfig(name="hurt"))
        run.enter(State.STOPPED)
        (run.path / name).write_bytes(b"\xff{")
    (runs.folder() / "20269999-999999-by-hand-0000").mkdir()
    found = {summary.damaged: summary for summary in history.all_summaries()}
    assert set(found) == {"", "status.json", "run.yaml"}
    assert found["status.json"].state == "damaged"
    assert found["run.yaml"].state == "stopped"
    assert len(history.all_summaries()) == 4


def test_a_new_process_reads_only_what_has_changed(finished, monkeypatch):
    first = history.all_summaries()
    read = []
    monkeypatch.setattr(history, "_cache", {})
    monkeypatch.setattr(runs.Run, "events", lambda run, offset=0: read.append(run.id) or ([], 0))
    assert history.all_summaries() == first
    assert read == []
    metadata.rename(finished, "changed")
    history.all_summaries()
    assert read == [finished.id]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 0}', '{"format": 1, "runs": {"x": 3}}'])
def test_a_damaged_file_of_summaries_is_made_again(finished, home, monkeypatch, content):
    history.all_summaries()
    (home / "summaries.json").write_text(content)
    monkeypatch.setattr(history, "_cache", {})
    assert [found.id for found in history.all_summaries()] == [finished.id]
    assert json.loads((home / "summaries.json").read_text())["runs"].keys() == {finished.id}
