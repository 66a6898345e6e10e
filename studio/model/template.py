"""A chat template is a program of whoever made the model: it runs in a process with limits, whatever it renders."""

import contextlib
import functools
import json
import os
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Any

from studio.errors import ModelError
from studio.files import read_json
from studio.model import render
from studio.model.subprocess_worker import check_limit_exit, environment

TURNS = (
    [{"role": "user", "content": "Question"}],
    [{"role": role, "content": role} for role in ("system", "user", "assistant", "user", "assistant")],
)
"""The conversations on which a template is tried out when its model is loaded."""

Message = tuple[str, str]
"""Role and content."""


WAIT_SECONDS = render.SECONDS + 25
"""Seconds until a process that does not answer is ended: its own limit counts only what it computes."""
MAX_FILE_BYTES = 2 * 10**6
MOST = 4
"""Processes at a time; beyond them, the one that was not used for longest ends as soon as nobody waits for it."""


class TemplateRefusal(Exception):
    """A template raised an error; its words are the template's own."""


class TemplateLimit(Exception):
    """A template needed more time, memory or text than a conversation can."""


class ChatTemplate:
    """A tokenizer's chat template. Every conversation is rendered here, whatever it is rendered for."""

    def __init__(self, tokenizer: Any, today: date | None = None):
        """`today` is the date for templates that write one; without it, the day on which this is made, in UTC."""
        self._source = source_of(tokenizer)
        self._name = Path(getattr(tokenizer, "name_or_path", "") or "").name
        self._special = dict(tokenizer.special_tokens_map)
        self._today = today or datetime.now(UTC).date()

    def require_syntax(self) -> None:
        """Raise ModelError that names the line of a template that cannot be parsed."""
        reply = self._ask({"messages": None})
        if "line" in reply:
            raise ModelError("model.template_syntax", line=reply["line"], detail=reply["refusal"])

    def render(self, messages: Sequence[Message], ask: bool) -> str:
        """Return the text of a conversation, with an answer begun if `ask`; raises TemplateRefusal, ModelError."""
        return self._render(messages, ask, self._takes_parts)

    @functools.cached_property
    def _takes_parts(self) -> bool:
        """Whether the template writes contents only when they are lists of parts, as many for images do."""
        for roles in (("user", "assistant"), ("system", "user", "assistant"), ("user",)):
            messages = [(role, f"\ue000{role}\ue001") for role in roles]
            for parts in (False, True):
                try:
                    text = self._render(messages, False, parts)
                except TemplateRefusal:
                    continue
                if all(content in text for role, content in messages if role != "system"):
                    return parts
        return False

    def _render(self, messages: Sequence[Message], ask: bool, parts: bool) -> str:
        entries = [
            {"role": role, "content": [{"type": "text", "text": content}] if parts else content}
            for role, content in messages
        ]
        today = self._today.isoformat()
        reply = self._ask({"messages": entries, "ask": ask, "today": today, "special": self._special})
        if "refusal" in reply:
            raise TemplateRefusal(reply["refusal"])
        return reply["text"]

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return _ask(self._source, request)
        except TemplateLimit as error:
            raise _too_much(self._name) from error


def source_of(tokenizer: Any) -> str:
    """Return the source of a tokenizer's chat template for conversations without tools; empty without one."""
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        return template.get("default", "")
    return template or ""


def in_folder(folder: Path) -> str | None:
    """Return the chat template that lies in a folder with a tokenizer or an adapter, read without it; None without."""
    file = folder / "chat_template.jinja"
    if file.is_file() and file.stat().st_size <= MAX_FILE_BYTES:
        return file.read_text(encoding="utf-8", errors="replace")
    template = read_json(folder / "tokenizer_config.json", MAX_FILE_BYTES).get("chat_template")
    return template if isinstance(template, str) else None


def check(template: str | dict[str, str] | None, name: str) -> None:
    """Raise ModelError where a template, or one of several by name, exceeds its limits; `name` is the model's."""
    for each in template.values() if isinstance(template, dict) else [template]:
        if each and not _is_bearable(each):
            raise _too_much(name)


@functools.lru_cache(64)
def _is_bearable(template: str) -> bool:
    usual = {"today": "2024-01-01", "special": {"bos_token": "", "eos_token": ""}}
    try:
        for turns in TURNS:
            for ask in (True, False):  # what it refuses is reported when it is used
                _ask(template, {"messages": turns, "ask": ask, **usual})
    except TemplateLimit:
        return False
    return True


def _too_much(name: str) -> ModelError:
    return ModelError("model.template", name=name, seconds=render.SECONDS, megabytes=render.MEMORY // 1024**2)


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
        self.end = weakref.finalize(self, _end_process, self.process, os.getpid())
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
                stderr, code = self.process.stderr.read(), self.process.wait()
                self.end()
                check_limit_exit(code, stderr)
                raise TemplateLimit
        return json.loads(line.decode("utf-8", "surrogatepass"))

    def _write(self, value: Any) -> None:
        with contextlib.suppress(OSError):  # it has ended: then there is no reply either
            line = json.dumps(value, ensure_ascii=False, default=str)
            self.process.stdin.write(line.encode("utf-8", "surrogatepass") + b"\n")
            self.process.stdin.flush()


def _read(replies: IO[bytes], into: "queue.SimpleQueue[bytes]") -> None:
    with replies:
        for line in replies:
            into.put(line)
    into.put(b"")


def _end_process(process: "subprocess.Popen[bytes]", owner: int) -> None:
    if os.getpid() != owner:  # a fork leaves it to the process that started it
        return
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stderr):
        with contextlib.suppress(OSError):
            pipe.close()


_processes: dict[str, _Process] = {}
"""By template, the one that was used last at the end."""
_lock = threading.Lock()


def _ask(template: str, request: dict[str, Any]) -> dict[str, Any]:
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
