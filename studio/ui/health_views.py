"""What the scan of all rows has found: problems with their fixes, lengths with the cut line, and the split.

Pure functions. Buttons inside the HTML carry `data-do`; the tab's events know what they ask for.
"""

import html
from collections.abc import Sequence
from typing import Any, NamedTuple

from studio.data import speech_levels
from studio.i18n import Message, text
from studio.ui.data_state import Checked, DataState
from studio.ui.failures import lines
from studio.ui.views import duration, empty, hint, one_line, waiting

BARS = 40
_ROWS_OFFERED = 6
_HERE = "\x00"
"""Stands for the row numbers in a problem's words until they are put in as buttons."""


def progress_html(share: float | None, language: str) -> str:
    """Return the progress of the scan."""
    return waiting("ui.health.scanning", language, share, "" if share is None else f"{round(100 * share)} %")


def health_html(checked: Checked, language: str) -> str:
    """Return how many rows can be used, why no run can start if so, and every problem."""
    if checked.cancelled:
        again = _button("scan", "", text("ui.health.again", language))
        return f'<p class="empty">{html.escape(text("ui.health.cancelled", language))}</p>{again}'
    report = checked.report
    if report is None:
        return empty("ui.health.empty", language)
    key = "ui.health.all" if report.usable == report.rows else "ui.health.some"
    words = text(key, language, usable=f"{report.usable:,}", rows=f"{report.rows:,}")
    kind = "bad" if report.blocks else "good"
    parts = [f'<p class="count"><span class="{kind}">{"✕" if report.blocks else "✓"}</span> {html.escape(words)}</p>']
    parts += [_block(block, language) for block in report.blocks]
    if report.problems:
        ordered = sorted(report.problems, key=lambda problem: (problem.fixed, -problem.count))
        parts.append(f'<ul class="problems">{"".join(_problem(problem, language) for problem in ordered)}</ul>')
    else:
        parts.append(f'<p class="caption">{html.escape(text("ui.health.none", language))}</p>')
    if report.near_rows is not None:
        parts.append(hint("ui.health.near", language, n=f"{report.near_rows:,}"))
    if report.speech:
        parts.append(hint("speech.of_answers", language, levels=speech_levels.shares(report.speech, language)))
    return "".join(parts)


def blocks(state: DataState, checked: Checked) -> list[Message]:
    """Return why no run can start with these rows, as far as it is known."""
    failures = [failure for failure in (state.failure, checked.failure) if failure]
    return failures or (list(checked.report.blocks) if checked.report is not None else [])


def blocked_html(state: DataState, checked: Checked, language: str) -> str:
    """Say beside the way on why it is closed; empty when nothing blocks."""
    known = blocks(state, checked)
    if not known:
        return ""
    first = lines(known[0], language)[0]
    return f'<p class="bad">{html.escape(text("ui.health.blocked", language))} {html.escape(first)}</p>'


def _block(block: Message, language: str) -> str:
    first, *rest = block.text(language).splitlines()
    body = "".join(f"<p>{html.escape(line)}</p>" for line in rest)
    return f'<div class="failure" role="alert"><strong>{html.escape(first)}</strong>{body}</div>'


def _problem(problem: Any, language: str) -> str:
    problem_message = problem.message
    words = html.escape(one_line(Message(problem_message.key, {**problem_message.values, "rows": _HERE}), language))
    words = words.replace(_HERE, _rows(problem, language))
    sign, kind = ("✓", "mended") if problem.fixed else ("⚠", "open")
    example = ""
    if problem.example and not problem.fixed:
        label = html.escape(text("ui.health.example", language))
        example = f"<details><summary>{label}</summary><code>{html.escape(problem.example)}</code></details>"
    fix = ""
    if problem.fix:
        undo = text("ui.health.undo", language)
        fix = _button("fix", problem.fix, undo if problem.fixed else text(f"fixes.{problem.fix}", language))
    effect = html.escape(one_line(problem.effect, language))
    return (
        f'<li class="{kind}"><span class="sign" aria-hidden="true">{sign}</span>'
        f'<div><p class="what">{words}</p><p class="effect">{effect}</p>{example}</div>{fix}</li>'
    )


def _rows(problem: Any, language: str) -> str:
    label = text("ui.health.show_row", language, n=_HERE)
    buttons = [
        f'<button type="button" class="row-link" data-do="row" data-row="{int(row)}"'
        f' title="{html.escape(label.replace(_HERE, str(row)))}">{int(row):,}</button>'
        for row in problem.rows[:_ROWS_OFFERED]
    ]
    return ", ".join(buttons) + (", …" if problem.count > _ROWS_OFFERED else "")


def _button(do: str, value: str, words: str) -> str:
    attributes = f'data-do="{do}" data-{do}="{html.escape(value)}"'
    return f'<button type="button" class="act" {attributes}>{html.escape(words)}</button>'


class Bar(NamedTuple):
    """Rows whose length lies from `start` to before `stop` tokens; the last bar holds all longer ones too."""

    start: int
    stop: int
    rows: int


def bars(lengths: Any, max_length: int, bins: int = BARS) -> list[Bar]:
    """Return the histogram of lengths in tokens; a few very long rows do not squeeze the others together.

    The cut line at `max_length` lies within whenever a row is cut.
    """
    import numpy

    longest, usual = int(lengths.max()), int(numpy.quantile(lengths, 0.95))
    top = longest if longest <= 3 * usual else max(2 * usual, min(longest, round(1.2 * max_length)))
    width = max(1, -(-(top + 1) // bins))
    count = -(-(top + 1) // width)
    counts = numpy.bincount(numpy.minimum(lengths // width, count - 1), minlength=count)
    return [Bar(n * width, (n + 1) * width, int(rows)) for n, rows in enumerate(counts)]


def lengths_html(checked: Checked, language: str) -> str:
    """Return the histogram of lengths with the cut line, a sentence that says the same, and what an epoch costs."""
    report = checked.report
    figures = report.token_figures if report is not None else {}
    if not figures:
        return empty("ui.lengths.empty", language)
    chart_bars = bars(report.lengths, report.max_length)
    sentence = _sentence(figures, report.max_length, language)
    return f'{_chart(chart_bars, report, sentence, language)}<p class="caption">{html.escape(sentence)}</p>' + _cost(
        figures, report.epoch_seconds, checked.grouped, language
    )


def _sentence(figures: dict[str, Any], limit: int, language: str) -> str:
    values = {name: f"{figures[name]:,}" for name in ("shortest", "median", "longest")}
    sentence = text("ui.lengths.sentence", language, **values)
    cut = figures["cut_share"]
    key = "ui.lengths.cut" if cut else "ui.lengths.uncut"
    return f"{sentence} {text(key, language, limit=f'{limit:,}', **({'share': f'{cut:.1%}'} if cut else {}))}"


def _chart(chart_bars: Sequence[Bar], report: Any, sentence: str, language: str) -> str:
    most = max(bar.rows for bar in chart_bars)
    top = chart_bars[-1].stop
    beyond = int(report.lengths.max()) >= top
    shapes = []
    for place, one in enumerate(chart_bars):
        height = 100 * one.rows / most
        if one.rows:
            height = max(height, 1.5)
        kind = "cut" if one.start >= report.max_length else "kept"
        words = text("ui.lengths.bar", language, start=f"{one.start:,}", stop=f"{one.stop - 1:,}", rows=f"{one.rows:,}")
        shapes.append(
            f'<rect class="{kind}" x="{place + 0.06:.2f}" y="{100 - height:.2f}" width=".88" height="{height:.2f}">'
            f"<title>{html.escape(words)}</title></rect>"
        )
    at = report.max_length / top
    line, label = "", ""
    if at <= 1:
        line = f'<i class="cut-line" style="left:{100 * at:.2f}%"></i>'
        words = html.escape(text("ui.lengths.limit", language, limit=f"{report.max_length:,}"))
        side = "right" if at > 0.6 else "left"
        label = f'<span class="cut-label {side}" style="left:{100 * at:.2f}%">{words}</span>'
    unit = html.escape(text("ui.lengths.unit", language))
    last = f"{top:,}" + (" +" if beyond else "")
    picture = (
        f'<svg viewBox="0 0 {len(chart_bars)} 100" preserveAspectRatio="none" role="img"'
        f' aria-label="{html.escape(sentence)}">{"".join(shapes)}</svg>'
    )
    axis = f'<p class="axis"><span>0</span><span>{unit}</span><span>{last}</span></p>'
    return f'<div class="histogram"><div class="plot">{label}{picture}{line}</div>{axis}</div>'


def _cost(figures: dict[str, Any], seconds: float | None, grouped: bool, language: str) -> str:
    """Return what an epoch costs in tokens; the way that the settings pad rows is marked."""
    total = figures["total"]

    def padding(name: str) -> str:
        waste = figures[name] - total
        return text("ui.lengths.waste", language, n=f"{waste:,}", share=f"{waste / max(figures[name], 1):.0%}")

    trained = figures["trained"]
    entries = [
        *([("time", duration(seconds, language), False)] if seconds else []),
        ("epoch", f"{total:,}", False),
        ("trained", f"{trained:,} ({trained / max(total, 1):.0%})", False),
        ("grouped", padding("padded_grouped"), grouped),
        ("shuffled", padding("padded_random"), not grouped),
    ]
    used = f' <span class="use">{html.escape(text("ui.lengths.in_use", language))}</span>'
    items = "".join(
        f"<div><dt>{html.escape(text(f'ui.lengths.{name}', language))}{used if mine else ''}</dt>"
        f"<dd>{html.escape(value)}</dd></div>"
        for name, value, mine in entries
    )
    return f'<dl class="figures">{items}</dl>'


def split_html(checked: Checked, language: str) -> str:
    """Return how many rows are trained on and how many are kept back."""
    report = checked.report
    if report is None or not report.train + report.validation:
        return ""
    share = 100 * report.validation / (report.train + report.validation)
    words = text("ui.split.sizes", language, train=f"{report.train:,}", validation=f"{report.validation:,}")
    picture = f'<div class="split" aria-hidden="true"><i style="width:{100 - share:.2f}%"></i></div>' if share else ""
    return f'{picture}<p class="caption">{html.escape(words)}</p>'


def written_html(checked: Checked, language: str) -> str:
    """Say how many rows the cleaned file holds."""
    if checked.written is None:
        return ""
    return hint("ui.clean.written", language, n=f"{checked.written:,}")
