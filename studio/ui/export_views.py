"""From an export to what the Export tab shows: what it is for, what it will hold, how it goes on, what there is.

Pure functions without Gradio. Whatever comes from names, files or programs is escaped before it becomes HTML.
"""

import html
from collections.abc import Sequence

from studio.compare.columns import ADAPTED, BASE, CompareRequest
from studio.export.inventory import ExportEstimate, SavedExport
from studio.export.request import DTYPES, FORMATS, KINDS, LLAMA_CPP, QUANTIZED, Kind
from studio.i18n import has, text
from studio.reports.comparison_card import shortened
from studio.ui import views
from studio.ui.exporting import ExportState
from studio.ui.failures import box
from studio.ui.runs_views import size
from studio.ui.views import bar, column_label, day_and_time, hint, one_line

MOST_FILES = 12
_SHORT = 60
"""Characters of a prompt in the list of comparisons."""


def offered() -> list[Kind]:
    """Return the kinds that the page can speak of, in the engine's order."""
    return [kind for kind in KINDS if has(f"ui.export.kinds.{kind}.name")]


def title(kind: Kind, language: str) -> str:
    """Return what a kind is called."""
    return text(f"ui.export.kinds.{kind}.name", language)


def choices(saved_exports: Sequence[SavedExport], language: str) -> list[tuple[str, str]]:
    """Return the list of kinds: what each is called, whether it is there and verified, and in a line what it is for."""
    by_kind = {each.kind: each for each in saved_exports}
    choice_list = []
    for kind in offered():
        mark = f" · {text(_standing(by_kind[kind]), language)}" if kind in by_kind else ""
        choice_list.append((f"{title(kind, language)}{mark}\n{text(f'ui.export.kinds.{kind}.use', language)}", kind))
    return choice_list


def _standing(export: SavedExport) -> str:
    if export.is_outdated:
        return "ui.export.marks.old"
    if export.verification is None:
        return "ui.export.marks.made"
    return "ui.export.marks.verified" if export.verification.passed else "ui.export.marks.differs"


def facts(weights: str, base: str, bytes: int, language: str) -> str:
    """Return what of the run is exported: `weights` in words, the base, the adapter's size."""
    lines = [weights, text("ui.export.base", language, base=base), text("ui.runs.adapter", language, size=size(bytes))]
    return f'<div class="facts">{"".join(f"<span>{html.escape(fact)}</span>" for fact in lines)}</div>'


def weights(best_step: int | None, last: int, language: str, *, by: str = "best") -> str:
    """Say which weights a run has left: those of the `best_step`, `by` loss or style, or of its last one."""
    key = "last" if not best_step else "best_style" if by == "style" else "best"
    return text(f"ui.export.{key}", language, step=best_step or last)


def holds(estimate: ExportEstimate, language: str) -> str:
    """Return what an export will hold and weigh, and why it cannot be made if so."""
    if estimate.blocker and not estimate.parts:
        return box(estimate.blocker, language)
    rows = []
    for part in estimate.parts:
        name = html.escape(text(f"ui.export.parts.{part.name}", language))
        weighs = size(part.bytes) if part.bytes else text("ui.export.small", language)
        rows.append(f"<dt>{name} <code>{html.escape(part.files)}</code></dt><dd>{html.escape(weighs)}</dd>")
    if not rows:
        return ""
    total = text("ui.export.together", language, size=size(estimate.bytes), free=size(estimate.free_bytes))
    parts = [f'<dl class="holds">{"".join(rows)}</dl>', f'<p class="caption">{html.escape(total)}</p>']
    if estimate.precision and estimate.precision.reason.key != "choice.precision.asked":
        note = text(
            "ui.export.will_be",
            language,
            value=estimate.precision.value,
            reason=one_line(estimate.precision.reason, language),
        )
        parts.append(f'<p class="hint">{html.escape(note)}</p>')
    return "".join(parts) + box(estimate.blocker, language)


def progress(state: ExportState | None, kind: Kind, at_work: Sequence[str], language: str) -> str:
    """Return how an export goes on, or how the one of this kind ended.

    `at_work` are the names of the runs that hold the device.
    """
    if state is None or (state.over and state.kind != kind):
        return ""
    if not state.over:
        words = html.escape(_doing(state, at_work, language))
        percent = "" if state.share is None else f"<b>{state.share:.0%}</b>"
        return f'<div class="scan" role="status"><span>{words}</span>{bar(state.share, words)}{percent}</div>'
    notes = "".join(f"<li>{html.escape(one_line(note, language))}</li>" for note in state.notes)
    listed = f'<ul class="left hint">{notes}</ul>' if notes else ""
    if state.was_stopped:
        return f'<p class="hint" role="status">{html.escape(text("ui.export.stopped", language))}</p>'
    return box(state.failure, language) if state.failure else listed


def _doing(state: ExportState, at_work: Sequence[str], language: str) -> str:
    name = title(state.kind, language)
    if state.stopping:
        return text("ui.export.stopping", language, kind=name)
    if state.phase == "waiting" and at_work:
        return text("ui.export.waits", language, kind=name, run=at_work[0])
    return text("ui.export.doing", language, kind=name, phase=text(f"phase.{state.phase}", language))


def verified(export: SavedExport, can_be: bool, is_running: bool, language: str) -> str:
    """Return what a fresh process made of an export, with its figures; else whether one is at it, or could be."""
    if is_running:
        return f'<p class="hint" role="status">{html.escape(text("ui.export.checking", language))}</p>'
    verification = export.verification
    if verification is None:
        key = "ui.export.unverified" if can_be else "ui.export.needs_runner"
        return hint(key, language, package=LLAMA_CPP)
    sign, key = ("✓", "ui.export.verified") if verification.passed else ("✗", "ui.export.differs")
    first = text(key, language, time=day_and_time(verification.made))
    sentences = "".join(
        f"<li>{html.escape(one_line(sentence, language))}</li>" for sentence in verification.sentences()
    )
    head = f'<strong><i aria-hidden="true">{sign}</i> {html.escape(first)}</strong>'
    return f'<div class="finding{"" if verification.passed else " differs"}">{head}<ul>{sentences}</ul></div>'


def result(export: SavedExport, place: str, language: str) -> str:
    """Return when an export was made, where it lies (`place`) and what is in it."""
    when = text("ui.export.made", language, time=day_and_time(export.created_at), size=size(export.bytes))
    old = f'<p class="bad">{html.escape(text("ui.export.old", language))}</p>' if export.is_outdated else ""
    lies = f"<span>{html.escape(text('ui.export.where', language))}</span> <code>{html.escape(place)}</code>"
    where = f'<p class="where">{lies}{_copy_button(place, language)}</p>'
    files = "".join(
        f"<dt><code>{html.escape(name)}</code></dt><dd>{size(count)}</dd>" for name, count in export.files[:MOST_FILES]
    )
    more = len(export.files) - MOST_FILES
    rest = hint("ui.export.more", language, count=more) if more > 0 else ""
    summary = html.escape(text("ui.export.files", language, count=len(export.files)))
    listed = f'<details><summary>{summary}</summary><dl class="holds">{files}</dl>{rest}</details>'
    return f'<p class="count">{html.escape(when)}</p>{old}{where}{listed}'


def _copy_button(code: str, language: str) -> str:
    words, done = (html.escape(text(f"ui.export.{key}", language), quote=True) for key in ("copy", "copied"))
    code = html.escape(code, quote=True).replace("\n", "&#10;")
    return f'<button type="button" class="act" data-copy="{code}" data-done="{done}">{words}</button>'


def usage(export: SavedExport, lines: str, language: str) -> str:
    """Return how an export is used: `lines` to copy into a terminal, or into Python; empty without any."""
    if not lines:
        return ""
    key = f"ui.export.kinds.{export.kind}.next"
    help_text = html.escape(text(key, language)) if has(key) else ""
    return f"<p>{help_text}</p>{code_block(lines, language)}"


def code_block(lines: str, language: str) -> str:
    """Return lines with a button that copies them."""
    return f'<div class="code"><pre tabindex="0">{html.escape(lines)}</pre>{_copy_button(lines, language)}</div>'


def why(state: ExportState | None, kind: Kind, language: str) -> str:
    """Say why nothing can be exported just now; empty where it can."""
    if state is None or state.over or state.kind == kind:
        return ""
    return hint("ui.export.busy", language, kind=title(state.kind, language))


def number_formats(kind: Kind, language: str) -> list[tuple[str, str]]:
    """Return the number formats that a kind is made in, with their names."""
    keys = {name: f"config.model.precision.options.{name}" for name in DTYPES}
    keys |= {name: f"ui.export.formats.{name}" for name in QUANTIZED}
    return [(text(keys[name], language), name) for name in FORMATS.get(kind, DTYPES)]


def empty(at_work: Sequence[str], waiting: Sequence[str], language: str) -> str:
    """Return the words where there is no run to export: which one will be, of those at work and waiting, and when."""
    if not (alive := [*at_work, *waiting]):
        return views.empty("ui.export.no_runs", language)
    return views.empty(f"ui.export.{'trains' if at_work else 'queued'}", language, run=alive[0])


def comparison(request: CompareRequest, language: str) -> str:
    """Return the line that offers a comparison for the model card: its prompt, and its columns if not the usual two."""
    prompt = shortened(" ".join(request.prompts[0].split()), _SHORT)
    if request.columns == (BASE, ADAPTED):
        return prompt
    return f"{prompt} · {' | '.join(column_label(column, language) for column in request.columns)}"
