"""What a handler does when it fails: a message in the session's language, never a traceback."""

import functools
import html
import inspect
import logging
from collections.abc import Callable
from typing import Any

import gradio as gr

from studio.errors import StudioError, panics_as_errors
from studio.i18n import Message, has, text
from studio.job import as_studio_error
from studio.ui.scanning import Replaced
from studio.ui.words import class_of

log = logging.getLogger(__name__)

LEAST_SECONDS, CHARACTERS_PER_SECOND = 5, 10
"""How long a message stays: a slow reader takes in twice as many characters in a second."""


def lines(message: Message, language: str) -> list[str]:
    """Return the lines of a message (what happened, why, what to do); a setting's path becomes its title."""
    named = {
        name: ", ".join(_titled(path, language) for path in message.values[name].split(", "))
        for name in ("path", "paths")
        if isinstance(message.values.get(name), str)
    }
    message = Message(message.key, {**message.values, **named})
    return message.text(language).splitlines()


def _titled(path: str, language: str) -> str:
    return f"{text(f'config.{path}.title', language)} ({path})" if has(f"config.{path}.title") else path


def warn(message: Message, language: str) -> None:
    """Show a message under the page until it is closed, or for as long as it takes to read it twice."""
    message_lines = lines(message, language)
    first, *rest = map(html.escape, message_lines)
    title = text("ui.warning", language)  # Gradio puts messages of one kind under one title
    seconds = LEAST_SECONDS + sum(map(len, message_lines)) / CHARACTERS_PER_SECOND
    gr.Warning("<br>".join([f"<strong>{first}</strong>", *rest]), title=title, duration=seconds)


def unexpected(error: Exception) -> Message:
    """Log an error that nobody foresaw and return the message for the user."""
    log.error("unexpected error in a handler of the page", exc_info=error)
    return Message("errors.ui.unexpected", {"kind": type(error).__name__})


def message_of(error: Exception) -> Message:
    """Return the words for any exception."""
    foreseen = isinstance(error, StudioError | PermissionError)
    return as_studio_error(error).message if foreseen else unexpected(error)


Handler = Callable[..., Any]


def show_errors(language: str) -> Callable[[Handler], Handler]:
    """Return a decorator that makes a handler show its failure in `language` and change nothing on the page."""

    def decorate(handler: Handler) -> Handler:
        if inspect.isgeneratorfunction(handler):

            @functools.wraps(handler)
            def generator(*args: Any, **kwargs: Any) -> Any:
                try:
                    with panics_as_errors():
                        yield from handler(*args, **kwargs)
                except Replaced:
                    yield gr.skip()
                except Exception as error:  # the boundary: whatever it is, the user reads a message
                    warn(message_of(error), language)
                    yield gr.skip()

            return generator

        @functools.wraps(handler)
        def function(*args: Any, **kwargs: Any) -> Any:
            try:
                with panics_as_errors():
                    return handler(*args, **kwargs)
            except Replaced:
                return gr.skip()
            except Exception as error:  # the boundary: whatever it is, the user reads a message
                warn(message_of(error), language)
                return gr.skip()

        return function

    return decorate


def ending(language: str) -> Callable[[Handler], Handler]:
    """Return a decorator like `show_errors`; where the handler fails, the events after its success do not run."""

    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def function(*args: Any, **kwargs: Any) -> Any:
            try:
                with panics_as_errors():
                    return handler(*args, **kwargs)
            except Exception as error:
                warn(message_of(error), language)
                raise gr.Error(visible=False, print_exception=False) from error

        function.handles_errors = True  # type: ignore[attr-defined]
        return function

    return decorate


def silent(handler: Handler) -> Handler:
    """Make a handler that runs every second log its failure and change nothing: a message a second helps nobody."""

    @functools.wraps(handler)
    def function(*args: Any, **kwargs: Any) -> Any:
        try:
            with panics_as_errors():
                return handler(*args, **kwargs)
        except Exception:
            log.exception("a tick of the page failed")
            return gr.skip()

    function.handles_errors = True  # type: ignore[attr-defined]
    return function


def box(message: Message | None, language: str) -> str:
    """Return a message as HTML that stays on the page; empty without one."""
    if message is None:
        return ""
    first, *rest = lines(message, language)
    body = "".join(f"<p>{html.escape(line)}</p>" for line in rest) + way_to(message, language)
    return f'<div class="failure" role="alert"><strong>{html.escape(first)}</strong>{body}</div>'


def box_of(error: Exception, language: str) -> str:
    """Return the message of any exception as HTML that stays on the page."""
    return box(message_of(error), language)


_ABOUT = {"errors.data.": "data.source.kind", "errors.model.": "model.id", "errors.prompt.": "data.prompt.template"}


def way_to(message: Message, language: str, warns: bool = False) -> str:
    """Return the button that leads to the setting that a message is about; empty where it is about none.

    The page's script follows it, and marks the setting's control: with the second line of what makes it invalid, or
    with the first one of what `warns` of its value.
    """
    path = message.values.get("path")
    if not (isinstance(path, str) and has(f"config.{path}.title")):
        path = next((place for key, place in _ABOUT.items() if message.key.startswith(key)), None)
    if path is None:
        return ""
    line = 0 if warns else 1 if message.key.startswith("errors.config.") else None
    why = "" if line is None else html.escape(lines(message, language)[line])
    words = html.escape(text("ui.go_to", language, title=text(f"config.{path}.title", language)))
    about = f'data-setting="{class_of(path)}" data-mark="{"unwise" if warns else "wrong"}" data-why="{why}"'
    return f'<button type="button" class="go-to" {about}>{words}</button>'
