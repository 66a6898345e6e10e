"""What makes the Compare tab show the runs, and a comparison: updates of its components."""

import html
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from studio import runs
from studio.compare import comparison_history
from studio.compare.columns import ADAPTED, BASE, NOW, Column, CompareRequest
from studio.compare.comparison import Comparison
from studio.config import GenerationConfig
from studio.errors import RunError, StudioError
from studio.i18n import DEFAULT_LANGUAGE, text
from studio.runs import Run
from studio.style import style_store
from studio.style.report import StyleReport
from studio.ui import compare_views, limits, views
from studio.ui.compare_views import View
from studio.ui.failures import box
from studio.ui.tabs.compare import EXTRA, CompareTab, comparable, config_of, held_out, names, own_adapters, who


def choose(tab: CompareTab, chosen: str | None, language: str, wanted: str | None = None) -> dict[Any, Any]:
    """Return what offers the runs there are; the `chosen` one stays chosen if it is among them.

    A `wanted` one that is among them is chosen in its place. Nothing can be compared until another run is opened, which
    lets the button be pressed: opening it would end the comparison.
    """
    comparable_runs = comparable()
    choices = [(views.run_choice(run.id, status, language), run.id) for run, status in comparable_runs]
    ids = [run.id for run, _ in comparable_runs]
    value = next((run_id for run_id in (wanted, chosen) if run_id in ids), next(iter(ids), None))
    config = config_of(value)
    changed = {} if value == chosen or config is None else generation(tab, config.generation)
    return {
        tab.run: gr.update(choices=choices, value=value),
        tab.none: gr.update(visible=not ids),
        **({} if ids and value == chosen else {tab.go: gr.update(interactive=False)}),
        **changed,
        **about(tab, value, comparable_runs, language, fresh=value != chosen),
    }


def about(
    tab: CompareTab,
    run_id: str | None,
    comparable_runs: Sequence[tuple[Run, runs.Status]],
    language: str,
    fresh: bool = True,
) -> dict[Any, Any]:
    """Return what belongs to a run: its checkpoints, other runs on its base, its held-out prompts, and the titles.

    What the user chose stays, unless the run is a `fresh` one.
    """
    prompts = held_out(run_id)
    own = own_adapters(run_id, language)
    value = {"value": NOW if run_id else None} if fresh else {}
    titles = titled(tab, (BASE, ADAPTED), run_id, language) if fresh else {}
    return {
        tab.held_out: gr.update(choices=prompts, visible=bool(prompts), **({"value": None} if fresh else {})),
        tab.checkpoint: gr.update(choices=own, **value),
        **{extra.who: gr.update(choices=who(run_id, comparable_runs, language), **value) for extra in tab.extras},
        **titles,
    }


def titled(tab: CompareTab, columns: Sequence[Column], run_id: str | None, language: str) -> dict[Any, Any]:
    """Return the headings of columns."""
    base, name = names(run_id, language)
    return {
        tab.panels[number].title: compare_views.column_title(column, number, base, name, language)
        for number, column in enumerate(columns)
    }


def generation(tab: CompareTab, settings: GenerationConfig) -> dict[Any, Any]:
    """Return what shows a run's own settings for comparing, to a guest with no longer answers than they may ask for."""
    return {part: getattr(_allowed(settings), name) for name, part in tab.numbers.items()}


def _allowed(settings: GenerationConfig) -> GenerationConfig:
    if not runs.is_restricted():
        return settings
    return settings.model_copy(update={"max_new_tokens": min(settings.max_new_tokens, limits.MOST_TOKENS)})


def _badge(comparison: Comparison, language: str) -> str:
    request = replace(comparison.request, generation=_allowed(comparison.request.generation))
    return compare_views.badge(replace(comparison, request=request), language)


def nothing(tab: CompareTab, language: str) -> dict[Any, Any]:
    """Return what shows that nothing is compared yet."""
    updates: dict[Any, Any] = {
        tab.last: None,
        tab.token_scores: None,
        tab.badge: compare_views.badge(None, language),
        tab.caption: compare_views.NO_CAPTION,
        tab.follow: gr.update(interactive=False, placeholder=text("ui.compare.follow_later", language)),
        tab.follow_go: gr.update(interactive=False),
    }
    for number, panel in enumerate(tab.panels):
        updates[panel.column] = gr.update(visible=number < len(tab.panels) - EXTRA)
        updates[panel.answer] = compare_views.empty("ui.compare.empty", language)
        updates[panel.caption] = compare_views.NO_CAPTION
    return updates


def waiting(tab: CompareTab, request: CompareRequest, language: str) -> dict[Any, Any]:
    """Return what shows the columns that are about to answer."""
    unanswered = compare_views.waiting(request, language)
    updates: dict[Any, Any] = titled(tab, request.columns, request.run_id, language)
    for number, panel in enumerate(tab.panels):
        is_used = number < len(request.columns)
        updates[panel.column] = gr.update(visible=is_used)
        if is_used:
            updates |= {panel.answer: unanswered[number], panel.caption: compare_views.NO_CAPTION}
    return updates | {
        tab.badge: _badge(Comparison(request, ()), language),
        tab.caption: compare_views.NO_CAPTION,
    }


def answers(
    tab: CompareTab, comparing: Comparison, view: View, language: str, token_scores: Any = None
) -> dict[Any, Any]:
    """Return what shows the answers as far as they have come."""
    updates: dict[Any, Any] = {}
    style = _style_of(comparing.request.run_id) if view == "style" else None
    for number, side in enumerate(comparing.answers[0]):
        words = compare_views.answer(comparing, number, view, language, token_scores, style)
        updates[tab.panels[number].answer] = words
        updates[tab.panels[number].caption] = compare_views.caption(side, language)
    return updates


def render(
    tab: CompareTab, last: Comparison | None, view: View, language: str, token_scores: Any = None
) -> dict[Any, Any]:
    """Return what shows the last comparison in a view and a language; nothing is asked."""
    if last is None:
        return {}
    request = last.request
    line = ""
    if view == "difference":
        line = compare_views.shared_line(last, language)
    elif view == "likelihood":
        waiting = text("ui.likelihood.going", language)
        line = compare_views.token_scores_line(token_scores, language) if token_scores else waiting
    elif view == "style":
        line = text("ui.compare.style_words" if _style_of(request.run_id) else "ui.compare.style_later", language)
    return {
        **titled(tab, request.columns, request.run_id, language),
        **answers(tab, last, view, language, token_scores),
        tab.badge: _badge(last, language),
        tab.caption: f'<p class="caption">{html.escape(line) or "&nbsp;"}</p>',
        tab.follow: gr.update(placeholder=text("ui.compare.follow_hint", language)),
    }


def _style_of(run_id: str) -> StyleReport | None:
    """Return the newest report of the meter that knows which words carry the style; None without one."""
    try:
        report = style_store.newest(runs.find(run_id))
    except RunError:  # its folder was taken away
        return None
    return report if report and report.author_words else None


def opened(tab: CompareTab, comparison: Comparison, view: View, language: str) -> dict[Any, Any]:
    """Return what shows a comparison that is over."""
    visible_columns = {
        panel.column: gr.update(visible=n < len(comparison.request.columns)) for n, panel in enumerate(tab.panels)
    }
    return {**visible_columns, **render(tab, comparison, view, language), tab.last: comparison, tab.token_scores: None}


def restore_request(tab: CompareTab, comparison: Comparison) -> dict[Any, Any]:
    """Return what sets the controls as they were for a comparison that is shown again."""
    prompt, checkpoint, strength, *_ = compare_views.settings_of(comparison.request)
    updates = {tab.prompt: prompt, **generation(tab, comparison.request.generation)}
    if strength is not None:
        updates[tab.strength] = strength
    if checkpoint in [name for _, name in own_adapters(comparison.request.run_id, DEFAULT_LANGUAGE)]:  # it may be gone
        updates[tab.checkpoint] = checkpoint
    return updates


def refused(
    tab: CompareTab, request: CompareRequest, error: StudioError, language: str, so_far: Comparison | None = None
) -> dict[Any, Any]:
    """Return what shows, and keeps on the page, why columns could not be compared; answers `so_far` stay."""
    cleared = nothing(tab, language)
    if so_far is not None and so_far.has_tokens:
        cleared = {tab.last: None, tab.token_scores: None}
    return {
        **cleared,
        **titled(tab, request.columns, request.run_id, language),
        **{panel.column: gr.update(visible=n < len(request.columns)) for n, panel in enumerate(tab.panels)},
        **offered(tab, request.run_id, None, language),
        tab.badge: box(error.message, language),
    }


def offered(tab: CompareTab, run_id: str | None, on_screen: Comparison | None, language: str) -> dict[Any, Any]:
    """Return what offers the comparisons that a run has kept; the one on the screen is the chosen one."""
    choices = [(compare_views.saved_choice(saved, language), saved.id) for saved in saved_of(run_id)]
    chosen = comparison_history.comparison_id(on_screen) if on_screen else None
    value = chosen if chosen in [name for _, name in choices] else None
    help_key = "ui.compare.saved_help" if choices else "ui.compare.saved_none"
    return {
        tab.saved: gr.update(choices=choices, value=value, interactive=bool(choices), info=text(help_key, language))
    }


def saved_of(run_id: str | None) -> list[comparison_history.SavedComparison]:
    """Return the comparisons that a run has kept, the newest first."""
    try:
        return comparison_history.load_all(runs.find(run_id)) if run_id else []
    except RunError:  # its folder was taken away
        return []
