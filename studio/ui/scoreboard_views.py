"""From an evaluation to what the scoreboard shows: progress, measures in words, and the rows side by side.

Pure functions without Gradio. Whatever comes from rows and answers is escaped before it becomes HTML.
"""

import html
from collections.abc import Sequence
from typing import Literal

from studio.compare.columns import Column
from studio.compare.comparison import AnswerPair
from studio.evaluate.evaluation_store import Evaluation
from studio.evaluate.scoreboard import Scoreboard
from studio.i18n import text
from studio.reports.comparison_card import Card, format_signed
from studio.ui import difference
from studio.ui.compare_views import pieces
from studio.ui.views import bar, column_label, empty, hint, one_line

Order = Literal["wins", "losses", "all"]
ORDERS: tuple[Order, ...] = ("wins", "losses", "all")
MOST_ROWS = 60
"""Rows that are shown at once; the others are counted."""
_SHORT = 120
_HEADS = ("measure", "before", "after", "reference", "gain", "verdict")


def progress(evaluation: Evaluation | None, language: str, is_running: bool) -> str:
    """Return how far an evaluation is, as a bar and in words."""
    if evaluation is None:
        return empty("ui.score.loading" if is_running else "ui.score.empty", language)
    values = {"done": evaluation.done, "total": evaluation.total}
    if evaluation.board is not None:
        key = "ui.score.done"
    elif is_running:
        key = "ui.score.scoring" if evaluation.done == evaluation.total else "ui.score.going"
    else:
        key = "ui.score.stopped"
    label = text(key, language, **values)
    share = evaluation.done / evaluation.total if evaluation.total else None
    notes = "".join(f'<p class="hint">{html.escape(one_line(note, language))}</p>' for note in evaluation.notes)
    return f'<div class="scan">{bar(share, label)}<span>{html.escape(label)}</span></div>{notes}'


def measured_at(evaluation: Evaluation | None, language: str) -> str:
    """Say which adapter an evaluation has measured, how strong, and on how many rows; empty before the first row."""
    if evaluation is None or not evaluation.pairs:
        return ""
    about = text("ui.score.at", language, column=column_label(evaluation.column, language), rows=len(evaluation.pairs))
    return f'<p class="hint">{html.escape(about)}</p>'


def others(column: Column, measured: Sequence[Column], language: str) -> str:
    """Say that a column is not measured, and which ones are; what to press where none is."""
    if not measured:
        return empty("ui.score.empty", language)
    names = " · ".join(column_label(each, language) for each in measured)
    about = text("ui.score.others", language, column=column_label(column, language), measured=names)
    return f'<p class="empty">{html.escape(about)}</p>'


def measures(board: Scoreboard | None, language: str) -> str:
    """Return the measures of both sides as a table, the verdicts in words; empty without a scoreboard."""
    if board is None:
        return ""
    card = Card("", "", "", (AnswerPair("", "", ""),), scoreboard=board, language=language)
    heads = "".join(f'<th scope="col">{html.escape(text(f"card.{name}", language))}</th>' for name in _HEADS)
    lines = []
    for row in card.rows:
        tip = html.escape(text(f"compare.measures.{row.name}.help", language), quote=True)
        title = (
            f'<th scope="row" title="{tip}">{html.escape(row.title)} <small>{html.escape(row.direction)}</small></th>'
        )
        figures = {"before": row.before, "after": row.after, "reference": row.reference, "gain": row.gain}
        cells = "".join(_cell(text(f"card.{name}", language), value) for name, value in figures.items())
        verdict = f'<td class="verdict {row.verdict}">{html.escape(row.verdict_words)}</td>'
        lines.append(f"<tr>{title}{cells}{verdict}</tr>")
    first, *rest = (f'<p class="hint">{html.escape(note)}</p>' for note in card.notes)
    more = html.escape(text("ui.score.notes", language, count=len(rest)))
    notes = first + f'<details class="notes"><summary>{more}</summary>{"".join(rest)}</details>'
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return f'<div class="measures">{table}</div>{notes}'


def _cell(head: str, value: str) -> str:
    """Return a cell; one without a figure (no reference is to be met) is empty, and not there on a phone."""
    if not value:
        return "<td></td>"
    return f'<td data-head="{html.escape(head, quote=True)}">{html.escape(value)}</td>'


def sentence(board: Scoreboard | None, language: str) -> str:
    """Say in one sentence what the table says: how many measures got better, worse, or neither."""
    if board is None:
        return ""
    count = {name: sum(score.verdict == name for score in board.scores) for name in ("better", "worse", "unclear")}
    return text("ui.score.sentence", language, **count, rows=board.rows)


def rows(evaluation: Evaluation | None, order: Order, language: str) -> str:
    """Return the answered rows; each opens side by side. Wins and losses come with the biggest first."""
    if evaluation is None or not evaluation.pairs:
        return empty("ui.score.no_rows", language)
    board = evaluation.board
    chosen = list(range(len(evaluation.pairs)))
    if _sortable(evaluation) and board is not None and order != "all":
        chosen = board.rows_by_gain(len(chosen), worse=order == "losses")
        if not chosen:
            return empty(f"ui.score.none.{order}", language)
    items = [_row(evaluation, number, language) for number in chosen[:MOST_ROWS]]
    more = len(chosen) - len(items)
    rest = hint("ui.score.more", language, count=more) if more else ""
    return f'<div class="answered">{"".join(items)}</div>{rest}'


def _sortable(evaluation: Evaluation) -> bool:
    """Whether something says which rows got better: they have references."""
    return evaluation.board is not None and any(gain is not None for gain in evaluation.board.gains)


def _row(evaluation: Evaluation, number: int, language: str) -> str:
    before, after = evaluation.pairs[number]
    gain = evaluation.board.gains[number] if evaluation.board is not None else None
    mark = "" if gain is None else f'<b class="gain {"up" if gain > 0 else "down"}">{_signed(gain)}</b>'
    question = " ".join(before.prompt.split())
    short = question if len(question) <= _SHORT else question[:_SHORT] + " …"
    differences = difference.compare(before.answer, after.answer)
    whole = f'<div class="asked">{html.escape(before.prompt)}</div>'
    if before.reference:
        title = html.escape(text("card.reference", language))
        whole += f'<div class="reference"><small>{title}</small>{html.escape(before.reference)}</div>'
    sides = "".join(
        f'<div class="{kind}"><small>{html.escape(text(f"ui.compare.{name}", language))}</small>'
        f"{pieces(part, kind) or '–'}</div>"
        for name, kind, part in (("before", "one", differences.one), ("after", "two", differences.two))
    )
    summary = f"<summary><span>{number + 1}</span><q>{html.escape(short)}</q>{mark}</summary>"
    return f'<details class="pair">{summary}{whole}<div class="two-sides">{sides}</div></details>'


def _signed(gain: float) -> str:
    return f"{'▲' if gain > 0 else '▼' if gain < 0 else '='} {format_signed(gain)}"


def unit(evaluation: Evaluation | None, language: str) -> str:
    """Say by what the rows are sorted; empty before that is known."""
    if evaluation is None or evaluation.board is None:
        return ""
    if not _sortable(evaluation):
        return text("ui.score.no_references", language)
    return next((c.reason.text(language) for c in evaluation.board.choices if c.name == "gain"), "")
