"""The command prefer: train on the votes on a run, or on a file of preferences."""

from pathlib import Path
from typing import Annotated

import typer

from studio import runs
from studio.cli import console
from studio.cli.console import AsJson, Check, RunId, Settings, Wait, text
from studio.cli.training import run_to_end, show_check
from studio.errors import RunError

app = typer.Typer()

VOTES = "votes"


@app.command(help=text("cli.prefer"))
def prefer(
    run_id: RunId = "last",
    source: Annotated[str, typer.Option("--from", metavar="votes|FILE", help=text("cli.prefer_from"))] = VOTES,
    method: Annotated[str, typer.Option("--method", metavar="auto|dpo|kto", help=text("cli.prefer_method"))] = "auto",
    settings: Settings = None,
    wait: Wait = False,
    check: Check = False,
    as_json: AsJson = False,
) -> None:
    from studio import gpu
    from studio.reports import vote_rows
    from studio.train import preference_plan

    if method not in ("auto", "dpo", "kto"):
        raise RunError("run.prefer_method", method=method[:40])
    run = runs.find(run_id)
    if source == VOTES:
        judged = vote_rows.collect(run)
        if not as_json:
            console.print_messages(judged.summary)
        config, count = vote_rows.settings(run, judged, method)
    else:
        path = Path(source).absolute()
        chosen = preference_plan.detect_method(path) if method == "auto" else method
        count = preference_plan.count_rows(path)
        config = preference_plan.settings(run, path, chosen, count)
    config = config.with_settings(console.parse_settings(settings))
    if not as_json:
        console.print_choices(preference_plan.choices(config, count))
    if check:
        show_check(config, measure=False, as_json=as_json)
    else:
        run_to_end(gpu.thread().start_run(config, wait=wait), as_json)
