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


def value(path: str, given: Any, language: str) -> str:
    """Return a setting's value as the form says it, shortened."""
    if given is None or given in ("", ()):
        words = text("ui.recipe.nothing", language)
    elif isinstance(given, bool):
        words = text("ui.recipe.on" if given else "ui.recipe.off", language)
    elif isinstance(given, float):
        words = f"{given:g}".replace("e-0", "e-")
    elif isinstance(given, Mapping):
        words = command.format_value(given)
    elif isinstance(given, tuple | list):
        words = ", ".join(value(path, each, language) for each in given)
    else:
        key = f"config.{path}.options.{given}"
        words = text(key, language) if has(key) else " ".join(str(given).split())
    return words if len(words) <= LONGEST_VALUE else words[: LONGEST_VALUE - 2] + " …"


def groups(paths: Iterable[str]) -> list[str]:
    """Return what is put back at once for each of the settings at `paths`: itself, or its section."""
    return list(dict.fromkeys(next((whole for whole in WHOLE if path.startswith(whole)), path) for path in paths))


def differences(name: str, base: RunConfig, config: RunConfig, language: str) -> str:
    """Return what differs from a preset, each with a button that puts it back, and the marks on the form."""
    changes = command.differences(base, config)
    if not changes:
        return f'<p class="hint">{html.escape(text("ui.recipe.as_preset", language, preset=name))}</p>'
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
    told = text("ui.recipe.matches", language, count=len(left), all=len(paths))
    return f'{style}<p class="hint" role="status">{html.escape(told)}</p>'


def _searched(path: str, language: str) -> str:
    return f"{path} {text(f'config.{path}.title', language)} {text(f'config.{path}.help', language)}".casefold()


def reason(path: str, choices: Iterable[Choice], language: str) -> str:
    """Return why an automatic setting is what it is now; empty while that is not known."""
    found = next((choice for choice in choices if choice.name == AUTOMATIC[path]), None)
    if found is None:
        return ""
    words = text("ui.recipe.now", language, value=found.value, reason=found.reason.text(language))
    return f'<p class="hint why">{html.escape(words)}</p>'


def suggestion(made: Suggestion, language: str) -> str:
    """Return a suggestion on one line: the setting, from what to what, and why."""
    before, then = (value(made.path, each, language) for each in (made.before, made.value))
    return f"{title(made.path, language)}: {before} → {then}. {made.reason.text(language)}"


def suggestions(advice: Advice, language: str) -> list[tuple[str, str]]:
    """Return the suggestions as a list of choices offers them: words and path."""
    return [(suggestion(made, language), made.path) for made in advice.suggestions]


def advice(found: Advice, language: str, applied: Collection[str] | None = None) -> str:
    """Return what the suggestions were drawn from, what no setting mends, and which were applied (their paths)."""
    told = [f'<p class="hint">{html.escape(" ".join(each.text(language) for each in found.read))}</p>']
    told += [f'<p class="told">⚠ {html.escape(" ".join(lines(each, language)))}</p>' for each in found.warnings]
    if not found.suggestions:
        told.append(f'<p class="good">{html.escape(text("suggest.nothing", language))}</p>')
    if applied is not None:
        told.append(f'<p class="good">{html.escape(text("ui.suggest.applied", language, count=len(applied)))}</p>')
        made = [suggestion(each, language) for each in found.suggestions if each.path in applied]
        told.append(f"<ul>{''.join(f'<li>{html.escape(each)}</li>' for each in made)}</ul>")
    return "".join(told)


def command_line(config: RunConfig, language: str) -> str:
    """Return the command that starts this run, and what it needs beside it."""
    hint = "ui.recipe.command_file" if command.needs_file(config) else "ui.recipe.command_help"
    label = html.escape(text("ui.recipe.command", language))
    line = html.escape(command.shell_line(config))
    shown = f'<pre class="command" tabindex="0" role="region" aria-label="{label}">{line}</pre>'
    return f'{shown}<p class="hint">{html.escape(text(hint, language))}</p>'
