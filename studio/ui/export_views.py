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
from studio.ui.exporting import Going
from studio.ui.failures import box
from studio.ui.runs_views import size
from studio.ui.views import bar, column_label, day_and_time, said

MOST_FILES = 12
_SHORT = 60
"""Characters of a prompt in the list of comparisons."""


def offered() -> list[Kind]:
    """Return the kinds that the page can speak of, in the engine's order."""
    return [kind for kind in KINDS if has(f"ui.export.kinds.{kind}.name")]


def title(kind: Kind, language: str) -> str:
    """Return what a kind is called."""
    return text(f"ui.export.kinds.{kind}.name", language)


def choices(made: Sequence[SavedExport], language: str) -> list[tuple[str, str]]:
    """Return the list of kinds: what each is called, whether it is there and verified, and in a line what it is for."""
    there = {each.kind: each for each in made}
    told = []
    for kind in offered():
        mark = f" · {text(_standing(there[kind]), language)}" if kind in there else ""
        told.append((f"{title(kind, language)}{mark}\n{text(f'ui.export.kinds.{kind}.use', language)}", kind))
    return told


def _standing(made: SavedExport) -> str:
    if made.is_outdated:
        return "ui.export.marks.old"
    if made.verification is None:
        return "ui.export.marks.made"
    return "ui.export.marks.verified" if made.verification.passed else "ui.export.marks.differs"


def facts(weights: str, base: str, bytes: int, language: str) -> str:
    """Return what of the run is exported: `weights` in words, the base, the adapter's size."""
    told = [weights, text("ui.export.base", language, base=base), text("ui.runs.adapter", language, size=size(bytes))]
    return f'<div class="facts">{"".join(f"<span>{html.escape(fact)}</span>" for fact in told)}</div>'


def weights(kept: int | None, last: int, language: str, *, by: str = "best") -> str:
    """Say which weights a run has left: those of the step that was `kept`, `by` loss or style, or of its last one."""
    key = "last" if not kept else "best_style" if by == "style" else "best"
    return text(f"ui.export.{key}", language, step=kept or last)


def holds(found: ExportEstimate, language: str) -> str:
    """Return what an export will hold and weigh, and why it cannot be made if so."""
    if found.blocker and not found.parts:
        return box(found.blocker, language)
    rows = []
    for part in found.parts:
        name = html.escape(text(f"ui.export.parts.{part.name}", language))
        weighs = size(part.bytes) if part.bytes else text("ui.export.small", language)
        rows.append(f"<dt>{name} <code>{html.escape(part.files)}</code></dt><dd>{html.escape(weighs)}</dd>")
    if not rows:
        return ""
    total = text("ui.export.together", language, size=size(found.bytes), free=size(found.free_bytes))
    told = [f'<dl class="holds">{"".join(rows)}</dl>', f'<p class="caption">{html.escape(total)}</p>']
    if found.precision and found.precision.reason.key != "choice.precision.asked":
        note = text(
            "ui.export.will_be", language, value=found.precision.value, reason=said(found.precision.reason, language)
        )
        told.append(f'<p class="hint">{html.escape(note)}</p>')
    return "".join(told) + box(found.blocker, language)


def progress(going: Going | None, kind: Kind, at_work: Sequence[str], language: str) -> str:
    """Return how an export goes on, or how the one of this kind ended.

    `at_work` are the names of the runs that hold the device.
    """
    if going is None or (going.over and going.kind != kind):
        return ""
    if not going.over:
        words = html.escape(_doing(going, at_work, language))
        percent = "" if going.share is None else f"<b>{going.share:.0%}</b>"
        return f'<div class="scan" role="status"><span>{words}</span>{bar(going.share, words)}{percent}</div>'
    notes = "".join(f"<li>{html.escape(said(note, language))}</li>" for note in going.notes)
    listed = f'<ul class="left hint">{notes}</ul>' if notes else ""
    if going.was_stopped:
        return f'<p class="hint" role="status">{html.escape(text("ui.export.stopped", language))}</p>'
    return box(going.failure, language) if going.failure else listed


def _doing(going: Going, at_work: Sequence[str], language: str) -> str:
    name = title(going.kind, language)
    if going.stopping:
        return text("ui.export.stopping", language, kind=name)
    if going.phase == "waiting" and at_work:
        return text("ui.export.waits", language, kind=name, run=at_work[0])
    return text("ui.export.doing", language, kind=name, phase=text(f"phase.{going.phase}", language))


def verified(made: SavedExport, can_be: bool, is_going: bool, language: str) -> str:
    """Return what a fresh process made of an export, with its figures; else whether one is at it, or could be."""
    if is_going:
        return f'<p class="hint" role="status">{html.escape(text("ui.export.checking", language))}</p>'
    found = made.verification
    if found is None:
        key = "ui.export.unverified" if can_be else "ui.export.needs_runner"
        return f'<p class="hint">{html.escape(text(key, language, package=LLAMA_CPP))}</p>'
    sign, key = ("✓", "ui.export.verified") if found.passed else ("✗", "ui.export.differs")
    first = text(key, language, time=day_and_time(found.made))
    told = "".join(f"<li>{html.escape(said(sentence, language))}</li>" for sentence in found.sentences())
    head = f'<strong><i aria-hidden="true">{sign}</i> {html.escape(first)}</strong>'
    return f'<div class="finding{"" if found.passed else " differs"}">{head}<ul>{told}</ul></div>'


def result(made: SavedExport, place: str, language: str) -> str:
    """Return when an export was made, where it lies (`place`) and what is in it."""
    when = text("ui.export.made", language, time=day_and_time(made.created_at), size=size(made.bytes))
    old = f'<p class="bad">{html.escape(text("ui.export.old", language))}</p>' if made.is_outdated else ""
    lies = f"<span>{html.escape(text('ui.export.where', language))}</span> <code>{html.escape(place)}</code>"
    where = f'<p class="where">{lies}{_copy_button(place, language)}</p>'
    files = "".join(
        f"<dt><code>{html.escape(name)}</code></dt><dd>{size(count)}</dd>" for name, count in made.files[:MOST_FILES]
    )
    more = len(made.files) - MOST_FILES
    rest = f'<p class="hint">{html.escape(text("ui.export.more", language, count=more))}</p>' if more > 0 else ""
    summary = html.escape(text("ui.export.files", language, count=len(made.files)))
    listed = f'<details><summary>{summary}</summary><dl class="holds">{files}</dl>{rest}</details>'
    return f'<p class="count">{html.escape(when)}</p>{old}{where}{listed}'


def _copy_button(code: str, language: str) -> str:
    words, done = (html.escape(text(f"ui.export.{key}", language), quote=True) for key in ("copy", "copied"))
    code = html.escape(code, quote=True).replace("\n", "&#10;")
    return f'<button type="button" class="act" data-copy="{code}" data-done="{done}">{words}</button>'


def usage(made: SavedExport, lines: str, language: str) -> str:
    """Return how an export is used: `lines` to copy into a terminal, or into Python; empty without any."""
    if not lines:
        return ""
    key = f"ui.export.kinds.{made.kind}.next"
    told = html.escape(text(key, language)) if has(key) else ""
    return f"<p>{told}</p>{code_block(lines, language)}"


def code_block(lines: str, language: str) -> str:
    """Return lines with a button that copies them."""
    return f'<div class="code"><pre tabindex="0">{html.escape(lines)}</pre>{_copy_button(lines, language)}</div>'


def why(going: Going | None, kind: Kind, language: str) -> str:
    """Say why nothing can be exported just now; empty where it can."""
    if going is None or going.over or going.kind == kind:
        return ""
    return f'<p class="hint">{html.escape(text("ui.export.busy", language, kind=title(going.kind, language)))}</p>'


def number_formats(kind: Kind, language: str) -> list[tuple[str, str]]:
    """Return the number formats that a kind is made in, with their names."""
    keys = {name: f"config.model.precision.options.{name}" for name in DTYPES}
    keys |= {name: f"ui.export.formats.{name}" for name in QUANTIZED}
    return [(text(keys[name], language), name) for name in FORMATS.get(kind, DTYPES)]


def empty(at_work: Sequence[str], waiting: Sequence[str], language: str) -> str:
    """Return the words where there is no run to export: which one will be, of those at work and waiting, and when."""
    if not (alive := [*at_work, *waiting]):
        return views.empty("ui.export.no_runs", language)
    words = text(f"ui.export.{'trains' if at_work else 'queued'}", language, run=alive[0])
    return f'<p class="empty">{html.escape(words)}</p>'


def comparison(request: CompareRequest, language: str) -> str:
    """Return the line that offers a comparison for the model card: its prompt, and its columns if not the usual two."""
    prompt = shortened(" ".join(request.prompts[0].split()), _SHORT)
    if request.columns == (BASE, ADAPTED):
        return prompt
    return f"{prompt} · {' | '.join(column_label(column, language) for column in request.columns)}"
