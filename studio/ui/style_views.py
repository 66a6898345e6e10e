"""What the meter says of a run, as the page shows it. Pure functions."""

import html
from collections.abc import Iterator, Sequence
from itertools import groupby

from studio.compare.columns import Column
from studio.data import speech_levels
from studio.events import Interval, StyleMeasured
from studio.i18n import Message, text
from studio.runs import Run
from studio.style import prompted_store
from studio.style.headline import headline
from studio.style.report import ColumnReport, Curve, CurvePoint, StyleReport
from studio.style.request import StyleProgress
from studio.style.strength import StyleWord
from studio.ui.views import column_label, empty, one_line, paragraph, run_name, waiting

_COLUMNS = ("strength", "fit", "fluency", "ended", "copied", "drift", "tokens")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 246, 44, 40
"""The size of the strength curve and of its margins, in units of its view box."""
_MAX_LABELS = 7
"""Steps that are written under the points of a run."""


def progress(so_far: StyleProgress, language: str) -> str:
    """Return how many answers there are; without a total the measurement has not begun."""
    share = so_far.done / so_far.total if so_far.total else None
    count = text("ui.style.answers", language, done=so_far.done, total=so_far.total) if so_far.total else ""
    return waiting("phase.styling", language, share, count)


def report(style_report: StyleReport | None, language: str, votes: Sequence[Message] = ()) -> str:
    """Return all of a report, the sentence that sums it up first; without one, what will be here.

    `votes` say who won between the adapter and its rivals.
    """
    if style_report is None:
        return empty("ui.style.empty", language)
    parts = [f'<p class="headline">{html.escape(one_line(headline(style_report), language))}</p>']
    if style_report.verdict:
        parts.append(
            f'<p class="verdict {style_report.verdict.winner}">'
            f"{html.escape(one_line(style_report.verdict.reason, language))}</p>"
        )
        parts += [paragraph(sentence, language, "hint") for sentence in votes]
        if style_report.verdict.winner == "prompt":
            parts.append(_prompt(style_report, language))
    if style_report.columns:
        parts.append(_table(style_report, language))
        values = {"candidates": style_report.candidates, "chance": f"{100 / style_report.candidates:.0f}"}
        legend = text("style.legend", language, spread=f"{style_report.author_spread:.2f}", **values)
        measured = text("ui.style.measured", language, prompts=len(style_report.prompts))
        parts.append(f'<p class="hint">{html.escape(measured)} {html.escape(legend)}</p>')
        parts.append(_speech(style_report, language))
    if style_report.curve:
        parts.append(curve(style_report.curve, language))
    parts += [_words(side, words, language) for side, words in _sides(style_report) if words]
    parts += [paragraph(note, language, "hint") for note in style_report.notes]
    return "".join(parts)


def not_measured(column: Column, others: Sequence[StyleReport], language: str) -> str:
    """Say that a column was not measured, and which ones were; with the strength curve, if there is one."""
    titles = dict.fromkeys(
        column_label(each.column, language)
        for report in others
        for each in report.columns
        if each.column and not each.column.is_base
    )
    words = text("ui.style.not_measured", language, column=column_label(column, language), measured=" · ".join(titles))
    strength_curve = next((each.curve for each in others if each.curve), None)
    return f'<p class="empty">{html.escape(words)}</p>' + (curve(strength_curve, language) if strength_curve else "")


def words_of_data(measured: tuple[Run, StyleReport] | None, language: str) -> str:
    """Return what the style of some rows is, by the meter of a run on them; empty without one."""
    if measured is None:
        return ""
    run, report_of_run = measured
    words_line = html.escape(text("ui.style.of_data", language, run=run_name(run.id)))
    words = "".join(_words(side, words, language) for side, words in _sides(report_of_run) if words)
    return f'<section class="style-of-data"><h3>{words_line}</h3>{words}</section>' if words else ""


def underlined(answer: str, style_report: StyleReport | None, language: str) -> str:
    """Return an answer whose words with n-grams of the largest weight are underlined, each with whose style it is."""
    kinds: list[tuple[float, str, StyleWord] | None] = [None] * len(answer)
    for side, words in _sides(style_report) if style_report else []:
        for word in words:
            for start, end in _places(answer, word.ngram):
                for at in range(start, end):
                    if (known := kinds[at]) is None or known[0] < abs(word.weight):
                        kinds[at] = abs(word.weight), side, word
    parts = []
    for kind, places in groupby(range(len(answer)), key=kinds.__getitem__):
        piece = html.escape("".join(answer[at] for at in places))
        if kind:
            _, side, word = kind
            tooltip = f"{text(f'style.words.{side}', language)}: “{word.ngram}” ({word.weight:+.1f})"
            piece = f'<mark class="carries {side}" title="{html.escape(tooltip, quote=True)}">{piece}</mark>'
        parts.append(piece)
    return "".join(parts)


def _places(answer: str, ngram: str) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of the words that hold an n-gram; white space around an answer counts as one space.

    The n-gram may reach over several words.
    """
    padded, at = f" {answer} ", -1
    while (at := padded.find(ngram, at + 1)) >= 0:
        start, end = at - 1 + len(ngram) - len(ngram.lstrip()), at - 1 + len(ngram.rstrip())
        while start > 0 and not answer[start - 1].isspace():
            start -= 1
        while end < len(answer) and not answer[end].isspace():
            end += 1
        if start < end:
            yield max(0, start), end


def _sides(style_report: StyleReport) -> list[tuple[str, Sequence[StyleWord]]]:
    return [("author", style_report.author_words), ("base", style_report.base_words)]


def figures(style_report: StyleReport, language: str) -> str:
    """Return the figures of all columns alone; the reason where nothing could be measured."""
    return _table(style_report, language) if style_report.columns else paragraph(headline(style_report), language)


def _table(style_report: StyleReport, language: str) -> str:
    heads = "".join(f'<th scope="col">{html.escape(text(f"style.columns.{name}", language))}</th>' for name in _COLUMNS)
    first = html.escape(text("style.columns.column", language))
    rows = "".join(
        f'<tr><th scope="row">{html.escape(column_label(column, language))}</th>'
        + "".join(f"<td>{cell}</td>" for cell in _cells(column, language))
        + "</tr>"
        for column in style_report.columns
    )
    return (
        f'<div class="scroll" tabindex="0"><table class="style"><thead><tr><th scope="col">{first}</th>{heads}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _cells(column: ColumnReport, language: str) -> list[str]:
    fluency = "fluent" if column.fluent else "not_fluent"
    distance = text(f"style.fluency.{fluency}", language, distance=f"{column.perplexity_distance.value:+.2f}")
    drift = "–"
    if column.drift:
        divergence = f"{column.drift.divergence.value:.2f}"
        drift = html.escape(text(f"style.drift.{column.drift.level}", language, divergence=divergence))
    return [
        _interval(column.strength),
        _interval(column.fit, 100),
        html.escape(distance),
        f"{100 * column.ended.value:.0f} %",
        f"{100 * column.copied.value:.0f} %",
        drift,
        f"{column.prompt_tokens:.0f}" if column.prompt_tokens else "–",
    ]


def _interval(estimate: Interval, factor: float = 1.0) -> str:
    value, low, high = (factor * each for each in (estimate.value, estimate.low, estimate.high))
    return f"<b>{value:z.0f} %</b> <small>[{low:z.0f}–{high:z.0f}]</small>"


def _speech(style_report: StyleReport, language: str) -> str:
    """Return the Korean speech levels of each column's answers; empty where none has any."""
    described = {
        column_label(column, language): speech_levels.describe(column.answers, language)
        for column in style_report.columns
    }
    items = "".join(
        f"<dt>{html.escape(title)}</dt><dd>{html.escape(levels)}</dd>" for title, levels in described.items() if levels
    )
    heading = html.escape(text("speech.title", language))
    return f'<div class="speech"><strong>{heading}</strong><dl>{items}</dl></div>' if items else ""


def _words(side: str, words: Sequence[StyleWord], language: str) -> str:
    title = html.escape(text(f"style.words.{side}", language))
    items = "".join(f"<li>{html.escape(word.word)}</li>" for word in words)
    return f'<div class="style-words {side}"><strong>{title}</strong><ul>{items}</ul></div>'


def _prompt(style_report: StyleReport, language: str) -> str:
    """Return the prompt that does as well, to be copied."""
    if style_report.prompted is None or style_report.prompted.column is None:
        return ""
    title = html.escape(text("ui.style.prompt", language))
    prompt = html.escape(prompted_store.to_text(style_report.prompted.column))
    return f'<details><summary>{title}</summary><pre id="style-prompt">{prompt}</pre></details>'


def use(style_report: StyleReport | None, language: str) -> str:
    """Return the words of the button that uses the recommended strength; empty without one."""
    if not (style_report and style_report.curve):
        return ""
    return text("ui.style.use", language, percent=f"{100 * style_report.curve.recommended:g}")


# The strength curve, and the points of a run


def curve(measured: Curve, language: str) -> str:
    """Return style and fit over the adapter's strength as a picture, with the strength to use and why."""
    factors = [point.factor for point in measured.points]
    picture = _picture(
        measured.points,
        factors,
        [f"{100 * factor:g} %" for factor in factors],
        measured.recommended,
        text("style.curve.title", language),
        text("style.curve.strength", language),
        language,
    )
    return f'<figure class="strength-curve">{picture}{paragraph(measured.reason, language)}</figure>'


def points(measurements: Sequence[StyleMeasured], kept_step: int | None, language: str) -> str:
    """Return style and fit over the steps of a run as a picture, with the `kept_step`; empty below two."""
    if len(measurements) < 2:
        return ""
    measurements = sorted(measurements, key=lambda point: point.step)
    steps = [point.step for point in measurements]
    every = -(-len(steps) // _MAX_LABELS)
    labels = [f"{step:,}" if place % every == 0 else "" for place, step in enumerate(steps)]
    title, axis = text("ui.curves.style", language), text("ui.loss.x", language)
    picture = _picture(measurements, steps, labels, kept_step, title, axis, language)
    return f'<figure class="strength-curve">{picture}</figure>'


def _picture(
    measured: Sequence[CurvePoint | StyleMeasured],
    places: Sequence[float],
    labels: Sequence[str],
    chosen: float | None,
    title: str,
    axis: str,
    language: str,
) -> str:
    """Return style with its interval and fit of points at some rising places, with a line at the `chosen` one."""
    most = max(100.0, *(min(point.strength.high, 200) for point in measured))

    def x(place: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 26) * place / places[-1]

    def y(percent: float) -> float:
        return 10 + (_HEIGHT - _BOTTOM - 10) * (1 - min(max(percent, 0), most) / most)

    def line(kind: str, values: Sequence[float]) -> str:
        points = " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value in zip(places, values, strict=True))
        return f'<polyline class="{kind}" points="{points}"/>'

    pairs = list(zip(places, measured, strict=True))
    forth = [f"{x(place):.1f},{y(point.strength.high):.1f}" for place, point in pairs]
    back = [f"{x(place):.1f},{y(point.strength.low):.1f}" for place, point in reversed(pairs)]
    marks = "".join(_mark(point, x(place), y(point.strength.value)) for place, point in pairs)
    lines = line("fit", [100 * point.fit.value for point in measured])
    lines += line("strength", [point.strength.value for point in measured])
    rows = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - 26}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value} %</text>'
        for value in range(0, int(most) + 1, 50)
    )
    under = f'y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle"'
    named = zip(places, labels, strict=True)
    ticks = "".join(f'<text x="{x(place):.1f}" {under}>{label}</text>' for place, label in named if label)
    mark = ""
    if chosen is not None and chosen in places:
        mark = f'<line class="chosen" x1="{x(chosen):.1f}" x2="{x(chosen):.1f}" y1="10" y2="{_HEIGHT - _BOTTOM}"/>'
    title = html.escape(title)
    names = "".join(
        f'<span class="{kind}">{html.escape(text(f"style.columns.{kind}", language))}</span>'
        for kind in ("strength", "fit")
    )
    names += f'<span class="bad">✕ {html.escape(text("style.headline.not_fluent", language))}</span>'
    return (
        f"<figcaption>{title} {names}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">{rows}'
        f'<polygon class="band" points="{" ".join(forth + back)}"/>{mark}{lines}{marks}{ticks}'
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 1}" text-anchor="middle">{html.escape(axis)}</text></svg>'
    )


def _mark(point: CurvePoint | StyleMeasured, x: float, y: float) -> str:
    if not point.fluent:
        return f'<text class="bad" x="{x:.1f}" y="{y + 5:.1f}" text-anchor="middle">✕</text>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{point.strength.value:.0f} %</title></circle>'
