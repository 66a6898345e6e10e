"""Long work for a session (a scan, a download), in a thread of its own: with progress, to be cancelled, one at a time.

It knows nothing of what the work is: the page hands it a function that is told how to say how far it is.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

OnProgress = Callable[[float], None]
UPDATE_SECONDS = 0.3
"""Seconds between two looks at the progress."""


class Cancelled(Exception):
    """The work was ended before it was done."""


class Replaced(Exception):
    """Later work of the session has taken the place of this one: nobody wants its result."""


class Work:
    """One piece of work and how far it is."""

    def __init__(self, function: Callable[[OnProgress], Any], about: Any = None):
        self._function = function
        self.about = about
        """What the work is about, for who would begin it again."""
        self._stop_requested = threading.Event()
        self._done = threading.Event()
        self.share: float | None = None
        """Share done, from 0 to 1; None before the work says so."""
        self.replaced = False
        self.result: Any = None
        self.error: Exception | None = None
        threading.Thread(target=self._run, name="page-work", daemon=True).start()

    @property
    def cancelled(self) -> bool:
        """Whether it ended because somebody asked for it."""
        return isinstance(self.error, Cancelled)

    def cancel(self) -> None:
        """End the work at its next step."""
        self._stop_requested.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the work is done, at most `seconds`; return whether it is."""
        return self._done.wait(seconds)

    def _report(self, share: float) -> None:
        if self._stop_requested.is_set():
            raise Cancelled
        self.share = share

    def _run(self) -> None:
        try:
            self.result = self._function(self._report)
        except BaseException as error:  # told by whoever waits
            self.error = error
        finally:
            self._done.set()


_newest: dict[str, Work] = {}
_lock = threading.Lock()


def begin(session: str, function: Callable[[OnProgress], Any], about: Any = None) -> Work:
    """Start work for a session; what it had going on is ended."""
    with _lock:
        drop(session)
        _newest[session] = work = Work(function, about)
    return work


def cancel(session: str) -> None:
    """End a session's work, if there is any."""
    if (work := _newest.get(session)) is not None:
        work.cancel()


def busy(session: str) -> bool:
    """Whether a session's work goes on."""
    work = _newest.get(session)
    return work is not None and not work.wait(0)


def subject(session: str) -> Any:
    """Return what a session's work is about; None when none goes on."""
    work = _newest.get(session)
    return None if work is None or work.wait(0) else work.about


def drop(session: str) -> None:
    """End a session's work because nobody wants its result any more."""
    if (work := _newest.get(session)) is not None:
        work.replaced = True
        work.cancel()


def follow(session: str, work: Work) -> Iterator[float | None]:
    """Yield the share done whenever it has changed, until the work is done; work that nobody follows is ended.

    Raises `Replaced`, which changes nothing on the page, where other work has taken its place.
    """
    reported: float | None = -1.0
    try:
        while not work.wait(UPDATE_SECONDS):
            if work.share != reported and not work.replaced:
                reported = work.share
                yield reported
        if work.replaced:
            raise Replaced
    finally:
        work.cancel()
        with _lock:
            if _newest.get(session) is work:
                del _newest[session]


class Slot:
    """The place of one kind of work in each session."""

    def __init__(self, kind: str):
        """Name the kind."""
        self._kind = kind

    def of(self, request: gr.Request) -> str:
        """Return the name of the session's place, as the functions of this module take it."""
        return f"{request.session_hash} {self._kind}"

    def cancel(self, request: gr.Request) -> None:
        """End the session's work, if there is any: a handler for a button."""
        cancel(self.of(request))
