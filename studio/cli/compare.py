"""The commands compare, samples, evaluate, pairs and mix."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import TaskProgressColumn, TimeRemainingColumn

from studio import runs
from studio.cli import console
from studio.cli.console import LANGUAGE, AsJson, PromptsFile, RunId, Settings, err, out, print_plain, text
from studio.files import to_json

app = typer.Typer()


@app.command(help=text("cli.compare"))
def compare(
    run_id: RunId,
    prompts: Annotated[list[str] | None, typer.Option("--prompt", help=text("cli.prompt"))] = None,
    prompts_file: PromptsFile = None,
    against: Annotated[list[str] | None, typer.Option("--against", help=text("cli.against"))] = None,
    same_base: Annotated[bool | None, typer.Option("--same-base/--other-base", help=text("cli.same_base"))] = None,
    strength: Annotated[float, typer.Option("--strength", min=0, max=1.5, help=text("cli.strength"))] = 1.0,
    settings: Settings = None,
    as_json: AsJson = False,
    html: Annotated[Path | None, typer.Option("--html", help=text("cli.html"))] = None,
    png: Annotated[Path | None, typer.Option("--png", help=text("cli.png"))] = None,
) -> None:
    from studio import gpu
    from studio.compare import comparison
    from studio.compare.columns import NOW, CompareRequest, parse_column
    from studio.generation import held_out
    from studio.reports import run_card
    from studio.style import prompted_store

    run = runs.find(run_id)
    from_file, left_out = held_out.read_prompts(prompts_file) if prompts_file else ([], 0)
    all_prompts = [*(prompts or []), *from_file]
    if left_out:
        print_plain(text("compare.note.left_out", count=left_out), console=err)
    others = [
        prompted_store.column_of(run)
        if name == prompted_store.NAME
        else parse_column(_import_adapter(name, run, same_base))
        for name in against or ["base"]
    ]
    columns = (*others, parse_column(NOW, strength))
    generation = console.generation_of(run, settings)
    request = CompareRequest(run.id, tuple(all_prompts), generation, columns)
    result = gpu.thread().compare(request, batch=len(all_prompts) > 1).result()
    if html or png:
        from studio.reports import card_html, card_png

        before_after = run_card.comparison_card_of(run, result, LANGUAGE)
        if run_card.is_scoreboard_missing(run, before_after):
            print_plain(text("ui.card.no_board"), console=err)
        if html:
            html.write_bytes(card_html.to_html(before_after).encode())
            print_plain(text("cli.wrote", path=html), console=err)
        if png:
            png.write_bytes(card_png.to_png(before_after))
            print_plain(text("cli.wrote", path=png), console=err)
    if as_json:
        console.print_json(comparison.as_json(result))
        return
    for prompt, sides in zip(result.request.prompts, result.answers, strict=True):
        print_plain(f"> {prompt}", "bold")
        for column, side in zip(result.request.columns, sides, strict=True):
            out.rule(escape(column.title(LANGUAGE)))
            print_plain(side.text)
    for column in result.request.columns:
        if not column.is_plain:
            tokens = prompted_store.prompt_tokens(run, column)
            print_plain(f"{column.title(LANGUAGE)}: {text('ui.prompted.tokens', tokens=tokens)}", "dim")
    console.print_messages(result.notes, "yellow")
    console.print_messages(result.proof.problems, "bold red")
    console.print_messages(result.proof.unproven, "bold yellow")
    if result.proof.verified:
        out.print(text("cli.verified", difference=f"{result.proof.sides_differ:.2g}"), style="green")


def _import_adapter(name: str, run: runs.Run, same_base: bool | None) -> str:
    """Return the name of a column; an external adapter is downloaded or copied first."""
    from studio.compare import external_adapters

    columns, quiet = (TaskProgressColumn(), TimeRemainingColumn()), not err.is_terminal
    with console.cancellable_download(*columns, quiet=quiet, total=1.0, visible=False) as update:
        imported = external_adapters.make_available(
            name, run, lambda share: update(completed=share, visible=True), same_base=same_base
        )
    if imported != name:
        print_plain(text("cli.kept", name=imported), console=err)
    return imported


@app.command("samples", help=text("cli.samples"))
def show_samples(run_id: RunId = "last", as_json: AsJson = False) -> None:
    from studio.train import samples

    run = runs.find(run_id)
    timeline = samples.read(run)
    if as_json:
        frames = [frame.model_dump(mode="json", exclude={"type"}) for frame in timeline.frames]
        console.print_json({"run": run.id, "prompts": timeline.prompts, "every": timeline.every, "frames": frames})
        return
    for number, prompt in enumerate(timeline.prompts):
        print_plain(f"> {prompt}", "bold")
        for frame in timeline.frames:
            out.rule(escape(text("card.step", step=frame.step)))
            print_plain(frame.answers[number].text)
    if not timeline.frames:
        out.print(text("ui.strip.missing"))


@app.command(help=text("cli.evaluate"))
def evaluate(
    run_id: RunId,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help=text("cli.limit"))] = None,
    prompts_file: PromptsFile = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    from studio import gpu
    from studio.compare.columns import EvaluationRequest
    from studio.reports.comparison_card import format_number, format_signed

    run = runs.find(run_id)
    rows = str(prompts_file) if prompts_file else "auto"
    generation = console.generation_of(run, settings)
    job = gpu.thread().evaluate(EvaluationRequest(run.id, rows, limit, generation=generation))
    result = console.follow_job(job, "phase.evaluating", as_json)
    boards = {"scoreboard": result.board, "forgetting": result.forgetting}
    if as_json:
        documents = {name: json.loads(to_json(board)) if board else None for name, board in boards.items()}
        about = {"run": run.id, "id": result.id, "path": result.path, "stopped": result.stopped}
        console.print_json(about | documents)
    else:
        console.print_messages(result.notes, "yellow")
        if result.stopped:
            out.print(text("cli.evaluation_stopped", done=result.done, total=result.total))
        heads = [text(f"card.{name}") for name in ("measure", "before", "after", "gain", "verdict")]
        for title, board in boards.items():
            rows = []
            for each in board.scores if board else ():
                figures = format_number(each.before), format_number(each.after), format_signed(each.gain)
                verdict = text(f"compare.verdict.{each.verdict}")
                rows.append((text(f"compare.measures.{each.name}.name"), *figures, verdict))
            if board:
                out.print(console.table(heads, rows, title=text(f"cli.{title}", rows=board.rows)))
    if result.stopped:
        raise typer.Exit(130)


@app.command("pairs", help=text("cli.pairs"))
def make_pairs(
    run_id: RunId = "last",
    prompts: Annotated[int, typer.Option("--prompts", min=1, help=text("cli.pairs_prompts"))] = 20,
    answers: Annotated[int, typer.Option("--answers", min=1, help=text("cli.pairs_answers"))] = 4,
    strength: Annotated[list[float] | None, typer.Option("--strength", help=text("cli.pairs_strength"))] = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    from studio import gpu
    from studio.evaluate.vote_pairs import VotePairsRequest

    run = runs.find(run_id)
    generation = console.generation_of(run, settings)
    request = VotePairsRequest(run.id, prompts, answers, strengths=tuple(strength or ()), generation=generation)
    progress = console.follow_job(gpu.thread().make_pairs(request), "phase.evaluating", as_json)
    if result := progress.result:
        if as_json:
            pairs = [{"prompt": each.prompt, "answers": each.answers} for each in result.pairs]
            console.print_json({"run": run.id, "id": result.id, "alike": result.alike, "pairs": pairs})
        else:
            out.print(text("cli.pairs_made", pairs=len(result.pairs)))
            if result.alike:
                out.print(text("ui.pairs.alike", count=result.alike))
            console.print_messages(result.notes, "yellow")
    else:
        print_plain(text("ui.pairs.stopped", done=progress.done, total=progress.total), console=err)
        raise typer.Exit(130)


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
        console.print_json({"mix": column.adapter, "path": saved.folder, "column": saved.column})
        return
    console.print_path(saved.folder)
    print_plain(text("cli.mix_saved", name=saved.column))
