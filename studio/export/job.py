"""An export from the request to the checked result: the job of the GPU thread."""

import threading
from collections.abc import Callable
from pathlib import Path

from studio import runs
from studio.errors import ExportError
from studio.export import adapter, merge, ollama, script, space, subject, target
from studio.export.request import RUNNER, Exporting, ExportRequest, can_verify
from studio.export.subject import Subject
from studio.i18n import Message, message
from studio.model.adapter import ModelHost
from studio.runs import Run


class Stopped(Exception):
    """The export was asked to stop."""


def export(
    request: ExportRequest,
    host: ModelHost,
    training: Run | None,
    show: Callable[[Exporting], None],
    stop: threading.Event,
) -> None:
    """Make the export that is asked for; `show` is called whenever something changes, the last time at the end.

    Raises ExportError when it cannot be made or was stopped; what stood in its place before is still there then.
    """
    try:
        _Work(request, host, show, stop).carry_out()
    except Stopped as stopped:
        raise ExportError("export.stopped", run=request.run_id) from stopped


class _Work:
    def __init__(
        self, request: ExportRequest, host: ModelHost, show: Callable[[Exporting], None], stop: threading.Event
    ):
        self._request, self._host, self._show, self._stop = request, host, show, stop
        self._notes: list[Message] = []
        self._folder: Path | None = None

    def carry_out(self) -> None:
        """Write, pack, verify."""
        self._going("reading", None)
        found = subject.of(runs.find(self._request.run_id), self._request.language)
        folder = target.place(found.run, self._request.kind, self._request.out)
        self._folder = self._written(found, folder) if self._request.write else target.require_made(folder)
        verification = None
        if self._request.verify and not can_verify(self._request.kind):
            self._notes.append(message("export.note.needs_runner", package=RUNNER))
        elif self._request.verify:
            from studio.export.verify import check, result

            verification = check.verify(found, self._folder, self._host, self._going)
            result.save(verification, self._folder)
        packed = None
        if self._request.zip:
            self._going("packing", None)
            packed = target.zipped(self._folder)
        self._show(Exporting("done", 1.0, self._folder, packed, tuple(self._notes), verification))

    def _written(self, found: Subject, folder: Path) -> Path:
        target.require_free(folder)
        if found.base.origin != "hub":
            told = "export.note.base_package" if found.base.origin == "package" else "export.note.base_folder"
            self._notes.append(message(told, base=found.base.id))
        return self._write(found, folder)

    def _write(self, found: Subject, folder: Path) -> Path:
        if self._request.kind == "example":
            return adapter.export_example(found, folder)
        if self._request.kind == "script":
            return script.export(found, folder)
        if self._request.kind == "merged":
            return merge.export(found, folder, self._chosen(found, folder), self._going)
        if self._request.kind == "ollama":
            self._notes += ollama.notes(found, "ollama")
            return ollama.export(found, folder, self._chosen(found, folder), self._going)
        if self._request.kind == "gguf":
            converter = ollama.require_converter(self._request.converter)
            self._notes += ollama.notes(found, "gguf")
            return ollama.export_gguf(found, folder, self._chosen(found, folder), converter, self._going)
        if self._request.kind == "space":
            return space.export(found, folder, self._host, self._stop, self._going)
        return adapter.export(found, folder)

    def _chosen(self, found: Subject, folder: Path) -> str:
        chosen = merge.precision(found, self._request.precision)
        merge.require_room(found, folder, chosen.value)
        self._notes.append(message("export.note.precision", value=chosen.value, reason=chosen.reason))
        return chosen.value

    def _going(self, phase: str, share: float | None) -> None:
        if self._stop.is_set():
            raise Stopped
        self._show(Exporting(phase, share, self._folder, notes=tuple(self._notes)))
