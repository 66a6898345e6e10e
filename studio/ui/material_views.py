"""What a chat export or a document holds, and what became of it, as HTML."""

import html
from collections.abc import Mapping, Sequence

from studio.i18n import Message, has, message, text
from studio.material.endpoint import Cost
from studio.material.reading import Summary
from studio.material.review import DROP, EDIT, KEEP, Card, Counts
from studio.ui.views import paragraph


def overview(summary: Summary, language: str) -> str:
    """Return what was read, before rows are made of it."""
    formats = ", ".join(f"{name} ({count:,})" for name, count in summary.formats.most_common())
    parts = [paragraph(message("material.read_as", formats=formats), language)]
    parts += [paragraph(note, language, "hint") for note in summary.notes]
    return "".join([*parts, _counts("left_out", summary.left_out, language)])


def result(summary: Summary, language: str) -> str:
    """Return the rows that were made, what was left out and what was replaced, with examples."""
    parts = [paragraph(message("ui.material.made", rows=summary.rows), language)]
    if len(summary.recipes) > 1:
        parts.append(_counts("recipe", summary.recipes, language, names="recipes"))
    notes = [summary.silence.reason] if summary.silence else []
    parts += [paragraph(note, language, "hint") for note in (*notes, *summary.notes)]
    parts.append(_counts("left_out", summary.left_out, language))
    if summary.is_scrubbed:
        parts.append(_counts("replaced", summary.replaced, language, names="kinds"))
        examples = [example.text for of_kind in summary.examples.values() for example in of_kind[:1]]
        parts += [f'<p class="hint">… {html.escape(example)} …</p>' for example in examples]
        parts.append(paragraph(message("material.rules_miss"), language, "hint"))
    return "".join(parts)


def cost(cost: Cost, model: str, language: str) -> str:
    """Return what an endpoint is to be sent, before anything is."""
    tokens = {"prompt_tokens": f"{cost.prompt_tokens:,}", "completion_tokens": f"{cost.completion_tokens:,}"}
    cost_line = message("material.cost", requests=f"{cost.requests:,}", model=model, **tokens)
    return paragraph(cost_line, language) + paragraph(message("ui.material.not_sent"), language, "hint")


def review_counts(counts: Counts, first: int, last: int, language: str) -> str:
    """Return how far the rows were looked through."""
    numbers = {name: f"{getattr(counts, name):,}" for name in ("rows", "kept", "edited", "dropped", "open")}
    words = text("ui.review.counts", language, first=first, last=last, **numbers)
    return f'<p class="hint" role="status">{html.escape(words)}</p>'


def review_cards(cards: Sequence[Card], language: str) -> str:
    """Return rows as a list of cards, each with its buttons; `data-do` says what a button does."""
    return f'<ol class="review">{"".join(_review_card(card, language) for card in cards)}</ol>'


def _review_card(card: Card, language: str) -> str:
    words = [text("ui.review.row", language, number=f"{card.number:,}")]
    if card.state:
        words.append(text(f"ui.review.state.{card.state}", language))
    if card.edited:
        words.append(text("ui.review.state.edited", language))
    place = text("ui.review.place", language, **{name: card.origin.get(name, "–") for name in ("file", "place")})
    sections = ""
    for name, content in _joined(card.sections):
        key = f"ui.review.section.{name}"
        title = text(key, language) if has(key) else name
        sections += f"<dt>{html.escape(title)}</dt><dd>{html.escape(content)}</dd>"
    buttons = "".join(_review_button(card, action, language) for action in (KEEP, EDIT, DROP))
    title = f"<b>{html.escape(' · '.join(words))}</b> <span>{html.escape(place)}</span>"
    state = card.state or "open"
    return f'<li class="review-{state}"><p>{title}</p><dl>{sections}</dl><p class="buttons">{buttons}</p></li>'


def _review_button(card: Card, action: str, language: str) -> str:
    label = html.escape(text(f"ui.review.{action}_row", language, number=f"{card.number:,}"))
    pressed = "" if action == EDIT else f' aria-pressed="{str(card.state == action).lower()}"'
    return (
        f'<button type="button" class="act" id="review-{action}-{card.number}" data-do="{action}"'
        f' data-row="{card.number}" aria-label="{label}"{pressed}>{text(f"ui.review.{action}", language)}</button>'
    )


def _joined(sections: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the sections with the five keywords as one."""
    keys = [content for name, content in sections if name.startswith("key")]
    others = [section for section in sections if not section[0].startswith("key")]
    return [("key", ", ".join(keys)), *others] if keys else others


def _counts(key: str, counts: Mapping[str, int], language: str, names: str | None = None) -> str:
    """Return counts by kind as a list under the heading of `key`; nothing without counts."""
    if not counts:
        return ""
    items = [
        f"<li>{html.escape(Message(f'material.{names or key}.{kind}').text(language))}: {count:,}</li>"
        for kind, count in sorted(counts.items(), key=lambda item: -item[1])
    ]
    title = html.escape(text(f"material.column.{key}", language))
    return f'<p class="section">{title}</p><ul class="counts">{"".join(items)}</ul>'
