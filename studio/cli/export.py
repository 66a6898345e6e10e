"""The command that makes of a run something for other people."""

import getpass
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from studio import i18n, runs
from studio.cli.words import LANGUAGE, AsJson, RunId, err, out, plain, print_json, say
from studio.i18n import Message, message

app = typer.Typer()


class To(StrEnum):
    """What can be made."""

    ADAPTER = "adapter"
    MERGED = "merged"
    SCRIPT = "script"
    EXAMPLE = "example"
    OLLAMA = "ollama"
    GGUF = "gguf"
    SPACE = "space"


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
    push: Annotated[str | None, typer.Option("--push", metavar="OWNER/NAME", help=say("cli.push"))] = None,
    public: Annotated[bool, typer.Option("--public", help=say("cli.public"))] = False,
    ask_token: Annotated[bool, typer.Option("--ask-token", help=say("cli.ask_token"))] = False,
    as_json: AsJson = False,
) -> None:
    from studio import gpu
    from studio.export.request import ExportRequest

    run = runs.find(run_id)
    goes_to = _target(to.value, push, public, ask_token) if push else None
    made: Any = None
    page = None
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=as_json, transient=True) as progress:
        task = progress.add_task(say("phase.waiting"), total=None)

        def going(phase: str, share: float | None) -> None:
            progress.update(task, description=say(f"phase.{phase}"), total=share and 1, completed=share or 0)

        request = ExportRequest(
            run.id, to.value, out_path, packed, verify, precision.value, converter, language=LANGUAGE
        )
        job = gpu.thread().export(request)
        signal.signal(signal.SIGINT, lambda *_: job.stop())
        for made in job.updates():
            going(made.phase, made.share)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        differs = made.verification is not None and not made.verification.passed
        if goes_to and not differs:
            from studio.export import hub_push

            try:
                page = hub_push.push(made.folder, goes_to, going)
            except KeyboardInterrupt:
                err.print(say("cli.push_cancelled", folder=str(made.folder)))
                raise typer.Exit(130) from None
    notes = [*made.notes, *_of_push(goes_to, page)]
    if as_json:
        print_json(_as_json(run.id, to.value, made, notes) | {"page": page})
    else:
        _show(made, notes)
    if differs:
        raise typer.Exit(2)


def _target(kind: str, repository: str, public: bool, ask_token: bool) -> Any:
    """Return where the export goes on the Hub; a token that is asked for is in no argument and no history."""
    from studio.export import hub_push

    token = None
    if ask_token:
        token = getpass.getpass(f"{say('cli.token')}: ") if sys.stdin.isatty() else sys.stdin.readline().strip()
    return hub_push.resolve_target(kind, repository, public=public, token=token)


def _of_push(goes_to: Any, page: str | None) -> list[Message]:
    if goes_to is None:
        return []
    if page is None:
        return [message("export.note.not_pushed", id=goes_to.id)]
    return goes_to.push_notes


def _as_json(run_id: str, kind: str, made: Any, notes: list[Message]) -> dict[str, Any]:
    return {
        "run": run_id,
        "to": kind,
        "path": str(made.folder),
        "zip": made.zip and str(made.zip),
        "notes": [note.text() for note in notes],
        "verification": made.verification and made.verification.as_json(),
    }


def _show(made: Any, notes: list[Message]) -> None:
    out.print(str(made.zip or made.folder), soft_wrap=True, highlight=False)
    for note in notes:
        out.print(plain(note.text(LANGUAGE)), style="yellow")
    if made.verification:
        for sentence in made.verification.sentences():
            out.print(plain(sentence.text(LANGUAGE)))
        passed = made.verification.passed
        out.print(
            say("cli.export_verified" if passed else "cli.export_differs"), style="green" if passed else "bold red"
        )
