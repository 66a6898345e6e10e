"""The commands train, continue, resume, pause, stop and cancel."""

import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.progress import TextColumn, TimeRemainingColumn

from studio import presets, runs
from studio.cli import console, remote
from studio.cli.console import (
    LANGUAGE,
    AsJson,
    Check,
    OfflineSample,
    RunId,
    Settings,
    Wait,
    err,
    out,
    print_plain,
    text,
)
from studio.command import format_value
from studio.config import RunConfig
from studio.data.encodings import decode
from studio.errors import ConfigError, DeviceError, RunError, StudioError
from studio.model import processes
from studio.runs import Run, State

if TYPE_CHECKING:
    from studio.train.suggest import Advice

PauseAfter = Annotated[float | None, typer.Option("--pause-after", min=0, help=text("cli.pause_after"))]

app = typer.Typer()
log = logging.getLogger(__name__)


def read_config(name: str, settings: list[str] | None = None, offline_sample: bool = False) -> RunConfig:
    """Return a preset or the config in a YAML file, with `--set` applied."""
    path = Path(name)
    is_file = path.suffix.lower() in (".yaml", ".yml", ".json") and path.is_file()  # JSON is YAML
    config = RunConfig.from_yaml(decode(path.read_bytes(), path.name)) if is_file else presets.load(name)
    if offline_sample:
        config = presets.offline_sample(config)
    return config.with_settings(console.parse_settings(settings))


@app.command(help=text("cli.train"))
def train(
    preset: Annotated[str | None, typer.Argument(help=text("cli.preset"))] = None,
    settings: Settings = None,
    offline_sample: OfflineSample = False,
    wait: Wait = False,
    pause_after: PauseAfter = None,
    check: Check = False,
    measure: Annotated[bool, typer.Option("--measure", help=text("cli.measure"))] = False,
    suggest: Annotated[bool, typer.Option("--suggest", help=text("cli.suggest"))] = False,
    openai_job: Annotated[Path | None, typer.Option("--openai-job", help=text("cli.openai_job"))] = None,
    training_file: Annotated[Path | None, typer.Option("--training-file", help=text("cli.training_file"))] = None,
    validation_file: Annotated[Path | None, typer.Option("--validation-file", help=text("cli.validation_file"))] = None,
    on: Annotated[remote.Place | None, typer.Option("--on", help=text("cli.on"))] = None,
    flavor: Annotated[str | None, typer.Option("--flavor", help=text("cli.flavor"))] = None,
    timeout: Annotated[str | None, typer.Option("--timeout", help=text("cli.timeout"))] = None,
    delete_repository: Annotated[bool, typer.Option("--delete-repository", help=text("cli.delete_repository"))] = False,
    sure: Annotated[bool, typer.Option("--yes", "-y", help=text("cli.yes"))] = False,
    write_job: Annotated[Path | None, typer.Option("--write-job", metavar="FOLDER", help=text("cli.write_job"))] = None,
    as_json: AsJson = False,
) -> None:
    from studio import gpu

    if measure and processes.launched():
        raise RunError("run.measured_alone")
    local = {"--wait": wait, "--pause-after": pause_after is not None}
    remote_only = {"--flavor": flavor, "--timeout": timeout, "--delete-repository": delete_repository}
    checks = {"--check": check, "--measure": measure}
    without_effect = {"--on": on, **local, **remote_only, **checks} if write_job else local if on else remote_only
    if options := ", ".join(name for name, is_set in without_effect.items() if is_set):
        raise ConfigError("config.without_effect", options=options)
    if _follows_rank_zero(trains=not check):
        return
    if openai_job:
        if preset or offline_sample:
            raise ConfigError("config.job_alone")
        config = _read_job(openai_job, training_file, validation_file, settings, as_json)
    elif training_file or validation_file:
        raise ConfigError("config.files_of_job")
    else:
        config = read_config(preset or presets.QUICKSTART, settings, offline_sample)
    advice = show_advice(config, as_json) if suggest else None
    if advice:
        config = config.with_settings(advice.settings())
    if write_job:
        remote.write(config, write_job, as_json)
    elif on:
        mode = {"check": check or measure, "sure": sure, "as_json": as_json}
        if run := remote.start(config, flavor, timeout, delete_repository=delete_repository, **mode):
            run_to_end(run, as_json, advice)
    elif check or measure:
        show_check(config, measure, as_json, advice)
    else:
        run = _start(lambda: gpu.thread().start_run(config, wait=wait), config)
        run_to_end(run, as_json, advice, pause_after)


def _read_job(
    path: Path, training_file: Path | None, validation_file: Path | None, settings: list[str] | None, quiet: bool
) -> RunConfig:
    """Return the config of a fine-tuning job of OpenAI, with `--set` applied, and print what has become of it."""
    from studio import gpu
    from studio.train import openai_job

    with console.reading_progress(quiet) as on_progress:
        free = gpu.thread().free_memory()
        changes = console.parse_settings(settings)
        recipe = openai_job.to_recipe(path, training_file, validation_file, changes, free, on_progress)
    if not quiet:
        console.print_messages(recipe.lines)
        _print_advice(recipe.advice)
    return recipe.config


def _follows_rank_zero(*, trains: bool = True) -> bool:
    """Train in a process of rank above zero: rank zero prints the progress and handles signals. False in rank zero."""
    if processes.launched():
        processes.join()
    if processes.is_main_process():
        return False
    for number in (signal.SIGTERM, signal.SIGINT):  # rank zero receives them too, and stops all ranks
        signal.signal(number, signal.SIG_IGN)
    if not trains:
        return True
    try:
        _train_along()
    except StudioError as error:
        print_plain(text("cli.along", number=processes.rank() + 1, told=error.text(LANGUAGE)), console=err)
        os._exit(1)  # the libraries would wait for processes that have ended
    processes.leave()
    return True


def _train_along() -> None:
    """Train as a process of rank 1 or higher; raises StudioError, which rank 0 reports."""
    from studio.job import as_studio_error
    from studio.model.adapter import ModelHost
    from studio.train import distributed

    try:
        path = processes.broadcast()
    except DeviceError:  # rank 0 has ended before there was something to train
        return
    if path is None:
        return
    run = distributed.NullRunWriter(path)
    try:
        with processes.translate_lost_peer():
            distributed.train_worker(run, ModelHost())
    except Exception as error:
        failure = as_studio_error(error)
        if failure.key != processes.LOST_PEER:
            log.error("process %s of run %s failed\n%s", processes.rank() + 1, run.id, traceback.format_exc())
            distributed.write_failure(run, failure)
        raise failure from error


def _start(start: Callable[[], Run], config: RunConfig) -> Run:
    """Start a run; if that fails, the other processes end too."""
    from studio import gpu
    from studio.train import plan

    gpu.thread().is_visited = False  # nothing in this process compares meanwhile
    try:
        plan.divide_batch(config.train)
        return start()
    except StudioError:
        processes.broadcast(None)
        raise


def show_advice(config: RunConfig, quiet: bool) -> "Advice":
    """Print settings suggested for the data, the model and the device, each with its reason."""
    from studio import gpu
    from studio.train import suggest

    with console.reading_progress(quiet) as on_progress:
        advice = suggest.suggest(config, gpu.thread().free_memory(), on_progress)
    if not quiet:
        _print_advice(advice)
        if not advice.suggestions:
            out.print(text("suggest.nothing"))
    return advice


def _print_advice(advice: "Advice") -> None:
    print_plain(" ".join(fact.text(LANGUAGE) for fact in advice.read))
    for suggestion in advice.suggestions:
        path, before, value = suggestion.path, suggestion.before, suggestion.value
        print_plain(f"{path}: {before} → {value}. {suggestion.reason.text(LANGUAGE)}")
    console.print_messages(advice.warnings, "yellow")


def _advice_json(advice: "Advice | None") -> dict[str, Any]:
    """Return the suggestions for a JSON document; empty without advice."""
    if advice is None:
        return {}
    suggestions = [{"path": s.path, "from": s.before, "to": s.value, "reason": s.reason} for s in advice.suggestions]
    return {"suggestions": suggestions, "suggestion_warnings": advice.warnings}


def show_check(config: RunConfig, measure: bool, as_json: bool, advice: "Advice | None" = None) -> None:
    """Print the preflight check of a run; the exit code is 1 when it cannot start."""
    from studio import gpu
    from studio.train import preflight

    with console.reading_progress(as_json) as on_progress:
        result = preflight.check(config, gpu.thread().free_memory(), on_progress)
    measured = gpu.thread().measure(config).result() if measure and not result.blocks else None
    plan = result.plan
    if as_json:
        console.print_json(
            {
                "blocks": result.blocks,
                "warnings": result.warnings,
                "memory_bytes": plan and {name: round(part) for name, part in vars(plan.memory).items()},
                "memory_free_bytes": plan and round(plan.free),
                "fits": plan and plan.fits,
                "trained_parameters": plan and plan.skeleton.trained,
                "parameters": plan and plan.skeleton.total,
                "modules": plan and plan.skeleton.modules,
                "steps": plan and plan.steps,
                "seconds": result.seconds and round(result.seconds),
                "disk_bytes": plan and round(plan.disk_bytes),
                "disk_free_bytes": round(result.disk_free),
                "choices": console.choices_as_json(result.choices),
                "measured": measured and vars(measured),
                **_advice_json(advice),
            }
        )
    else:
        console.print_messages(result.warnings, "yellow")
        console.print_messages(result.facts)
        if plan:
            console.print_choices(result.choices)
            out.print(text("cli.memory", need=f"{plan.memory.total / 1e9:.1f}", free=f"{plan.free / 1e9:.1f}"))
            out.print(text("cli.disk", need=f"{plan.disk_bytes / 1e9:.2f}", free=f"{result.disk_free / 1e9:.1f}"))
        if plan and result.seconds:
            out.print(text("cli.time", seconds=f"{result.seconds:,.0f}", steps=plan.steps))
        if measured:
            peak, step = f"{measured.peak_bytes / 1e9:.2f}", f"{measured.step_seconds:.2f}"
            out.print(text("cli.measured", peak=peak, step=step, seconds=f"{measured.seconds:,.0f}"))
        console.print_messages(result.blocks, "red")
        if not result.blocks:
            out.print(text("cli.nothing_blocks"))
    if result.blocks:
        raise typer.Exit(1)


def run_to_end(run: Run, as_json: bool, advice: "Advice | None" = None, pause_after: float | None = None) -> None:
    """Follow a run to its end and print the result; the exit code is 1 unless it finished, was stopped or paused.

    SIGTERM pauses it, so that nothing is lost when a machine shuts down; so does the end of `pause_after` seconds.
    """
    from studio.train import diagnosis, plan

    over = threading.Event()

    def pause(*_: Any) -> None:
        if not run.requested():
            run.request("pause")

    def end() -> None:
        if not run.requested():
            over.set()
        pause()

    signal.signal(signal.SIGTERM, pause)
    timer = threading.Timer(pause_after or 0, end)
    timer.daemon = True
    if pause_after is not None:
        timer.start()
    if not as_json:
        console.print_path(run.path)
    state = follow(run, quiet=as_json)
    timer.cancel()
    status = run.status()
    reading = diagnosis.diagnose_run(run)
    if as_json:
        outcome = {"id": run.id, "path": run.path, "state": state.value, "step": status.step, **remote.outcome(run)}
        if pause_after is not None:
            outcome["time_over"] = over.is_set() and state is State.PAUSED
        console.print_json({**outcome, "reading": reading.as_json(), **_advice_json(advice)})
    elif status.error:
        print_plain(status.error, "red", console=err)
        err.print(text("cli.log", path=run.log))
        if plan.is_out_of_memory(run):
            err.print(text("cli.oom_advice"))
        for option in plan.oom_advice(run) if plan.is_out_of_memory(run) else ():
            command = f"resume {run.id}" if option.resumes else f"train {run.path / 'run.yaml'}"
            changes = " ".join(f"--set {path}={format_value(value)}" for path, value in option.settings.items())
            summary = option.summary.text(LANGUAGE)
            print_plain(f"- {summary}\n  python -m studio {command} {changes}", wrap=False, console=err)
    else:
        out.print(text(f"state.{state.value}"))
    if not as_json:
        console.print_messages(reading.text(LANGUAGE))
    if state not in (State.FINISHED, State.STOPPED, State.PAUSED):
        raise typer.Exit(1)
    processes.leave()


@app.command("continue", help=text("cli.continue"))
def continue_run(
    run_id: RunId = "last",
    settings: Settings = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    from studio import gpu

    if _follows_rank_zero():
        return
    run = runs.find(run_id)
    config = run.config().with_settings({"model.adapter": run.id, **console.parse_settings(settings)})
    run_to_end(_start(lambda: gpu.thread().start_run(config, wait=wait), config), as_json)


@app.command(help=text("cli.resume"))
def resume(
    run_id: RunId = "last",
    settings: Annotated[list[str] | None, typer.Option("--set", help=text("cli.change"))] = None,
    wait: Wait = False,
    pause_after: PauseAfter = None,
    as_json: AsJson = False,
) -> None:
    from studio import gpu

    if _follows_rank_zero():
        return
    changes = console.parse_settings(settings)
    run = _start(lambda: gpu.thread().resume_run(run_id, changes, wait=wait), runs.find(run_id).config())
    run_to_end(run, as_json, pause_after=pause_after)


def _add_request(action: runs.Action) -> None:
    @app.command(action, help=text(f"cli.{action}"))
    def request(run_id: RunId = "last") -> None:
        run = runs.find(run_id)
        alive = run.status().state.alive
        if alive:
            run.request(action)
        out.print(text("cli.asked" if alive else "cli.not_alive", run=run.id))


for _action in get_args(runs.Action):
    _add_request(_action)


def follow(run: Run, quiet: bool = False) -> State:
    """Show a run's progress until it ends; Ctrl-C stops it and keeps its adapter, a second Ctrl-C quits."""
    offset, loss = 0, ""
    with console.progress_bar(TextColumn("{task.fields[loss]}"), TimeRemainingColumn(), quiet=quiet) as progress:
        task = progress.add_task("", total=None, loss="")
        while True:
            try:
                status = run.status()
                events, offset = run.events(offset)
                for event in events:
                    if event.type == "step":
                        loss = text("cli.loss", step=event.step, total=event.total, loss=f"{event.loss:.3f}")
                    elif event.type in ("note", "style") and not quiet:
                        words = event.message if event.type == "note" else event.summary
                        print_plain(words, console=progress.console)
                    elif event.type == "chosen" and not quiet:
                        console.print_choices([event], console=progress.console)
                done = status.step if status.state is State.TRAINING else None
                label = text(f"phase.{status.phase}") if status.phase else text(f"state.{status.state.value}")
                progress.update(task, description=label, total=status.total or None, completed=done or 0, loss=loss)
                if not status.state.alive:
                    return status.state
                run.wait(0.3)
            except KeyboardInterrupt:
                if run.requested() == "stop":
                    os._exit(130)  # the second time; the run counts as interrupted
                progress.console.print(text("cli.stopping"))
                run.request("stop")
