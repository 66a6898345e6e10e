"""The Export tab's events: what is chosen is shown, what is pressed becomes a job, what is made can be fetched."""

import os
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

import gradio as gr

from studio import runs
from studio.errors import ExportError
from studio.export import export_folder, hub_push
from studio.export import inventory as exports
from studio.export.inventory import SavedExport
from studio.export.request import ExportRequest, Kind
from studio.i18n import text
from studio.model.adapter_files import BASE_RECORD
from studio.runs import metadata
from studio.ui import exporting, launch, polling
from studio.ui.following import Following
from studio.ui.frame import Frame
from studio.ui.page import view
from studio.ui.runs_views import RunsQuery, size
from studio.ui.tabs import export_updates
from studio.ui.tabs.export import ExportTab
from studio.ui.tabs.export_updates import ExportSeen, choose, current_state, show

_DOWNLOAD = "(made) => { if (made) setTimeout(() => document.querySelector('#export-file').click(), 300); }"


def connect(tab: ExportTab, frame: Frame, item: gr.Tab, tabs: gr.Tabs) -> None:
    """Connect the events that stay on the tab."""
    language = frame.language
    inputs = tab.inputs

    def show_state(run_id: str | None, kind: Kind, wanted: str) -> dict[Any, Any]:
        """Show what is chosen, when the tab is opened and at each choice: of all these, the last one counts."""
        return {**show(tab, choose(run_id), kind, wanted, language, run_id), tab.timer: gr.Timer(active=True)}

    def watch(event: gr.SelectData) -> Any:
        """Look at the exports only while the tab is on the screen."""
        return gr.Timer(active=event.value == text("ui.tabs.export", language))

    def find_news(request: gr.Request, before: ExportSeen | None, run_id: str | None, kind: Kind) -> int | None:
        """Say that there is news, each time anew: an answer that began before it may have put its place back."""
        return time.time_ns() if current_state(run_id, kind) != before else None

    @view(tab.state)  # who has chosen something else meanwhile sees that
    def show_news(before: ExportSeen | None, run_id: str | None, kind: Kind, wanted: str) -> dict[Any, Any]:
        now = current_state(run_id, kind)
        if before and now.but_progress == before.but_progress:
            return export_updates.progress(tab, now, language)
        return show(tab, choose(run_id), kind, wanted, language, run_id)

    def make(
        run_id: str | None,
        kind: Kind,
        wanted: str,
        checked: bool,
        strength: float,
        compared: list[str],
        of: str | None,
    ) -> dict[Any, Any]:
        run = chosen(run_id)
        request = ExportRequest(
            run.id,
            kind,
            verify=checked,
            precision=wanted,  # type: ignore[arg-type]
            strength=1.0 if kind == "script" else strength / 100,
            comparisons=tuple(compared or ()) if of == run.id else None,
        )
        exporting.start(request)
        return show(tab, run.id, kind, wanted, language, run.id)

    def check(run_id: str | None, kind: Kind, wanted: str) -> dict[Any, Any]:
        run = chosen(run_id)
        exporting.start(ExportRequest(run.id, kind, verify=True, write=False))
        return show(tab, run.id, kind, wanted, language, run.id)

    def stop(run_id: str | None, kind: Kind, wanted: str) -> dict[Any, Any]:
        exporting.stop(chosen(run_id).id)
        return show(tab, run_id, kind, wanted, language, run_id)

    def push(
        run_id: str | None,
        kind: Kind,
        wanted: str,
        repository: str,
        public: bool,
        token: str,
        login: gr.OAuthToken | None,
    ) -> dict[Any, Any]:
        export = saved_export(run_id, kind)
        if export.verification and not export.verification.passed:
            raise ExportError("export.hub.differs", id=repository)
        clean_token = (token or "").strip() or (login.token if login else None)
        exporting.push(
            chosen(run_id).id,
            export,
            hub_push.resolve_target(kind, repository or "", public=bool(public), token=clean_token),
        )
        return {**show(tab, run_id, kind, wanted, language, run_id), tab.push.token: ""}

    def say_packing(run_id: str | None, kind: Kind) -> dict[Any, Any]:
        export = saved_export(run_id, kind)
        words = text("ui.export.packing", language, size=size(export.bytes))
        return {tab.packing: f'<p class="hint" role="status">{words}</p>', tab.packed: ""}

    def pack(run_id: str | None, kind: Kind) -> dict[Any, Any]:
        path = served(saved_export(run_id, kind), metadata.name_of(chosen(run_id)))
        words = text("ui.export.packed", language, name=path.name, size=size(path.stat().st_size))
        return {
            tab.packing: f'<p class="hint" role="status">{words}</p>',
            tab.file: gr.update(value=str(path)),
            tab.packed: path.name,
        }

    slow = {"concurrency_limit": None}
    item.select(show_state, inputs, tab.outputs)
    tabs.select(watch, None, tab.timer, trigger_mode="multiple")
    choices = [tab.run.input, tab.kind.input, tab.precision.input]
    gr.on(choices, show_state, inputs, tab.outputs)
    start_inputs = [*inputs, tab.verify, tab.strength, tab.comparisons.chosen, tab.comparisons.of_run]
    tab.go.click(make, start_inputs, tab.outputs)
    tab.comparisons.connect(item, tab.run, tab.kind)
    tab.check.click(check, inputs, tab.outputs)
    tab.stop.click(stop, inputs, tab.outputs)
    sent = [*inputs, tab.push.repository, tab.push.public, tab.push.token]
    gr.on([tab.push.go.click, tab.push.repository.submit], push, sent, [*tab.outputs, tab.push.token], **slow)
    packing = tab.download.click(say_packing, inputs[:2], [tab.packing, tab.packed])
    packed = packing.success(pack, inputs[:2], [tab.packing, tab.file, tab.packed], **slow)
    packed.then(None, tab.packed, None, js=_DOWNLOAD)
    known = [tab.state, *tab.inputs]
    polling.poll([tab.timer.tick], polling.Watch(find_news, known[:3], show_news, known, tab.outputs))


def connect_others(
    tab: ExportTab,
    frame: Frame,
    tabs: gr.Tabs,
    from_train: gr.Button,
    from_runs: gr.Button,
    saved_query: gr.BrowserState,
) -> None:
    """Connect the buttons of other tabs that lead here with their run; `saved_query` names that of the Runs tab."""
    language = frame.language

    def to_export(run_id: str | None, kind: Kind, wanted: str) -> dict[Any, Any]:
        updates = show(tab, choose(None, run_id), kind, wanted, language)
        return {**updates, tab.timer: gr.Timer(active=True), tabs: gr.update(selected="export")}

    def of_train(following: Following, kind: Kind, wanted: str) -> dict[Any, Any]:
        return to_export(following.run_id, kind, wanted)

    def of_runs(stored: Any, kind: Kind, wanted: str) -> dict[Any, Any]:
        return to_export(runs.find(RunsQuery.of(stored).open or "").id, kind, wanted)

    for button, handler, which in ((from_train, of_train, frame.following), (from_runs, of_runs, saved_query)):
        button.click(handler, [which, tab.kind, tab.precision], [*tab.outputs, tabs])


def chosen(run_id: str | None) -> runs.Run:
    """Return the chosen run; raises ExportError without one, RunError when it is gone."""
    if not run_id:
        raise ExportError("ui.no_run_to_export")
    return runs.find(run_id)


def saved_export(run_id: str | None, kind: Kind) -> SavedExport:
    """Return the export that lies there; raises ExportError when there is none, or no more."""
    run = chosen(run_id)
    if export := exports.find_export(run, kind):
        return export
    raise ExportError("export.not_made", folder=str(export_folder.place(run, kind, None).name))


def served(export: SavedExport, name: str) -> Path:
    """Return an export's zip where the page may serve it from, packed anew unless it is newer than the export."""
    packed = export.folder.with_name(f"{export.folder.name}.zip")
    if not packed.exists() or packed.stat().st_mtime < (export.folder / BASE_RECORD).stat().st_mtime:
        packed = export_folder.zipped(export.folder)
    mine = f"export-{export.folder.parent.parent.name}-{export.kind}"
    for before in launch.temporary().glob(f"{mine}-*"):  # a large one takes no place for longer than it is wanted
        shutil.rmtree(before, ignore_errors=True)
    folder = launch.temporary() / f"{mine}-{secrets.token_hex(8)}"
    folder.mkdir(parents=True)
    stem = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)[:60].strip("-") or "run"
    path = folder / f"{stem}-{export.kind}.zip"
    try:
        os.link(packed, path)  # at once, also for gigabytes
    except OSError:
        shutil.copyfile(packed, path)
    return path
