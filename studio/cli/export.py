"""The command export."""

import getpass
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.progress import TimeElapsedColumn

from studio import runs
from studio.cli import console
from studio.cli.console import LANGUAGE, AsJson, RunId, err, out, text
from studio.compare.columns import MAX_STRENGTH
from studio.errors import ExportError
from studio.export.request import FORMATS, ExportRequest, Kind, NumberFormat
from studio.i18n import Message, message

app = typer.Typer()


@app.command(help=text("cli.export"))
def export(
    run_id: RunId,
    to: Annotated[Literal[Kind, "ollama"], typer.Option("--to", help=text("cli.to"))],
    out_path: Annotated[Path | None, typer.Option("--out", help=text("cli.export_out"))] = None,
    packed: Annotated[bool, typer.Option("--zip", help=text("cli.zip"))] = False,
    verify: Annotated[bool, typer.Option("--verify", help=text("cli.verify"))] = False,
    precision: Annotated[NumberFormat, typer.Option("--precision", help=text("cli.precision"))] = "auto",
    converter: Annotated[Path | None, typer.Option("--converter", hidden=True)] = None,
    push: Annotated[str | None, typer.Option("--push", metavar="OWNER/NAME", help=text("cli.push"))] = None,
    public: Annotated[bool, typer.Option("--public", help=text("cli.public"))] = False,
    ask_token: Annotated[bool, typer.Option("--ask-token", help=text("cli.ask_token"))] = False,
    strength: Annotated[
        float, typer.Option("--strength", min=0.01, max=MAX_STRENGTH, help=text("cli.export_strength"))
    ] = 1,
    as_json: AsJson = False,
) -> None:
    from studio import gpu

    run = runs.find(run_id)
    kind = "gguf" if to == "ollama" else to  # which GGUF has replaced
    replaced = [message("cli.ollama_is_gguf")] if to == "ollama" else []
    replaced += [message("cli.no_converter", path=str(converter))] if converter else []
    if precision != "auto" and kind not in FORMATS:
        raise ExportError("export.no_formats", kind=kind, kinds=", ".join(FORMATS))
    progress = target = page = None
    if push:
        from studio.export import hub_push

        token = None
        if ask_token:  # read from the terminal, so that it is in no shell history
            prompt = f"{text('cli.token')}: "
            token = getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline().strip()
        target = hub_push.resolve_target(kind, push, public=public, token=token)
    with console.progress_bar(TimeElapsedColumn(), quiet=as_json) as bar:
        task = bar.add_task(text("phase.waiting"), total=None)

        def on_progress(phase: str, share: float | None) -> None:
            bar.update(task, description=text(f"phase.{phase}"), total=share and 1, completed=share or 0)

        request = ExportRequest(run.id, kind, out_path, packed, verify, precision, language=LANGUAGE, strength=strength)
        job = gpu.thread().export(request)
        signal.signal(signal.SIGINT, lambda *_: job.stop())
        for progress in job.updates():
            on_progress(progress.phase, progress.share)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        differs = progress.verification is not None and not progress.verification.passed
        if target and not differs:
            try:
                page = hub_push.push(progress.folder, target, on_progress)
            except KeyboardInterrupt:
                err.print(text("cli.push_cancelled", folder=str(progress.folder)))
                raise typer.Exit(130) from None
    notes = [*replaced, *progress.notes]
    if target:
        notes += target.push_notes if page else [message("export.note.not_pushed", id=target.id)]
    if as_json:
        console.print_json(
            {
                "run": run.id,
                "to": kind,
                "path": progress.folder,
                "zip": progress.zip,
                "notes": notes,
                "verification": progress.verification and progress.verification.as_json(),
                "page": page,
            }
        )
    else:
        _show(progress, notes)
    if differs:
        raise typer.Exit(2)


def _show(progress: Any, notes: list[Message]) -> None:
    console.print_path(progress.zip or progress.folder)
    console.print_messages(notes, "yellow")
    if progress.verification:
        console.print_messages(progress.verification.sentences())
        passed = progress.verification.passed
        key, style = ("cli.export_verified", "green") if passed else ("cli.export_differs", "bold red")
        out.print(text(key), style=style)
