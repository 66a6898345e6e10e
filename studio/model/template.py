"""A chat template is a program of whoever made the model: it runs in a process with limits, whatever it renders."""

import functools
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from studio.errors import ModelError
from studio.model import render, template_process
from studio.model.template_process import TemplateLimit

TURNS = (
    [{"role": "user", "content": "Question"}],
    [{"role": role, "content": role} for role in ("system", "user", "assistant", "user", "assistant")],
)
"""The conversations on which a template is tried out when its model is loaded."""

Message = tuple[str, str]
"""Role and content."""


class TemplateRefusal(Exception):
    """A template raised an error; its words are the template's own."""


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
        """Return the text of a conversation, with the beginning of an answer if `ask`.

        Raises TemplateRefusal, and ModelError for a template that needs more than its limits.
        """
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
        given = [
            {"role": role, "content": [{"type": "text", "text": content}] if parts else content}
            for role, content in messages
        ]
        today = self._today.isoformat()
        reply = self._ask({"messages": given, "ask": ask, "today": today, "special": self._special})
        if "refusal" in reply:
            raise TemplateRefusal(reply["refusal"])
        return reply["text"]

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return template_process.ask(self._source, request)
        except TemplateLimit as error:
            raise _too_much(self._name) from error


def source_of(tokenizer: Any) -> str:
    """Return the source of a tokenizer's chat template for conversations without tools; empty without one."""
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        return template.get("default", "")
    return template or ""


def check(template: str | dict[str, str] | None, name: str) -> None:
    """Raise ModelError for a template that needs more than its limits for a short conversation; `name` is its model's.

    A tokenizer has none, one, or several by name.
    """
    for each in template.values() if isinstance(template, dict) else [template]:
        if each and not _is_bearable(each):
            raise _too_much(name)


@functools.lru_cache(64)
def _is_bearable(template: str) -> bool:
    usual = {"today": "2024-01-01", "special": {"bos_token": "", "eos_token": ""}}
    try:
        for turns in TURNS:
            for ask in (True, False):  # what it refuses is told when it is used
                template_process.ask(template, {"messages": turns, "ask": ask, **usual})
    except TemplateLimit:
        return False
    return True


def _too_much(name: str) -> ModelError:
    return ModelError("model.template", name=name, seconds=render.SECONDS, megabytes=render.MEMORY // 1024**2)
