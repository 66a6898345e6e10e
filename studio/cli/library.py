"""Commands about the runs there are: list, show, rename, note, publish, delete and restore, clean."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from studio import i18n, runs
from studio.cli.words import LANGUAGE, AsJson, RunId, out, plain, print_json, say
from studio.runs import history, metadata, trash

if TYPE_CHECKING:
    from studio.compare.record import Record
    from studio.runs.history import Summary

app = typer.Typer(help=say("cli.runs"), invoke_without_command=True)

_COLUMNS = ("run", "name", "state", "step", "last_loss", "best_loss", "time", "size", "note")


@app.callback()
def _runs(context: typer.Context, as_json: AsJson = False) -> None:
    if context.invoked_subcommand is None:
        list_runs(as_json)


@app.command("list", help=i18n.text("cli.runs_list", LANGUAGE))
def list_runs(
    as_json: AsJson = False, in_trash: Annotated[bool, typer.Option("--trash", help=say("cli.in_trash"))] = False
) -> None:
    if in_trash:
        _list_trash(as_json)
        return
    found = history.all_summaries()
    if as_json:
        print_json([_as_json(summary) for summary in found])
        return
    table = Table(*(_column(name) for name in _COLUMNS), box=None)
    for summary in found:
        table.add_row(*map(plain, _cells(summary)))
    out.print(table if found else say("cli.no_runs"))


def _list_trash(as_json: bool) -> None:
    found = trash.deleted()
    if as_json:
        print_json([{"id": run.id, "name": run.name, "deleted": run.at, "bytes": run.bytes} for run in found])
        return
    table = Table(*(_column(name) for name in ("run", "name", "deleted", "size")), box=None)
    for run in found:
        table.add_row(run.id, plain(run.name), f"{datetime.fromtimestamp(run.at):%Y-%m-%d %H:%M}", size(run.bytes))
    out.print(table if found else say("cli.trash_empty"))


def _column(name: str) -> Column:
    """Return a column; a run's id stays whole, since it is what the other commands take."""
    return Column(say(f"cli.list.{name}"), no_wrap=name == "run")


def size(count: int) -> str:
    """Return a number of bytes in MB or GB."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _cells(summary: "Summary") -> list[str]:
    status = summary.status
    seconds = summary.seconds(datetime.now().timestamp())
    return [
        summary.id,
        summary.name,
        say(f"state.{summary.state}"),
        f"{status.step}/{status.total}" if status else "",
        _number(summary.last),
        _number(summary.best_known),
        "" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02}",
        size(summary.bytes),
        summary.note.splitlines()[0] if summary.note else "",
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _as_json(summary: "Summary") -> dict[str, Any]:
    status = summary.status
    return {
        "id": summary.id,
        "path": str(runs.folder() / summary.id),
        "name": summary.name,
        "note": summary.note,
        "published": metadata.is_published(runs.Run(runs.folder() / summary.id)),
        "state": summary.state,
        "damaged": summary.damaged or None,
        "step": status.step if status else 0,
        "total": status.total if status else 0,
        "created": summary.created,
        "seconds": summary.seconds(datetime.now().timestamp()),
        "preset": summary.preset,
        "model": summary.model,
        "data": summary.data,
        "loss": {"first": summary.first, "last": summary.last, "lowest": summary.lowest},
        "validation_loss": {"last": summary.validated, "lowest": summary.best, "at_step": summary.best_step},
        "adapter": summary.has_adapter,
        "bytes": summary.disk,
    }


@app.command("show", help=i18n.text("cli.runs_show", LANGUAGE))
def show(run_id: RunId = "last", as_json: AsJson = False) -> None:
    from studio.compare import record

    found = record.of(runs.find(run_id))
    if as_json:
        print_json(_record_as_json(found))
    else:
        _show(found)


def _record_as_json(found: "Record") -> dict[str, Any]:
    config = found.config
    return {
        **_as_json(found.summary),
        "config": config and config.model_dump(mode="json"),
        "differs_from_default": dict(found.from_default),
        "differs_from_preset": {path: {"run": own, "preset": its} for path, (own, its) in found.from_preset.items()},
        "changes": list(found.changes),
        "choices": {each.name: {"value": each.value, "reason": each.reason.text()} for each in found.choices},
        "rests_on": {name: value for name, value in found.resolved.items() if name not in ("config", "changes")},
        "checkpoints": list(found.checkpoints),
        "spare_bytes": found.spare_bytes,
        "evaluations": [
            {
                "at": each.at,
                "adapter": each.adapter,
                "rows": each.board.rows,
                "scores": [
                    {"name": s.name, "before": s.before, "after": s.after, "gain": s.gain, "verdict": s.verdict}
                    for s in each.board.scores
                ],
            }
            for each in found.evaluations
        ],
        "votes_and_readings": found.votes,
        "error": found.summary.status and found.summary.status.error and found.summary.status.error.text(),
    }


def _show(found: "Record") -> None:
    summary = found.summary
    rows = dict(zip(_COLUMNS, _cells(summary), strict=True))
    rows |= {name: str(value) for name in ("preset", "model", "data") if (value := getattr(summary, name))}
    rows |= {"hash": str(found.resolved.get("data", ""))[:16]}
    table = Table(box=None, show_header=False)
    for name, value in rows.items():
        if value:
            table.add_row(say(f"cli.list.{name}"), plain(value))
    out.print(table)
    if summary.damaged:
        out.print(plain(say("cli.damaged", file=summary.damaged)), style="red")
    if summary.status and summary.status.error:
        out.print(plain(summary.status.error.text(LANGUAGE)), style="red")
    for path, value in found.from_default.items():
        out.print(plain(f"{path}: {value}"))
    for chosen in found.choices:
        out.print(plain(f"{chosen.name}: {chosen.value}. {chosen.reason.text(LANGUAGE)}"))
    for part, count in summary.disk.items():
        out.print(plain(f"{part}: {size(count)}"))
    if found.spare_bytes:
        out.print(plain(say("cli.spare", size=size(found.spare_bytes), run=summary.id)), soft_wrap=True)


@app.command("rename", help=i18n.text("cli.runs_rename", LANGUAGE))
def rename(run_id: RunId, name: Annotated[str, typer.Argument(metavar="NAME", help=say("cli.run_name"))]) -> None:
    run = runs.find(run_id)
    metadata.rename(run, name)
    out.print(plain(say("cli.renamed", run=run.id, name=metadata.name_of(run))))


@app.command("note", help=i18n.text("cli.runs_note", LANGUAGE))
def note(run_id: RunId, text: Annotated[str, typer.Argument(metavar="TEXT", help=say("cli.run_note"))]) -> None:
    run = runs.find(run_id)
    metadata.annotate(run, text)
    out.print(plain(say("cli.noted" if metadata.load(run).note else "cli.note_gone", run=run.id)))


@app.command("publish", help=i18n.text("cli.runs_publish", LANGUAGE))
def publish(
    run_id: RunId = "last", off: Annotated[bool, typer.Option("--off", help=say("cli.publish_off"))] = False
) -> None:
    run = runs.find(run_id)
    metadata.publish(run, not off)
    out.print(plain(say("cli.unpublished" if off else "cli.published", run=run.id)), soft_wrap=True)


@app.command("delete", help=i18n.text("cli.runs_delete", LANGUAGE))
def delete(run_id: RunId) -> None:
    going = trash.delete(runs.find(run_id))
    out.print(plain(say("cli.deleted", run=going.id)), soft_wrap=True)


@app.command("restore", help=i18n.text("cli.runs_restore", LANGUAGE))
def restore(run_id: RunId = "last") -> None:
    out.print(plain(say("cli.restored", run=trash.restore(run_id).id)))


@app.command("empty-trash", help=i18n.text("cli.runs_empty", LANGUAGE))
def empty_trash(sure: Annotated[bool, typer.Option("--yes", "-y", help=say("cli.yes"))] = False) -> None:
    found = trash.deleted()
    if not found:
        out.print(say("cli.trash_empty"))
        return
    asked = say("cli.empty_sure", count=len(found), size=size(sum(run.bytes for run in found)))
    if sure or typer.confirm(asked):
        out.print(say("cli.emptied", count=trash.empty()))
    else:
        raise typer.Exit(1)


@app.command("clean", help=i18n.text("cli.runs_clean", LANGUAGE))
def clean(run_id: RunId) -> None:
    from studio.train import cleanup

    run = runs.find(run_id)
    out.print(plain(say("cli.cleaned", size=size(cleanup.remove_old(run)), run=run.id)))
