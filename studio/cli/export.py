"""The command that makes of a run something for other people."""

import signal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from studio import i18n, runs
from studio.cli.words import LANGUAGE, AsJson, RunId, err, out, plain, print_json, say

app = typer.Typer()


class To(StrEnum):
    """What can be made."""

    ADAPTER = "adapter"
    MERGED = "merged"
    SCRIPT = "script"
    EXAMPLE = "example"
    OLLAMA = "ollama"
    GGUF = "gguf"


class Precision(StrEnum):
    """Number formats of a merged model."""

    AUTO = "auto"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT32 = "float32"


@app.command(help=i18n.text("cli.export", LANGUAGE))
def export(
    run_id: RunId,
    to: Annotated[To, typer.Option("--to", help=say("cli.to"))],
    out_path: Annotated[Path | None, typer.Option("--out", help=say("cli.export_out"))] = None,
    packed: Annotated[bool, typer.Option("--zip", help=say("cli.zip"))] = False,
    verify: Annotated[bool, typer.Option("--verify", help=say("cli.verify"))] = False,
    precision: Annotated[Precision, typer.Option("--precision", help=say("cli.precision"))] = Precision.AUTO,
    converter: Annotated[Path | None, typer.Option("--converter", help=say("cli.converter"))] = None,
    as_json: AsJson = False,
) -> None:
    from studio import gpu
    from studio.export.request import ExportRequest

    run = runs.find(run_id)
    job = gpu.thread().export(ExportRequest(run.id, to.value, out_path, packed, verify, precision.value, converter))
    signal.signal(signal.SIGINT, lambda *_: job.stop())
    made: Any = None
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=as_json, transient=True) as progress:
        task = progress.add_task(say("phase.waiting"), total=None)
        for made in job.updates():
            progress.update(
                task, description=say(f"phase.{made.phase}"), total=made.share and 1, completed=made.share or 0
            )
    if as_json:
        print_json(_as_json(run.id, to.value, made))
    else:
        _show(made)
    if made.verification and not made.verification.passed:
        raise typer.Exit(2)


def _as_json(run_id: str, kind: str, made: Any) -> dict[str, Any]:
    return {
        "run": run_id,
        "to": kind,
        "path": str(made.folder),
        "zip": made.zip and str(made.zip),
        "notes": [note.text() for note in made.notes],
        "verification": made.verification and made.verification.as_json(),
    }


def _show(made: Any) -> None:
    out.print(str(made.zip or made.folder), soft_wrap=True, highlight=False)
    for note in made.notes:
        out.print(plain(note.text(LANGUAGE)), style="yellow")
    if made.verification:
        for sentence in made.verification.sentences():
            out.print(plain(sentence.text(LANGUAGE)))
        passed = made.verification.passed
        out.print(
            say("cli.export_verified" if passed else "cli.export_differs"), style="green" if passed else "bold red"
        )
