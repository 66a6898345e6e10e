"""What all commands share: the user's language, the consoles, and the options that mean the same everywhere."""

import json
import os
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from studio import i18n

LANGUAGE = i18n.best_language((os.environ.get("LC_ALL") or os.environ.get("LANG", "")).replace("_", "-"))

out = Console()
err = Console(stderr=True)


def plain(text: str) -> str:
    """Return a text as it is, without rich taking its brackets for markup."""
    return escape(text)


def say(key: str, **values: Any) -> str:
    """Return the words of `key` in the user's language."""
    return i18n.text(key, LANGUAGE, **values)


def print_json(value: Any) -> None:
    """Print one document on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


AsJson = Annotated[bool, typer.Option("--json", help=say("cli.json"))]
RunId = Annotated[str, typer.Argument(metavar="RUN", help=say("cli.run"))]
Settings = Annotated[list[str] | None, typer.Option("--set", help=say("cli.set"))]
