"""The commands about runs: list, show, rename, note, publish, delete, restore, empty-trash, clean."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Column, Table

from studio import runs
from studio.cli import console
from studio.cli.console import AsJson, RunId, out, print_plain, text
from studio.runs import checkpoints, history, metadata, trash

if TYPE_CHECKING:
    from studio.reports.run_metadata import RunMetadata
    from studio.runs.history import Summary

app = typer.Typer(help=text("cli.runs"), invoke_without_command=True)

_SCORE = ("name", "before", "after", "gain", "verdict")
_COLUMNS = ("run", "name", "state", "step", "last_loss", "best_loss", "time", "size", "note")


@app.callback()
def _runs(context: typer.Context, as_json: AsJson = False) -> None:
    if context.invoked_subcommand is None:
        list_runs(as_json)


@app.command("list", help=text("cli.runs_list"))
def list_runs(
    as_json: AsJson = False, in_trash: Annotated[bool, typer.Option("--trash", help=text("cli.in_trash"))] = False
) -> None:
    if in_trash:
        columns, nothing = ("run", "name", "deleted", "size"), "cli.trash_empty"
        deleted = trash.deleted_runs()
        records = [{"id": run.id, "name": run.name, "deleted": run.at, "bytes": run.bytes} for run in deleted]
        rows = [
            [run.id, run.name, f"{datetime.fromtimestamp(run.at):%Y-%m-%d %H:%M}", size(run.bytes)] for run in deleted
        ]
    else:
        columns, nothing = _COLUMNS, "cli.no_runs"
        summaries = history.all_summaries()
        records, rows = [_as_json(each) for each in summaries], [_cells(each) for each in summaries]
    if as_json:
        console.print_json(records)
        return
    # other commands take a run's id, so it is never wrapped
    heads = (Column(text(f"cli.list.{name}"), no_wrap=name == "run") for name in columns)
    out.print(console.table(heads, rows) if rows else text(nothing))


def size(count: int) -> str:
    """Return a number of bytes in MB or GB."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _cells(summary: "Summary") -> list[str]:
    status = summary.status
    seconds = summary.seconds(datetime.now().timestamp())
    return [
        summary.id,
        summary.name,
        text(f"state.{summary.state}"),
        f"{status.step}/{status.total}" if status else "",
        *("" if loss is None else f"{loss:.3f}" for loss in (summary.last, summary.best_known)),
        "" if seconds is None else console.duration(seconds),
        size(summary.bytes),
        summary.note.splitlines()[0] if summary.note else "",
    ]


def _as_json(summary: "Summary") -> dict[str, Any]:
    status = summary.status
    return {
        "id": summary.id,
        "path": runs.folder() / summary.id,
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


@app.command("show", help=text("cli.runs_show"))
def show(run_id: RunId = "last", as_json: AsJson = False) -> None:
    from studio.reports import run_metadata

    run_record = run_metadata.read(runs.find(run_id))
    if as_json:
        console.print_json(_record_as_json(run_record))
    else:
        _show(run_record)


def _record_as_json(record: "RunMetadata") -> dict[str, Any]:
    config = record.config
    return {
        **_as_json(record.summary),
        "config": config and config.model_dump(mode="json"),
        "differs_from_default": dict(record.from_default),
        "differs_from_preset": {path: {"run": own, "preset": its} for path, (own, its) in record.from_preset.items()},
        "changes": list(record.changes),
        "ancestors": list(record.ancestors),
        "choices": console.choices_as_json(record.choices),
        "rests_on": {name: value for name, value in record.resolved.items() if name not in ("config", "changes")},
        "checkpoints": list(record.checkpoints),
        "spare_bytes": record.spare_bytes,
        "evaluations": [
            {"at": each.at, "adapter": each.adapter, "rows": each.board.rows}
            | {"scores": [{name: getattr(score, name) for name in _SCORE} for score in each.board.scores]}
            for each in record.evaluations
        ],
        "votes_and_readings": record.votes,
        "error": record.summary.status and record.summary.status.error,
    }


def _show(record: "RunMetadata") -> None:
    summary = record.summary
    rows = dict(zip(_COLUMNS, _cells(summary), strict=True))
    rows |= {name: str(value) for name in ("preset", "model", "data") if (value := getattr(summary, name))}
    rows |= {"hash": str(record.resolved.get("data", ""))[:16]}
    table = Table(box=None, show_header=False)
    for name, value in rows.items():
        if value:
            table.add_row(text(f"cli.list.{name}"), escape(value))
    out.print(table)
    if summary.damaged:
        print_plain(text("cli.damaged", file=summary.damaged), "red")
    if summary.status and summary.status.error:
        print_plain(summary.status.error, "red")
    for one in record.ancestors:
        print_plain(text("cli.continues", run=one["run"], name=one["name"], step=one["step"]), wrap=False)
    for path, value in record.from_default.items():
        print_plain(f"{path}: {value}")
    console.print_choices(record.choices)
    for part, count in summary.disk.items():
        print_plain(f"{part}: {size(count)}")
    if record.spare_bytes:
        print_plain(text("cli.spare", size=size(record.spare_bytes), run=summary.id), wrap=False)


@app.command("rename", help=text("cli.runs_rename"))
def rename(run_id: RunId, name: Annotated[str, typer.Argument(metavar="NAME", help=text("cli.run_name"))]) -> None:
    run = runs.find(run_id)
    metadata.rename(run, name)
    print_plain(text("cli.renamed", run=run.id, name=metadata.name_of(run)))


@app.command("note", help=text("cli.runs_note"))
def note(run_id: RunId, content: Annotated[str, typer.Argument(metavar="TEXT", help=text("cli.run_note"))]) -> None:
    run = runs.find(run_id)
    metadata.annotate(run, content)
    print_plain(text("cli.noted" if metadata.load(run).note else "cli.note_gone", run=run.id))


@app.command("publish", help=text("cli.runs_publish"))
def publish(
    run_id: RunId = "last", off: Annotated[bool, typer.Option("--off", help=text("cli.publish_off"))] = False
) -> None:
    run = runs.find(run_id)
    metadata.publish(run, not off)
    print_plain(text("cli.unpublished" if off else "cli.published", run=run.id), wrap=False)


@app.command("delete", help=text("cli.runs_delete"))
def delete(run_id: RunId) -> None:
    deleted = trash.delete(runs.find(run_id))
    print_plain(text("cli.deleted", run=deleted.id), wrap=False)


@app.command("restore", help=text("cli.runs_restore"))
def restore(run_id: RunId = "last") -> None:
    print_plain(text("cli.restored", run=trash.restore(run_id).id))


@app.command("empty-trash", help=text("cli.runs_empty"))
def empty_trash(sure: Annotated[bool, typer.Option("--yes", "-y", help=text("cli.yes"))] = False) -> None:
    deleted = trash.deleted_runs()
    if not deleted:
        out.print(text("cli.trash_empty"))
        return
    question = text("cli.empty_sure", count=len(deleted), size=size(sum(run.bytes for run in deleted)))
    if sure or typer.confirm(question):
        out.print(text("cli.emptied", count=trash.empty()))
    else:
        raise typer.Exit(1)


@app.command("clean", help=text("cli.runs_clean"))
def clean(run_id: RunId) -> None:
    run = runs.find(run_id)
    print_plain(text("cli.cleaned", size=size(checkpoints.remove_old(run)), run=run.id))
