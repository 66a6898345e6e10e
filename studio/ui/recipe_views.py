"""The recipe in words: values as the form names them, what differs from a preset, and suggestions. Pure functions."""

import html
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from studio import command
from studio.config import RunConfig, value_of
from studio.i18n import has, text
from studio.model.hardware import Choice
from studio.train.suggest import Advice, Suggestion
from studio.ui.failures import lines
from studio.ui.views import hint
from studio.ui.words import class_of

LONGEST_VALUE = 60
AUTOMATIC = {
    "model.precision": "precision",
    "train.optimizer": "optimizer",
    "train.batch_split": "batches",
    "train.logging_steps": "logging_steps",
    "train.warmup_steps": "warmup_steps",
    "train.gradient_checkpointing": "gradient_checkpointing",
}
"""Settings that the preflight decides, and the name of its choice."""
WHOLE = ("data.source", "data.mapping", "data.validation")
"""Sections that are put back as a whole: their settings say one thing together."""


def title(path: str, language: str) -> str:
    """Return a setting's name as the form has it."""
    return text("ui.found.title" if path == command.MAPPING else f"config.{path}.title", language)


def value(path: str, raw: Any, language: str) -> str:
    """Return a setting's value as the form says it, shortened."""
    if raw is None or raw in ("", ()):
        words = text("ui.recipe.nothing", language)
    elif isinstance(raw, bool):
        words = text("ui.recipe.on" if raw else "ui.recipe.off", language)
    elif isinstance(raw, float):
        words = f"{raw:g}".replace("e-0", "e-")
    elif isinstance(raw, Mapping):
        words = command.format_value(raw)
    elif isinstance(raw, tuple | list):
        words = ", ".join(value(path, each, language) for each in raw)
    else:
        key = f"config.{path}.options.{raw}"
        words = text(key, language) if has(key) else " ".join(str(raw).split())
    return words if len(words) <= LONGEST_VALUE else words[: LONGEST_VALUE - 2] + " …"


def groups(paths: Iterable[str]) -> list[str]:
    """Return what is put back at once for each of the settings at `paths`: itself, or its section."""
    return list(dict.fromkeys(next((whole for whole in WHOLE if path.startswith(whole)), path) for path in paths))


def differences(name: str, base: RunConfig, config: RunConfig, language: str) -> str:
    """Return what differs from a preset, each with a button that puts it back, and the marks on the form."""
    changes = command.differences(base, config)
    if not changes:
        return hint("ui.recipe.as_preset", language, preset=name)
    items = []
    for path, now in changes.items():
        before = base.data.mapping and base.data.mapping.model_dump(exclude_defaults=True)
        then = before if path == command.MAPPING else value_of(base, path)
        words = f"{value(path, then, language)} → {value(path, now, language)}"
        group = groups([path])[0]
        label = text("ui.recipe.reset_one", language, setting=title(path, language))
        items.append(
            f"<li><span>{html.escape(title(path, language))} <b>{html.escape(words)}</b></span>"
            f'<button type="button" class="act" data-do="reset" data-setting="{group}" '
            f'aria-label="{html.escape(label)}">'
            f"{html.escape(text('ui.recipe.reset', language))}</button></li>"
        )
    head = html.escape(text("ui.recipe.changed", language, preset=name, count=len(changes)))
    return f'{marks(changes, language)}<p class="count">{head}</p><ul class="changed">{"".join(items)}</ul>'


def marks(paths: Iterable[str], language: str) -> str:
    """Return the style that marks the settings at `paths` on the form, with a word and not by colour alone."""
    names = ('[data-testid="block-info"]', ".label-text")  # of a checkbox, the words are elsewhere
    where = ", ".join(f".{class_of(path)} {name}::after" for path in paths for name in names)
    word = json.dumps(" · " + text("ui.recipe.mark", language), ensure_ascii=False)
    return f"<style>{where} {{ content: {word}; color: var(--good); font-weight: 600; }}</style>" if where else ""


def search(query: str, paths: Iterable[str], language: str) -> str:
    """Return the style that leaves only the settings whose path, name or help holds every word of the query."""
    words, paths = query.casefold().split(), list(paths)
    if not words:
        return ""
    left = [path for path in paths if all(word in _searched(path, language) for word in words)]
    away = [f".{class_of(path)}" for path in paths if path not in left]
    sections = {path.split(".")[0] for path in left}
    away += [f".section-{name}" for name in {path.split(".")[0] for path in paths} - sections]
    style = f"<style>{', '.join(away)} {{ display: none !important; }}</style>" if away else ""
    count_text = text("ui.recipe.matches", language, count=len(left), all=len(paths))
    return f'{style}<p class="hint" role="status">{html.escape(count_text)}</p>'


def _searched(path: str, language: str) -> str:
    return f"{path} {text(f'config.{path}.title', language)} {text(f'config.{path}.help', language)}".casefold()


def reason(path: str, choices: Iterable[Choice], language: str) -> str:
    """Return why an automatic setting is what it is now; empty while that is not known."""
    matching = next((choice for choice in choices if choice.name == AUTOMATIC[path]), None)
    if matching is None:
        return ""
    words = text("ui.recipe.now", language, value=matching.value, reason=matching.reason.text(language))
    return f'<p class="hint why">{html.escape(words)}</p>'


def suggestion(item: Suggestion, language: str) -> str:
    """Return a suggestion on one line: the setting, from what to what, and why."""
    before, then = (value(item.path, each, language) for each in (item.before, item.value))
    return f"{title(item.path, language)}: {before} → {then}. {item.reason.text(language)}"


def suggestions(advice: Advice, language: str) -> list[tuple[str, str]]:
    """Return the suggestions as a list of choices offers them: words and path."""
    return [(suggestion(item, language), item.path) for item in advice.suggestions]


def advice(result: Advice, language: str, applied: Collection[str] | None = None) -> str:
    """Return what the suggestions were drawn from, what no setting mends, and which were applied (their paths)."""
    parts = [f'<p class="hint">{html.escape(" ".join(each.text(language) for each in result.read))}</p>']
    parts += [f'<p class="told">⚠ {html.escape(" ".join(lines(each, language)))}</p>' for each in result.warnings]
    if not result.suggestions:
        parts.append(f'<p class="good">{html.escape(text("suggest.nothing", language))}</p>')
    if applied is not None:
        parts.append(f'<p class="good">{html.escape(text("ui.suggest.applied", language, count=len(applied)))}</p>')
        applied_items = [suggestion(each, language) for each in result.suggestions if each.path in applied]
        parts.append(f"<ul>{''.join(f'<li>{html.escape(each)}</li>' for each in applied_items)}</ul>")
    return "".join(parts)


def command_line(config: RunConfig, language: str) -> str:
    """Return the command that starts this run, and what it needs beside it."""
    hint = "ui.recipe.command_file" if command.needs_file(config) else "ui.recipe.command_help"
    label = html.escape(text("ui.recipe.command", language))
    line = html.escape(command.shell_line(config))
    command_html = f'<pre class="command" tabindex="0" role="region" aria-label="{label}">{line}</pre>'
    return f'{command_html}<p class="hint">{html.escape(text(hint, language))}</p>'
