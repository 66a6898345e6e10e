"""From a comparison to what the Compare tab shows: answers, their differences, lyrics, captions and the proof.

Pure functions without Gradio. Whatever comes from prompts, answers or names is escaped before it becomes HTML.
"""

import html
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from studio.compare import lyrics
from studio.compare.columns import ADAPTED, NOW, Column, CompareRequest
from studio.compare.comparison import Comparison
from studio.compare.comparison_history import SavedComparison
from studio.compare.proof import Proof
from studio.generation.generate import ColumnAnswer
from studio.generation.likelihood import TokenScores
from studio.i18n import text
from studio.style.report import StyleReport
from studio.ui import difference, style_views
from studio.ui.difference import Piece
from studio.ui.views import column_label, empty, hint, one_line

View = Literal["plain", "difference", "likelihood", "lyrics", "style"]
VIEWS: tuple[View, ...] = ("plain", "difference", "likelihood", "lyrics", "style")
NUMBERS = ("temperature", "max_new_tokens", "seed", "top_p", "top_k", "repetition_penalty")
"""The settings for answering that can be changed beside the prompt."""
NO_CAPTION = '<p class="caption">&nbsp;</p>'
_HASH = 12
"""Digits of a hash that are shown at once; all of them are one click away."""
_SHORT = 60
"""Characters of a prompt in the list of saved comparisons."""
_STRONG = 2.0
"""Nats from which on a token's mark is as strong as it gets: 7.4 times as likely."""
COPY = (
    "element.addEventListener('click', async event => { const asked = event.target.closest('[data-copy]');"
    " if (!asked) return; await navigator.clipboard.writeText(asked.dataset.copy);"
    " asked.textContent = asked.dataset.done; });"
)
"""Makes the copy buttons inside an answer work."""


# Answers


def answer(
    comparison: Comparison,
    column: int,
    view: View,
    language: str,
    token_scores: Sequence[TokenScores] | None = None,
    style: StyleReport | None = None,
) -> str:
    """Return what a column has said so far: the chat before, the prompt, and the answer in the chosen view.

    `style` is the meter's report that knows the words to underline.
    """
    side = comparison.answers[0][column]
    request = comparison.request
    earlier = "".join(
        _question(prompt) + f'<div class="answer earlier">{html.escape(words)}</div>'
        for prompt, words in zip(request.earlier, request.columns[column].said, strict=True)
    )
    question = _question(request.prompts[0])
    if view == "style" and style and side.text and side.end is not None:
        return f'{earlier}{question}<div class="answer">{style_views.underlined(side.text, style, language)}</div>'
    return earlier + question + _answer(comparison, column, side, view, language, token_scores)


def saved_choice(saved: SavedComparison, language: str) -> str:
    """Return the line that offers a saved comparison: when, what was asked, and of whom."""
    prompt = " ".join(saved.comparison.request.prompts[0].split())
    short = prompt if len(prompt) <= _SHORT else prompt[:_SHORT] + " …"
    columns = " | ".join(column_label(column, language) for column in saved.comparison.request.columns)
    return f"{datetime.fromtimestamp(saved.at):%Y-%m-%d %H:%M} · {short} · {columns}"


def waiting(request: CompareRequest, language: str) -> tuple[str, ...]:
    """Return what stands in each column until its first token is there."""
    unanswered = tuple(ColumnAnswer() for _ in request.columns)
    comparison = Comparison(request, (unanswered,))
    return tuple(answer(comparison, number, "plain", language) for number in range(len(unanswered)))


def _question(prompt: str) -> str:
    return f'<div class="asked">{html.escape(prompt)}</div>'


def _answer(
    comparison: Comparison,
    column: int,
    side: ColumnAnswer,
    view: View,
    language: str,
    token_scores: Sequence[TokenScores] | None,
) -> str:
    if not side.text:
        return empty("ui.compare.waiting" if side.end is None else "ui.compare.said_nothing", language)
    if side.end is None:
        return f'<div class="answer">{html.escape(side.text)}<span class="cursor"></span></div>'
    if token_scores and view == "likelihood" and column == 1:
        return _token_scores_html(token_scores, language)
    if view == "difference" and len(comparison.answers[0]) > 1:
        other = comparison.answers[0][0 if column else 1]
        differences = difference.compare(side.text, other.text)
        return f'<div class="answer differs">{pieces(differences.one, "two" if column else "one")}</div>'
    if view == "lyrics":
        return song(side.text, language)
    return f'<div class="answer">{html.escape(side.text)}</div>'


def pieces(parts: Sequence[Piece], side: str) -> str:
    """Return an answer with the words marked that the other side lacks; the sides are underlined in different ways."""
    return "".join(
        f'<mark class="own {side}">{html.escape(piece.text)}</mark>' if piece.own else html.escape(piece.text)
        for piece in parts
    )


def shared_line(comparison: Comparison, language: str) -> str:
    """Say in words how many words the first two answers have in common; empty for one that goes on."""
    sides = comparison.answers[0] if comparison.answers else ()
    if len(sides) < 2 or any(side.end is None for side in sides):
        return ""
    shared = difference.compare(sides[0].text, sides[1].text).shared
    return text("ui.compare.shared", language, percent=round(100 * shared))


def song(answer: str, language: str) -> str:
    """Return an answer shaped as lyrics: stanzas under their tags, with the lines that come back marked."""
    stanzas = lyrics.shape(answer)
    if sum(len(stanza.lines) for stanza in stanzas) < 2:
        note = hint("ui.lyrics.one_line", language)
        return f'<div class="answer">{html.escape(answer)}</div>{note}'
    parts = []
    for stanza in stanzas:
        lines = "".join(_line(line, language) for line in stanza.lines)
        parts.append(f"<section><h3>[{html.escape(stanza.tag)}]</h3>{lines}</section>")
    copied = html.escape(lyrics.tagged_text(stanzas), quote=True)
    words, done = (html.escape(text(f"ui.lyrics.{name}", language), quote=True) for name in ("copy", "copied"))
    button = f'<button type="button" class="act" data-copy="{copied}" data-done="{done}">{words}</button>'
    return f'<div class="answer song">{"".join(parts)}</div>{button}'


def _line(line: lyrics.Line, language: str) -> str:
    words = html.escape(line.text)
    if line.hook is None:
        return f"<p>{words}</p>"
    tooltip = html.escape(text("ui.lyrics.hook", language, number=line.hook, times=line.times))
    return f'<p class="hook">{words} <span class="times" title="{tooltip}">♪{line.hook} ×{line.times}</span></p>'


def _token_scores_html(token_scores: Sequence[TokenScores], language: str) -> str:
    """Return an answer token by token: the stronger a mark, the likelier (or less likely) the adapter made it."""
    parts = []
    for token in token_scores:
        strength = min(3, math.ceil(3 * abs(token.gain) / _STRONG)) if abs(token.gain) >= 0.1 else 0
        kind = f"{'up' if token.gain > 0 else 'down'} s{strength}" if strength else "even"
        first, last = (100 * math.exp(each) for each in (token.log_probabilities[0], token.log_probabilities[-1]))
        tooltip = text(
            "ui.likelihood.token", language, times=times(token.gain), before=f"{first:.2g}", after=f"{last:.2g}"
        )
        token_html = html.escape(token.text).replace("\n", "↵\n")
        parts.append(
            f'<span class="w {kind}" tabindex="0" title="{html.escape(tooltip, quote=True)}">{token_html}</span>'
        )
    return f'<div class="answer weighed">{"".join(parts)}</div>'


def times(gain: float) -> str:
    """Return a gain in nats as a factor: `×3.2`, `÷40`."""
    factor = math.exp(min(abs(gain), 50))
    number = f"{factor:,.0f}" if factor >= 10 else f"{factor:.1f}"
    return f"{'×' if gain >= 0 else '÷'}{number}"


def token_scores_line(token_scores: Sequence[TokenScores], language: str) -> str:
    """Say in words what the likelihood view shows."""
    gain = sum(token.gain for token in token_scores) / max(1, len(token_scores))
    most = max(token_scores, key=lambda token: token.gain, default=None)
    if most is None:
        return ""
    quoted = " ".join(most.text.split()) or "↵"
    return text("ui.likelihood.line", language, times=times(gain), token=quoted, most=times(most.gain))


def caption(side: ColumnAnswer, language: str) -> str:
    """Say how long an answer is, how fast it came and how it ended."""
    facts = [text("ui.answer.tokens", language, n=side.tokens)]
    if side.tokens_a_second is not None:
        facts.append(text("ui.answer.speed", language, n=_figure(side.tokens_a_second)))
    if side.first_seconds is not None:
        facts.append(text("ui.answer.first", language, s=f"{side.first_seconds:.1f}"))
    if side.end:
        facts.append(text(f"ui.answer.{side.end}", language))
    return f'<p class="caption">{html.escape(" · ".join(facts))}</p>'


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def column_title(column: Column, number: int, base: str, run: str, language: str) -> str:
    """Return a column's heading: Before and After for the first two, and what answers there."""
    head, name = _heading(column, number, base, run, language)
    return f'<h2 class="heading">{html.escape(head)}<span class="name">{html.escape(name)}</span></h2>'


def column_name(column: Column, number: int, base: str, run: str, language: str) -> str:
    """Return a column's heading as plain text."""
    return " · ".join(_heading(column, number, base, run, language))


def _heading(column: Column, number: int, base: str, run: str, language: str) -> tuple[str, str]:
    sides = ("before", "after")
    head = text(f"ui.compare.{sides[number]}", language) if number < len(sides) else f"{number + 1}"
    is_result = replace(column, said=()) == ADAPTED
    name = column_label(column, language)
    if column.is_plain and (column.kind == "base" or is_result):
        name = base if column.kind == "base" else run
    return head, name


def settings_line(request: CompareRequest, language: str) -> str:
    """Say how the columns were asked to answer: greedily or with which sampling, and how long at most."""
    settings = request.generation
    greedy = settings.temperature == 0
    sampling = text(f"ui.compare.{'greedy' if greedy else 'sampled'}", language, **settings.model_dump())
    return text("ui.compare.settings_line", language, sampling=sampling, tokens=settings.max_new_tokens)


# The proof


def settings_of(request: CompareRequest) -> tuple[Any, ...]:
    """Return what the head of the tab was set to for a comparison: prompt, checkpoint, strength, and the numbers.

    None stands for a checkpoint and a strength where no column is an adapter of the run.
    """
    first = (request.earlier or request.prompts)[0]
    own = (
        each for each in request.columns if each.kind == "adapter" and (each.adapter == NOW or each.step is not None)
    )
    adapter = next(own, None)
    chosen = (adapter.adapter, round(100 * adapter.strength, 2)) if adapter else (None, None)
    return (first, *chosen, *(getattr(request.generation, name) for name in NUMBERS))


def badge(comparison: Comparison | None, language: str) -> str:
    """Return the verdict on a comparison with its details, or say loudly what is wrong.

    `data-answered` holds `settings_of`: by it, the browser dims answers to other settings than those on the screen.
    """
    if comparison is None:
        return _quiet("ui.proof.none", language)
    answered = html.escape(json.dumps(settings_of(comparison.request)))
    return f'<div data-answered="{answered}">{_verdict(comparison, language)}</div>'


def _verdict(comparison: Comparison, language: str) -> str:
    notes = "".join(f'<p class="hint">{html.escape(one_line(note, language))}</p>' for note in comparison.notes)
    if comparison.proof is None:
        return _quiet("ui.proof.going", language) + notes
    proof = comparison.proof
    details = _details(comparison, proof, language)
    if proof.verified:
        greedy = comparison.request.generation.temperature == 0
        key = "greedy" if greedy else "sampled"
        alike = len(set(proof.prompt_sha256)) == 1
        explanation = text(f"ui.proof.{key}" if alike else f"ui.proof.{key}_told", language)
        head = f"<b>✓ {html.escape(text('ui.proof.verified', language))}</b><span>{html.escape(explanation)}</span>"
        head = f'<summary>{head}<i aria-hidden="true">ⓘ</i></summary>'
        return f'<details class="proof good">{head}{details}</details>{notes}'
    explanation = (*proof.problems, *proof.unproven)
    problems = "".join(f"<p>{html.escape(one_line(problem, language))}</p>" for problem in explanation)
    sign, key, kind = ("✕", "wrong", "proof-wrong") if proof.problems else ("⚠", "unproven", "proof-wrong unproven")
    head = f"<b>{sign} {html.escape(text(f'ui.proof.{key}', language))}</b>"
    more = html.escape(text("ui.proof.details", language))
    return (
        f'<div class="failure {kind}" role="alert"><strong>{head}</strong>{problems}'
        f'<details class="proof"><summary>{more}</summary>{details}</details></div>{notes}'
    )


def _quiet(key: str, language: str) -> str:
    return f'<p class="proof-none">{html.escape(text(key, language))}</p>'


def _details(comparison: Comparison, proof: Proof, language: str) -> str:
    columns = comparison.request.columns
    rows = [("base", _hash(proof.base_sha256), ""), ("precision", html.escape(proof.precision), "")]
    untouched = "untouched" if proof.base_is_untouched else "touched"
    values = {"difference": f"{proof.base_difference:.2g}", "tolerance": f"{proof.tolerance:.2g}"}
    rows.append(("base_check", html.escape(text(f"ui.proof.{untouched}", language, **values)), ""))
    for number, (column, prompt) in enumerate(zip(columns, proof.prompt_sha256, strict=True)):
        adapter = proof.adapter_sha256[number]
        name = f"{number + 1} · {column_label(column, language)}"
        if adapter:
            rows.append(("adapter", _hash(adapter), name))
        if known := dict(enumerate(proof.made_for)).get(number):
            rows.append(("made_for", html.escape(text(f"ui.proof.known.{known}", language)), name))
        rows.append(("prompt", _hash(prompt), name))
    if len(columns) > 1:
        differ = text("ui.proof.differ_by", language, percent=f"{100 * proof.sides_differ:.2g}")
        rows.append(("differ", html.escape(differ), ""))
    template = {True: "template_yes", False: "template_no", None: "template_unknown"}[proof.template_as_trained]
    rows.append(("template", html.escape(text(f"ui.proof.{template}", language)), ""))
    items = []
    for key, value, name in rows:
        title = html.escape(text(f"ui.proof.{key}", language))
        of = f" <small>{html.escape(name)}</small>" if name else ""
        items.append(f"<dt>{title}{of}</dt><dd>{value}</dd>")
    return f'<dl class="choices">{"".join(items)}</dl>'


def _hash(digest: str) -> str:
    whole = html.escape(digest)
    return f'<code title="{whole}">{whole[:_HASH]}<span class="rest">{whole[_HASH:]}</span></code>'
