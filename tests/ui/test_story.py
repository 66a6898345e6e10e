"""What this process knows of a run, and what a session has shown of it."""

import json
import threading
import time

import pytest

from studio import runs
from studio.config import RunConfig
from studio.events import Evaluated, Note, Resumed, Step
from studio.i18n import message
from studio.runs import State
from studio.train import heartbeat
from studio.ui import active_runs, following, run_reader


@pytest.fixture
def run(home):
    """A run that trains."""
    made = runs.create(RunConfig())
    made.enter(State.TRAINING, total=10_000)
    return made


def step(number: int, at: float | None = None, total: int = 10_000) -> Step:
    return Step(
        step=number,
        total=total,
        epoch=0.1,
        loss=3.0 - number / 10_000,
        learning_rate=1e-3,
        grad_norm=0.5,
        tokens=100 * number,
        at=at if at is not None else time.time(),
    )


def steps_of(run) -> list[float]:
    return list(run_reader.reader_of(run.id).curve().steps)


def test_steps_and_evaluations_become_curves(run):
    run.emit(step(1))
    run.emit(Evaluated(step=1, loss=2.5))
    run.emit(step(2))

    glance = run_reader.reader_of(run.id).refresh()

    assert steps_of(run) == [1, 2]
    assert list(run_reader.reader_of(run.id).curve().validation_losses) == [2.5]
    assert (glance.step, glance.rate, glance.curves, glance.marks) == (2, 1e-3, 3, 1)


def test_what_came_after_the_checkpoint_of_a_resume_is_not_part_of_the_curve(run):
    for number in range(1, 9):
        run.emit(step(number))
    run_reader.reader_of(run.id).refresh()
    run.emit(Resumed(step=5))
    run.emit(step(6))

    glance = run_reader.reader_of(run.id).refresh()

    assert steps_of(run) == [1, 2, 3, 4, 5, 6]
    assert glance.step == 6


def test_events_are_read_once_however_many_look(run, monkeypatch):
    for number in range(1, 101):
        run.emit(step(number))
    offsets = []
    real = runs.Run.events
    monkeypatch.setattr(
        runs.Run, "events", lambda self, offset=0: offsets.append(offset) or real(self, offset), raising=True
    )

    threads = [threading.Thread(target=lambda: run_reader.reader_of(run.id).refresh()) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    size = (run.path / "events.jsonl").stat().st_size
    assert sorted(offsets) == [0] + [size] * 7
    assert len(steps_of(run)) == 100


def test_the_speed_is_that_of_the_last_steps(run):
    for number in range(1, 6):
        run.emit(step(number, at=1000.0 + 2 * number))

    glance = run_reader.reader_of(run.id).refresh()

    assert glance.seconds_per_step == pytest.approx(2.0)
    assert glance.tokens_per_second == pytest.approx(50.0)


def test_a_pause_is_no_slow_step(run):
    run.emit(step(1, at=1000.0))
    run.enter(State.PAUSED)
    run.enter(State.TRAINING)
    run.emit(step(2, at=9000.0))
    run.emit(step(3, at=9001.0))

    assert run_reader.reader_of(run.id).refresh().seconds_per_step == pytest.approx(1.0)


def test_the_log_is_bounded_and_still_counted(run, monkeypatch):
    monkeypatch.setattr(run_reader, "MAX_LINES", 5)
    for number in range(20):
        run.emit(Note(message=message("log.kept_good", step=number)))

    told = run_reader.RunReader(runs.Run(run.path))

    assert told.refresh().lines > 20
    assert [line.message.values["step"] for line in told.lines()] == [15, 16, 17, 18, 19]


def test_stories_are_bounded(home, monkeypatch):
    monkeypatch.setattr(run_reader, "MAX_READERS", 2)
    made = [runs.create(RunConfig()) for _ in range(4)]
    for run in made:
        run_reader.reader_of(run.id).refresh()

    assert len(run_reader._readers) == 2
    assert run_reader.reader_of(made[0].id).refresh() is not None


def test_a_run_whose_folder_is_gone_or_damaged_has_no_glance(run):
    assert run_reader.reader_of(run.id).refresh() is not None
    (run.path / "status.json").write_text("{")

    assert run_reader.reader_of(run.id).refresh() is None
    assert following.follow(run.id).run_id is None


def test_two_sessions_see_the_same_run_and_a_look_without_news_is_equal(run):
    run.emit(step(1))
    one, other = following.newest(), following.newest()

    assert one == other
    assert one.run_id == run.id
    assert following.read(one) == one
    run.emit(step(2))
    assert following.read(one) == following.read(other) != one


def test_points_that_cannot_be_seen_are_not_drawn_at_once(run, monkeypatch):
    run.emit(step(1))
    shown = following.newest()
    assert shown.needs_render
    shown = shown.as_rendered()
    assert not shown.needs_render

    run.emit(step(2))
    assert not following.read(shown).needs_render
    run.emit(step(1 + 10_000 // following.VISIBLE_PARTS))
    assert following.read(shown).needs_render


@pytest.mark.parametrize("event", [Evaluated(step=2, loss=1.0), Resumed(step=1)])
def test_an_evaluation_and_a_resume_are_drawn_at_once(run, event):
    run.emit(step(1))
    shown = following.newest().as_rendered()
    run.emit(event)

    assert following.read(shown).needs_render


def test_points_that_have_waited_are_drawn(run, monkeypatch):
    run.emit(step(1))
    shown = following.newest().as_rendered()
    run.emit(step(2))
    monkeypatch.setattr(following, "REDRAW", 0.0)

    assert following.read(shown).needs_render


def test_a_silence_is_told_in_steps(run):
    (run.path / heartbeat.RESOURCE_USAGE).write_text(json.dumps({"at": time.time() - 25, "memory": 1, "machine": 2}))
    status = json.loads((run.path / "status.json").read_text())
    (run.path / "status.json").write_text(json.dumps(status | {"heartbeat": time.time() - 95}))

    assert following.newest().silent == 20.0
    run.update()
    assert following.newest().silent == 0.0


def test_the_page_opens_with_the_run_at_work_and_not_with_one_that_waits(run, home):
    waiting = runs.create(RunConfig())

    assert active_runs.current().at_work == (run.id,)
    assert active_runs.current().waiting == (waiting.id,)
    assert following.newest().run_id == run.id
    assert following.newest().others_at_work


def test_when_a_run_is_over_the_next_one_in_the_queue_is_followed(run):
    waiting = runs.create(RunConfig())
    shown = following.newest()
    run.enter(State.FINISHED)

    assert following.read(shown).run_id == waiting.id


def test_a_run_that_is_over_stays_until_another_one_comes_to_life(run):
    run.enter(State.FINISHED)
    shown = following.read(following.newest())
    assert following.read(shown).run_id == run.id
    come = runs.create(RunConfig())

    assert following.read(shown).run_id == come.id


def test_a_run_that_was_chosen_to_be_looked_at_stays_while_another_trains(run):
    over = runs.create(RunConfig())
    over.enter(State.STOPPED)
    chosen = following.follow(over.id)

    assert following.read(chosen).run_id == over.id


def test_a_run_that_is_over_is_read_once(run, monkeypatch):
    run.enter(State.FINISHED)
    active_runs.current()
    monkeypatch.setattr(runs, "try_status", lambda run: pytest.fail("read again"))

    assert active_runs.current().all == ()


def test_a_resumed_run_lives_again(run):
    run.enter(State.PAUSED)
    assert active_runs.current().all == ()
    runs.RunWriter.take_over(runs.Run(run.path))

    assert active_runs.current().all == (run.id,)
