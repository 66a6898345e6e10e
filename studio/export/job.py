"""The GPU thread's job that writes, verifies and packs an export."""

from pathlib import Path

from studio import runs
from studio.errors import ExportError
from studio.export import adapter, export_folder, gguf_file, merge, script, space
from studio.export.export_context import ExportContext, load_context
from studio.export.request import FORMATS, LLAMA_CPP, ExportProgress, ExportRequest, OnProgress, can_verify
from studio.export.verify import checks, verification
from studio.generation.job_context import JobContext
from studio.i18n import Message, message
from studio.model.hardware import Choice


class ExportStopped(Exception):
    """The user stopped the export."""


def export(request: ExportRequest, job: JobContext) -> None:
    """Run an export; shows an `ExportProgress` on every change; raises ExportError."""
    notes: list[Message] = []
    written: Path | None = None

    def on_progress(phase: str, share: float | None) -> None:
        if job.stop.is_set():
            raise ExportStopped
        job.show(ExportProgress(phase, share, written, notes=tuple(notes)))

    try:
        on_progress("reading", None)
        if request.kind == "script" and request.strength != 1:
            raise ExportError("export.script_strength")
        formats = FORMATS.get(request.kind)
        if formats and request.precision not in formats:
            raise ExportError(
                "export.no_such_format", kind=request.kind, value=request.precision, formats=", ".join(formats)
            )
        context = load_context(runs.find(request.run_id), request.language, request.comparisons, request.strength)
        folder = export_folder.place(context.run, request.kind, request.out)
        if not request.write and not export_folder.is_export(folder):
            raise ExportError("export.not_made", folder=str(folder))
        written = _write(request, context, folder, job, notes, on_progress) if request.write else folder
        result = packed = None
        if request.verify and not can_verify(request.kind):
            notes.append(message("export.note.needs_runner", package=LLAMA_CPP))
        elif request.verify:
            result = checks.verify(context, written, job.host, on_progress)
            verification.save(result, written)
        if request.zip:
            on_progress("packing", None)
            packed = export_folder.zipped(written)
    except ExportStopped as stopped:
        raise ExportError("export.stopped", run=request.run_id) from stopped
    job.show(ExportProgress("done", 1.0, written, packed, tuple(notes), result))


def _write(
    request: ExportRequest,
    context: ExportContext,
    folder: Path,
    job: JobContext,
    notes: list[Message],
    on_progress: OnProgress,
) -> Path:
    """Write an export and return its folder; adds to the notes."""
    export_folder.require_writable(folder)
    if context.base.origin != "hub":
        key = "export.note.base_package" if context.base.origin == "package" else "export.note.base_folder"
        notes.append(message(key, base=context.base.id))
    if request.kind == "space":
        return space.export(context, folder, job.host, job.stop, on_progress)
    small = {"adapter": adapter.export, "example": adapter.export_example, "script": script.export}
    if request.kind in small:
        return small[request.kind](context, folder)
    settings = context.base.settings
    if request.kind == "gguf":
        planned = gguf_file.plan(context.precision, context.base.path, settings, request.precision)
        merge.require_room(folder, planned.peak_bytes)
        notes += [*gguf_file.notes(context), *_notes(planned.precision)]
        return gguf_file.export(context, folder, planned, on_progress)
    precision = merge.choose_precision(context.precision, settings, request.precision)
    merge.require_room(folder, merge.size(context, precision.value))
    notes += _notes(precision)
    return merge.export(context, folder, precision.value, on_progress)


def _notes(precision: Choice) -> list[Message]:
    """Say which number format was chosen, and why; what the user chose needs no words."""
    if precision.reason.key == "choice.precision.asked":
        return []
    return [message("export.note.precision", value=precision.value, reason=precision.reason)]
