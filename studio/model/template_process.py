"""Processes that render chat templates with limits: one for each template, started when it is first needed."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import weakref
from typing import IO, Any

from studio.errors import ModelError
from studio.model import render
from studio.model.subprocess_worker import TOO_MUCH, environment

WAIT_SECONDS = render.SECONDS + 25
"""Seconds until a process that does not answer is ended: its own limit counts only what it computes."""
MOST = 4
"""Processes at a time; beyond them, the one that was not used for longest ends as soon as nobody waits for it."""


class TemplateLimit(Exception):
    """A template needed more time, memory or text than a conversation can."""


class _Process:
    """A process that ends when nothing refers to this any more, and with this process."""

    def __init__(self, template: str):
        try:
            pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
            self.process = subprocess.Popen([sys.executable, "-P", render.__file__], env=environment(), **pipes)
        except OSError as error:
            raise ModelError("model.trial", program=sys.executable, detail=str(error)) from error
        self._lock = threading.Lock()
        self._replies: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.end = weakref.finalize(self, _end, self.process, os.getpid())
        threading.Thread(target=_read, args=(self.process.stdout, self._replies), name="template", daemon=True).start()
        self._write(template)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request; raises TemplateLimit, and ModelError if the process cannot run."""
        with self._lock:
            self._write(request)
            try:
                line = self._replies.get(timeout=WAIT_SECONDS)
            except queue.Empty:
                self.end()
                raise TemplateLimit from None
            if not line.endswith(b"\n"):
                raise self._failure()
        return json.loads(line.decode("utf-8", "surrogatepass"))

    def _write(self, value: Any) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended: then there is no reply either
            line = json.dumps(value, ensure_ascii=False, default=str)
            self.process.stdin.write(line.encode("utf-8", "surrogatepass") + b"\n")
            self.process.stdin.flush()

    def _failure(self) -> Exception:
        """Return why the process did not answer."""
        assert self.process.stderr is not None
        lines = self.process.stderr.read().decode(errors="replace").strip().splitlines()
        code = self.process.wait()
        self.end()
        if code == TOO_MUCH or code < 0:
            return TemplateLimit()
        return ModelError("model.trial", program=sys.executable, detail=(lines or [f"exit code {code}"])[-1][:300])


def _read(replies: IO[bytes], into: "queue.SimpleQueue[bytes]") -> None:
    with replies:
        for line in replies:
            into.put(line)
    into.put(b"")


def _end(process: "subprocess.Popen[bytes]", owner: int) -> None:
    if os.getpid() != owner:  # a fork leaves it to the process that started it
        return
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stderr):
        assert pipe is not None
        with contextlib.suppress(OSError):
            pipe.close()


_processes: dict[str, _Process] = {}
"""By template, the one that was used last at the end."""
_lock = threading.Lock()


def ask(template: str, request: dict[str, Any]) -> dict[str, Any]:
    """Return `render.reply` of a template to a request; raises TemplateLimit, and ModelError if it cannot be run."""
    with _lock:
        process = _processes.pop(template, None)
        if process is None or process.process.poll() is not None:
            process = _Process(template)
        _processes[template] = process
        for other in list(_processes)[:-MOST]:
            del _processes[other]
    return process.ask(request)


def _forget() -> None:
    """Leave the processes to the process from which this one was forked."""
    global _processes, _lock
    _processes, _lock = {}, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
