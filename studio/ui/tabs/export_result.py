"""The Export tab's card of what lies there: checked, downloaded, used, and sent to the Hub."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from studio import runs
from studio.errors import ExportError
from studio.export import export_folder, hub_push
from studio.export import inventory as exports
from studio.export.hub_push import PUSHED
from studio.export.inventory import SavedExport, instructions
from studio.export.request import ExportRequest, Kind, can_verify
from studio.i18n import text
from studio.model.adapter_files import BASE_RECORD
from studio.runs import Run, metadata
from studio.ui import downloads, exporting, launch
from studio.ui import export_views as page
from studio.ui.compare_views import COPY
from studio.ui.page import components
from studio.ui.runs_views import size
from studio.ui.words import Words


class ExportResult:
    """Shows the export of a run and a kind; it is away where there is none."""

    def __init__(self, words: Words):
        self.language = words.language
        with gr.Column(elem_classes=["card", "away"], elem_id="export-result") as self.card:
            words.heading("ui.export.there")
            self.verified = gr.HTML(elem_id="export-verified")
            with gr.Row(elem_classes="actions"):
                self.download = words.button("ui.export.download", min_width=160, elem_id="export-download")
                self.check = words.button("ui.export.check", visible=False, min_width=120)
            self.packing = gr.HTML(elem_id="export-packing")
            self.files = gr.HTML(elem_id="export-files", js_on_load=COPY)
            words.section("ui.export.next")
            self.usage = gr.HTML(elem_id="export-usage", js_on_load=COPY)
            with words.make(
                gr.Accordion, label="ui.export.push.title", open=False, visible=False, elem_id="push"
            ) as self.hub:
                self.repository = words.make(
                    gr.Textbox, label="ui.export.push.repository", max_lines=1, elem_id="push-repository"
                )
                self.token = words.secret("ui.export.push.token", elem_id="push-token")
                self.public = words.make(gr.Checkbox, label="ui.export.push.public", value=False)
                self.push = words.button("ui.export.push.go", min_width=160, elem_id="push-go")
        self._zip = downloads.Download(words, "ui.export.download", "export-file")
        self.outputs = components(self)

    def render(
        self, run: Run | None, export: SavedExport | None, is_running: bool, is_checking: bool
    ) -> dict[Any, Any]:
        """Return what shows the export that lies there; nothing of it without one."""
        if run is None or export is None:
            return {self.card: gr.update(elem_classes=["card", "away"]), self.packing: ""}
        can_be = can_verify(export.kind)
        folder = str(export.folder) if launch.is_local() else export.folder.name  # what the downloaded zip unpacks to
        return {
            self.card: gr.update(elem_classes=["card"]),
            self.verified: page.verified(export, can_be, is_checking, self.language),
            self.check: gr.update(visible=can_be and export.verification is None, interactive=not is_running),
            self.files: page.result(export, place(export), self.language),
            self.download: gr.update(
                variant="secondary" if export.is_outdated else "primary", interactive=not is_running
            ),
            self.packing: "",
            self.hub: gr.update(visible=export.kind in PUSHED),
            self.push: gr.update(interactive=not is_running),
            self.usage: page.usage(export, instructions(export, folder, metadata.name_of(run)), self.language),
        }

    def connect(self, chosen: list[Any], show: Callable[..., dict[Any, Any]], outputs: list[Any]) -> None:
        """Connect the buttons; `show` makes the tab's `outputs` of the values of `chosen`: run, kind, number format."""

        def check(run_id: str | None, kind: Kind, wanted: str) -> dict[Any, Any]:
            exporting.start(ExportRequest(run_of(run_id).id, kind, verify=True, write=False))
            return show(run_id, kind, wanted)

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
            target = hub_push.resolve_target(kind, repository or "", public=bool(public), token=clean_token)
            exporting.push(run_of(run_id).id, export, target)
            return {**show(run_id, kind, wanted), self.token: ""}

        def show_packing(run_id: str | None, kind: Kind) -> str:
            return self._hint("ui.export.packing", size=size(saved_export(run_id, kind).bytes))

        def pack(run_id: str | None, kind: Kind) -> dict[Any, Any]:
            path = served(saved_export(run_id, kind), metadata.name_of(run_of(run_id)))
            words = self._hint("ui.export.packed", name=path.name, size=size(path.stat().st_size))
            return {self.packing: words, **self._zip.fetch(path)}

        self.check.click(check, chosen, outputs)
        sent = [*chosen, self.repository, self.public, self.token]
        sends = [self.push.click, self.repository.submit]
        gr.on(sends, push, sent, [*outputs, self.token], concurrency_limit=None)
        packing = self.download.click(show_packing, chosen[:2], self.packing)
        packing.success(pack, chosen[:2], [self.packing, *self._zip.outputs], concurrency_limit=None)

    def _hint(self, key: str, **values: Any) -> str:
        return f'<p class="hint" role="status">{text(key, self.language, **values)}</p>'


def run_of(run_id: str | None) -> Run:
    """Return the chosen run; raises ExportError without one, RunError when it is gone."""
    if not run_id:
        raise ExportError("ui.no_run_to_export")
    return runs.find(run_id)


def saved_export(run_id: str | None, kind: Kind) -> SavedExport:
    """Return the export that lies there; raises ExportError when there is none, or no more."""
    run = run_of(run_id)
    if export := exports.find_export(run, kind):
        return export
    raise ExportError("export.not_made", folder=str(export_folder.place(run, kind, None).name))


def place(export: SavedExport) -> str:
    """Return where an export lies: as a path on this machine, and only its end on a page that others reach too."""
    return str(export.folder) if launch.is_local() else f"{export.folder.parent.name}/{export.folder.name}"


def served(export: SavedExport, name: str) -> Path:
    """Return an export's zip where the page may serve it from, packed anew unless it is newer than the export."""
    packed = export.folder.with_name(f"{export.folder.name}.zip")
    if not packed.exists() or packed.stat().st_mtime < (export.folder / BASE_RECORD).stat().st_mtime:
        packed = export_folder.zipped(export.folder)
    mine = f"export-{export.folder.parent.parent.name}-{export.kind}"
    for before in launch.temporary().glob(f"{mine}-*"):  # a large one takes no place for longer than it is wanted
        shutil.rmtree(before, ignore_errors=True)
    stem = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)[:60].strip("-") or "run"
    path = downloads.folder(mine) / f"{stem}-{export.kind}.zip"
    try:
        os.link(packed, path)  # at once, also for gigabytes
    except OSError:
        shutil.copyfile(packed, path)
    return path
