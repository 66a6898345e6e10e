"""The Export tab's events: what is chosen is shown, what is pressed becomes a job, what is made can be fetched."""

import os
import secrets
import shutil
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
from studio.ui import clock, exporting, launch
from studio.ui.failures import shown
from studio.ui.following import Following
from studio.ui.frame import Frame
from studio.ui.runs_views import Shown, size
from studio.ui.tabs import export_shown
from studio.ui.tabs.export import ExportTab
from studio.ui.tabs.export_shown import Seen, choose, seen, show

QUIET = {"show_progress": "hidden", "api_visibility": "undocumented"}
_DOWNLOAD = "(made) => { if (made) setTimeout(() => document.querySelector('#export-file').click(), 300); }"


def connect(tab: ExportTab, frame: Frame, item: gr.Tab, tabs: gr.Tabs) -> None:
    """Connect the events that stay on the tab."""
    language = frame.language
    asked = tab.asked

    @shown(language)
    def look(run_id: str | None, kind: Kind, wanted: str) -> dict[Any, Any]:
        return show(tab, choose(run_id), kind, wanted, language)

    @shown(language)
    def arrive(run_id: str | None, kind: Kind, wanted: str) -> dict[Any, Any]:
        return {**show(tab, choose(run_id), kind, wanted, language), tab.timer: gr.Timer(active=True)}

    def watch(event: gr.SelectData) -> Any:
        """Look at the exports only while the tab is on the screen."""
        return gr.Timer(active=event.value == text("ui.tabs.export", language))

    def find_news(request: gr.Request, before: Seen | None, run_id: str | None, kind: Kind) -> Seen | None:
        now = seen(run_id, kind)
        return None if now == before else now

    def show_news(before: Seen | None, run_id: str | None, kind: Kind, wanted: str) -> dict[Any, Any]:
        now = seen(run_id, kind)
        if before and now.but_progress == before.but_progress:
            return export_shown.progress(tab, now, language)
        return show(tab, choose(run_id), kind, wanted, language)

    @shown(language)
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
        return show(tab, run.id, kind, wanted, language)

    @shown(language)
    def check(run_id: str | None, kind: Kind, wanted: str) -> dict[Any, Any]:
        run = chosen(run_id)
        exporting.start(ExportRequest(run.id, kind, verify=True, write=False))
        return show(tab, run.id, kind, wanted, language)

    @shown(language)
    def stop(run_id: str | None, kind: Kind, wanted: str) -> dict[Any, Any]:
        exporting.stop(chosen(run_id).id)
        return show(tab, run_id, kind, wanted, language)

    @shown(language)
    def push(
        run_id: str | None,
        kind: Kind,
        wanted: str,
        repository: str,
        public: bool,
        token: str,
        login: gr.OAuthToken | None,
    ) -> dict[Any, Any]:
        made = there(run_id, kind)
        if made.verification and not made.verification.passed:
            raise ExportError("export.hub.differs", id=repository)
        given = (token or "").strip() or (login.token if login else None)
        exporting.push(
            chosen(run_id).id, made, hub_push.resolve_target(kind, repository or "", public=bool(public), token=given)
        )
        return {**show(tab, run_id, kind, wanted, language), tab.push.token: ""}

    @shown(language)
    def say_packing(run_id: str | None, kind: Kind) -> dict[Any, Any]:
        made = there(run_id, kind)
        told = text("ui.export.packing", language, size=size(made.bytes))
        return {tab.packing: f'<p class="hint" role="status">{told}</p>', tab.packed: ""}

    @shown(language)
    def pack(run_id: str | None, kind: Kind) -> dict[Any, Any]:
        path = served(there(run_id, kind), metadata.name_of(chosen(run_id)))
        told = text("ui.export.packed", language, name=path.name, size=size(path.stat().st_size))
        return {
            tab.packing: f'<p class="hint" role="status">{told}</p>',
            tab.file: gr.update(value=str(path)),
            tab.packed: path.name,
        }

    at_once = {**QUIET, "concurrency_limit": None}
    item.select(arrive, asked, tab.shown, **at_once)
    tabs.select(watch, None, tab.timer, trigger_mode="multiple", **QUIET)
    choices = [tab.run.input, tab.kind.input, tab.precision.input]
    gr.on(choices, look, asked, tab.shown, trigger_mode="always_last", **at_once)
    made_of = [*asked, tab.verify, tab.strength, tab.comparisons.chosen, tab.comparisons.of_run]
    tab.go.click(make, made_of, tab.shown, **at_once)
    tab.comparisons.connect(item, tab.run, tab.kind)
    tab.check.click(check, asked, tab.shown, **at_once)
    tab.stop.click(stop, asked, tab.shown, **at_once)
    sent = [*asked, tab.push.repository, tab.push.public, tab.push.token]
    gr.on([tab.push.go.click, tab.push.repository.submit], push, sent, [*tab.shown, tab.push.token], **at_once)
    begun = tab.download.click(say_packing, asked[:2], [tab.packing, tab.packed], **at_once)
    made = begun.success(pack, asked[:2], [tab.packing, tab.file, tab.packed], **at_once)
    made.then(None, tab.packed, None, js=_DOWNLOAD)
    known = [tab.seen, *tab.asked]
    clock.look_at([tab.timer.tick], clock.Watch(find_news, known[:3], show_news, known, tab.shown))


def connect_others(
    tab: ExportTab, frame: Frame, tabs: gr.Tabs, from_train: gr.Button, from_runs: gr.Button, kept: gr.BrowserState
) -> None:
    """Connect the buttons of other tabs that lead here with their run; `kept` says which run the Runs tab shows."""
    language = frame.language

    def to_export(run_id: str | None, kind: Kind, wanted: str) -> dict[Any, Any]:
        found = show(tab, choose(None, run_id), kind, wanted, language)
        return {**found, tab.timer: gr.Timer(active=True), tabs: gr.update(selected="export")}

    @shown(language)
    def of_train(following: Following, kind: Kind, wanted: str) -> dict[Any, Any]:
        return to_export(following.run_id, kind, wanted)

    @shown(language)
    def of_runs(look: Any, kind: Kind, wanted: str) -> dict[Any, Any]:
        return to_export(runs.find(Shown.of(look).open or "").id, kind, wanted)

    for button, handler, which in ((from_train, of_train, frame.following), (from_runs, of_runs, kept)):
        button.click(handler, [which, tab.kind, tab.precision], [*tab.shown, tabs], **QUIET)


def chosen(run_id: str | None) -> runs.Run:
    """Return the chosen run; raises ExportError without one, RunError when it is gone."""
    if not run_id:
        raise ExportError("ui.no_run_to_export")
    return runs.find(run_id)


def there(run_id: str | None, kind: Kind) -> SavedExport:
    """Return the export that lies there; raises ExportError when there is none, or no more."""
    run = chosen(run_id)
    if found := exports.find_export(run, kind):
        return found
    raise ExportError("export.not_made", folder=str(export_folder.place(run, kind, None).name))


def served(made: SavedExport, name: str) -> Path:
    """Return an export's zip where the page may serve it from, packed anew unless it is newer than the export."""
    packed = made.folder.with_name(f"{made.folder.name}.zip")
    if not packed.exists() or packed.stat().st_mtime < (made.folder / BASE_RECORD).stat().st_mtime:
        packed = export_folder.zipped(made.folder)
    mine = f"export-{made.folder.parent.parent.name}-{made.kind}"
    for before in launch.temporary().glob(f"{mine}-*"):  # a large one takes no place for longer than it is wanted
        shutil.rmtree(before, ignore_errors=True)
    folder = launch.temporary() / f"{mine}-{secrets.token_hex(8)}"
    folder.mkdir(parents=True)
    stem = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)[:60].strip("-") or "run"
    path = folder / f"{stem}-{made.kind}.zip"
    try:
        os.link(packed, path)  # at once, also for gigabytes
    except OSError:
        shutil.copyfile(packed, path)
    return path
