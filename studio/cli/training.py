"""Commands that make a run go: train, check, resume, pause, stop, cancel."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from studio import i18n, presets, runs
from studio.cli.words import LANGUAGE, AsJson, RunId, err, out, plain, print_json, say
from studio.command import written
from studio.config import RunConfig, parse_setting
from studio.data.encodings import decode
from studio.errors import RunError, StudioError
from studio.model import processes
from studio.runs import Run, State

if TYPE_CHECKING:
    from studio.train.suggest import Advice

app = typer.Typer()


def read_config(name: str, settings: list[str], offline_sample: bool = False) -> RunConfig:
    """Return the preset called `name`, or the config in the YAML file of that name, with `--set` applied."""
    path = Path(name)
    is_file = path.suffix.lower() in (".yaml", ".yml", ".json") and path.is_file()  # YAML can be written as JSON
    config = RunConfig.from_yaml(decode(path.read_bytes(), path.name)) if is_file else presets.load(name)
    if offline_sample:
        config = presets.offline_sample(config)
    return config.with_settings(dict(parse_setting(setting) for setting in settings))


@app.command(help=i18n.text("cli.train", LANGUAGE))
def train(
    preset: Annotated[str, typer.Argument(help=say("cli.preset"))] = presets.QUICKSTART,
    settings: Annotated[list[str] | None, typer.Option("--set", help=say("cli.set"))] = None,
    offline_sample: Annotated[bool, typer.Option("--offline-sample", help=say("cli.offline_sample"))] = False,
    wait: Annotated[bool, typer.Option("--wait", help=say("cli.wait"))] = False,
    check: Annotated[bool, typer.Option("--check", help=say("cli.check"))] = False,
    measure: Annotated[bool, typer.Option("--measure", help=say("cli.measure"))] = False,
    suggest: Annotated[bool, typer.Option("--suggest", help=say("cli.suggest"))] = False,
    as_json: AsJson = False,
) -> None:
    from studio import gpu

    if processes.launched():
        if measure:
            raise RunError("run.measured_alone")
        processes.join()
        if not processes.is_first():
            along(trains=not check)
            return
    config = read_config(preset, settings or [], offline_sample)
    advice = show_advice(config, as_json) if suggest else None
    if advice:
        config = config.with_settings(advice.settings())
    if check or measure:
        show_check(config, measure, as_json, advice)
    else:
        carry_out(_begin(lambda: gpu.thread().start_run(config, wait=wait), config), as_json, advice)


def along(*, trains: bool = True) -> None:
    """Take part in what the first of several processes does: it shows it, and is told what to do about it."""
    from studio import gpu

    for ending in (signal.SIGTERM, signal.SIGINT):  # the first one is told too, and asks all
        signal.signal(ending, signal.SIG_IGN)
    if not trains:
        return
    try:
        gpu.train_along()
    except StudioError as error:
        err.print(plain(say("cli.along", number=processes.number() + 1, told=error.text(LANGUAGE))))
        os._exit(1)  # at once: the libraries would wait for processes that are gone
    processes.leave()


def _begin(begin: Callable[[], Run], config: RunConfig) -> Run:
    """Begin a run; where it cannot be, let the other processes know, so that they end too."""
    from studio.train import plan

    try:
        plan.divide_batch(config.train)
        return begin()
    except StudioError:
        processes.tell(None)
        raise


def show_advice(config: RunConfig, quiet: bool) -> "Advice":
    """Say what would suit the data, the model and the device better, each setting with its reason."""
    from studio import gpu
    from studio.train import suggest

    with _reading(quiet) as going:
        advice = suggest.suggest(config, gpu.thread().free_memory(), going)
    if quiet:
        return advice
    out.print(plain(" ".join(told.text(LANGUAGE) for told in advice.read)))
    for suggestion in advice.suggestions:
        path, before, value = suggestion.path, suggestion.before, suggestion.value
        out.print(plain(f"{path}: {before} → {value}. {suggestion.reason.text(LANGUAGE)}"))
    if not advice.suggestions:
        out.print(say("suggest.nothing"))
    for warning in advice.warnings:
        out.print(plain(warning.text(LANGUAGE)), style="yellow")
    return advice


def _advice_json(advice: "Advice | None") -> dict[str, Any]:
    """Return the suggestions as a part of a JSON document; empty where none were asked for."""
    if advice is None:
        return {}
    made = [{"path": s.path, "from": s.before, "to": s.value, "reason": s.reason.text()} for s in advice.suggestions]
    return {"suggestions": made, "suggestion_warnings": [warning.text() for warning in advice.warnings]}


@contextmanager
def _reading(quiet: bool) -> Iterator[Callable[[float], None]]:
    """Show how far the rows are read; gives what is to be told the share."""
    with Progress(TextColumn("{task.description}"), BarColumn(), console=err, transient=True, disable=quiet) as bar:
        task = bar.add_task(say("phase.reading"), total=1.0)
        yield lambda share: bar.update(task, completed=share)


def show_check(config: RunConfig, measure: bool, as_json: bool, advice: "Advice | None" = None) -> None:
    """Show what can be known of a run before it starts; the exit code is 1 when something stands in its way."""
    from studio import gpu
    from studio.train import preflight

    with _reading(as_json) as going:
        found = preflight.check(config, gpu.thread().free_memory(), going)
    tried = gpu.thread().measure(config).result() if measure and not found.blocks else None
    plan = found.plan
    if as_json:
        print_json(
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
                "choices": {c.name: {"value": c.value, "reason": c.reason.text()} for c in found.choices},
                "measured": tried
                and {"peak_bytes": tried.peak_bytes, "step_seconds": tried.step_seconds, "seconds": tried.seconds},
                **_advice_json(advice),
            }
        )
    else:
        for told in found.warnings:
            out.print(plain(told.text(LANGUAGE)), style="yellow")
        for told in found.facts:
            out.print(plain(told.text(LANGUAGE)))
        if plan:
            for choice in found.choices:
                out.print(plain(f"{choice.name}: {choice.value}. {choice.reason.text(LANGUAGE)}"))
            out.print(say("cli.memory", need=f"{plan.memory.total / 1e9:.1f}", free=f"{plan.free / 1e9:.1f}"))
            out.print(say("cli.disk", need=f"{plan.disk_bytes / 1e9:.2f}", free=f"{found.disk_free / 1e9:.1f}"))
        if plan and found.seconds:
            out.print(say("cli.time", seconds=f"{found.seconds:,.0f}", steps=plan.steps))
        if tried:
            peak, step = f"{tried.peak_bytes / 1e9:.2f}", f"{tried.step_seconds:.2f}"
            out.print(say("cli.measured", peak=peak, step=step, seconds=f"{tried.seconds:,.0f}"))
        for block in found.blocks:
            out.print(plain(block.text(LANGUAGE)), style="red")
        if not found.blocks:
            out.print(say("cli.nothing_blocks"))
    if found.blocks:
        raise typer.Exit(1)


def carry_out(run: Run, as_json: bool, advice: "Advice | None" = None) -> None:
    """Show a run until it ends, then say how; the exit code is 1 unless it finished, was stopped or paused.

    SIGTERM pauses it, so that nothing is lost when a machine is shut down.
    """
    from studio.train import diagnosis

    signal.signal(signal.SIGTERM, lambda *_: run.requested() or run.request("pause"))
    if not as_json:
        out.print(str(run.path), soft_wrap=True, highlight=False)
    state = follow(run, quiet=as_json)
    status = run.status()
    reading = diagnosis.diagnose_run(run)
    if as_json:
        told = {"id": run.id, "path": str(run.path), "state": state.value, "step": status.step}
        print_json({**told, "reading": reading.as_json(), **_advice_json(advice)})
    elif status.error:
        err.print(plain(status.error.text(LANGUAGE)), style="red")
        err.print(say("cli.log", path=run.log))
        _show_ways_out(run)
    else:
        out.print(say(f"state.{state.value}"))
    if not as_json:
        for line in reading.text(LANGUAGE):
            out.print(plain(line))
    if state not in (State.FINISHED, State.STOPPED, State.PAUSED):
        raise typer.Exit(1)
    processes.leave()


def _show_ways_out(run: Run) -> None:
    """After a lack of memory, say what helps, each with the command that does it."""
    from studio.train import oom_advice

    if not oom_advice.is_out_of_memory(run):
        return
    err.print(say("cli.ways_out"))
    for way in oom_advice.advice(run):
        command = f"resume {run.id}" if way.resumes else f"train {run.path / 'run.yaml'}"
        changes = " ".join(f"--set {path}={written(value)}" for path, value in way.settings.items())
        err.print(plain(f"- {way.summary.text(LANGUAGE)}\n  python -m studio {command} {changes}"), soft_wrap=True)


@app.command(help=i18n.text("cli.resume", LANGUAGE))
def resume(
    run_id: RunId = "last",
    settings: Annotated[list[str] | None, typer.Option("--set", help=say("cli.change"))] = None,
    wait: Annotated[bool, typer.Option("--wait", help=say("cli.wait"))] = False,
    as_json: AsJson = False,
) -> None:
    from studio import gpu

    if processes.launched():
        processes.join()
        if not processes.is_first():
            along()
            return
    changes = dict(parse_setting(setting) for setting in settings or [])
    run = _begin(lambda: gpu.thread().resume_run(run_id, changes, wait=wait), runs.find(run_id).config())
    carry_out(run, as_json)


def _ask(run_id: str, action: runs.Action) -> None:
    run = runs.find(run_id)
    alive = run.status().state.alive
    if alive:
        run.request(action)
    out.print(say("cli.asked" if alive else "cli.not_alive", run=run.id))


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
                        loss = say("cli.loss", step=event.step, total=event.total, loss=f"{event.loss:.3f}")
                    elif event.type == "note" and not quiet:
                        progress.console.print(plain(event.message.text(LANGUAGE)))
                    elif event.type == "chosen" and not quiet:
                        progress.console.print(plain(f"{event.name}: {event.value}. {event.reason.text(LANGUAGE)}"))
                done = status.step if status.state is State.TRAINING else None
                label = say(f"phase.{status.phase}") if status.phase else say(f"state.{status.state.value}")
                progress.update(task, description=label, total=status.total or None, completed=done or 0, loss=loss)
                if not status.state.alive:
                    return status.state
                time.sleep(0.3)
            except KeyboardInterrupt:
                if run.requested() == "stop":
                    os._exit(130)  # the second time: the run is found as interrupted
                progress.console.print(say("cli.stopping"))
                run.request("stop")
