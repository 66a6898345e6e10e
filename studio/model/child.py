"""A program of its own for long work that cannot be interrupted from within: listened to, and ended at any moment."""

import contextlib
import os
import queue
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import studio

GLANCE = 0.2
"""Seconds between two looks at whether the work is still wanted."""
SILENCE = 120.0
"""Seconds without a word after which a program counts as stuck."""


class Stuck(Exception):
    """The program said nothing for too long."""


class Child:
    """A running program. Its standard input stays open, so that it can see when this process is gone."""

    def __init__(
        self,
        command: Sequence[str],
        said: str = "",
        silence: float = SILENCE,
        environment: Mapping[str, str] | None = None,
    ):
        self._silence = silence
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=Path(studio.__file__).parent.parent,  # where `-m studio…` finds the package
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="child-output", daemon=True).start()
        if said:
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(said + "\n")
                self._process.stdin.flush()

    @property
    def failed(self) -> bool:
        """Whether it ended with an error; waits for its end."""
        return self._process.wait() != 0

    def lines(self) -> Iterator[str | None]:
        """Yield what the program prints, line by line, and None whenever it has printed nothing for a moment.

        It is killed when the iterator is closed before its end. Raises Stuck after too long a silence.
        """
        heard = time.monotonic()
        try:
            while True:
                try:
                    line = self._lines.get(timeout=GLANCE)
                except queue.Empty:
                    if time.monotonic() - heard > self._silence:
                        raise Stuck from None
                    yield None
                    continue
                if line is None:
                    self._process.wait()
                    return
                heard = time.monotonic()
                yield line
        finally:
            self._end()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as printed:
            for line in printed:
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
