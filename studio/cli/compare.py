"""Commands that put base and adapter side by side: compare, evaluate."""

import json
import signal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from studio import i18n, runs
from studio.cli.words import LANGUAGE, AsJson, RunId, Settings, err, out, plain, print_json, say
from studio.config import parse_setting

app = typer.Typer()
_FETCHING = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())


@app.command(help=i18n.text("cli.compare", LANGUAGE))
def compare(
    run_id: RunId,
    prompts: Annotated[list[str] | None, typer.Option("--prompt", help=say("cli.prompt"))] = None,
    prompts_file: Annotated[Path | None, typer.Option("--prompts", help=say("cli.prompts"))] = None,
    against: Annotated[list[str] | None, typer.Option("--against", help=say("cli.against"))] = None,
    same_base: Annotated[bool | None, typer.Option("--same-base/--other-base", help=say("cli.same_base"))] = None,
    strength: Annotated[float, typer.Option("--strength", min=0, max=1.5, help=say("cli.strength"))] = 1.0,
    settings: Settings = None,
    as_json: AsJson = False,
    html: Annotated[Path | None, typer.Option("--html", help=say("cli.html"))] = None,
    png: Annotated[Path | None, typer.Option("--png", help=say("cli.png"))] = None,
) -> None:
    from studio import gpu
    from studio.compare import comparison
    from studio.compare.columns import NOW, CompareRequest, parse_column
    from studio.generation import held_out
    from studio.reports import run_card

    run = runs.find(run_id)
    asked = [*(prompts or []), *(held_out.read_prompts(prompts_file) if prompts_file else [])]
    generation = run.config().with_settings(dict(parse_setting(setting) for setting in settings or [])).generation
    named = [_brought(each, run, same_base) for each in against or ["base"]]
    columns = (*map(parse_column, named), parse_column(NOW, strength))
    made = gpu.thread().compare(CompareRequest(run.id, tuple(asked), generation, columns)).result()
    if html or png:
        from studio.reports import card_html, card_png

        shown = run_card.comparison_card_of(run, made, LANGUAGE)
        if run_card.is_scoreboard_missing(run, shown):
            err.print(plain(say("ui.card.no_board")))
        for path, written in (
            (html, lambda: card_html.to_html(shown).encode()),
            (png, lambda: card_png.to_png(shown)),
        ):
            if path:
                path.write_bytes(written())
                err.print(plain(say("cli.wrote", path=path)))
    if as_json:
        print_json(comparison.as_json(made))
    else:
        _show_comparison(made)


def _brought(named: str, run: runs.Run, same_base: bool | None) -> str:
    """Return how a column names what was given, fetched or kept first where it comes from outside."""
    from studio.compare import external_adapters

    with Progress(*_FETCHING, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(say("phase.fetching"), total=1.0, visible=False)
        try:
            brought = external_adapters.make_available(
                named, run, lambda share: progress.update(task, completed=share, visible=True), same_base=same_base
            )
        except KeyboardInterrupt:
            progress.stop()
            err.print(say("cli.cancelled"))
            raise typer.Exit(130) from None
    if brought != named:
        err.print(plain(say("cli.kept", name=brought)))
    return brought


def _show_comparison(made: Any) -> None:
    for prompt, sides in zip(made.request.prompts, made.answers, strict=True):
        out.print(plain(f"> {prompt}"), style="bold")
        for column, side in zip(made.request.columns, sides, strict=True):
            out.rule(plain(column.title(LANGUAGE)))
            out.print(plain(side.text))
    for note in made.notes:
        out.print(plain(note.text(LANGUAGE)), style="yellow")
    for problem in made.proof.problems:
        out.print(plain(problem.text(LANGUAGE)), style="bold red")
    for left in made.proof.unproven:
        out.print(plain(left.text(LANGUAGE)), style="bold yellow")
    if made.proof.verified:
        out.print(say("cli.verified", difference=f"{made.proof.sides_differ:.2g}"), style="green")


@app.command("samples", help=i18n.text("cli.samples", LANGUAGE))
def show_samples(run_id: RunId = "last", as_json: AsJson = False) -> None:
    from studio.train import samples

    run = runs.find(run_id)
    strip = samples.read(run)
    if as_json:
        frames = [frame.model_dump(mode="json", exclude={"type"}) for frame in strip.frames]
        print_json({"run": run.id, "prompts": strip.prompts, "every": strip.every, "frames": frames})
        return
    for number, prompt in enumerate(strip.prompts):
        out.print(plain(f"> {prompt}"), style="bold")
        for frame in strip.frames:
            out.rule(plain(say("card.step", step=frame.step)))
            out.print(plain(frame.answers[number].text))
    if not strip.frames:
        out.print(say("ui.strip.missing"))


@app.command(help=i18n.text("cli.evaluate", LANGUAGE))
def evaluate(
    run_id: RunId,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help=say("cli.limit"))] = None,
    prompts_file: Annotated[Path | None, typer.Option("--prompts", help=say("cli.prompts"))] = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    from studio import gpu
    from studio.compare.columns import EvaluationRequest

    run = runs.find(run_id)
    generation = run.config().with_settings(dict(parse_setting(setting) for setting in settings or [])).generation
    rows = str(prompts_file) if prompts_file else "auto"
    job = gpu.thread().evaluate(EvaluationRequest(run.id, rows, limit, generation=generation))
    signal.signal(signal.SIGINT, lambda *_: job.stop())  # what is answered is kept, and the same command goes on
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=as_json, transient=True) as progress:
        task = progress.add_task(say("phase.evaluating"), total=None)
        for made in job.updates():
            progress.update(task, total=made.total, completed=made.done)
    if as_json:
        boards = {"scoreboard": made.board, "forgetting": made.forgetting}
        told = {name: json.loads(board.to_json()) if board else None for name, board in boards.items()}
        print_json({"run": run.id, "id": made.id, "path": str(made.path), "stopped": made.stopped, **told})
    else:
        _show_evaluation(made)
    if made.stopped:
        raise typer.Exit(130)


def _show_evaluation(made: Any) -> None:
    for note in made.notes:
        out.print(plain(note.text(LANGUAGE)), style="yellow")
    if made.stopped:
        out.print(say("cli.evaluation_stopped", done=made.done, total=made.total))
    for name, board in (("cli.scoreboard", made.board), ("cli.forgetting", made.forgetting)):
        if board:
            _show_board(say(name, rows=board.rows), board)


def _show_board(title: str, board: Any) -> None:
    from studio.reports.comparison_card import format_number, format_signed

    heads = [say(f"card.{name}") for name in ("measure", "before", "after", "gain", "verdict")]
    table = Table(*heads, title=title, box=None)
    for score in board.scores:
        name, verdict = say(f"compare.measures.{score.name}.name"), say(f"compare.verdict.{score.verdict}")
        table.add_row(name, format_number(score.before), format_number(score.after), format_signed(score.gain), verdict)
    out.print(table)
