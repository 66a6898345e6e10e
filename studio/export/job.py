"""The GPU thread's job that writes, verifies and packs an export."""

import threading
from collections.abc import Callable
from pathlib import Path

from studio import runs
from studio.errors import ExportError
from studio.export import adapter, export_folder, merge, ollama, script, space
from studio.export.export_context import ExportContext, load_context
from studio.export.request import RUNNER, ExportProgress, ExportRequest, can_verify
from studio.i18n import Message, message
from studio.model.adapter import ModelHost
from studio.runs import Run


class ExportStopped(Exception):
    """The user stopped the export."""


def export(
    request: ExportRequest,
    host: ModelHost,
    training: Run | None,
    show: Callable[[ExportProgress], None],
    stop: threading.Event,
) -> None:
    """Run an export; `show` is called on every change.

    Raises ExportError when it fails or is stopped; an earlier export in the same folder is then unchanged.
    """
    try:
        _ExportJob(request, host, show, stop).run()
    except ExportStopped as stopped:
        raise ExportError("export.stopped", run=request.run_id) from stopped


class _ExportJob:
    def __init__(
        self, request: ExportRequest, host: ModelHost, show: Callable[[ExportProgress], None], stop: threading.Event
    ):
        self._request, self._host, self._show, self._stop = request, host, show, stop
        self._notes: list[Message] = []
        self._folder: Path | None = None

    def run(self) -> None:
        """Write, verify and pack the export."""
        request = self._request
        self._on_progress("reading", None)
        context = load_context(runs.find(request.run_id), request.language)
        folder = export_folder.place(context.run, request.kind, request.out)
        self._folder = self._write(context, folder) if request.write else export_folder.require_export(folder)
        result = packed = None
        if request.verify and not can_verify(request.kind):
            self._notes.append(message("export.note.needs_runner", package=RUNNER))
        elif request.verify:
            from studio.export.verify import checks, verification

            result = checks.verify(context, self._folder, self._host, self._on_progress)
            verification.save(result, self._folder)
        if request.zip:
            self._on_progress("packing", None)
            packed = export_folder.zipped(self._folder)
        self._show(ExportProgress("done", 1.0, self._folder, packed, tuple(self._notes), result))

    def _write(self, context: ExportContext, folder: Path) -> Path:
        kind = self._request.kind
        export_folder.require_writable(folder)
        if context.base.origin != "hub":
            key = "export.note.base_package" if context.base.origin == "package" else "export.note.base_folder"
            self._notes.append(message(key, base=context.base.id))
        if kind == "example":
            return adapter.export_example(context, folder)
        if kind == "script":
            return script.export(context, folder)
        if kind == "space":
            return space.export(context, folder, self._host, self._stop, self._on_progress)
        if kind == "adapter":
            return adapter.export(context, folder)
        if kind == "merged":
            return merge.export(context, folder, self._precision(context, folder), self._on_progress)
        converter = ollama.require_converter(self._request.converter) if kind == "gguf" else None
        self._notes += ollama.notes(context, kind)
        precision = self._precision(context, folder)
        if converter:
            return ollama.export_gguf(context, folder, precision, converter, self._on_progress)
        return ollama.export(context, folder, precision, self._on_progress)

    def _precision(self, context: ExportContext, folder: Path) -> str:
        choice = merge.choose_precision(context.precision, context.base.settings, self._request.precision)
        merge.require_room(context, folder, choice.value)
        self._notes.append(message("export.note.precision", value=choice.value, reason=choice.reason))
        return choice.value

    def _on_progress(self, phase: str, share: float | None) -> None:
        if self._stop.is_set():
            raise ExportStopped
        self._show(ExportProgress(phase, share, self._folder, notes=tuple(self._notes)))
