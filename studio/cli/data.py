"""The commands about datasets: inspect, preview, clean."""

import re
from pathlib import Path
from typing import Annotated

import typer

from studio import presets
from studio.cli import console
from studio.cli.console import LANGUAGE, AsJson, Settings, out, print_plain, text
from studio.config import RunConfig, SourceConfig
from studio.data import speech_levels
from studio.errors import DataError

app = typer.Typer(help=text("cli.data"), no_args_is_help=True)

FileOrId = Annotated[str, typer.Argument(metavar="FILE_OR_ID", help=text("cli.file"))]
Model = Annotated[str, typer.Option("--model", help=text("cli.model_id"))]
Encoding = Annotated[str | None, typer.Option("--encoding", help=text("cli.encoding"))]
Sheet = Annotated[str | None, typer.Option("--sheet", help=text("cli.sheet"))]


def data_config(
    name: str, model: str, settings: list[str] | None = None, encoding: str | None = None, sheet: str | None = None
) -> RunConfig:
    """Return the config of a file, a bundled dataset or a dataset on the Hub."""
    kind = "bundled" if name in presets.datasets() and not Path(name).is_file() else "file"
    if kind == "file" and not Path(name).exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        kind = "hub"
    source = SourceConfig(kind=kind, name=name).model_dump() | {"encoding": encoding, "sheet": sheet}
    config = RunConfig().with_settings({"model.id": model, "data.source": source})
    return config.with_settings(console.parse_settings(settings))


@app.command(help=text("cli.inspect"))
def inspect(
    name: FileOrId,
    model: Model = "builtin",
    encoding: Encoding = None,
    sheet: Sheet = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    from studio.data import prepare

    config = data_config(name, model, settings, encoding, sheet)
    table = prepare.table(config.data)
    try:
        with console.reading_progress(as_json) as on_progress:
            report = prepare.inspect(config, on_progress)
    except DataError:
        if not as_json:
            console.print_messages(table.notes, "yellow")  # how the file was read may be why
        raise
    detected = report.detected
    if as_json:
        console.print_json(
            {
                "format": detected.mapping.shape,
                "reason": detected.reason,
                "mapping": detected.mapping.model_dump(mode="json"),
                "file_format": table.file_format,
                "encoding": table.encoding,
                "notes": table.notes,
                "columns": {column.name: column.type for column in table.columns},
                "rows": report.rows,
                "usable": report.usable,
                "problems": [
                    {"kind": p.kind, "count": p.count, "rows": p.rows, "example": p.example}
                    | {"effect": p.effect, "fix": p.fix, "fixed": p.fixed}
                    for p in report.problems
                ],
                "tokens": report.token_figures,
                "speech_levels": report.speech,
                "epoch_seconds": report.epoch_seconds and round(report.epoch_seconds),
                "blocks": report.blocks,
            }
        )
        return
    print_plain(", ".join(filter(None, (table.path.name, table.file_format, table.encoding))))
    print_plain(text("cli.columns", columns=", ".join(f"{c.name} ({c.type})" for c in table.columns)))
    console.print_messages((detected.reason, *table.notes))
    out.print(text("log.usable", rows=report.rows, usable=report.usable))
    for problem in report.problems:
        print_plain(problem.message, "yellow")
        fix = f" --set data.fixes=[{problem.fix}]" if problem.fix else ""
        print_plain(f"  {problem.effect.text(LANGUAGE)}{fix}")
    if report.token_figures:
        out.print(text("cli.tokens", **report.token_figures))
    if report.speech:
        print_plain(text("speech.of_answers", levels=speech_levels.shares(report.speech, LANGUAGE)))
    if report.epoch_seconds:
        out.print(text("cli.epoch", seconds=f"{report.epoch_seconds:,.0f}"))
    console.print_messages(report.blocks, "red")


@app.command(help=text("cli.preview"))
def preview(
    name: FileOrId,
    row: Annotated[int, typer.Option("--row", min=1, help=text("cli.row"))] = 1,
    model: Model = "builtin",
    encoding: Encoding = None,
    sheet: Sheet = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    from rich.text import Text

    from studio.data.preview import preview_row

    view = preview_row(data_config(name, model, settings, encoding, sheet), row - 1)
    if as_json:
        console.print_json(
            {
                "row": row,
                "raw": view.row,
                "text": view.text,
                "tokens": view.spans,
                "rejected": view.rejected,
                "good": view.good,
                "trained": view.trained,
                "ends": view.ends,
                "problem": view.problem,
                "notes": view.notes,
            }
        )
        return
    if view.problem:
        print_plain(view.problem, "yellow")
        return
    console.print_messages(view.notes, "yellow")
    styles = {"context": "dim", "trained": "bold green", "cut": "strike red"}
    sides = [("chosen", view.spans), ("rejected", view.rejected)] if view.rejected else [("", view.spans)]
    if view.good is not None:
        sides = [("good" if view.good else "bad", view.spans)]
    for side, spans in sides:
        if side:
            out.print(text(f"preview.side.{side}"))
        out.print(Text.assemble(*((part, styles[label]) for part, label in spans)))
    out.print(text("cli.preview_line", tokens=view.tokens, trained=view.trained))


@app.command(help=text("cli.clean"))
def clean(
    name: FileOrId,
    path: Annotated[Path, typer.Option("-o", "--out", help=text("cli.out"))],
    fixes: Annotated[list[str] | None, typer.Option("--fix", help=text("cli.fix"))] = None,
    model: Model = "builtin",
    encoding: Encoding = None,
    sheet: Sheet = None,
    settings: Settings = None,
) -> None:
    from studio.data import clean as cleaning

    config = data_config(name, model, settings, encoding, sheet).with_settings({"data.fixes": fixes or []})
    print_plain(text("cli.written", rows=cleaning.write(config, path), path=path))
