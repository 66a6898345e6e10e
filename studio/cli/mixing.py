"""The command mix: adapters of one base saved as one adapter."""

from pathlib import Path
from typing import Annotated

import typer

from studio import runs
from studio.cli import console
from studio.cli.console import AsJson, RunId, print_plain, text

app = typer.Typer()


@app.command(help=text("cli.mix"))
def mix(
    run_id: RunId,
    named: Annotated[str, typer.Argument(metavar="MIX", help=text("cli.mix_named"))],
    out_path: Annotated[Path | None, typer.Option("-o", "--out", help=text("cli.mix_out"))] = None,
    as_json: AsJson = False,
) -> None:
    from studio import gpu
    from studio.compare.columns import Column, MixRequest
    from studio.compare.mixes import parse

    column = Column(adapter=str(parse(named)))
    saved = gpu.thread().save_mix(MixRequest(runs.find(run_id).id, column, out_path)).result()
    if as_json:
        console.print_json({"mix": column.adapter, "path": str(saved.folder), "column": saved.column})
        return
    console.print_path(saved.folder)
    print_plain(text("cli.mix_saved", name=saved.column))
