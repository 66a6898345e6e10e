"""Commands about data sets: inspect, preview, clean."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
)

from studio import i18n, presets
from studio.cli.words import LANGUAGE, AsJson, Settings, err, out, plain, print_json, say
from studio.config import RunConfig, SourceConfig, parse_setting

app = typer.Typer(help=say("cli.data"), no_args_is_help=True)

FileOrId = Annotated[str, typer.Argument(metavar="FILE_OR_ID", help=say("cli.file"))]
Model = Annotated[str, typer.Option("--model", help=say("cli.model_id"))]
Encoding = Annotated[str | None, typer.Option("--encoding", help=say("cli.encoding"))]
Sheet = Annotated[str | None, typer.Option("--sheet", help=say("cli.sheet"))]


def data_config(
    name: str, model: str, settings: list[str] | None = None, encoding: str | None = None, sheet: str | None = None
) -> RunConfig:
    """Return settings about the file, the bundled set or the data set of the Hub called `name`."""
    kind = "bundled" if name in presets.datasets() and not Path(name).is_file() else "file"
    if kind == "file" and not Path(name).exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        kind = "hub"
    config = RunConfig().with_settings(
        {"model.id": model, "data.source": SourceConfig(kind=kind, name=name).model_dump()}
    )
    config = config.with_settings({"data.source.encoding": encoding, "data.source.sheet": sheet})
    return config.with_settings(dict(parse_setting(setting) for setting in settings or []))


@app.command(help=i18n.text("cli.inspect", LANGUAGE))
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
    with Progress(
        TextColumn("{task.description}"), BarColumn(), console=err, transient=True, disable=as_json
    ) as progress:
        task = progress.add_task(say("phase.reading"), total=1.0)
        report = prepare.inspect(config, lambda share: progress.update(task, completed=share))
    found = report.detected
    if as_json:
        print_json(
            {
                "format": found.mapping.shape,
                "reason": found.reason.text(),
                "mapping": found.mapping.model_dump(mode="json"),
                "file_format": table.file_format,
                "encoding": table.encoding,
                "notes": [note.text() for note in table.notes],
                "columns": {column.name: column.type for column in table.columns},
                "rows": report.rows,
                "usable": report.usable,
                "problems": [
                    {"kind": p.kind, "count": p.count, "rows": p.rows, "example": p.example}
                    | {"effect": p.effect.text(), "fix": p.fix, "fixed": p.fixed}
                    for p in report.problems
                ],
                "tokens": report.token_figures,
                "epoch_seconds": report.epoch_seconds and round(report.epoch_seconds),
                "blocks": [block.text() for block in report.blocks],
            }
        )
        return
    out.print(plain(", ".join(filter(None, (table.path.name, table.file_format, table.encoding)))))
    out.print(plain(say("cli.columns", columns=", ".join(f"{c.name} ({c.type})" for c in table.columns))))
    for told in (found.reason, *table.notes):
        out.print(plain(told.text(LANGUAGE)))
    out.print(say("log.usable", rows=report.rows, usable=report.usable))
    for problem in report.problems:
        out.print(plain(problem.message.text(LANGUAGE)), style="yellow")
        out.print(
            plain(f"  {problem.effect.text(LANGUAGE)}" + (f" --set data.fixes=[{problem.fix}]" if problem.fix else ""))
        )
    if report.token_figures:
        out.print(say("cli.tokens", **report.token_figures))
    if report.epoch_seconds:
        out.print(say("cli.epoch", seconds=f"{report.epoch_seconds:,.0f}"))
    for block in report.blocks:
        out.print(plain(block.text(LANGUAGE)), style="red")


@app.command(help=i18n.text("cli.preview", LANGUAGE))
def preview(
    name: FileOrId,
    row: Annotated[int, typer.Option("--row", min=1, help=say("cli.row"))] = 1,
    model: Model = "builtin",
    encoding: Encoding = None,
    sheet: Sheet = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    from rich.text import Text

    from studio.data.preview import preview_row

    shown = preview_row(data_config(name, model, settings, encoding, sheet), row - 1)
    if as_json:
        print_json(
            {"row": row, "raw": shown.row, "text": shown.text, "tokens": [list(span) for span in shown.spans]}
            | {"trained": shown.trained, "ends": shown.ends, "problem": shown.problem and shown.problem.text()}
            | {"notes": [note.text() for note in shown.notes]}
        )
        return
    if shown.problem:
        out.print(plain(shown.problem.text(LANGUAGE)), style="yellow")
        return
    for note in shown.notes:
        out.print(plain(note.text(LANGUAGE)), style="yellow")
    styles = {"context": "dim", "trained": "bold green", "cut": "strike red"}
    out.print(Text.assemble(*((text, styles[label]) for text, label in shown.spans)))
    out.print(say("cli.preview_line", tokens=shown.tokens, trained=shown.trained))


@app.command(help=i18n.text("cli.clean", LANGUAGE))
def clean(
    name: FileOrId,
    path: Annotated[Path, typer.Option("-o", "--out", help=say("cli.out"))],
    fixes: Annotated[list[str] | None, typer.Option("--fix", help=say("cli.fix"))] = None,
    model: Model = "builtin",
    encoding: Encoding = None,
    sheet: Sheet = None,
    settings: Settings = None,
) -> None:
    from studio.data import clean as cleaning

    chosen = data_config(name, model, settings, encoding, sheet).with_settings({"data.fixes": fixes or []})
    out.print(plain(say("cli.written", rows=cleaning.write(chosen, path), path=path)))
