"""Commands about models, and about this machine."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
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

from studio import i18n, presets
from studio.cli.words import LANGUAGE, AsJson, err, out, plain, print_json, say
from studio.errors import ModelError
from studio.model import hardware

app = typer.Typer(help=say("cli.model"), no_args_is_help=True)
machine = typer.Typer()

ModelId = Annotated[str, typer.Argument(metavar="MODEL", help=say("cli.model_id"))]
Revision = Annotated[str | None, typer.Option("--revision", help=say("cli.revision"))]


@app.command(help=i18n.text("cli.pull", LANGUAGE))
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
        task = progress.add_task(say("phase.fetching"), total=total)
        try:
            located = load.fetch(config, lambda share: progress.update(task, completed=share * total))
        except KeyboardInterrupt:
            progress.stop()
            err.print(say("cli.cancelled"))
            raise typer.Exit(130) from None
    out.print(str(located.path), soft_wrap=True, highlight=False)
    out.print(f"sha256 {located.identity['weights']}", soft_wrap=True, highlight=False)


@app.command("list", help=i18n.text("cli.model_list", LANGUAGE))
def list_models(as_json: AsJson = False) -> None:
    from studio.model import catalogue

    models = catalogue.cached()
    if as_json:
        print_json([{**asdict(model), "path": str(model.path)} for model in models])
        return
    table = Table(*(say(f"cli.{name}") for name in ("column_model", "column_size", "column_path")), box=None)
    for model in models:
        name = model.id if model.loadable else say("cli.not_loadable", id=model.id)
        where = str(model.path) if model.here else say("model.not_here")
        table.add_row(plain(name), catalogue.size(model.bytes) if model.here else "", plain(where))
    out.print(table)


@app.command(help=i18n.text("cli.model_info", LANGUAGE))
def info(model_id: ModelId = "builtin", revision: Revision = None, as_json: AsJson = False) -> None:
    from studio.config import ModelConfig
    from studio.model import catalogue

    facts = catalogue.describe(ModelConfig(id=model_id, revision=revision))
    if as_json:
        print_json(facts.as_json())
    else:
        for title, value in catalogue.describe_facts(facts):
            out.print(
                plain(f"{title.text(LANGUAGE)}: {value.text(LANGUAGE) if isinstance(value, i18n.Message) else value}")
            )
        if facts.path:
            out.print(plain(f"{say('cli.column_path')}: {facts.path}"), soft_wrap=True)
        if facts.problem:
            out.print(plain(facts.problem.text(LANGUAGE)), style="red")
    if facts.where == "nowhere":
        raise typer.Exit(1)


@machine.command(help=i18n.text("cli.doctor", LANGUAGE))
def doctor(
    accelerate: Annotated[Path | None, typer.Option("--accelerate", help=say("cli.accelerate"))] = None,
    preset: Annotated[str, typer.Option("--for", help=say("cli.accelerate_for"))] = presets.QUICKSTART,
    as_json: AsJson = False,
) -> None:
    import shutil

    from studio.files import cache, home
    from studio.model import builtin, hub_models

    if accelerate:
        _show_launch(accelerate, preset, as_json)
        return
    choices = hardware.describe()
    facts = {
        "device": hardware.device_name(),
        "versions": hardware.versions(),
        "home": str(home()),
        "cache": str(cache()),
        "disk_free_gb": round(shutil.disk_usage(home()).free / 1e9, 1),
        "hub_reachable": hub_models.reachable(),
        "builtin_model": builtin.is_here(),
    }
    if as_json:
        reasons = {c.name: {"value": c.value, "reason": c.reason.text()} for c in choices}
        print_json(facts | {"choices": reasons})
        return
    for choice in choices:
        out.print(plain(f"{choice.name}: {choice.value}. {choice.reason.text(LANGUAGE)}"))
    for name, value in facts["versions"].items():
        out.print(f"{name} {value}", highlight=False)
    out.print(say("cli.home", path=facts["home"], free=facts["disk_free_gb"]))
    out.print(say("cli.hub_yes" if facts["hub_reachable"] else "cli.hub_no"))
    out.print(say("cli.builtin_yes" if facts["builtin_model"] else "cli.builtin_no"))


def _show_launch(path: Path, preset: str, as_json: bool) -> None:
    """Say what a launch file would do with a run; the exit code is 1 when it cannot."""
    from studio.cli.training import read_config
    from studio.train import launch_file

    found = launch_file.check(path, read_config(preset, []), preset)
    if as_json:
        told = {name: [each.text() for each in getattr(found, name)] for name in ("facts", "warnings", "blocks")}
        shape = {"kind": found.kind, "processes": found.processes, "machines": found.machines}
        print_json({**shape, **told, "commands": found.commands})
    else:
        for style, messages in (("", found.facts), ("yellow", found.warnings), ("red", found.blocks)):
            for told in messages:
                out.print(plain(told.text(LANGUAGE)), style=style)
        for command in found.commands:
            out.print(plain(command), soft_wrap=True, highlight=False)
    if found.blocks:
        raise typer.Exit(1)
