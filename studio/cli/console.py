"""What all commands share: the user's language, the consoles, progress bars, and common options."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from studio import i18n
from studio.config import GenerationConfig, parse_setting
from studio.events import Chosen
from studio.i18n import Message
from studio.model.hardware import Choice

if TYPE_CHECKING:
    from studio.job import Job
    from studio.runs import Run

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


def print_choices(choices: Iterable[Choice | Chosen], console: Console = out) -> None:
    """Print what was chosen, each with its reason."""
    for choice in choices:
        print_plain(f"{choice.name}: {choice.value}. {choice.reason.text(LANGUAGE)}", console=console)


def choices_as_json(choices: Iterable[Choice | Chosen]) -> dict[str, Any]:
    """Return what was chosen for a JSON document."""
    return {choice.name: {"value": choice.value, "reason": choice.reason} for choice in choices}


def table(heads: Iterable[str | Column], rows: Iterable[Iterable[str]], title: str | None = None) -> Table:
    """Make a table without lines, whose cells are no markup."""
    result = Table(*heads, title=title, box=None)
    for row in rows:
        result.add_row(*map(escape, row))
    return result


def duration(seconds: float) -> str:
    """Return a time in minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def print_path(path: object) -> None:
    """Print a path on one line."""
    out.print(str(path), soft_wrap=True, highlight=False)


def print_json(value: Any) -> None:
    """Print one document on stdout; messages are in English there, and paths texts."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def parse_settings(settings: list[str] | None) -> dict[str, Any]:
    """Return the values of `--set` options by dotted path; raises ConfigError."""
    return dict(parse_setting(setting) for setting in settings or [])


def generation_of(run: "Run", settings: list[str] | None) -> GenerationConfig:
    """Return how a run's model answers, with `--set` applied."""
    return run.config().with_settings(parse_settings(settings)).generation


def progress_bar(*columns: ProgressColumn, quiet: bool = False) -> Progress:
    """Make a progress bar, which is removed at its end."""
    return Progress(TextColumn("{task.description}"), BarColumn(), *columns, console=err, transient=True, disable=quiet)


@contextmanager
def reading_progress(quiet: bool, phase: str = "phase.reading") -> Iterator[Callable[[float], None]]:
    """Show a progress bar while rows are read; yields the callback for the share."""
    with progress_bar(TimeRemainingColumn(), quiet=quiet) as bar:
        task = bar.add_task(text(phase), total=1.0)
        yield lambda share: bar.update(task, completed=share)


@contextmanager
def cancellable_download(*columns: ProgressColumn, quiet: bool = False, **task: Any) -> Iterator[Callable[..., None]]:
    """Show a progress bar while something is downloaded; yields its update. Ctrl-C cancels with exit code 130."""
    with progress_bar(*columns, quiet=quiet) as bar:
        number = bar.add_task(text("phase.fetching"), **task)
        try:
            yield lambda **changes: bar.update(number, **changes)
        except KeyboardInterrupt:
            bar.stop()
            err.print(text("cli.cancelled"))
            raise typer.Exit(130) from None


def follow_job(job: "Job", phase: str, quiet: bool) -> Any:
    """Show how many answers of a job are done, and return its last update; Ctrl-C stops it and keeps the answers."""
    signal.signal(signal.SIGINT, lambda *_: job.stop())
    with progress_bar(TimeRemainingColumn(), quiet=quiet) as bar:
        task = bar.add_task(text(phase), total=None)
        for update in job.updates():
            bar.update(task, total=update.total or None, completed=update.done)
    return update


AsJson = Annotated[bool, typer.Option("--json", help=text("cli.json"))]
RunId = Annotated[str, typer.Argument(metavar="RUN", help=text("cli.run"))]
Settings = Annotated[list[str] | None, typer.Option("--set", help=text("cli.set"))]
PromptsFile = Annotated[Path | None, typer.Option("--prompts", help=text("cli.prompts"))]
Wait = Annotated[bool, typer.Option("--wait", help=text("cli.wait"))]
Check = Annotated[bool, typer.Option("--check", help=text("cli.check"))]
OfflineSample = Annotated[bool, typer.Option("--offline-sample", help=text("cli.offline_sample"))]
