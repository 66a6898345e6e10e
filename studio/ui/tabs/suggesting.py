"""Suggest, on the Train tab: a list of settings that would suit better, each to be left out, and taken back at once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.config import RunConfig
from studio.i18n import text
from studio.train.suggest import Advice
from studio.ui import recipe_views, scanning, views
from studio.ui.failures import shown
from studio.ui.frame import Frame
from studio.ui.words import Words

QUIET = {"show_progress": "hidden", "api_visibility": "undocumented", "concurrency_limit": None}


@dataclass(frozen=True)
class Suggesting:
    """The components."""

    ask: gr.Button
    cancel: gr.Button
    panel: gr.Column
    said: gr.HTML
    chosen: gr.CheckboxGroup
    apply: gr.Button
    undo: gr.Button
    close: gr.Button
    advice: gr.State
    """What was suggested, to be said again in another language."""
    before: gr.State
    """The settings before the suggestions were applied; None when they were not."""

    @property
    def of_advice(self) -> list[Any]:
        """What changes with the suggestions."""
        return [
            self.ask,
            self.cancel,
            self.panel,
            self.said,
            self.chosen,
            self.apply,
            self.undo,
            self.close,
            self.advice,
            self.before,
        ]


def build(words: Words) -> Suggesting:
    """Build the card's head with its button, and the panel under it."""
    with gr.Row(elem_classes="card-head", equal_height=True):
        words.heading("ui.recipe.title")
        with gr.Row(elem_classes="stepper"):
            ask = words.make(gr.Button, text="ui.suggest.ask", size="sm", min_width=96, elem_id="suggest")
            cancel = words.make(gr.Button, text="ui.before.cancel", size="sm", min_width=96, visible=False)
    with gr.Column(elem_classes="inner", elem_id="suggestions", visible=False) as panel:
        said = gr.HTML(elem_id="suggest-said")
        chosen = words.make(
            gr.CheckboxGroup, label="ui.suggest.list", info="ui.suggest.help", fixed_choices=[], elem_id="suggested"
        )
        with gr.Row(elem_classes="jumps"):
            apply = words.make(gr.Button, text="ui.suggest.apply", size="sm", min_width=120)
            undo = words.make(gr.Button, text="ui.suggest.undo", size="sm", min_width=96, visible=False)
            close = words.make(gr.Button, text="ui.suggest.close", size="sm", min_width=96)
    return Suggesting(ask, cancel, panel, said, chosen, apply, undo, close, gr.State(None), gr.State(None))


def connect(card: Suggesting, frame: Frame, fill: Callable[..., dict[Any, Any]], filled: list[Any]) -> None:
    """Connect the events; `fill(config, before)` makes the form show a config."""
    form = frame.form

    @shown
    def ask(language: str, request: gr.Request, base: RunConfig, *values: Any) -> Iterator[dict[Any, Any]]:
        from studio import gpu
        from studio.train import suggest

        config = form.read(values, base)
        work = scanning.begin(
            _session(request), lambda going: suggest.suggest(config, gpu.thread().free_memory(), going)
        )
        nothing = {card.chosen: gr.update(choices=[], value=[], visible=False), card.apply: gr.update(visible=False)}
        yield {
            **_busy(True),
            **nothing,
            card.panel: gr.update(visible=True),
            card.said: views.bar(None, _reading(language)),
            card.undo: gr.update(visible=False),
        }
        for share in scanning.follow(_session(request), work):
            yield {card.said: views.bar(share, _reading(language))}
        if work.error is not None:
            yield {**_busy(False), card.panel: gr.update(visible=False)}
            if not work.cancelled:
                raise work.error
            return
        yield {**_busy(False), **_offered(work.result, language), card.advice: work.result, card.before: None}

    def _reading(language: str) -> str:
        return text("ui.suggest.reading", language)

    def _busy(busy: bool) -> dict[Any, Any]:
        return {card.ask: gr.update(visible=not busy), card.cancel: gr.update(visible=busy)}

    def _offered(advice: Advice, language: str) -> dict[Any, Any]:
        made = recipe_views.suggestions(advice, language)
        return {
            card.said: recipe_views.advice(advice, language),
            card.chosen: gr.update(choices=made, value=[path for _, path in made], visible=bool(made)),
            card.apply: gr.update(visible=bool(made)),
        }

    @shown
    def apply(language: str, advice: Advice | None, chosen: list[str], base: RunConfig, *values: Any) -> dict[Any, Any]:
        if advice is None:
            return {card.said: gr.skip()}
        before = form.read(values, base)
        config = before.with_settings(advice.settings(chosen))
        return {
            **fill(config, before),
            card.before: before,
            card.said: recipe_views.advice(advice, language, applied=len(chosen)),
            card.chosen: gr.update(visible=False),
            card.apply: gr.update(visible=False),
            card.undo: gr.update(visible=True),
        }

    @shown
    def undo(language: str, advice: Advice | None, before: RunConfig | None) -> dict[Any, Any]:
        if advice is None or before is None:
            return {card.said: gr.skip()}
        back = {card.before: None, card.undo: gr.update(visible=False)}
        return {**fill(before), **_offered(advice, language), **back}

    @shown
    def say(language: str, advice: Advice | None, before: RunConfig | None, chosen: list[str]) -> dict[Any, Any]:
        if advice is None:
            return {card.said: gr.skip()}
        applied = len(chosen) if before is not None else None
        return {
            card.said: recipe_views.advice(advice, language, applied),
            card.chosen: gr.update(choices=recipe_views.suggestions(advice, language)),
        }

    def cancel(request: gr.Request) -> None:
        scanning.cancel(_session(request))

    language = frame.language
    card.ask.click(ask, frame.config_inputs, card.of_advice, **QUIET)
    card.cancel.click(cancel, None, None, **QUIET)
    whole = [*filled, *card.of_advice]
    inputs = [language, card.advice, card.chosen, frame.base, *form.components]
    card.apply.click(apply, inputs, whole, **QUIET)
    card.undo.click(undo, [language, card.advice, card.before], whole, **QUIET)
    card.close.click(lambda: gr.update(visible=False), None, card.panel, **QUIET)
    said = [language, card.advice, card.before, card.chosen]
    language.change(say, said, [card.said, card.chosen], **QUIET)


def _session(request: gr.Request) -> str:
    return f"{request.session_hash} suggest"
