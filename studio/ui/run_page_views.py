"""From a run's record to its page: state, settings, choices, what it rests on, results, disk. Pure functions.

Whatever comes from names, rows or files is escaped before it becomes HTML.
"""

import html
from collections.abc import Iterable, Sequence
from typing import Any

from studio.events import Chosen
from studio.i18n import has, message, text
from studio.reports.comparison_card import VERDICT_SIGNS
from studio.reports.run_metadata import RunMetadata, SavedScoreboard
from studio.runs import Status
from studio.runs.history import PARTS
from studio.ui import views
from studio.ui.failures import box
from studio.ui.overlay_views import setting, value
from studio.ui.runs_views import model_name, number, size, state
from studio.ui.views import bar, choices_html, day_and_time, duration, empty, hint

_RECEIPT = ("python", "torch", "transformers", "trl", "peft", "datasets", "accelerate", "tokenizers", "bitsandbytes")
_SHORT_HASH = 16


def head(record: RunMetadata, language: str, now: float) -> str:
    """Return the run's name, state, progress and the few figures that everybody asks for."""
    run = record.summary
    status = run.status
    facts = [text("ui.runs.made", language, time=day_and_time(run.created))]
    if run.preset:
        facts.append(text("ui.runs.from_preset", language, preset=run.preset))
    if status and status.total:
        facts.append(text("ui.runs.at_step", language, step=status.step, total=status.total))
    if (seconds := run.seconds(now)) is not None:
        facts.append(text("ui.runs.took", language, time=duration(seconds, language)))
    if run.first is not None and run.last is not None:
        facts.append(text("ui.runs.fell", language, first=number(run.first), last=number(run.last)))
    if run.best is not None:
        facts.append(text("ui.runs.best_validation", language, loss=number(run.best), step=run.best_step))
    items = "".join(f"<span>{html.escape(fact)}</span>" for fact in facts)
    note = f'<p class="note">{html.escape(run.note)}</p>' if run.note else ""
    return (
        f'<div class="status run-head"><div class="what"><h2 class="heading">{html.escape(run.name)}</h2>'
        f'{state(run, language)}</div>{_progress(status, language)}<div class="facts">{items}</div>{note}</div>'
    )


def _progress(status: Status | None, language: str) -> str:
    return bar(views.share(status), views.doing(status, language)) if status and status.state.alive else ""


def wrong(record: RunMetadata, language: str) -> str:
    """Return what is wrong with a run: its failure, or that its folder was damaged; empty when nothing is."""
    run = record.summary
    error_box = box(run.status.error, language) if run.status else ""
    if run.damaged:
        error_box += box(message("ui.runs.damaged", file=run.damaged), language)
    return error_box


def why(record: RunMetadata, language: str) -> str:
    """Say why a button of the run cannot be pressed; empty when all can."""
    reasons = []
    if record.summary.alive:
        reasons.append("delete_alive")
    elif not record.can_compare:
        reasons.append("nothing_to_compare")
    elif not record.summary.has_adapter:
        reasons.append("nothing_to_export")
    if record.has_nothing_left and record.config is not None:
        reasons.append("nothing_to_resume")
    return "".join(f'<p class="hint">{html.escape(text(f"ui.runs.why.{reason}", language))}</p>' for reason in reasons)


def settings(record: RunMetadata, language: str) -> str:
    """Return the settings that say something: what differs from preset and defaults, and what was changed later."""
    if record.config is None:
        return empty("ui.runs.no_settings", language)
    parts = []
    preset = record.summary.preset
    if preset:
        rows = [
            (setting(path, language), f"{value(path, own, language)} <small>← {value(path, its, language)}</small>")
            for path, (own, its) in record.from_preset.items()
        ]
        title = text("ui.runs.differs_preset", language, preset=preset)
        parts.append(_titled(title, _pairs(rows) or _caption("ui.runs.as_preset", language)))
    if record.changes:
        rows = [
            (text("ui.runs.from_step", language, step=change["step"]), _change(change["settings"], language))
            for change in record.changes
        ]
        parts.append(_titled(text("ui.runs.changed", language), _pairs(rows)))
    rows = [(setting(path, language), value(path, own, language)) for path, own in record.from_default.items()]
    body = _pairs(rows) or _caption("ui.runs.as_default", language)
    parts.append(_titled(text("ui.runs.differs_default", language), body))
    return "".join(parts)


def _change(changed: dict[str, Any], language: str) -> str:
    return ", ".join(f"{setting(path, language)}: {value(path, each, language)}" for path, each in changed.items())


def _titled(title: str, body: str) -> str:
    return f'<h3 class="section">{html.escape(title)}</h3>{body}'


def _caption(key: str, language: str) -> str:
    return f'<p class="caption">{html.escape(text(key, language))}</p>'


def _pairs(rows: Iterable[tuple[str, str]]) -> str:
    """Return a list of names and values, which are HTML already; empty without any."""
    items = "".join(f"<dt>{name}</dt><dd>{cell}</dd>" for name, cell in rows)
    return f'<dl class="known">{items}</dl>' if items else ""


def choices(chosen: Sequence[Chosen], language: str) -> str:
    """Return what the studio chose by itself, each with its reason."""
    if not chosen:
        return empty("ui.runs.no_choices", language)
    return choices_html([(each.name, each.value, each.reason) for each in chosen], language)


def log_file(tail: str, language: str) -> str:
    """Return the end of the run's log file, folded away; empty without one."""
    if not tail.strip():
        return ""
    title = html.escape(text("ui.runs.log_file", language))
    return f'<details class="log-file"><summary>{title}</summary><pre tabindex="0">{html.escape(tail)}</pre></details>'


def rests_on(record: RunMetadata, language: str) -> str:
    """Return what the run rests on: model, data and their hashes, trained part, device, versions."""
    run, resolved = record.summary, record.resolved
    base = resolved.get("base") if isinstance(resolved.get("base"), dict) else {}
    rows: list[tuple[str, str | None]] = [
        ("model", html.escape(model_name(run.model, language)) if run.model else None),
        ("base", html.escape(str(base["id"])) if base.get("id") else None),
        ("revision", html.escape(str(base["revision"])) if base.get("revision") else None),
        ("weights", _hash(base.get("weights"))),
        ("data", html.escape(run.data) if run.data else None),
        ("continues", _ancestors(record, language)),
        ("data_hash", _hash(resolved.get("data"))),
        ("material", _material(resolved.get("material"), language)),
        ("trained", _count(resolved.get("trained_parameters"))),
        ("device", html.escape(str(resolved["device"])) if resolved.get("device") else None),
    ]
    versions = resolved.get("versions")
    if isinstance(versions, dict):
        known = [name for name in _RECEIPT if name in versions] + sorted(versions.keys() - set(_RECEIPT))
        rows.append(("versions", html.escape(" · ".join(f"{name} {versions[name]}" for name in known))))
    rows.append(("id", f"<code>{html.escape(run.id)}</code>"))
    return _pairs((html.escape(text(f"ui.runs.rests.{name}", language)), cell) for name, cell in rows if cell)


def _material(origin: Any, language: str) -> str | None:
    """Return the rows by the recipe that made them of material; None for others."""
    if not isinstance(origin, dict):
        return None
    counts = (origin.get("recipes") or {}).items()
    return html.escape(", ".join(f"{text(f'material.recipes.{name}', language)}: {count:,}" for name, count in counts))


def _ancestors(record: RunMetadata, language: str) -> str | None:
    """Return the runs that a run continues, or the folder that its first adapter is from."""
    names = [text("ui.runs.ancestor", language, **one) for one in record.ancestors]
    start = record.resolved.get("start")
    if not names and isinstance(start, dict):
        names = [str(start.get("name", "–"))]
    return html.escape(" ← ".join(names)) or None


def _hash(known: Any) -> str | None:
    if not isinstance(known, str):
        return None
    return f'<code title="{html.escape(known, quote=True)}">{html.escape(known[:_SHORT_HASH])}…</code>'


def _count(known: Any) -> str | None:
    return f"{known:,}" if isinstance(known, int) else None


def results(record: RunMetadata, language: str) -> str:
    """Return what the run has left: its adapter, the scoreboards, votes."""
    parts = []
    run = record.summary
    if run.has_adapter:
        parts.append(text("ui.runs.adapter", language, size=size(run.disk.get("adapter", 0))))
    if record.checkpoints:
        steps = ", ".join(map(str, sorted(record.checkpoints)))
        parts.append(text("ui.runs.checkpoints", language, count=len(record.checkpoints), steps=steps))
    if record.votes:
        parts.append(text("ui.runs.votes", language, count=record.votes))
    items = "".join(f"<li>{html.escape(part)}</li>" for part in parts)
    boards = "".join(_board(each, language) for each in record.evaluations[:3])
    if not items and not boards:
        return empty("ui.runs.no_results", language)
    hint = "" if boards or not record.can_compare else _caption("ui.runs.no_boards", language)
    return f'<ul class="left">{items}</ul>{boards}{hint}'


def _board(evaluation: SavedScoreboard, language: str) -> str:
    board = evaluation.board
    name = evaluation.adapter.removeprefix("step-").lstrip("0")
    column = (
        text("compare.column.step", language, step=name)
        if evaluation.adapter.startswith("step-")
        else text("compare.column.now", language)
    )
    title = text("ui.runs.board", language, column=column, rows=board.rows, time=day_and_time(evaluation.at))
    lines = []
    for score in board.scores:
        key = f"compare.measures.{score.name}.name"
        measure = html.escape(text(key, language) if has(key) else score.name)
        verdict = html.escape(f"{VERDICT_SIGNS[score.verdict]} {text(f'compare.verdict.{score.verdict}', language)}")
        lines.append(
            f'<tr><th scope="row">{measure}</th><td>{score.before:.3g}</td><td>{score.after:.3g}</td>'
            f'<td class="verdict {score.verdict}">{verdict}</td></tr>'
        )
    heads = "".join(
        f'<th scope="col">{html.escape(text(f"card.{head}", language))}</th>'
        for head in ("measure", "before", "after", "verdict")
    )
    body = f"<table class='boards'><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return _titled(title, f'<div class="scrolls" tabindex="0">{body}</div>')


def disk(record: RunMetadata, language: str) -> str:
    """Return what the run takes on the disk, part by part, and what the clean-up would free."""
    run = record.summary
    total = run.bytes or 1
    items = []
    for part in PARTS:
        if count := run.disk.get(part):
            name = html.escape(text(f"ui.runs.part.{part}", language))
            share = max(1, round(100 * count / total))
            items.append(
                f'<dt>{name}</dt><dd><i style="width:{share}%"></i><span>{html.escape(size(count))}</span></dd>'
            )
    words = text("ui.runs.disk_total", language, size=size(run.bytes))
    return f'<dl class="disk">{"".join(items)}</dl><p class="caption">{html.escape(words)}</p>'


def spare(record: RunMetadata, language: str) -> str:
    """Say what the clean-up of old checkpoints would free and what stays, or why there is nothing to clean."""
    if record.spare_bytes:
        count, freed = len(record.checkpoints) - 1, size(record.spare_bytes)
        return hint("ui.runs.spare", language, count=count, size=freed, step=record.checkpoints[0])
    finished = record.summary.state == "finished"
    return hint("ui.runs.nothing_spare" if finished else "ui.runs.spare_later", language)
