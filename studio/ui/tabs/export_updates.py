"""What makes the Export tab show a run's exports as they are."""

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from studio import runs
from studio.export import inventory as exports
from studio.export.hub_push import PUSHED
from studio.export.inventory import ExportEstimate, SavedExport, Stamp, estimate_export, instructions
from studio.export.request import DTYPES, FORMATS, Kind, can_verify
from studio.i18n import text
from studio.model.adapter_files import WEIGHTS
from studio.runs import Run, metadata
from studio.ui import active_runs, exporting, launch, run_reader, views
from studio.ui import export_views as page
from studio.ui.exporting import ExportState
from studio.ui.tabs import compare
from studio.ui.tabs.export import ExportTab

MOST_RUNS = 50


@dataclass(frozen=True)
class ExportSeen:
    """What a session has on its screen, so that a look without news sends nothing."""

    run_id: str | None
    kind: Kind
    exports: Stamp
    ids: tuple[str, ...]
    """The runs that are offered."""
    is_running: bool
    state: ExportState | None
    is_checking: bool
    """Whether the export that is shown is being checked."""
    at_work: tuple[str, ...]
    """The runs that hold the device, while an export waits for it, or nothing can be exported yet."""
    waiting: tuple[str, ...]
    """The runs that wait to train, while nothing can be exported yet."""

    @property
    def but_progress(self) -> "ExportSeen":
        """All of it but how an export goes on."""
        return replace(self, state=None, at_work=self.at_work if not self.ids else ())


def exportable() -> list[Run]:
    """Return the runs that have a result, the newest first."""
    return [run for run in runs.all_runs()[:MOST_RUNS] if run.has_adapter]


def current_state(run_id: str | None, kind: Kind) -> ExportSeen:
    """Return what there is to see of a run's exports."""
    ids = tuple(run.id for run in exportable())
    state = exporting.of(run_id)
    is_running = state is not None and not state.over
    alive = active_runs.current() if not ids or (is_running and state.phase == "waiting") else active_runs.ActiveRuns()
    stamp = exports.stamp(Run(runs.folder() / run_id)) if run_id in ids else ()
    is_checking = is_running and state.kind == kind and state.phase == "verifying"
    return ExportSeen(
        run_id, kind, stamp, ids, is_running, state, is_checking, alive.at_work, () if ids else alive.waiting
    )


def choose(run_id: str | None, wanted: str | None = None) -> str | None:
    """Return the run that is shown: the `wanted` one, else the chosen one, else the newest."""
    ids = [run.id for run in exportable()]
    return next((each for each in (wanted, run_id) if each in ids), next(iter(ids), None))


def progress(tab: ExportTab, now: ExportSeen, language: str) -> dict[Any, Any]:
    """Return what shows how an export goes on, and nothing else."""
    return {tab.state: now, tab.progress: page.progress(now.state, now.kind, _names(now.at_work), language)}


def _names(run_ids: tuple[str, ...]) -> list[str]:
    return [views.run_name(run_id) for run_id in run_ids]


def show(
    tab: ExportTab, run_id: str | None, kind: Kind, wanted: str, language: str, chosen: str | None = None
) -> dict[Any, Any]:
    """Return what shows a run and a kind; `wanted` is the number format that is asked for.

    The kind is the browser's, and so is the run where `chosen` is the one that it has: neither is sent back to it, so
    that an answer that comes late undoes no choice.
    """
    now = current_state(run_id, kind)
    wanted = wanted if wanted in FORMATS.get(kind, DTYPES) else DTYPES[0]
    offered = [(views.run_choice(run.id, status, language), run.id) for run in exportable() if (status := _status(run))]
    run = Run(runs.folder() / run_id) if run_id in now.ids else None
    exports_of_run = exports.list_exports(run) if run else []
    export = next((each for each in exports_of_run if each.kind == kind), None)
    value = run.id if run else None
    updates = {
        tab.run: gr.update(choices=offered, **({} if value == chosen else {"value": value})),
        tab.facts: _facts(run, language) if run else page.empty(_names(now.at_work), _names(now.waiting), language),
        tab.kind: gr.update(choices=page.choices(exports_of_run, language)),
        tab.title: f'<h2 class="heading">{page.title(kind, language)}</h2>',
        tab.precision: gr.update(choices=page.number_formats(kind, language), value=wanted, visible=kind in FORMATS),
        tab.strength: gr.update(visible=kind != "script"),
        tab.verify: gr.update(visible=can_verify(kind)),
        tab.packing: "",
        **progress(tab, now, language),
    }
    return (
        updates
        | _estimate_text(tab, run, kind, wanted, export, now, language)
        | _details(tab, run, export, now, language)
    )


def _status(run: Run) -> runs.Status | None:
    return runs.try_status(run)


def _facts(run: Run, language: str) -> str:
    reader = run_reader.reader_of(run.id)
    snapshot = reader.refresh()
    config = run.config()
    best_step = reader.curve().best_step if config.train.keep != "last" else None
    weights = page.weights(best_step, snapshot.status.step if snapshot else 0, language, by=config.train.keep)
    size = (run.adapter / WEIGHTS).stat().st_size
    return page.facts(weights, compare.names(run.id, language)[0], size, language)


def _estimate_text(
    tab: ExportTab, run: Run | None, kind: Kind, wanted: str, export: SavedExport | None, now: ExportSeen, language: str
) -> dict[Any, Any]:
    """Return what shows an export that may be made."""
    estimate = estimate_export(run, kind, _precision(run), wanted) if run else ExportEstimate()
    ready = run is not None and not now.is_running and estimate.blocker is None
    again = export is not None and not export.is_outdated
    return {
        tab.holds: page.holds(estimate, language),
        tab.go: gr.update(
            value=text("ui.export.again" if export else "ui.export.go", language),
            interactive=ready,
            variant="secondary" if again else "primary",
        ),
        tab.stop: gr.update(interactive=now.is_running and not (now.state and now.state.stopping)),
        tab.why: page.why(now.state, kind, language),
    }


def _precision(run: Run) -> str:
    reader = run_reader.reader_of(run.id)
    reader.refresh()
    return next((choice.value for choice in reader.chosen() if choice.name == "precision"), "")


def _details(
    tab: ExportTab, run: Run | None, export: SavedExport | None, now: ExportSeen, language: str
) -> dict[Any, Any]:
    """Return what shows the export that lies there; nothing of it without one."""
    if run is None or export is None:
        return {tab.result_card: gr.update(elem_classes=["card", "away"])}
    can_be = can_verify(export.kind)
    folder = str(export.folder) if launch.is_local() else export.folder.name  # what the downloaded zip unpacks to
    return {
        tab.result_card: gr.update(elem_classes=["card"]),
        tab.verified: page.verified(export, can_be, now.is_checking, language),
        tab.check: gr.update(visible=can_be and export.verification is None, interactive=not now.is_running),
        tab.result: page.result(export, place(export), language),
        tab.download: gr.update(
            variant="secondary" if export.is_outdated else "primary", interactive=not now.is_running
        ),
        tab.push.panel: gr.update(visible=export.kind in PUSHED),
        tab.push.go: gr.update(interactive=not now.is_running),
        tab.usage: page.usage(export, instructions(export, folder, metadata.name_of(run)), language),
    }


def place(export: SavedExport) -> str:
    """Return where an export lies: as a path on this machine, and only its end on a page that others reach too."""
    return str(export.folder) if launch.is_local() else f"{export.folder.parent.name}/{export.folder.name}"
