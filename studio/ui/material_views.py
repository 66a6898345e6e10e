"""What a chat export or a document holds, and what became of it, as HTML."""

import html
from collections.abc import Mapping

from studio.i18n import Message, message, text
from studio.material.make import Summary
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
    notes = [summary.silence.reason] if summary.silence else []
    parts += [paragraph(note, language, "hint") for note in (*notes, *summary.notes)]
    parts.append(_counts("left_out", summary.left_out, language))
    if summary.is_scrubbed:
        parts.append(_counts("replaced", summary.replaced, language, names="kinds"))
        examples = [example.text for shown in summary.examples.values() for example in shown[:1]]
        parts += [f'<p class="hint">… {html.escape(example)} …</p>' for example in examples]
        parts.append(paragraph(message("material.rules_miss"), language, "hint"))
    return "".join(parts)


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
