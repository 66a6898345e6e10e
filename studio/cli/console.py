"""What all commands share: the user's language, the consoles, progress bars, and common options."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from studio import i18n
from studio.events import Chosen
from studio.i18n import Message
from studio.model.hardware import Choice

LANGUAGE = i18n.best_language((os.environ.get("LC_ALL") or os.environ.get("LANG", "")).replace("_", "-"))

out = Console()
err = Console(stderr=True)


def text(key: str, /, **values: Any) -> str:
    """Return the text of a catalogue key in the user's language."""
    return i18n.text(key, LANGUAGE, **values)


def print_plain(value: str | Message, style: str | None = None, *, wrap: bool = True, console: Console = out) -> None:
    """Print a text or message without interpreting its brackets as markup."""
    plain = value.text(LANGUAGE) if isinstance(value, Message) else value
    console.print(escape(plain), style=style, soft_wrap=not wrap)


def print_messages(messages: Iterable[str | Message], style: str | None = None, *, console: Console = out) -> None:
    """Print texts or messages as `print_plain` does."""
    for message in messages:
        print_plain(message, style, console=console)


def print_choices(choices: Iterable[Choice | Chosen]) -> None:
    """Print what was chosen, each with its reason."""
    for choice in choices:
        print_plain(f"{choice.name}: {choice.value}. {choice.reason.text(LANGUAGE)}")


def choices_as_json(choices: Iterable[Choice | Chosen]) -> dict[str, Any]:
    """Return what was chosen for a JSON document."""
    return {choice.name: {"value": choice.value, "reason": choice.reason.text()} for choice in choices}


def print_path(path: object) -> None:
    """Print a path on one line."""
    out.print(str(path), soft_wrap=True, highlight=False)


def print_json(value: Any) -> None:
    """Print one document on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


@contextmanager
def reading_progress(quiet: bool) -> Iterator[Callable[[float], None]]:
    """Show a progress bar while rows are read; yields the callback for the share."""
    with Progress(TextColumn("{task.description}"), BarColumn(), console=err, transient=True, disable=quiet) as bar:
        task = bar.add_task(text("phase.reading"), total=1.0)
        yield lambda share: bar.update(task, completed=share)


AsJson = Annotated[bool, typer.Option("--json", help=text("cli.json"))]
RunId = Annotated[str, typer.Argument(metavar="RUN", help=text("cli.run"))]
Settings = Annotated[list[str] | None, typer.Option("--set", help=text("cli.set"))]
