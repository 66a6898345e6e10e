"""The card as a page: one file that needs nothing else, runs nothing, and shows every text as it is."""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from pathlib import Path

from studio.reports.comparison_card import Card, downsample, remove_control_characters

_POINTS = 120
_WIDTH, _HEIGHT = 240, 48

_STYLE = (Path(__file__).parent / "card.css").read_text(encoding="utf-8")


def to_html(card: Card) -> str:
    """Return the card as one HTML page: works offline and without scripts, which its own policy also forbids."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode("utf-8")).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    body = "".join(
        [
            _header(card),
            *_pairs(card),
            _stills(card),
            _facts(card),
            _reading(card),
            _scoreboard(card),
            _footer(card),
        ]
    )
    return (
        f'<!doctype html>\n<html lang="{_escape(card.language)}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{_escape(card.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>{body}</main>\n"
        "</body>\n</html>\n"
    )


def _escape(content: str) -> str:
    return escape(remove_control_characters(content), quote=True)


def _header(card: Card) -> str:
    mark = (
        '<svg viewBox="0 0 30 30" aria-hidden="true"><rect width="30" height="30" fill="#ccd3dd"/>'
        '<rect x="15" width="15" height="30" fill="#0d9488"/></svg>'
    )
    date = f"<time>{_escape(card.date)}</time>" if card.date else ""
    return f'<header>{mark}<h1 dir="auto">{_escape(card.title)}</h1>{date}</header>'


def _pairs(card: Card) -> list[str]:
    sides = (("before", card.base), ("after", card.adapter))
    articles = []
    for place, pair in enumerate(card.pairs, 1):
        panels = "".join(
            f'<section class="side {side}"><p class="label">{_escape(card.words(side))}'
            f'<span class="name" dir="auto">{_escape(name)}</span></p>{_answer(card, getattr(pair, side))}</section>'
            for side, name in sides
        )
        total = len(card.pairs)
        count = card.words("one_of", number=place, total=total) if total > 1 else ""
        articles.append(
            f'<article><p class="label">{_escape(card.words("prompt"))}<span class="count">{_escape(count)}</span></p>'
            f'<p class="prompt" dir="auto">{_escape(pair.prompt)}</p><div class="sides">{panels}</div></article>'
        )
    return articles


def _answer(card: Card, answer: str) -> str:
    if not answer.strip():
        return f'<p class="answer empty">{_escape(card.words("empty"))}</p>'
    return f'<p class="answer" dir="auto">{_escape(answer.strip())}</p>'


def _stills(card: Card) -> str:
    if not card.stills:
        return ""
    timelines = []
    for still in card.stills:
        last = len(still.answers) - 1
        panels = "".join(
            f'<section class="then {"last" if place == last else ""}"><p class="label">'
            f"{_escape(card.words('step', step=step))}</p>{_answer(card, answer)}</section>"
            for place, (step, answer) in enumerate(still.answers)
        )
        timelines.append(f'<p class="label still">{_escape(still.prompt)}</p><div class="stills">{panels}</div>')
    return f"<h2>{_escape(card.words('stills'))}</h2>{''.join(timelines)}"


def _facts(card: Card) -> str:
    lines = [f"<li>{_escape(line)}</li>" for line in card.recipe]
    if card.data_hash:
        lines.append(f"<li>{_escape(card.words('data'))} <code>{_escape(card.data_hash)}</code></li>")
    chart = ""
    if card.loss_line:
        words = _escape(card.loss_line)
        chart = f"<figure>{_sparkline(card.losses, words)}<figcaption>{words}</figcaption></figure>"
    if not lines and not chart:
        return ""
    return f'<h2>{_escape(card.words("recipe"))}</h2><div class="facts"><ul>{"".join(lines)}</ul>{chart}</div>'


def _reading(card: Card) -> str:
    lines = "".join(f"<li>{_escape(line)}</li>" for line in card.reading_lines)
    return f'<h2>{_escape(card.words("reading"))}</h2><ul class="reading">{lines}</ul>' if lines else ""


def _sparkline(losses: Sequence[float], words: str) -> str:
    points = downsample(losses, _POINTS)
    low, high = min(points), max(points)
    across, down = (_WIDTH - 8) / max(len(points) - 1, 1), (_HEIGHT - 8) / ((high - low) or 1)
    places = [(4 + i * across, 4 + (high - point) * down) for i, point in enumerate(points)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    x, y = places[-1]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{words}">'
        f'<polyline points="{line}" fill="none" stroke="#0d9488" stroke-width="2" stroke-linejoin="round" '
        f'stroke-linecap="round"/><circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="#0d9488"/></svg>'
    )


def _scoreboard(card: Card) -> str:
    if card.scoreboard is None:
        return ""
    names = ("measure", "before", "after", "reference", "gain", "verdict")
    heads = {name: _escape(card.words(name)) for name in names}
    rows = []
    for row in card.rows:
        cells = {"before": row.before, "after": row.after, "reference": row.reference, "gain": row.gain}
        rows.append(
            f'<tr><th scope="row">{_escape(row.title)}<small>{_escape(row.direction)}</small></th>'
            + "".join(f'<td data-head="{heads[name]}">{_escape(cell)}</td>' for name, cell in cells.items())
            + f'<td class="{row.verdict}">{_escape(row.verdict_words)}</td></tr>'
        )
    head = "".join(f'<th scope="col">{words}</th>' for words in heads.values())
    return (
        f"<h2>{_escape(card.words('scoreboard'))}</h2>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        + "".join(f'<p class="hint">{_escape(note)}</p>' for note in card.notes)
    )


def _footer(card: Card) -> str:
    return f"<footer>{_escape(card.words('made'))}</footer>"
