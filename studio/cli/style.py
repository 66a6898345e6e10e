"""The command style."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from studio import runs
from studio.cli import console
from studio.cli.console import LANGUAGE, AsJson, PromptsFile, RunId, Settings, out, print_plain, text
from studio.data import speech_levels
from studio.files import to_json

app = typer.Typer()


@app.command(help=text("cli.style"))
def style(
    run_id: RunId,
    strengths: Annotated[
        list[float] | None, typer.Option("--strength", min=0, max=1.5, help=text("cli.style_strength"))
    ] = None,
    against: Annotated[list[str] | None, typer.Option("--against", help=text("cli.style_against"))] = None,
    prompts_file: PromptsFile = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help=text("cli.limit"))] = 40,
    prompted: Annotated[bool, typer.Option("--prompted/--no-prompted", help=text("cli.style_prompted"))] = True,
    prompt_file: Annotated[str | None, typer.Option("--prompt-file", help=text("cli.style_prompt_file"))] = None,
    curve: Annotated[bool, typer.Option("--curve", help=text("cli.style_curve"))] = False,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    from studio import gpu
    from studio.compare.columns import NOW, parse_column
    from studio.style import prompted_store, votes
    from studio.style.request import StyleRequest

    run = runs.find(run_id)
    if prompt_file is not None:
        prompted_store.edit(run, "" if prompt_file == "auto" else Path(prompt_file).read_text("utf-8"))
    columns = [parse_column(NOW, strength) for strength in strengths or [1.0]] + list(map(parse_column, against or []))
    generation = console.generation_of(run, settings)
    rows = str(prompts_file) if prompts_file else "auto"
    request = StyleRequest(run.id, tuple(columns), rows, limit, generation, prompted, curve)
    update = console.follow_job(gpu.thread().style(request), "phase.styling", as_json)
    if update.report:
        update = replace(update, report=votes.with_current_votes(run, update.report))
    if as_json:
        console.print_json(_document(update))
    elif update.report:
        _show(run, update.report)
    if update.stopped:
        if not as_json:
            out.print(text("style.stopped", done=update.done, total=update.total))
        raise typer.Exit(130)


def _document(update: Any) -> dict[str, Any]:
    """Return the report as a JSON document, with what a reader would have to derive from it."""
    from studio.style.headline import headline

    if not update.report:
        return {"stopped": update.stopped, "done": update.done, "total": update.total}
    document = json.loads(to_json(update.report))
    for column, report in zip(document["columns"], update.report.columns, strict=True):
        column["title"] = report.title()
    if update.report.verdict:
        document["verdict"]["text"] = update.report.verdict.reason
    if update.report.curve:
        document["curve"]["text"] = update.report.curve.reason
    return document | {"headline": headline(update.report), "path": update.path, "stopped": False}


def _show(run: runs.Run, report: Any) -> None:
    from studio.style import votes
    from studio.style.headline import headline

    console.print_messages(report.notes, "yellow")
    if report.columns:
        names = ("column", "strength", "fit", "fluency", "ended", "copied", "drift", "tokens")
        rows = [
            (
                column.title(LANGUAGE),
                _percent(column.strength),
                _percent(column.fit, 100),
                _fluency(column),
                f"{100 * column.ended.value:.0f} %",
                f"{100 * column.copied.value:.0f} %",
                text(f"style.drift.{drift.level}", divergence=f"{drift.divergence.value:.2f}") if drift else "–",
                f"{column.prompt_tokens:.0f}" if column.prompt_tokens else "–",
            )
            for column in report.columns
            for drift in (column.drift,)
        ]
        out.print(console.table((text(f"style.columns.{name}") for name in names), rows))
        values = {"candidates": report.candidates, "chance": f"{100 / report.candidates:.0f}"}
        for column in report.columns:
            if levels := speech_levels.describe(column.answers, LANGUAGE):
                print_plain(f"{text('speech.title')} · {column.title(LANGUAGE)}: {levels}")
        print_plain(text("style.legend", spread=f"{report.author_spread:.2f}", **values), "dim")
    for side, words in (("author", report.author_words), ("base", report.base_words)):
        if words:
            print_plain(f"{text(f'style.words.{side}')}: {', '.join(word.word for word in words)}")
    if report.curve:
        names = ("strength", "fit", "fluency", "copied")
        heads = [text("style.curve.strength"), *(text(f"style.columns.{name}") for name in names)]
        rows = []
        for point in report.curve.points:
            values = _percent(point.strength), _percent(point.fit, 100), _fluency(point)
            rows.append((f"{100 * point.factor:g} %", *values, f"{100 * point.copied:.0f} %"))
        out.print(console.table(heads, rows, title=text("style.curve.title")))
        print_plain(report.curve.reason)
        print_plain(text("style.curve.recommended", percent=f"{100 * report.curve.recommended:g}"))
    if report.verdict:
        print_plain(text("style.verdict.title"), "bold")
        print_plain(report.verdict.reason)
        for sentence in votes.describe(run, report):
            print_plain(sentence)
    if report.columns:
        print_plain(text("style.seconds", seconds=f"{report.seconds:.0f}"), "dim")
    print_plain(headline(report), "bold")


def _percent(estimate: Any, factor: float = 1.0) -> str:
    if not math.isfinite(estimate.low):
        return "–"
    value, low, high = (factor * each for each in (estimate.value, estimate.low, estimate.high))
    return f"{value:z.0f} % [{low:z.0f}–{high:z.0f}]"


def _fluency(measured: Any) -> str:
    key = "fluent" if measured.fluent else "not_fluent"
    return text(f"style.fluency.{key}", distance=f"{measured.perplexity_distance.value:+.2f}")
