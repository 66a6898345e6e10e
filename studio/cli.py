"""The command line: `python -m studio data|train|compare|evaluate|runs|model|doctor`.

The vocabulary is the page's, the words are the catalogue's. `--json` prints English keys, one document on stdout.
"""

import json
import os
import re
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from studio import i18n, presets, runs
from studio.config import RunConfig, SourceConfig, parse_setting
from studio.errors import ModelError, StudioError
from studio.model import hardware
from studio.runs import Run, State

LANGUAGE = i18n.best_language((os.environ.get("LC_ALL") or os.environ.get("LANG", "")).replace("_", "-"))

app = typer.Typer(
    help=i18n.text("cli.help", LANGUAGE), no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
data_app = typer.Typer(help=i18n.text("cli.data", LANGUAGE), no_args_is_help=True)
model_app = typer.Typer(help=i18n.text("cli.model", LANGUAGE), no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(model_app, name="model")

out = Console()
err = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help=i18n.text("cli.json", LANGUAGE))]


@app.callback()
def _main() -> None:
    hardware.prepare_process()


def main() -> None:
    """Run the command line; a StudioError is shown as its three lines, and the exit code is 1."""
    try:
        app()
    except StudioError as error:
        what, *rest = error.message.text(LANGUAGE).splitlines()
        err.print(f"[bold red]{_plain(what)}[/]")
        for line in rest:
            err.print(_plain(line))
        sys.exit(1)
    finally:
        from studio import gpu

        gpu.shutdown()


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _say(key: str, **values: Any) -> str:
    return i18n.text(key, LANGUAGE, **values)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_config(name: str, settings: list[str], offline_sample: bool = False) -> RunConfig:
    """Return the preset called `name`, or the config in the YAML file of that name, with `--set` applied."""
    path = Path(name)
    is_file = path.suffix in (".yaml", ".yml") and path.is_file()
    config = RunConfig.from_yaml(path.read_text(encoding="utf-8")) if is_file else presets.load(name)
    if offline_sample:
        config = presets.offline_sample(config)
    return config.with_settings(dict(parse_setting(setting) for setting in settings))


@app.command(help=i18n.text("cli.train", LANGUAGE))
def train(
    preset: Annotated[str, typer.Argument(help=_say("cli.preset"))] = presets.QUICKSTART,
    settings: Annotated[list[str] | None, typer.Option("--set", help=_say("cli.set"))] = None,
    offline_sample: Annotated[bool, typer.Option("--offline-sample", help=_say("cli.offline_sample"))] = False,
    wait: Annotated[bool, typer.Option("--wait", help=_say("cli.wait"))] = False,
    check: Annotated[bool, typer.Option("--check", help=_say("cli.check"))] = False,
    measure: Annotated[bool, typer.Option("--measure", help=_say("cli.measure"))] = False,
    as_json: AsJson = False,
) -> None:
    from studio import gpu

    config = read_config(preset, settings or [], offline_sample)
    if check or measure:
        show_check(config, measure, as_json)
    else:
        carry_out(gpu.thread().start_run(config, wait=wait), as_json)


def show_check(config: RunConfig, measure: bool, as_json: bool) -> None:
    """Show what can be known of a run before it starts; the exit code is 1 when something stands in its way."""
    from studio import gpu
    from studio.train import preflight

    with Progress(TextColumn("{task.description}"), BarColumn(), console=err, transient=True, disable=as_json) as bar:
        task = bar.add_task(_say("phase.reading"), total=1.0)
        found = preflight.check(config, gpu.thread().free_memory(), lambda share: bar.update(task, completed=share))
    tried = gpu.thread().measure(config).result() if measure and not found.blocks else None
    plan = found.plan
    if as_json:
        _print_json(
            {
                "blocks": [block.text() for block in found.blocks],
                "warnings": [warning.text() for warning in found.warnings],
                "memory_bytes": plan and {name: round(part) for name, part in vars(plan.memory).items()},
                "memory_free_bytes": plan and round(plan.free),
                "fits": plan and plan.fits,
                "trained_parameters": plan and plan.skeleton.trained,
                "parameters": plan and plan.skeleton.total,
                "modules": plan and plan.skeleton.modules,
                "steps": plan and plan.steps,
                "seconds": found.seconds and round(found.seconds),
                "disk_bytes": plan and round(plan.disk_bytes),
                "disk_free_bytes": round(found.disk_free),
                "choices": {
                    c.name: {"value": c.value, "reason": c.reason.text()} for c in (plan.choices if plan else ())
                },
                "measured": tried
                and {"peak_bytes": tried.peak_bytes, "step_seconds": tried.step_seconds, "seconds": tried.seconds},
            }
        )
    else:
        for told in found.warnings:
            out.print(_plain(told.text(LANGUAGE)), style="yellow")
        for told in found.facts:
            out.print(_plain(told.text(LANGUAGE)))
        if plan:
            for choice in plan.choices:
                out.print(_plain(f"{choice.name}: {choice.value}. {choice.reason.text(LANGUAGE)}"))
            out.print(_say("cli.memory", need=f"{plan.memory.total / 1e9:.1f}", free=f"{plan.free / 1e9:.1f}"))
            out.print(_say("cli.disk", need=f"{plan.disk_bytes / 1e9:.2f}", free=f"{found.disk_free / 1e9:.1f}"))
        if plan and found.seconds:
            out.print(_say("cli.time", seconds=f"{found.seconds:,.0f}", steps=plan.steps))
        if tried:
            peak, step = f"{tried.peak_bytes / 1e9:.2f}", f"{tried.step_seconds:.2f}"
            out.print(_say("cli.measured", peak=peak, step=step, seconds=f"{tried.seconds:,.0f}"))
        for block in found.blocks:
            out.print(_plain(block.text(LANGUAGE)), style="red")
        if not found.blocks:
            out.print(_say("cli.nothing_blocks"))
    if found.blocks:
        raise typer.Exit(1)


def carry_out(run: Run, as_json: bool) -> None:
    """Show a run until it ends, then say how; the exit code is 1 unless it finished, was stopped or paused.

    SIGTERM pauses it, so that nothing is lost when a machine is shut down.
    """
    signal.signal(signal.SIGTERM, lambda *_: run.request("pause"))
    if not as_json:
        out.print(str(run.path), soft_wrap=True, highlight=False)
    state = follow(run, quiet=as_json)
    status = run.status()
    if as_json:
        _print_json({"id": run.id, "path": str(run.path), "state": state.value, "step": status.step})
    elif status.error:
        err.print(_plain(status.error.text(LANGUAGE)), style="red")
        err.print(_say("cli.log", path=run.log))
        _show_ways_out(run)
    else:
        out.print(_say(f"state.{state.value}"))
    if state not in (State.FINISHED, State.STOPPED, State.PAUSED):
        raise typer.Exit(1)


def _show_ways_out(run: Run) -> None:
    """After a lack of memory, say what helps, each with the command that does it."""
    from studio.train import relief

    if not relief.out_of_memory(run):
        return
    err.print(_say("cli.ways_out"))
    for way in relief.reliefs(run):
        command = f"resume {run.id}" if way.resumes else f"train {run.path / 'run.yaml'}"
        changes = " ".join(f"--set {path}={value}" for path, value in way.settings.items())
        err.print(_plain(f"- {way.told.text(LANGUAGE)}\n  python -m studio {command} {changes}"), soft_wrap=True)


RunId = Annotated[str, typer.Argument(metavar="RUN", help=_say("cli.run"))]


@app.command(help=i18n.text("cli.resume", LANGUAGE))
def resume(
    run_id: RunId = "last",
    settings: Annotated[list[str] | None, typer.Option("--set", help=_say("cli.change"))] = None,
    wait: Annotated[bool, typer.Option("--wait", help=_say("cli.wait"))] = False,
    as_json: AsJson = False,
) -> None:
    from studio import gpu

    changes = dict(parse_setting(setting) for setting in settings or [])
    carry_out(gpu.thread().resume_run(run_id, changes, wait=wait), as_json)


def _ask(run_id: str, action: runs.Action) -> None:
    run = runs.find(run_id)
    alive = run.status().state.alive
    if alive:
        run.request(action)
    out.print(_say("cli.asked" if alive else "cli.not_alive", run=run.id))


@app.command(help=i18n.text("cli.pause", LANGUAGE))
def pause(run_id: RunId = "last") -> None:
    _ask(run_id, "pause")


@app.command(help=i18n.text("cli.stop", LANGUAGE))
def stop(run_id: RunId = "last") -> None:
    _ask(run_id, "stop")


@app.command(help=i18n.text("cli.cancel", LANGUAGE))
def cancel(run_id: RunId = "last") -> None:
    _ask(run_id, "cancel")


def follow(run: Run, quiet: bool = False) -> State:
    """Show a run's progress until it ends; Ctrl-C asks it to stop, and it keeps its adapter; a second one quits."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[loss]}"), TimeRemainingColumn())
    offset = 0
    loss = ""
    with Progress(*columns, console=err, disable=quiet, transient=True) as progress:
        task = progress.add_task("", total=None, loss="")
        while True:
            try:
                status = run.status()
                events, offset = run.events(offset)
                for event in events:
                    if event.type == "step":
                        loss = _say("cli.loss", step=event.step, total=event.total, loss=f"{event.loss:.3f}")
                    elif event.type == "note" and not quiet:
                        progress.console.print(_plain(event.message.text(LANGUAGE)))
                    elif event.type == "chosen" and not quiet:
                        progress.console.print(_plain(f"{event.name}: {event.value}. {event.reason.text(LANGUAGE)}"))
                done = status.step if status.state is State.TRAINING else None
                label = _say(f"phase.{status.phase}") if status.phase else _say(f"state.{status.state.value}")
                progress.update(task, description=label, total=status.total or None, completed=done or 0, loss=loss)
                if not status.state.alive:
                    return status.state
                time.sleep(0.3)
            except KeyboardInterrupt:
                if run.requested() == "stop":
                    os._exit(130)  # the second time: the run is found as interrupted
                progress.console.print(_say("cli.stopping"))
                run.request("stop")


@app.command("runs", help=i18n.text("cli.runs", LANGUAGE))
def list_runs(as_json: AsJson = False) -> None:
    rows = [(run, status) for run in runs.all_runs() if (status := runs.readable_status(run))]
    if as_json:
        _print_json(
            [
                {"id": run.id, "path": str(run.path), "state": status.state.value, "step": status.step}
                | {"total": status.total, "created": status.created}
                for run, status in rows
            ]
        )
        return
    table = Table(_say("cli.column_run"), _say("cli.column_state"), _say("cli.column_step"), box=None)
    for run, status in rows:
        table.add_row(run.id, _say(f"state.{status.state.value}"), f"{status.step}/{status.total}")
    out.print(table if rows else _say("cli.no_runs"))


FileOrId = Annotated[str, typer.Argument(metavar="FILE_OR_ID", help=_say("cli.file"))]
Model = Annotated[str, typer.Option("--model", help=_say("cli.model_id"))]
Settings = Annotated[list[str] | None, typer.Option("--set", help=_say("cli.set"))]


def data_config(name: str, model: str, settings: list[str] | None = None) -> RunConfig:
    """Return settings about the file, the bundled set or the data set of the Hub called `name`."""
    kind = "bundled" if name in presets.data_sets() and not Path(name).is_file() else "file"
    if kind == "file" and not Path(name).exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        kind = "hub"
    config = RunConfig().with_settings(
        {"model.id": model, "data.source": SourceConfig(kind=kind, name=name).model_dump()}
    )
    return config.with_settings(dict(parse_setting(setting) for setting in settings or []))


@data_app.command(help=i18n.text("cli.inspect", LANGUAGE))
def inspect(name: FileOrId, model: Model = "builtin", settings: Settings = None, as_json: AsJson = False) -> None:
    from studio.data import prepare

    config = data_config(name, model, settings)
    table = prepare.table(config.data)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), console=err, transient=True, disable=as_json
    ) as progress:
        task = progress.add_task(_say("phase.reading"), total=1.0)
        report = prepare.inspect(config, lambda share: progress.update(task, completed=share))
    found = report.detected
    if as_json:
        _print_json(
            {
                "format": found.mapping.shape,
                "reason": found.reason.text(),
                "mapping": found.mapping.model_dump(mode="json"),
                "file_format": table.file_format,
                "encoding": table.encoding,
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
    out.print(_plain(", ".join(filter(None, (table.path.name, table.file_format, table.encoding)))))
    out.print(_plain(_say("cli.columns", columns=", ".join(f"{c.name} ({c.type})" for c in table.columns))))
    for told in (found.reason, *table.notes):
        out.print(_plain(told.text(LANGUAGE)))
    out.print(_say("log.usable", rows=report.rows, usable=report.usable))
    for problem in report.problems:
        out.print(_plain(problem.message.text(LANGUAGE)), style="yellow")
        out.print(
            _plain(f"  {problem.effect.text(LANGUAGE)}" + (f" --set data.fixes=[{problem.fix}]" if problem.fix else ""))
        )
    if report.token_figures:
        out.print(_say("cli.tokens", **report.token_figures))
    if report.epoch_seconds:
        out.print(_say("cli.epoch", seconds=f"{report.epoch_seconds:,.0f}"))
    for block in report.blocks:
        out.print(_plain(block.text(LANGUAGE)), style="red")


@data_app.command(help=i18n.text("cli.preview", LANGUAGE))
def preview(
    name: FileOrId,
    row: Annotated[int, typer.Option("--row", min=1, help=_say("cli.row"))] = 1,
    model: Model = "builtin",
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    from rich.text import Text

    from studio.data import prepare

    shown = prepare.preview(data_config(name, model, settings), row - 1)
    if as_json:
        _print_json(
            {"row": row, "raw": shown.row, "text": shown.text, "tokens": [list(span) for span in shown.spans]}
            | {"trained": shown.trained, "ends": shown.ends, "problem": shown.problem and shown.problem.text()}
        )
        return
    if shown.problem:
        out.print(_plain(shown.problem.text(LANGUAGE)), style="yellow")
        return
    styles = {"context": "dim", "trained": "bold green", "cut": "strike red"}
    out.print(Text.assemble(*((text, styles[label]) for text, label in shown.spans)))
    out.print(_say("cli.preview_line", tokens=shown.tokens, trained=shown.trained))


@data_app.command(help=i18n.text("cli.clean", LANGUAGE))
def clean(
    name: FileOrId,
    path: Annotated[Path, typer.Option("-o", "--out", help=_say("cli.out"))],
    fixes: Annotated[list[str] | None, typer.Option("--fix", help=_say("cli.fix"))] = None,
    model: Model = "builtin",
    settings: Settings = None,
) -> None:
    from studio.data import clean as cleaning

    chosen = data_config(name, model, settings).with_settings({"data.fixes": fixes or []})
    out.print(_plain(_say("cli.written", rows=cleaning.write(chosen, path), path=path)))


ModelId = Annotated[str, typer.Argument(metavar="MODEL", help=_say("cli.model_id"))]
Revision = Annotated[str | None, typer.Option("--revision", help=_say("cli.revision"))]


@model_app.command(help=i18n.text("cli.pull", LANGUAGE))
def pull(model_id: ModelId = "builtin", revision: Revision = None) -> None:
    from studio.config import BUILTIN_MODEL, ModelConfig
    from studio.model import catalogue, load

    config = ModelConfig(id=model_id, revision=revision)
    facts = catalogue.describe(config)
    if facts.problem and facts.where == "nowhere":  # asked once, so that the answer comes in five seconds
        raise ModelError(facts.problem.key.removeprefix("errors."), **facts.problem.values)
    # The built-in model is also converted, so its share is not one of bytes.
    in_bytes = bool(facts.bytes and not facts.here and model_id != BUILTIN_MODEL)
    total = float(facts.bytes or 1) if in_bytes else 1.0
    shown = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) if in_bytes else (TaskProgressColumn(),)
    with Progress(TextColumn("{task.description}"), BarColumn(), *shown, console=err, transient=True) as progress:
        task = progress.add_task(_say("phase.fetching"), total=total)
        try:
            located = load.fetch(config, lambda share: progress.update(task, completed=share * total))
        except KeyboardInterrupt:
            progress.stop()
            err.print(_say("cli.cancelled"))
            raise typer.Exit(130) from None
    out.print(str(located.path), soft_wrap=True, highlight=False)
    out.print(f"sha256 {located.identity['weights']}", soft_wrap=True, highlight=False)


@model_app.command("list", help=i18n.text("cli.model_list", LANGUAGE))
def list_models(as_json: AsJson = False) -> None:
    from studio.model import catalogue

    models = catalogue.cached()
    if as_json:
        _print_json([{**asdict(model), "path": str(model.path)} for model in models])
        return
    table = Table(*(_say(f"cli.{name}") for name in ("column_model", "column_size", "column_path")), box=None)
    for model in models:
        name = model.id if model.loadable else _say("cli.not_loadable", id=model.id)
        where = str(model.path) if model.here else _say("model.not_here")
        table.add_row(_plain(name), catalogue.size(model.bytes) if model.here else "", _plain(where))
    out.print(table)


@model_app.command(help=i18n.text("cli.model_info", LANGUAGE))
def info(model_id: ModelId = "builtin", revision: Revision = None, as_json: AsJson = False) -> None:
    from studio.config import ModelConfig
    from studio.model import catalogue

    facts = catalogue.describe(ModelConfig(id=model_id, revision=revision))
    if as_json:
        _print_json(facts.as_json())
    else:
        for title, value in catalogue.told(facts):
            out.print(
                _plain(f"{title.text(LANGUAGE)}: {value.text(LANGUAGE) if isinstance(value, i18n.Message) else value}")
            )
        if facts.path:
            out.print(_plain(f"{_say('cli.column_path')}: {facts.path}"), soft_wrap=True)
        if facts.problem:
            out.print(_plain(facts.problem.text(LANGUAGE)), style="red")
    if facts.where == "nowhere":
        raise typer.Exit(1)


@app.command(help=i18n.text("cli.doctor", LANGUAGE))
def doctor(as_json: AsJson = False) -> None:
    import shutil

    from studio.files import cache, home
    from studio.model import builtin, hub

    choices = hardware.describe()
    facts = {
        "device": hardware.device_name(),
        "versions": hardware.versions(),
        "home": str(home()),
        "cache": str(cache()),
        "disk_free_gb": round(shutil.disk_usage(home()).free / 1e9, 1),
        "hub_reachable": hub.reachable(),
        "builtin_model": builtin.is_here(),
    }
    if as_json:
        reasons = {c.name: {"value": c.value, "reason": c.reason.text()} for c in choices}
        _print_json(facts | {"choices": reasons})
        return
    for choice in choices:
        out.print(_plain(f"{choice.name}: {choice.value}. {choice.reason.text(LANGUAGE)}"))
    for name, value in facts["versions"].items():
        out.print(f"{name} {value}", highlight=False)
    out.print(_say("cli.home", path=facts["home"], free=facts["disk_free_gb"]))
    out.print(_say("cli.hub_yes" if facts["hub_reachable"] else "cli.hub_no"))
    out.print(_say("cli.builtin_yes" if facts["builtin_model"] else "cli.builtin_no"))


@app.command(help=i18n.text("cli.compare", LANGUAGE))
def compare(
    run_id: RunId,
    prompts: Annotated[list[str] | None, typer.Option("--prompt", help=_say("cli.prompt"))] = None,
    prompts_file: Annotated[Path | None, typer.Option("--prompts", help=_say("cli.prompts"))] = None,
    against: Annotated[list[str] | None, typer.Option("--against", help=_say("cli.against"))] = None,
    strength: Annotated[float, typer.Option("--strength", min=0, max=1.5, help=_say("cli.strength"))] = 1.0,
    settings: Settings = None,
    as_json: AsJson = False,
    html: Annotated[Path | None, typer.Option("--html", help=_say("cli.html"))] = None,
    png: Annotated[Path | None, typer.Option("--png", help=_say("cli.png"))] = None,
) -> None:
    from studio import gpu
    from studio.compare import card, held_out
    from studio.compare.columns import NOW, CompareRequest, parse

    run = runs.find(run_id)
    asked = [*(prompts or []), *(held_out.prompts_of(prompts_file) if prompts_file else [])]
    generation = run.config().with_settings(dict(parse_setting(setting) for setting in settings or [])).generation
    columns = (*map(parse, against or ["base"]), parse(NOW, strength))
    made = gpu.thread().compare(CompareRequest(run.id, tuple(asked), generation, columns)).result()
    if html or png:
        from studio.compare import report_html, report_png

        shown = card.card_of(run, made, LANGUAGE)
        for path, written in (
            (html, lambda: report_html.to_html(shown).encode()),
            (png, lambda: report_png.to_png(shown)),
        ):
            if path:
                path.write_bytes(written())
                err.print(_plain(_say("cli.wrote", path=path)))
    if as_json:
        _print_json(card.as_json(made))
    else:
        _show_comparison(made)


def _show_comparison(made: Any) -> None:
    for prompt, sides in zip(made.request.prompts, made.answers, strict=True):
        out.print(_plain(f"> {prompt}"), style="bold")
        for column, side in zip(made.request.columns, sides, strict=True):
            out.rule(_plain(column.title(LANGUAGE)))
            out.print(_plain(side.text))
    for note in made.notes:
        out.print(_plain(note.text(LANGUAGE)), style="yellow")
    for problem in made.proof.problems:
        out.print(_plain(problem.text(LANGUAGE)), style="bold red")
    if made.proof.verified:
        out.print(_say("cli.verified", difference=f"{made.proof.sides_differ:.2g}"), style="green")


@app.command(help=i18n.text("cli.evaluate", LANGUAGE))
def evaluate(
    run_id: RunId,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help=_say("cli.limit"))] = None,
    prompts_file: Annotated[Path | None, typer.Option("--prompts", help=_say("cli.prompts"))] = None,
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
        task = progress.add_task(_say("phase.evaluating"), total=None)
        for made in job.updates():
            progress.update(task, total=made.total, completed=made.done)
    if as_json:
        boards = {"scoreboard": made.board, "forgetting": made.forgetting}
        told = {name: json.loads(board.to_json()) if board else None for name, board in boards.items()}
        _print_json({"run": run.id, "id": made.id, "path": str(made.path), "stopped": made.stopped, **told})
    else:
        _show_evaluation(made)
    if made.stopped:
        raise typer.Exit(130)


def _show_evaluation(made: Any) -> None:
    for note in made.notes:
        out.print(_plain(note.text(LANGUAGE)), style="yellow")
    if made.stopped:
        out.print(_say("cli.evaluation_stopped", done=made.done, total=made.total))
    for name, board in (("cli.scoreboard", made.board), ("cli.forgetting", made.forgetting)):
        if board:
            _show_board(_say(name, rows=board.rows), board)


def _show_board(title: str, board: Any) -> None:
    from studio.compare.report import number, signed

    heads = [_say(f"card.{name}") for name in ("measure", "before", "after", "gain", "verdict")]
    table = Table(*heads, title=title, box=None)
    for score in board.scores:
        name, verdict = _say(f"compare.measures.{score.name}.name"), _say(f"compare.verdict.{score.verdict}")
        table.add_row(name, number(score.before), number(score.after), signed(score.gain), verdict)
    out.print(table)
