"""One row as it is and as the model sees it, and the table of raw rows: small HTML, everything of a row escaped."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from studio.data.preview import Preview
from studio.i18n import text
from studio.ui.data_state import Column, DataState, Offer
from studio.ui.views import empty

MOST_TOKENS = 1500
"""Tokens shown from the beginning of a row, and a fifth as many from its end: what a browser draws without a pause."""
LONGEST_VALUE = 2000
_SPECIAL = re.compile(r"<\|[^|<>]*\|>|</?s>|<(?:bos|eos|pad|unk|start_of_turn|end_of_turn)>|\[/?INST\]")
LABELS = ("context", "trained", "cut")


def tokens_html(spans: Sequence[tuple[str, str]], language: str) -> str:
    """Return the tokens of a row, marked as trained, context or cut; special tokens and line ends are visible."""
    token_spans: Iterable[str]
    if len(spans) <= MOST_TOKENS * 1.2:
        token_spans = (_token(*span) for span in spans)
    else:
        end = MOST_TOKENS // 5
        gap = text("ui.preview.gap", language, n=f"{len(spans) - MOST_TOKENS - end:,}")
        token_spans = [
            *(_token(*span) for span in spans[:MOST_TOKENS]),
            f'<span class="gap">{html.escape(gap)}</span>',
            *(_token(*span) for span in spans[-end:]),
        ]
    labels = {label for _, label in spans}
    keys = (
        f'<span class="t {label}">{html.escape(text(f"ui.tokens.{label}", language))}</span>'
        for label in LABELS
        if label in labels
    )
    return f'<p class="token-keys">{"".join(keys)}</p><div class="tokens">{"".join(token_spans)}</div>'


def answers_html(preview: Preview, language: str) -> str:
    """Return the tokens of a row; of a pair, the better and the worse answer beside each other."""
    if preview.good is not None:
        side = "good" if preview.good else "bad"
        return _side(side, preview.spans, language)
    if not preview.rejected:
        return tokens_html(preview.spans, language)
    sides = (("chosen", preview.spans), ("rejected", preview.rejected))
    return f'<div class="answers">{"".join(_side(side, spans, language) for side, spans in sides)}</div>'


def _side(side: str, spans: Sequence[tuple[str, str]], language: str) -> str:
    title = html.escape(text(f"preview.side.{side}", language))
    return f"<section><h4>{title}</h4>{tokens_html(spans, language)}</section>"


def _token(words: str, label: str) -> str:
    special = " special" if _SPECIAL.fullmatch(words.strip()) else ""
    words_html = html.escape(words).replace("\n", '<i aria-hidden="true">↵</i>\n')
    return f'<span class="t {html.escape(label)}{special}">{words_html}</span>'


def tokens_line(tokens: int, trained: int, ends: bool, language: str) -> str:
    """Say how many tokens a row has, how many of them are trained, and whether its end is."""
    percent = round(100 * trained / tokens) if tokens else 0
    counts = text("ui.preview.counts", language, tokens=f"{tokens:,}", trained=f"{trained:,}", percent=percent)
    ending = text("ui.preview.ends" if ends else "ui.preview.cut", language)
    kind = "good" if ends else "bad"
    return f'<p class="caption">{html.escape(counts)} · <span class="{kind}">{html.escape(ending)}</span></p>'


def raw_row(row: Mapping[str, Any], columns: Sequence[Column], language: str) -> str:
    """Return a raw row, column by column, with what each column is used for."""
    uses = {column.name: column.use for column in columns}
    items = []
    for name, value in row.items():
        use = uses.get(name) or next((u for n, u in uses.items() if u and n.startswith(f"{name}.")), "")
        words = "" if value is None else str(value)
        cut = len(words) > LONGEST_VALUE
        value_html = html.escape(words[:LONGEST_VALUE]) + (" …" if cut else "")
        items.append(f"<dt>{html.escape(name)}{_use(use, language)}</dt><dd>{value_html or '<i>—</i>'}</dd>")
    return f'<dl class="raw">{"".join(items)}</dl>'


def _use(use: str, language: str) -> str:
    return f' <span class="use">{html.escape(text(f"ui.columns.{use}", language))}</span>' if use else ""


def table_html(state: DataState, language: str) -> str:
    """Return the first raw rows as a table, the columns in use marked."""
    if not state.cells:
        return empty("ui.rows.empty", language)
    insides = tuple(f"{column.name}." for column in state.columns)  # of which a column is a part
    column_numbers = [number for number, column in enumerate(state.columns) if not column.name.startswith(insides)]
    heads = "".join(_head(state.columns[number], state.columns, language) for number in column_numbers)
    body = "".join(_row(number, cells, state, column_numbers, language) for number, cells in enumerate(state.cells, 1))
    caption = html.escape(text("ui.rows.title", language))
    return (
        f'<div class="rows-box" tabindex="0" role="group" aria-label="{caption}">'
        f'<table class="rows"><thead><tr><th scope="col">#</th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _head(column: Column, columns: Sequence[Column], language: str) -> str:
    use = column.use or next((c.use for c in columns if c.use and c.name.startswith(f"{column.name}.")), "")
    kind = ' class="used"' if use else ""
    return f'<th scope="col"{kind}>{html.escape(column.name)}{_use(use, language)}</th>'


def _row(number: int, cells: Sequence[str], state: DataState, column_numbers: Sequence[int], language: str) -> str:
    if len(cells) != len(state.columns):
        words = html.escape(text("ui.rows.unreadable", language))
        inner = f'<td colspan="{len(column_numbers)}"><span class="bad">{words}</span> {html.escape(cells[0])}</td>'
    else:
        inner = "".join(
            f"<td{' class=used' if state.columns[place].use else ''}>{html.escape(cells[place])}</td>"
            for place in column_numbers
        )
    return f'<tr><th scope="row">{number}</th>{inner}</tr>'


def structure_html(state: DataState, language: str, counted: int | None = None) -> str:
    """Return what the file is: its kind, encoding and rows, and its columns with their types and uses.

    `counted` is the number of rows where the look does not know it yet.
    """
    if not state.columns:
        return ""
    facts = [text("ui.structure.hub", language) if state.file_format == "hub" else state.file_format.upper()]
    if state.encoding:
        facts.append(state.encoding.upper())
    rows = state.rows if state.rows is not None else counted
    if rows is not None:
        facts.append(text("ui.structure.rows", language, n=f"{rows:,}"))
    facts.append(text("ui.structure.columns", language, n=len(state.columns)))
    items = ""
    for column in state.columns:
        types = " · ".join(text(f"ui.types.{kind}", language) for kind in column.type.split(" | ") if kind)
        use = _use(column.use, language)
        items += f"<li><b>{html.escape(column.name)}</b> <span>{html.escape(types)}</span>{use}</li>"
    facts_html = "".join(f"<span>{html.escape(fact)}</span>" for fact in facts)
    return f'<p class="facts">{facts_html}</p><ul class="structure">{items}</ul>'


def offer_html(dataset: Offer, language: str) -> str:
    """Return the subsets of a data set, each with its splits, and what to do next."""
    items = "".join(
        f"<li><b>{html.escape(subset)}</b> <span>{html.escape(', '.join(splits))}</span></li>"
        for subset, splits in dataset.parts.items()
    )
    words = html.escape(text("ui.hub.found", language, n=len(dataset.parts)))
    return f'<p class="hint">{words}</p><ul class="structure">{items}</ul>'
