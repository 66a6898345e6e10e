"""The commands of sweeps: sweep, sweep list, sweep show, sweep resume, sweep stop."""

import math
import signal
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import TextColumn, TimeRemainingColumn
from rich.table import Column
from typer.core import TyperGroup

from studio import presets
from studio.cli import console
from studio.cli.console import LANGUAGE, AsJson, OfflineSample, Settings, err, out, print_plain, text
from studio.cli.training import read_config
from studio.command import format_value
from studio.errors import ConfigError, RunError
from studio.files import replace_file
from studio.sweep.plan import By, Prune

if TYPE_CHECKING:
    from studio.runs import Run
    from studio.sweep.directory import Sweep
    from studio.sweep.forecast import Forecast
    from studio.sweep.plan import SweepPlan
    from studio.sweep.trial import Trial

START = "start"


class _StartsByDefault(TyperGroup):
    """Takes a first argument that names no command for that of `start`: `sweep quickstart --over …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [START, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_StartsByDefault, help=text("cli.sweep.help"), no_args_is_help=True)
SweepId = Annotated[str, typer.Argument(metavar="SWEEP", help=text("cli.sweep.id"))]


@app.command(START, help=text("cli.sweep.start"))
def start(
    preset: Annotated[str, typer.Argument(help=text("cli.preset"))] = presets.QUICKSTART,
    over: Annotated[list[str] | None, typer.Option("--over", help=text("cli.sweep.over"))] = None,
    by: Annotated[By | None, typer.Option("--by", help=text("cli.sweep.by"))] = None,
    prune: Annotated[Prune, typer.Option("--prune", help=text("cli.sweep.prune"))] = "median",
    trials: Annotated[int | None, typer.Option("--trials", min=1, max=1000, help=text("cli.sweep.trials"))] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help=text("cli.sweep.seed"))] = 0,
    settings: Settings = None,
    offline_sample: OfflineSample = False,
    check: Annotated[bool, typer.Option("--check", help=text("cli.sweep.check"))] = False,
    measure: Annotated[bool, typer.Option("--measure", help=text("cli.sweep.measure"))] = False,
    as_json: AsJson = False,
) -> None:
    from studio.sweep import axes, directory, plan

    config = read_config(preset, settings, offline_sample)
    try:
        planned = plan.make(
            config, [axes.parse(each) for each in over or []], by=by, prune=prune, trials=trials, seed=seed
        )
    except ConfigError as error:
        console.print_messages(error.problems[1:], "red", console=err)
        raise
    expected = _forecast(planned, measure, as_json)
    if check and as_json:
        names = ("runs", "seconds", "blocks", "warnings")
        seconds = expected.seconds and round(expected.seconds)
        console.print_json({name: getattr(expected, name) for name in names} | {"seconds": seconds})
    elif not as_json:
        _print_forecast(expected)
    if expected.blocks:
        raise typer.Exit(1)
    if not check:
        _carry_out(directory.create(planned), as_json)


def _forecast(plan: "SweepPlan", measure: bool, quiet: bool) -> "Forecast":
    from studio import gpu
    from studio.sweep.forecast import forecast

    with console.reading_progress(quiet) as on_progress:
        expected = forecast(plan, gpu.thread().free_memory(), on_progress)
    if measure and not expected.blocks:
        first = plan.config(
            next(iter(plan.grid())) if plan.is_grid else {axis.path: axis.ends[0] for axis in plan.over}
        )
        expected = expected.measured(gpu.thread().measure(first).result().seconds)
    return expected


def _print_forecast(expected: "Forecast") -> None:
    console.print_messages(expected.warnings, "yellow")
    console.print_messages(expected.blocks, "red")
    if expected.seconds is None:
        out.print(text("cli.sweep.runs", count=expected.runs))
    else:
        out.print(text("cli.sweep.forecast", count=expected.runs, minutes=math.ceil(expected.seconds / 60)))


@app.command("resume", help=text("cli.sweep.resume"))
def resume(sweep_id: SweepId = "last", as_json: AsJson = False) -> None:
    from studio.sweep import directory

    _carry_out(directory.find(sweep_id), as_json)


def _carry_out(sweep: "Sweep", as_json: bool) -> None:
    """Drive a sweep and print its table. Ctrl-C and SIGTERM pause its run; a second Ctrl-C quits at once."""
    from studio.sweep import drive, forecast

    plan = sweep.plan()
    if not as_json:
        console.print_path(sweep.path)

    def pause(*_: Any) -> None:
        if not sweep.stop_requested:
            err.print(text("cli.sweep.stopping"))
            sweep.request_stop()
            signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, pause)
    signal.signal(signal.SIGTERM, pause)
    with console.progress_bar(TextColumn("{task.fields[run]}"), TimeRemainingColumn(), quiet=as_json) as bar:
        task = bar.add_task("", total=plan.count, run="")

        def show(trials: list["Trial"], run: "Run | None") -> None:
            ended = [trial for trial in trials if not trial.is_open]
            if run is None:
                left = forecast.seconds_left(plan, trials)
                later = text("cli.sweep.left", time=console.duration(left)) if left else ""
                bar.update(task, completed=len(ended), description=later)
                return
            status = run.status()
            share = status.step / status.total if status.total else 0.0
            about = text("cli.sweep.at", run=run.id, step=status.step, total=status.total)
            bar.update(task, completed=len(ended) + share, run=about)

        drive.drive(sweep, show)
    _show(sweep, as_json)


@app.command("list", help=text("cli.sweep.list"))
def list_sweeps(as_json: AsJson = False) -> None:
    from studio.sweep import directory
    from studio.sweep.trial import winner

    rows, records = [], []
    for sweep in directory.all_sweeps():
        try:
            plan, trials = sweep.plan(), sweep.trials()
        except RunError as error:
            print_plain(error.text(LANGUAGE), "red", console=err)
            continue
        state, best = sweep.state(), winner(trials)
        ended = sum(not trial.is_open for trial in trials)
        records.append(_as_json(sweep))
        rows.append(
            [
                sweep.id,
                text(f"ui.sweep.states.{state.value}"),
                f"{ended}/{plan.count}",
                " ".join(axis.path for axis in plan.over),
                f"{datetime.fromtimestamp(sweep.created):%Y-%m-%d %H:%M}",
                best.run if best else "",
            ]
        )
    if as_json:
        console.print_json(records)
        return
    columns = ("id", "state", "runs", "over", "created", "winner")
    heads = (Column(text(f"cli.sweep.column.{name}"), no_wrap=name in ("id", "winner")) for name in columns)
    out.print(console.table(heads, rows) if rows else text("cli.sweep.none"))


@app.command("show", help=text("cli.sweep.show"))
def show(
    sweep_id: SweepId = "last",
    yaml: Annotated[bool, typer.Option("--yaml", help=text("cli.sweep.yaml"))] = False,
    picture: Annotated[Path | None, typer.Option("--picture", help=text("cli.sweep.picture"))] = None,
    as_json: AsJson = False,
) -> None:
    from studio.sweep import directory
    from studio.sweep.picture import draw
    from studio.sweep.trial import winner

    sweep = directory.find(sweep_id)
    if yaml:
        best = winner(sweep.trials())
        if best is None:
            raise RunError("sweep.no_winner", id=sweep.id)
        winning = sweep.plan().config(best.settings, best.number)
        print_plain(winning.with_settings({"name": sweep.plan().base.name}).to_yaml(), wrap=False)
        return
    _show(sweep, as_json)
    if picture:
        plan = sweep.plan()
        svg = draw(plan, sweep.trials(), title=sweep.id, score=text(f"ui.sweep.score.{plan.by}"))
        if not svg:
            raise RunError("sweep.no_picture", id=sweep.id)
        replace_file(picture, svg)
        if not as_json:
            console.print_path(picture)


def _show(sweep: "Sweep", as_json: bool) -> None:
    from studio.sweep.trial import winner

    if as_json:
        console.print_json(_as_json(sweep))
        return
    plan, trials = sweep.plan(), sweep.trials()
    best = winner(trials)
    names = [axis.path.rsplit(".", 1)[-1] for axis in plan.over]
    heads = ["", *names, text(f"ui.sweep.score.{plan.by}"), text("cli.sweep.column.state"), text("cli.sweep.column.id")]
    rows = []
    for trial in sorted(trials, key=lambda each: (not each.is_ranked, each.score or 0.0, each.number)):
        star = f"★ {trial.number + 1}" if best and trial.run == best.run else str(trial.number + 1)
        values = [format_value(trial.settings.get(axis.path)) for axis in plan.over]
        state = text(f"ui.sweep.trial.{trial.state}")
        rows.append([star, *values, score_text(trial), state, trial.run])
    columns = (Column(head, no_wrap=at == len(heads) - 1) for at, head in enumerate(heads))
    out.print(console.table(columns, rows) if rows else text("cli.sweep.no_runs"))
    print_plain(text(f"cli.sweep.state.{sweep.state().value}", id=sweep.id), wrap=False)
    if problem := sweep.error():
        print_plain(problem, "red")


def score_text(trial: "Trial") -> str:
    """Return a trial's score as people read it: a loss, or a style strength in percent."""
    if trial.score is None:
        return "–"
    if trial.strength is None:
        return f"{trial.score:.4f}"
    return f"{trial.strength:.0f} %" + ("" if trial.is_ranked else f" ({text('ui.sweep.unsound')})")


def _as_json(sweep: "Sweep") -> dict[str, Any]:
    from studio.sweep.trial import winner

    plan, trials = sweep.plan(), sweep.trials()
    best = winner(trials)
    return {
        "id": sweep.id,
        "path": sweep.path,
        "state": sweep.state().value,
        "by": plan.by,
        "prune": plan.prune,
        "runs": plan.count,
        "over": {axis.path: list(axis.ends) for axis in plan.over},
        "winner": best and best.run,
        "trials": [trial.model_dump(mode="json") for trial in trials],
        "error": sweep.error(),
    }


@app.command("stop", help=text("cli.sweep.stop"))
def stop(sweep_id: SweepId = "last") -> None:
    from studio.sweep import directory

    sweep = directory.find(sweep_id)
    running = sweep.is_driven
    if running:
        sweep.request_stop()
    out.print(text("cli.sweep.stop_requested" if running else "cli.sweep.not_running", id=sweep.id))
