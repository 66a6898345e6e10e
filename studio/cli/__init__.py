"""The command line: `python -m studio data|train|sweep|prefer|compare|style|mix|export|serve|runs|model|doctor|…`."""

import sys

import typer
from rich.markup import escape

from studio.cli import compare, export, models, preferences, review, runs, serving, style, sweep, training
from studio.cli.console import LANGUAGE, err, print_messages, text
from studio.errors import StudioError
from studio.model import hardware

app = typer.Typer(help=text("cli.help"), no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for commands in (training, preferences, compare, style, export, serving):
    app.add_typer(commands.app)
app.add_typer(models.machine)
app.add_typer(review.app, name="data")
app.add_typer(models.app, name="model")
app.add_typer(runs.app, name="runs")
app.add_typer(sweep.app, name="sweep")


@app.callback()
def _main() -> None:
    hardware.prepare_process()


def main() -> None:
    """Run the command line; a StudioError or PermissionError is printed in three lines, with exit code 1."""
    try:
        app()
    except (StudioError, PermissionError) as error:
        from studio.job import as_studio_error

        summary, *details = as_studio_error(error).message.text(LANGUAGE).splitlines()
        err.print(f"[bold red]{escape(summary)}[/]")
        print_messages(details, console=err)
        sys.exit(1)
    finally:
        from studio import gpu

        gpu.shutdown()
