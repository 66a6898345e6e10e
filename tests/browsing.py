"""One Chromium for all tests of a process; each test has windows of its own in it."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from playwright.sync_api import Browser, CDPSession, Error, Playwright, expect, sync_playwright

expect.set_options(timeout=60_000)  # on a busy machine, every answer of the page is slow
PATIENCE = 30.0
"""Seconds that the browser has to close windows, or to answer between two tests, before it is killed."""


class SharedBrowser:
    """A browser without a window that is started when a test first needs it, and started again when it hangs.

    Playwright bounds what a test does on a page, but not the closing of a context: once a browser that several tests
    shared did not answer for five minutes. Here it is killed after `PATIENCE`, and the next test gets a new one.
    """

    def __init__(self, program: str):
        self._program = program
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._session: CDPSession | None = None
        self._pid = 0

    def ready(self) -> Browser:
        """Return the browser without any open window: the one that runs, if it answers, else a new one."""
        if self._browser is not None:
            with self._killed_if_late():
                self._session.send("Browser.getVersion")
        if self._browser is None:
            self._start()
        return self._browser

    def close_contexts(self) -> None:
        """Close what a test has left open."""
        if self._browser is None:
            return
        with self._killed_if_late():
            for context in self._browser.contexts:
                context.close()

    def close(self) -> None:
        """End the browser and its driver; the driver's event loop runs in this thread for as long as it lives."""
        if self._browser is not None:
            with self._killed_if_late():
                self._browser.close()
            self._browser = None
        if self._playwright is not None:
            self._playwright.stop()
            self._playwright = None

    def _start(self) -> None:
        if self._playwright is None:
            self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=self._program, args=["--no-sandbox", "--disable-background-networking"]
        )
        self._session = self._browser.new_browser_cdp_session()
        processes = self._session.send("SystemInfo.getProcessInfo")["processInfo"]
        self._pid = next(process["id"] for process in processes if process["type"] == "browser")

    @contextlib.contextmanager
    def _killed_if_late(self) -> Iterator[None]:
        """Kill the browser when a call takes longer than `PATIENCE`; one that was killed or has crashed is forgotten.

        Any other error of the call is raised.
        """
        killed = threading.Event()

        def kill() -> None:
            killed.set()
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(self._pid, signal.SIGKILL)

        timer = threading.Timer(PATIENCE, kill)
        timer.start()
        try:
            yield
        except Error:
            if not killed.is_set() and self._browser.is_connected():
                raise
        finally:
            timer.cancel()
            timer.join()
        if killed.is_set() or not self._browser.is_connected():
            self._browser = None
