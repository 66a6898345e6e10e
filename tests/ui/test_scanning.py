"""Work in the background: progress, cancelling, and one at a time."""

import threading
import time

from studio.ui import scanning


def endless(going) -> None:
    while True:
        going(0.5)
        time.sleep(0.01)


def test_progress_is_told_until_the_work_is_done():
    gate = threading.Event()

    def work(going):
        going(0.25)
        gate.wait(10)
        return "result"

    begun = scanning.begin("a", work)
    steps = scanning.follow("a", begun)
    told = [next(steps)]
    gate.set()
    told += list(steps)

    assert 0.25 in told
    assert begun.result == "result"
    assert begun.error is None


def test_cancelling_ends_the_work_at_its_next_step():
    work = scanning.begin("b", endless)
    scanning.cancel("b")

    assert work.wait(5)
    assert work.cancelled
    assert not work.replaced


def test_later_work_of_a_session_takes_the_place_of_earlier_work():
    first = scanning.begin("c", endless)
    other = scanning.begin("d", endless)
    second = scanning.begin("c", lambda going: 2)

    assert first.wait(5)
    assert first.replaced
    assert list(scanning.follow("c", second)) == []
    assert second.result == 2
    assert not other.wait(0.05)  # another session's work goes on
    scanning.cancel("d")
    assert other.wait(5)


def test_work_is_known_by_what_it_is_about_while_it_goes_on():
    work = scanning.begin("f", endless, "these settings")

    assert scanning.subject("f") == "these settings"
    assert scanning.subject("g") is None
    work.cancel()
    assert work.wait(5)
    assert scanning.subject("f") is None


def test_work_that_nobody_follows_any_more_is_ended():
    work = scanning.begin("e", endless)
    steps = scanning.follow("e", work)
    next(steps)
    steps.close()  # the browser tab was closed

    assert work.wait(5)
    assert work.cancelled


def test_a_failure_is_kept_for_who_waits():
    work = scanning.begin("f", lambda going: 1 / 0)
    list(scanning.follow("f", work))

    assert isinstance(work.error, ZeroDivisionError)
    assert not work.cancelled
