"""What can go wrong, as one tree below `StudioError`.

Every error says what happened, why, and what to do next: three lines of one text in the catalogues (`errors.<key>`).
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from studio.i18n import DEFAULT_LANGUAGE, Message


class StudioError(Exception):
    """An error that is meant to be read by the user."""

    def __init__(self, key: str, /, **values: Any):
        self.key = key
        self.values = values
        super().__init__(key, values)

    @property
    def message(self) -> Message:
        """The error's text, to be stored with a run and read in any language: three lines (what, why, what next)."""
        return Message(f"errors.{self.key}", self.values)

    def text(self, language: str = DEFAULT_LANGUAGE) -> str:
        """Return the three lines as one paragraph."""
        return " ".join(self.message.text(language).splitlines())

    def __str__(self) -> str:
        return self.text()


class ConfigError(StudioError):
    """A setting is unknown, of the wrong type, out of range, or conflicts with another."""

    problems: tuple[Message, ...] = ()
    """All that is wrong where several settings are."""


class DataError(StudioError):
    """A dataset cannot be read or used."""


class PromptError(StudioError):
    """A template cannot be rendered, or does not end as it must."""


class ModelError(StudioError):
    """A model cannot be located, downloaded or loaded."""


class DeviceError(StudioError):
    """The device is busy, missing or out of memory."""


class RunError(StudioError):
    """A run cannot be located, started, changed or resumed."""


class CompareError(StudioError):
    """Base and adapter cannot be put side by side."""


class AccessError(StudioError):
    """A page that others reach is not set up safely, or a request is not permitted."""


class ServeError(StudioError):
    """The endpoint cannot be started, or refuses a request."""


class ExportError(StudioError):
    """A run's result cannot be exported, or was changed."""


class HomeError(StudioError):
    """The studio's own folder cannot be written, or its disk is full."""


def one_line(error: object, most: int = 200) -> str:
    """Return the words of an error of others on one line, cut to `most` characters; its type where it has none."""
    return " ".join(str(error).split())[:most] or type(error).__name__


class NativePanic(Exception):
    """Native code (a tokenizer, a file's reader) has panicked; the cause is the panic, no Exception in Python."""


_EXITS = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)


@contextlib.contextmanager
def panics_as_errors() -> Iterator[None]:
    """Raise NativePanic for a panic inside, so that `except Exception` catches it too; all else passes as it is."""
    try:
        yield
    except (Exception, *_EXITS):
        raise
    except BaseException as panic:
        raise NativePanic(str(panic)) from panic
