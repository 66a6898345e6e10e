"""A sweep in words, as a table and as a picture, and what one will take. Pure functions without Gradio."""

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from studio.command import format_value
from studio.config import fields
from studio.i18n import Message, has, text
from studio.sweep import picture
from studio.sweep.forecast import Forecast, seconds_left
from studio.sweep.plan import SweepPlan
from studio.sweep.trial import Trial, winner
from studio.ui.overlay_views import setting
from studio.ui.runs_views import number
from studio.ui.views import duration, empty

_OF_DATA = ("data.max_length", "data.limit", "data.train_on", "data.prompt.system")
_LEFT_OUT = ("model.id", "model.revision", "train.trackers")
"""What a run is about, and services outside: no settings to compare runs by."""
_MOST_PROBLEMS = 12


def offered(language: str) -> list[tuple[str, str]]:
    """Return the settings that can be varied on the page: their titles and paths."""
    paths = [path for path in fields() if path.startswith(("train.", "lora.", "model.")) and path not in _LEFT_OUT]
    return [(f"{title(path, language)} ({path})", path) for path in (*paths, *_OF_DATA)]


def title(path: str, language: str) -> str:
    """Return a setting's title."""
    return text(f"config.{path}.title", language) if has(f"config.{path}.title") else path


def drawing(plan: SweepPlan, trials: Sequence[Trial], language: str) -> str:
    """Return the picture of a sweep: a line for each run through its settings to its score; words without two."""
    caption = text("ui.sweep.picture", language, score=text(f"ui.sweep.score.{plan.by}", language))
    svg = picture.draw(
        plan,
        trials,
        title=caption,
        score=text(f"ui.sweep.score.{plan.by}", language),
        name_of=lambda path: title(path, language),
    )
    if not svg:
        return empty("ui.sweep.no_picture", language)
    return f'<div class="scrolls sweep-picture" tabindex="0">{svg}</div><p class="caption">{html.escape(caption)}</p>'


def score(trial: Trial, language: str) -> str:
    """Return a trial's score: a loss, or a style strength in percent."""
    if trial.score is None:
        return "–"
    if trial.strength is None:
        return number(trial.score)
    unsound = "" if trial.is_ranked else f" ({text('ui.sweep.unsound', language)})"
    return f"{trial.strength:.0f} %{unsound}"


def sentence(
    plan: SweepPlan, trials: Sequence[Trial], state: str, language: str, problem: Message | None = None
) -> str:
    """Say how far a sweep is, which run is the best so far, and how long the others will take."""
    counted = Counter(trial.state for trial in trials)
    ended = ", ".join(
        text("ui.sweep.counted", language, count=count, state=text(f"ui.sweep.trial.{name}", language))
        for name, count in counted.items()
    )
    parts = [text(f"ui.sweep.now.{state}", language, done=len(trials) - counted["open"], count=plan.count)]
    if counted.keys() - {"finished", "open"}:
        parts.append(text("ui.sweep.ended", language, ended=ended))
    if best := winner(trials):
        settings = ", ".join(
            f"{title(axis.path, language)} {format_value(best.settings.get(axis.path))}" for axis in plan.over
        )
        name = text(f"ui.sweep.named.{plan.by}", language, value=score(best, language))
        parts.append(text("ui.sweep.best", language, number=best.number + 1, score=name, settings=settings))
    if state == "running" and (left := seconds_left(plan, trials)):
        parts.append(text("ui.sweep.left", language, time=duration(left, language)))
    if problem:
        parts.append(" ".join(problem.text(language).splitlines()))
    return f'<p class="caption" role="status">{html.escape(" ".join(parts))}</p>'


def table(plan: SweepPlan, trials: Sequence[Trial], existing: Mapping[str, Any], language: str) -> str:
    """Return the runs of a sweep as a table, the best first; the ids in `existing` can be opened.

    The score stands beside the number, where a phone shows it.
    """
    if not trials:
        return ""
    best = winner(trials)
    heads = [html.escape(text(key, language)) for key in ("ui.sweep.run", f"ui.sweep.value.{plan.by}")]
    heads += [setting(axis.path, language) for axis in plan.over] + [html.escape(text("ui.runs.state", language))]
    rows = []
    for trial in sorted(trials, key=lambda each: (not each.is_ranked, each.score or 0.0, each.number)):
        is_best = best is not None and trial.run == best.run
        name = f"{'★ ' if is_best else ''}{trial.number + 1}"
        run_id = html.escape(trial.run, quote=True)
        label = html.escape(text("ui.sweep.open", language, number=trial.number + 1), quote=True)
        if trial.run in existing:
            name = (
                f'<button type="button" class="row-link" id="sweep-{run_id}" data-do="open" data-run="{run_id}"'
                f' aria-label="{label}">{name}</button>'
            )
        values = [score(trial, language), *(format_value(trial.settings.get(axis.path)) for axis in plan.over)]
        values.append(text(f"ui.sweep.trial.{trial.state}", language))
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in values)
        rows.append(f'<tr{" class=best" if is_best else ""}><th scope="row">{name}</th>{cells}</tr>')
    head = "".join(f'<th scope="col">{each}</th>' for each in heads)
    return (
        f'<div class="scrolls" tabindex="0"><table class="differences sweep"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def foretold(expected: Forecast, language: str) -> str:
    """Say how many runs a sweep has and what they will take, or what stands in their way."""
    if expected.blocks:
        return problems(expected.blocks, language)
    if expected.seconds is None:
        estimate = text("ui.sweep.runs", language, count=expected.runs)
    else:
        estimate = text("ui.sweep.foretold", language, count=expected.runs, time=duration(expected.seconds, language))
    warnings = "".join(f"<li>{html.escape(warning.text(language))}</li>" for warning in expected.warnings)
    return f'<p role="status"><strong>{html.escape(estimate)}</strong></p>' + (
        f"<ul>{warnings}</ul>" if warnings else ""
    )


def problems(messages: Sequence[Message], language: str) -> str:
    """Return the combinations that cannot be, each with its reason."""
    lines = [" ".join(problem.text(language).splitlines()) for problem in messages[:_MOST_PROBLEMS]]
    if len(messages) > len(lines):
        lines.append(text("ui.sweep.more_problems", language, count=len(messages) - len(lines)))
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    head = html.escape(text("ui.sweep.cannot", language))
    return f'<div class="failure" role="alert"><strong>{head}</strong><ul>{items}</ul></div>'
