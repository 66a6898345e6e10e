"""The commands about models, and doctor."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import DownloadColumn, TaskProgressColumn, TimeRemainingColumn, TransferSpeedColumn

from studio import presets
from studio.cli import console
from studio.cli.console import LANGUAGE, AsJson, out, print_plain, text
from studio.errors import ModelError
from studio.i18n import Message
from studio.model import hardware

app = typer.Typer(help=text("cli.model"), no_args_is_help=True)
machine = typer.Typer()

ModelId = Annotated[str, typer.Argument(metavar="MODEL", help=text("cli.model_id"))]
Revision = Annotated[str | None, typer.Option("--revision", help=text("cli.revision"))]


@app.command(help=text("cli.pull"))
def pull(model_id: ModelId = "builtin", revision: Revision = None) -> None:
    from studio.config import BUILTIN_MODEL, ModelConfig
    from studio.model import catalogue, load

    config = ModelConfig(id=model_id, revision=revision)
    facts = catalogue.describe(config)
    if facts.problem and facts.where == "nowhere":
        raise ModelError(facts.problem.key.removeprefix("errors."), **facts.problem.values)
    # The built-in model is also converted, so its share is not one of bytes.
    in_bytes = bool(facts.bytes and not facts.here and model_id != BUILTIN_MODEL)
    total = float(facts.bytes or 1) if in_bytes else 1.0
    columns = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) if in_bytes else (TaskProgressColumn(),)
    with console.cancellable_download(*columns, total=total) as update:
        located = load.fetch(config, lambda share: update(completed=share * total))
    console.print_path(located.path)
    out.print(f"sha256 {located.identity['weights']}", soft_wrap=True, highlight=False)


@app.command("list", help=text("cli.model_list"))
def list_models(as_json: AsJson = False) -> None:
    from studio.model import catalogue

    models = catalogue.cached()
    if as_json:
        console.print_json(list(map(vars, models)))
        return
    rows = []
    for model in models:
        name = model.id if model.loadable else text("cli.not_loadable", id=model.id)
        where = str(model.path) if model.here else text("model.not_here")
        rows.append((name, catalogue.size(model.bytes) if model.here else "", where))
    out.print(console.table((text(f"cli.{name}") for name in ("column_model", "column_size", "column_path")), rows))


@app.command(help=text("cli.model_info"))
def info(model_id: ModelId = "builtin", revision: Revision = None, as_json: AsJson = False) -> None:
    from studio.config import ModelConfig
    from studio.model import catalogue

    facts = catalogue.describe(ModelConfig(id=model_id, revision=revision))
    if as_json:
        console.print_json(vars(facts))
    else:
        for title, value in catalogue.describe_facts(facts):
            print_plain(f"{title.text(LANGUAGE)}: {value.text(LANGUAGE) if isinstance(value, Message) else value}")
        if facts.path:
            print_plain(f"{text('cli.column_path')}: {facts.path}", wrap=False)
        if facts.problem:
            print_plain(facts.problem, "red")
    if facts.where == "nowhere":
        raise typer.Exit(1)


@machine.command(help=text("cli.doctor"))
def doctor(
    accelerate: Annotated[Path | None, typer.Option("--accelerate", help=text("cli.accelerate"))] = None,
    preset: Annotated[str, typer.Option("--for", help=text("cli.accelerate_for"))] = presets.QUICKSTART,
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
        "home": home(),
        "cache": cache(),
        "disk_free_gb": round(shutil.disk_usage(home()).free / 1e9, 1),
        "hub_reachable": hub_models.reachable(),
        "builtin_model": builtin.is_here(),
    }
    if as_json:
        console.print_json(facts | {"choices": console.choices_as_json(choices)})
        return
    console.print_choices(choices)
    for name, value in facts["versions"].items():
        out.print(f"{name} {value}", highlight=False)
    out.print(text("cli.home", path=facts["home"], free=facts["disk_free_gb"]))
    out.print(text("cli.hub_yes" if facts["hub_reachable"] else "cli.hub_no"))
    out.print(text("cli.builtin_yes" if facts["builtin_model"] else "cli.builtin_no"))


def _show_launch(path: Path, preset: str, as_json: bool) -> None:
    """Print what a launch file does with a run; the exit code is 1 when it cannot be used."""
    from studio.cli.training import read_config
    from studio.train import launch_file

    plan = launch_file.check(path, read_config(preset), preset)
    if as_json:
        names = ("kind", "processes", "machines", "facts", "warnings", "blocks", "commands")
        console.print_json({name: getattr(plan, name) for name in names})
    else:
        for style, messages in (("", plan.facts), ("yellow", plan.warnings), ("red", plan.blocks)):
            console.print_messages(messages, style)
        for command in plan.commands:
            out.print(escape(command), soft_wrap=True, highlight=False)
    if plan.blocks:
        raise typer.Exit(1)
