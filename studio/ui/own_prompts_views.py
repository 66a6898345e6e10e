"""From prompts of the user's own to their text on the page, and from a batch of answers to a table.

Pure functions without Gradio. Whatever comes from prompts, answers or names is escaped before it becomes HTML.
"""

import html
from collections.abc import Sequence
from datetime import datetime

from studio.compare.comparison import Comparison
from studio.compare.comparison_history import SavedComparison
from studio.errors import CompareError
from studio.generation.generate import ColumnAnswer
from studio.i18n import text
from studio.ui import compare_views
from studio.ui.views import bar, column_label, empty

MAX_PROMPTS = 200
_BREAK = " ↵ "
"""A line break inside a prompt: in the text, a line is a prompt."""


def to_text(prompts: Sequence[str]) -> str:
    """Return prompts as text, one a line."""
    return "\n".join(_BREAK.join(prompt.splitlines()) for prompt in prompts)


def from_text(written: str) -> tuple[list[str], int]:
    """Return the prompts of a text, each once, and how many were left out as repetitions.

    Raises CompareError for none, and for more than `MAX_PROMPTS`.
    """
    lines = [line.strip() for line in (written or "").splitlines()]
    prompts = ["\n".join(part.strip() for part in line.split(_BREAK.strip())) for line in lines if line]
    each_once = list(dict.fromkeys(prompts))
    if not each_once:
        raise CompareError("ui.no_prompts")
    if len(each_once) > MAX_PROMPTS:
        raise CompareError("ui.too_many_prompts", count=len(each_once), most=MAX_PROMPTS)
    return each_once, len(prompts) - len(each_once)


def progress(comparison: Comparison | None, language: str, is_running: bool) -> str:
    """Return how many prompts are answered, as a bar and in words; empty without a comparison that runs."""
    if not is_running:
        return ""
    if comparison is None:
        return empty("ui.score.loading", language)
    done = sum(all(side.end for side in sides) for sides in comparison.answers)
    total = len(comparison.request.prompts)
    label = text("ui.own_prompts.progress", language, done=done, total=total)
    return f'<div class="scan">{bar(done / total, label)}<span>{html.escape(label)}</span></div>'


def table(comparison: Comparison | None, base: str, run: str, language: str) -> str:
    """Return a row for each prompt and a column for each compared one; `base` and `run` are the models' names."""
    if comparison is None:
        return empty("ui.own_prompts.empty", language)
    request = comparison.request
    names = [
        compare_views.column_name(column, number, base, run, language) for number, column in enumerate(request.columns)
    ]
    heads = "".join(
        f'<th scope="col">{html.escape(name)}</th>' for name in (text("ui.own_prompts.prompt", language), *names)
    )
    answers = comparison.answers or ((ColumnAnswer(end="stopped"),) * len(names),) * len(request.prompts)
    rows = "".join(
        f'<tr><th scope="row">{html.escape(prompt)}</th>'
        + "".join(_cell(name, side, language) for name, side in zip(names, sides, strict=True))
        + "</tr>"
        for prompt, sides in zip(request.prompts, answers, strict=True)
    )
    about = html.escape(text("ui.own_prompts.title", language), quote=True)
    return (
        f'<p class="hint">{html.escape(compare_views.settings_line(request, language))}</p>'
        f'<div class="own-prompts" tabindex="0" role="region" aria-label="{about}">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _cell(name: str, side: ColumnAnswer, language: str) -> str:
    if side.text:
        content, kind = html.escape(side.text) + (" …" if side.end == "length" else ""), ""
    elif side.end is None:
        content, kind = "…", ""
    else:
        key = "ui.compare.said_nothing" if side.end == "turn" else "ui.own_prompts.unanswered"
        content, kind = html.escape(text(key, language)), ' class="none"'
    return f'<td data-head="{html.escape(name, quote=True)}"{kind}>{content}</td>'


def saved_choice(batch: SavedComparison, language: str) -> str:
    """Return the line that offers a batch: when, how many prompts, and which columns."""
    request = batch.comparison.request
    count = text("ui.own_prompts.count", language, count=len(request.prompts))
    columns = " | ".join(column_label(column, language) for column in request.columns)
    return f"{datetime.fromtimestamp(batch.at):%Y-%m-%d %H:%M} · {count} · {columns}"
