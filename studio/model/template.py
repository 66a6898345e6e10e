"""A chat template is a program of whoever made the model: it is tried out in a child process before it runs here."""

import functools
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from studio.errors import ModelError
from studio.model import render
from studio.model.child import is_bearable

WAIT = render.SECONDS + 3
"""Seconds until a child that does not end is ended: its own limit counts only what it computes."""

Message = tuple[str, str]
"""Role and content."""


class TemplateRefusal(Exception):
    """A template raised an error; its words are the template's own."""


class ChatTemplate:
    """A tokenizer's chat template. Every conversation is rendered here, whatever it is rendered for."""

    def __init__(self, tokenizer: Any, today: date | None = None):
        """`today` is the date for templates that write one; without it, the day on which this is made, in UTC."""
        self._source = source_of(tokenizer)
        self._special = dict(tokenizer.special_tokens_map)
        self._today = today or datetime.now(UTC).date()

    def require_syntax(self) -> None:
        """Raise ModelError that names the line of a template that cannot be parsed."""
        from jinja2 import TemplateSyntaxError

        try:
            render.compiled(self._source)
        except TemplateSyntaxError as error:
            raise ModelError("model.template_syntax", line=error.lineno, detail=str(error.message)[:200]) from error

    def render(self, messages: Sequence[Message], ask: bool) -> str:
        """Return the text of a conversation, with the beginning of an answer if `ask`; raises TemplateRefusal."""
        try:
            return self._render(messages, ask, self._takes_parts)
        except Exception as error:  # templates are programs and raise what they like
            raise TemplateRefusal(" ".join(str(error).split())[:200] or type(error).__name__) from error

    @functools.cached_property
    def _takes_parts(self) -> bool:
        """Whether the template writes contents only when they are lists of parts, as many for images do."""
        for roles in (("user", "assistant"), ("system", "user", "assistant"), ("user",)):
            messages = [(role, f"\ue000{role}\ue001") for role in roles]
            for parts in (False, True):
                try:
                    text = self._render(messages, False, parts)
                except Exception:  # as in `render`; the other form is tried next
                    continue
                if all(content in text for role, content in messages if role != "system"):
                    return parts
        return False

    def _render(self, messages: Sequence[Message], ask: bool, parts: bool) -> str:
        given = [
            {"role": role, "content": [{"type": "text", "text": content}] if parts else content}
            for role, content in messages
        ]
        return render.render(self._source, given, ask, self._today, self._special)


def source_of(tokenizer: Any) -> str:
    """Return the source of a tokenizer's chat template for conversations without tools; empty without one."""
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        return template.get("default", "")
    return template or ""


def check(template: str | dict[str, str] | None, name: str) -> None:
    """Raise ModelError for a template that needs more time or memory than a conversation can; `name` is its model's.

    A tokenizer has none, one, or several by name. Each is tried out once in a process.
    """
    templates = template.values() if isinstance(template, dict) else [template]
    for each in templates:
        if each and not _is_bearable(each):
            raise ModelError("model.template", name=name, seconds=render.SECONDS, megabytes=render.MEMORY // 1024**2)


@functools.lru_cache(64)
def _is_bearable(template: str) -> bool:
    return is_bearable(render.__file__, seconds=WAIT, text=template)
