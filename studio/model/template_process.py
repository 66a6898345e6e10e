"""Processes that render chat templates with limits: one for each template, started when it is first needed."""

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

from studio.errors import ModelError
from studio.model import render
from studio.model.subprocess_worker import TOO_MUCH, environment

WAIT_SECONDS = render.SECONDS + 25
"""Seconds until a process that does not answer is ended: its own limit counts only what it computes."""
LINGER_SECONDS = 60
"""Seconds until a process that nobody asks is ended."""
MOST = 4
"""Processes at a time; beyond them, the one that was not used for longest ends as soon as nobody waits for it."""
TICK_SECONDS = 0.2


class TemplateLimit(Exception):
    """A template needed more time, memory or text than a conversation can."""


class _Retired(Exception):
    """The process was ended because nobody needed it."""


class _Process:
    def __init__(self, template: str):
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", render.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(),
            )
        except OSError as error:
            raise ModelError("model.trial", program=sys.executable, detail=str(error)) from error
        self._template: str | None = template
        self._lock = threading.Lock()
        self._since = time.monotonic()
        self._is_busy = self._is_late = self._is_retired = False
        self.linger = LINGER_SECONDS
        threading.Thread(target=self._watch, name="template", daemon=True).start()

    @property
    def is_over(self) -> bool:
        return self._is_retired or self._process.poll() is not None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request; raises TemplateLimit, _Retired, and ModelError if the process cannot run."""
        with self._lock:
            if self._is_retired:
                raise _Retired
            self._since = time.monotonic()
            self._is_busy = True
            try:
                line = self._answer(request)
            finally:
                self._is_busy = False
                self._since = time.monotonic()
            if not line.endswith(b"\n"):
                raise self._failure()
        return json.loads(line.decode("utf-8", "surrogatepass"))

    def end(self) -> None:
        self._is_retired = True
        with contextlib.suppress(OSError), self._process:
            self._process.kill()

    def _answer(self, request: dict[str, Any]) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            if self._template is not None:
                self._process.stdin.write(json.dumps(self._template).encode() + b"\n")
                self._template = None
            line = json.dumps(request, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
            return self._process.stdout.readline()
        except OSError:
            return b""

    def _failure(self) -> Exception:
        """Return why the process did not answer."""
        assert self._process.stderr is not None
        lines = self._process.stderr.read().decode(errors="replace").strip().splitlines()
        code = self._process.wait()
        self.end()
        if self._is_late or code == TOO_MUCH or code < 0:
            return TemplateLimit()
        return ModelError("model.trial", program=sys.executable, detail=(lines or [f"exit code {code}"])[-1][:300])

    def _watch(self) -> None:
        """End the process when it takes too long, or when nobody has asked it for long."""
        while not self.is_over:
            time.sleep(TICK_SECONDS)
            is_busy = self._is_busy  # first: a request sets the time before it says that it waits
            waited = time.monotonic() - self._since
            if is_busy and waited > WAIT_SECONDS:
                self._is_late = True
                self._process.kill()
            elif not is_busy and waited > self.linger:
                break
        with self._lock:
            self.end()


_processes: dict[str, _Process] = {}
"""By template, the one that was used last at the end."""
_lock = threading.Lock()


def ask(template: str, request: dict[str, Any]) -> dict[str, Any]:
    """Return `render.reply` of a template to a request; raises TemplateLimit, and ModelError if it cannot be run."""
    while True:
        with contextlib.suppress(_Retired):
            return _process_of(template).ask(request)


def _process_of(template: str) -> _Process:
    with _lock:
        process = _processes.pop(template, None)
        if process is None or process.is_over:
            process = _Process(template)
        _processes[template] = process
        for other in list(_processes)[:-MOST]:
            _processes.pop(other).linger = 0
        return process


@atexit.register
def _end_all() -> None:
    for process in _processes.values():
        process.end()


def _forget() -> None:
    """Leave the processes to the process from which this one was forked."""
    global _processes, _lock
    _processes, _lock = {}, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
