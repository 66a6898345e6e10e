"""The command line: `python -m studio data|train|compare|samples|evaluate|export|runs|model|doctor`.

The vocabulary is the page's, the words are the catalogue's. `--json` prints English keys, one document on stdout.
"""

import sys

import typer

from studio import i18n
from studio.cli import compare, data, export, library, models, training
from studio.cli.words import LANGUAGE, err, plain
from studio.errors import StudioError
from studio.model import hardware

app = typer.Typer(
    help=i18n.text("cli.help", LANGUAGE), no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
for commands in (training.app, compare.app, export.app, models.machine):
    app.add_typer(commands)
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="model")
app.add_typer(library.app, name="runs")


@app.callback()
def _main() -> None:
    hardware.prepare_process()


def main() -> None:
    """Run the command line; a StudioError is shown as its three lines, and the exit code is 1.

    So is a file that the system does not let this user open.
    """
    try:
        app()
    except (StudioError, PermissionError) as error:
        from studio.job import as_studio_error

        what, *rest = as_studio_error(error).message.text(LANGUAGE).splitlines()
        err.print(f"[bold red]{plain(what)}[/]")
        for line in rest:
            err.print(plain(line))
        sys.exit(1)
    finally:
        from studio import gpu

        gpu.shutdown()
