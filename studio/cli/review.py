"""The command `data review`: rows that were made of material, kept, edited, dropped and undone in the terminal."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from studio.cli import console
from studio.cli.console import out, print_plain, text
from studio.cli.material import app
from studio.errors import DataError

if TYPE_CHECKING:
    from studio.material.review import Card, Review

KEYS = {"k": "keep", "e": "edit", "d": "drop", "u": "undo", "n": "following", "p": "previous", "q": "quit"}
_HANGUL = dict(zip("ㅏㄷㅇㅕㅜㅔㅂ", KEYS, strict=True))
"""What the same keys type on a Korean keyboard."""


@app.command(help=text("cli.review"))
def review(
    path: Annotated[Path, typer.Argument(metavar="FILE", help=text("cli.review_file"))],
    out_path: Annotated[Path | None, typer.Option("-o", "--out", help=text("cli.review_out"))] = None,
) -> None:
    from studio.material.review import Review

    rows = Review(path)
    if out_path is not None and out_path.exists() and out_path.samefile(rows.path):
        raise DataError("material.same_file", name=out_path.name)
    _walk(rows)
    counts = rows.counts()
    numbers = {name: f"{getattr(counts, name):,}" for name in ("rows", "kept", "edited", "dropped", "open")}
    print_plain(text("review.counts", **numbers))
    if out_path is None:
        print_plain(text("review.go_on", path=path), "dim")
        return
    rows.write(out_path)
    rows.write_provenance(out_path)
    print_plain(text("material.written", rows=counts.rows - counts.dropped, path=out_path), "green")


def _walk(rows: "Review") -> None:
    """Show one row after the other and do what the keys say, until all are decided or somebody leaves."""
    from studio.material.review import DROP, KEEP

    number, next_key = rows.next_open(0), _key_reader()
    if number is None:
        print_plain(text("review.all_decided"))
        number = 1 if sys.stdin.isatty() else None  # somebody may want to undo
    last = rows.counts().rows
    while number is not None:
        _show(rows.cards(number, 1)[0], last)
        action = next_key()
        if action == "quit":
            return
        if action in (KEEP, DROP):
            rows.decide(number, action)
            print_plain(text(f"ui.review.state.{action}"), "green" if action == KEEP else "red")
            number = rows.next_open(number)
        elif action == "edit":
            _edit(rows, number)
        elif action == "undo":
            undone = rows.undo()
            print_plain(text("review.undone", number=undone) if undone else text("review.nothing_to_undo"), "yellow")
            number = undone or number
        elif action == "following":
            number = min(number + 1, last)
        else:
            number = max(number - 1, 1)


def _show(card: "Card", last: int) -> None:
    words = [text("review.row", number=f"{card.number:,}", rows=f"{last:,}")]
    if card.state:
        words.append(text(f"ui.review.state.{card.state}"))
    if card.edited:
        words.append(text("ui.review.state.edited"))
    words += [str(card.origin[name]) for name in ("recipe", "file", "place") if card.origin.get(name)]
    out.rule(escape(" · ".join(words)), align="left")
    for name, content in card.sections:
        print_plain(f"[{name}]", "dim")
        print_plain("".join(c if c.isprintable() or c in "\n\t" else "�" for c in content))  # no escape sequences


def _edit(rows: "Review", number: int) -> None:
    """Let the user edit a row in the editor that `VISUAL` or `EDITOR` names; what cannot be used changes nothing."""
    import click

    from studio.material.review import to_text

    if not (sys.stdin.isatty() or os.environ.get("VISUAL") or os.environ.get("EDITOR")):
        print_plain(text("review.no_editor"), "red")
        return
    before = to_text(rows.cards(number, 1)[0].sections)
    try:
        after = click.edit(before, extension=".txt")
        if after is not None:
            rows.edit(number, after)
    except click.ClickException as error:  # there is no such editor
        print_plain(f"{text('review.no_editor')} ({error.format_message()})", "red")
    except DataError as error:
        print_plain(error.text(console.LANGUAGE), "red")


def _key_reader() -> Callable[[], str]:
    """Return what waits for the next key that means something, and returns its action; `quit` at the end of input."""
    import click

    legend = "  ".join(text(f"review.keys.{action}", key=key) for key, action in KEYS.items())

    def next_action() -> str:
        print_plain(legend, "cyan")
        while True:
            try:
                key = click.getchar() if sys.stdin.isatty() else sys.stdin.read(1)
            except (EOFError, KeyboardInterrupt):
                key = "q"
            if not key:
                return "quit"
            if action := KEYS.get(_HANGUL.get(key, key.lower())):
                return action

    return next_action
