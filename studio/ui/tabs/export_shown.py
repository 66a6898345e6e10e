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
from studio.ui import export_views as page
from studio.ui import exporting, launch, living, run_reader, views
from studio.ui.exporting import Going
from studio.ui.tabs import compare
from studio.ui.tabs.export import ExportTab

MOST_RUNS = 50


@dataclass(frozen=True)
class Seen:
    """What a session has on its screen, so that a look without news sends nothing."""

    run_id: str | None
    kind: Kind
    exports: Stamp
    ids: tuple[str, ...]
    """The runs that are offered."""
    is_going: bool
    going: Going | None
    is_checking: bool
    """Whether the export that is shown is being checked."""
    at_work: tuple[str, ...]
    """The runs that hold the device, while an export waits for it, or nothing can be exported yet."""
    waiting: tuple[str, ...]
    """The runs that wait to train, while nothing can be exported yet."""

    @property
    def but_progress(self) -> "Seen":
        """All of it but how an export goes on."""
        return replace(self, going=None, at_work=self.at_work if not self.ids else ())


def exportable() -> list[Run]:
    """Return the runs that have a result, the newest first."""
    return [run for run in runs.all_runs()[:MOST_RUNS] if run.has_adapter]


def seen(run_id: str | None, kind: Kind) -> Seen:
    """Return what there is to see of a run's exports."""
    ids = tuple(run.id for run in exportable())
    going = exporting.of(run_id)
    is_going = going is not None and not going.over
    alive = living.look() if not ids or (is_going and going.phase == "waiting") else living.Living()
    stamp = exports.stamp(Run(runs.folder() / run_id)) if run_id in ids else ()
    is_checking = is_going and going.kind == kind and going.phase == "verifying"
    return Seen(run_id, kind, stamp, ids, is_going, going, is_checking, alive.at_work, () if ids else alive.waiting)


def choose(run_id: str | None, wanted: str | None = None) -> str | None:
    """Return the run that is shown: the `wanted` one, else the chosen one, else the newest."""
    ids = [run.id for run in exportable()]
    return next((each for each in (wanted, run_id) if each in ids), next(iter(ids), None))


def progress(tab: ExportTab, now: Seen, language: str) -> dict[Any, Any]:
    """Return what shows how an export goes on, and nothing else."""
    return {tab.seen: now, tab.progress: page.progress(now.going, now.kind, _names(now.at_work), language)}


def _names(run_ids: tuple[str, ...]) -> list[str]:
    return [views.run_name(run_id) for run_id in run_ids]


def show(
    tab: ExportTab, run_id: str | None, kind: Kind, wanted: str, language: str, chosen: str | None = None
) -> dict[Any, Any]:
    """Return what shows a run and a kind; `wanted` is the number format that is asked for.

    The kind is the browser's, and so is the run where `chosen` is the one that it has: neither is sent back to it, so
    that an answer that comes late undoes no choice.
    """
    now = seen(run_id, kind)
    wanted = wanted if wanted in FORMATS.get(kind, DTYPES) else DTYPES[0]
    offered = [(views.run_choice(run.id, status, language), run.id) for run in exportable() if (status := _status(run))]
    run = Run(runs.folder() / run_id) if run_id in now.ids else None
    there = exports.list_exports(run) if run else []
    made = next((each for each in there if each.kind == kind), None)
    value = run.id if run else None
    updates = {
        tab.run: gr.update(choices=offered, **({} if value == chosen else {"value": value})),
        tab.facts: _facts(run, language) if run else page.empty(_names(now.at_work), _names(now.waiting), language),
        tab.kind: gr.update(choices=page.choices(there, language)),
        tab.title: f'<h2 class="heading">{page.title(kind, language)}</h2>',
        tab.precision: gr.update(choices=page.number_formats(kind, language), value=wanted, visible=kind in FORMATS),
        tab.strength: gr.update(visible=kind != "script"),
        tab.verify: gr.update(visible=can_verify(kind)),
        tab.packing: "",
        **progress(tab, now, language),
    }
    return updates | _asked(tab, run, kind, wanted, made, now, language) | _details(tab, run, made, now, language)


def _status(run: Run) -> runs.Status | None:
    return runs.try_status(run)


def _facts(run: Run, language: str) -> str:
    told = run_reader.reader_of(run.id)
    glance = told.refresh()
    config = run.config()
    kept = told.curve().best_step if config.train.keep != "last" else None
    weights = page.weights(kept, glance.status.step if glance else 0, language, by=config.train.keep)
    size = (run.adapter / WEIGHTS).stat().st_size
    return page.facts(weights, compare.names(run.id, language)[0], size, language)


def _asked(
    tab: ExportTab, run: Run | None, kind: Kind, wanted: str, made: SavedExport | None, now: Seen, language: str
) -> dict[Any, Any]:
    """Return what shows an export that may be made."""
    found = estimate_export(run, kind, _precision(run), wanted) if run else ExportEstimate()
    ready = run is not None and not now.is_going and found.blocker is None
    again = made is not None and not made.is_outdated
    return {
        tab.holds: page.holds(found, language),
        tab.go: gr.update(
            value=text("ui.export.again" if made else "ui.export.go", language),
            interactive=ready,
            variant="secondary" if again else "primary",
        ),
        tab.stop: gr.update(interactive=now.is_going and not (now.going and now.going.stopping)),
        tab.why: page.why(now.going, kind, language),
    }


def _precision(run: Run) -> str:
    told = run_reader.reader_of(run.id)
    told.refresh()
    return next((choice.value for choice in told.chosen() if choice.name == "precision"), "")


def _details(tab: ExportTab, run: Run | None, made: SavedExport | None, now: Seen, language: str) -> dict[Any, Any]:
    """Return what shows the export that lies there; nothing of it without one."""
    if run is None or made is None:
        return {tab.result_card: gr.update(elem_classes=["card", "away"])}
    can_be = can_verify(made.kind)
    folder = str(made.folder) if launch.is_local() else made.folder.name  # what the downloaded zip unpacks to
    return {
        tab.result_card: gr.update(elem_classes=["card"]),
        tab.verified: page.verified(made, can_be, now.is_checking, language),
        tab.check: gr.update(visible=can_be and made.verification is None, interactive=not now.is_going),
        tab.result: page.result(made, place(made), language),
        tab.download: gr.update(variant="secondary" if made.is_outdated else "primary", interactive=not now.is_going),
        tab.push.panel: gr.update(visible=made.kind in PUSHED),
        tab.push.go: gr.update(interactive=not now.is_going),
        tab.usage: page.usage(made, instructions(made, folder, metadata.name_of(run)), language),
    }


def place(made: SavedExport) -> str:
    """Return where an export lies: as a path on this machine, and only its end on a page that others reach too."""
    return str(made.folder) if launch.is_local() else f"{made.folder.parent.name}/{made.folder.name}"
