"""Suggest, on the Train tab: a list of settings that would suit better, each to be left out, and taken back at once.

While the list is open it is about the form as it is: when that changes, suggestions are looked for again.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.config import RunConfig
from studio.errors import StudioError
from studio.i18n import Message, message, text
from studio.train.suggest import Advice
from studio.ui import recipe_views, scanning, views
from studio.ui.failures import box, message_of, show_errors
from studio.ui.frame import Frame
from studio.ui.page import view
from studio.ui.words import Words

QUIET = {"show_progress": "hidden", "api_visibility": "undocumented", "concurrency_limit": None}


@dataclass(frozen=True)
class Suggesting:
    """The components."""

    ask: gr.Button
    cancel: gr.Button
    panel: gr.Column
    status: gr.HTML
    chosen: gr.CheckboxGroup
    apply: gr.Button
    undo: gr.Button
    close: gr.Button
    advice: gr.State
    """The advice, or a message in its place, to be said again in another language; None while the list is closed."""
    config_of_advice: gr.State
    """The settings that the `advice` is about; None when they could not be read."""
    before: gr.State
    """The settings before the suggestions were applied; None when they were not."""

    @property
    def of_list(self) -> list[Any]:
        """What changes with the list."""
        return [
            self.ask,
            self.cancel,
            self.panel,
            self.status,
            self.chosen,
            self.apply,
            self.undo,
            self.close,
            self.advice,
            self.config_of_advice,
            self.before,
        ]


@dataclass(frozen=True)
class _Wanted:
    """What is looked for."""

    config: RunConfig
    fetch: bool
    """Whether rows of the Hub that are not here may be got: somebody has pressed the button."""


def build(words: Words) -> Suggesting:
    """Build the card's head with its button, and the panel under it."""
    with gr.Row(elem_classes="card-head", equal_height=True):
        words.heading("ui.recipe.title")
        with gr.Row(elem_classes="stepper"):
            ask = words.make(gr.Button, text="ui.suggest.ask", size="sm", min_width=96, elem_id="suggest")
            cancel = words.make(gr.Button, text="ui.before.cancel", size="sm", min_width=96, visible=False)
    with gr.Column(elem_classes="inner", elem_id="suggestions", visible=False) as panel:
        status = gr.HTML(elem_id="suggest-said")
        chosen = words.make(
            gr.CheckboxGroup, label="ui.suggest.list", info="ui.suggest.help", choices=[], elem_id="suggested"
        )
        with gr.Row(elem_classes="jumps"):
            apply = words.make(gr.Button, text="ui.suggest.apply", size="sm", min_width=120)
            undo = words.make(gr.Button, text="ui.suggest.undo", size="sm", min_width=96, visible=False)
            close = words.make(gr.Button, text="ui.suggest.close", size="sm", min_width=96)
    states = gr.State(None), gr.State(None), gr.State(None)
    return Suggesting(ask, cancel, panel, status, chosen, apply, undo, close, *states)


def connect(
    card: Suggesting,
    frame: Frame,
    fill: Callable[..., dict[Any, Any]],
    filled: list[Any],
    changed: Any,
    own: gr.State,
) -> None:
    """Connect the events; `fill(config, before)` makes the form show a config, `changed` comes when it has settled.

    `own` changes when the form has got a recipe of the user's own: then what is suggested is applied at once.
    """
    language = frame.language
    form = frame.form

    @view(card.advice, card.config_of_advice, card.before)
    @show_errors(language)
    def ask(request: gr.Request, base: RunConfig, *values: Any) -> Iterator[dict[Any, Any]]:
        yield {
            card.panel: gr.update(visible=True),
            card.status: views.bar(None, _reading()),
            card.chosen: gr.update(choices=[], value=[], visible=False),
            card.apply: gr.update(visible=False),
            card.undo: gr.update(visible=False),
            card.before: None,
        }
        yield from _suggestions(values, base, (), request, unlike=None, fetch=True)

    @view(card.advice, card.config_of_advice, card.before)
    @show_errors(language)
    def apply_first(request: gr.Request, base: RunConfig, *values: Any) -> Iterator[dict[Any, Any]]:
        for updates in _suggestions(values, base, (), request, unlike=None, fetch=False):
            yield updates
        advice = updates.get(card.advice)
        if isinstance(advice, Advice) and advice.suggestions:
            yield apply(request, advice, list(advice.settings()), base, *values)

    @view(card.advice, card.config_of_advice, card.before)
    @show_errors(language)
    def keep_up(
        request: gr.Request,
        advice: Advice | Message | None,
        config_of_advice: RunConfig | None,
        before: RunConfig | None,
        chosen: list[str],
        base: RunConfig,
        *values: Any,
    ) -> Iterator[dict[Any, Any]]:
        """Ask again for the form as it is now, while suggestions are looked for or shown; not once they are applied."""
        about = scanning.subject(_session(request))
        if about is None and (advice is None or before is not None):
            yield {card.status: gr.skip()}
            return
        unwanted = {item.path for item in advice.suggestions} - {*chosen} if isinstance(advice, Advice) else ()
        config_on_page = None if isinstance(advice, Message) else config_of_advice  # what was in the way may be gone
        unlike = about.config if about else config_on_page
        yield from _suggestions(values, base, unwanted, request, unlike, fetch=about is not None and about.fetch)

    def _suggestions(
        values: Any,
        base: RunConfig,
        unwanted: Collection[str],
        request: gr.Request,
        unlike: RunConfig | None,
        fetch: bool,
    ) -> Iterator[dict[Any, Any]]:
        """Look for suggestions, if the form is `unlike` these settings; those for the `unwanted` paths are not ticked.

        Rows of the Hub that are not here are only got with `fetch`.
        """
        session = _session(request)
        try:
            config = form.read(values, base)
        except StudioError as error:
            scanning.drop(session)
            yield {**_busy(False), **_render(error.message, ()), card.config_of_advice: None}
            return
        if config == unlike:
            yield {card.status: gr.skip()}
            return
        work = scanning.begin(session, lambda on_progress: _suggest(config, fetch, on_progress), _Wanted(config, fetch))
        yield _busy(True)
        for share in scanning.follow(session, work):
            yield {card.status: views.bar(share, _reading())}
        if work.cancelled:
            yield {**_busy(False), **_closed()}
        else:
            advice = work.result if work.error is None else message_of(work.error)
            yield {**_busy(False), **_render(advice, unwanted), card.config_of_advice: config}

    def _suggest(config: RunConfig, fetch: bool, on_progress: scanning.OnProgress) -> Advice | Message:
        from studio import gpu
        from studio.data import source
        from studio.train import suggest

        if not (fetch or source.is_local(config.data)):
            return message("ui.before.no_data")
        return suggest.suggest(config, gpu.thread().free_memory(), on_progress)

    def _reading() -> str:
        return text("ui.suggest.reading", language)

    def _busy(busy: bool) -> dict[Any, Any]:
        return {card.ask: gr.update(visible=not busy), card.cancel: gr.update(visible=busy)}

    def _closed() -> dict[Any, Any]:
        return {card.panel: gr.update(visible=False), card.advice: None, card.config_of_advice: None}

    def _render(advice: Advice | Message, unwanted: Collection[str]) -> dict[Any, Any]:
        """Return what shows the suggestions, ticked but for the `unwanted` paths, or the message in their place."""
        opened = {card.panel: gr.update(visible=True), card.advice: advice}
        if isinstance(advice, Message):
            hidden = gr.update(visible=False)
            return {**opened, card.status: box(advice, language), card.chosen: hidden, card.apply: hidden}
        items = recipe_views.suggestions(advice, language)
        ticked = [path for _, path in items if path not in unwanted]
        return {
            **opened,
            card.status: recipe_views.advice(advice, language),
            card.chosen: gr.update(choices=items, value=ticked, visible=bool(items)),
            card.apply: gr.update(visible=bool(items)),
        }

    @show_errors(language)
    def apply(request: gr.Request, advice: Any, chosen: list[str], base: RunConfig, *values: Any) -> dict[Any, Any]:
        if not isinstance(advice, Advice):
            return {card.status: gr.skip()}
        scanning.drop(_session(request))  # what is looked for by itself would take the place of what is applied
        before = form.read(values, base)
        config = before.with_settings(advice.settings(chosen))
        return {
            **fill(config, before),
            **_busy(False),
            card.panel: gr.update(visible=True),
            card.before: before,
            card.status: recipe_views.advice(advice, language, applied=chosen),
            card.chosen: gr.update(visible=False),
            card.apply: gr.update(visible=False),
            card.undo: gr.update(visible=True),
        }

    @show_errors(language)
    def undo(advice: Any, before: RunConfig | None) -> dict[Any, Any]:
        if not isinstance(advice, Advice) or before is None:
            return {card.status: gr.skip()}
        return {**fill(before), **_render(advice, ()), card.before: None, card.undo: gr.update(visible=False)}

    def cancel(request: gr.Request) -> None:
        scanning.cancel(_session(request))

    def close(request: gr.Request) -> dict[Any, Any]:
        scanning.drop(_session(request))
        return {**_busy(False), **_closed()}

    listed = [card.advice, card.config_of_advice, card.before, card.chosen, frame.base, *form.components]
    card.ask.click(ask, frame.config_inputs, card.of_list, **QUIET)
    changed.then(keep_up, listed, card.of_list, trigger_mode="multiple", **QUIET)
    card.cancel.click(cancel, None, None, **QUIET)
    whole = [*filled, *card.of_list]
    inputs = [card.advice, card.chosen, frame.base, *form.components]
    card.apply.click(apply, inputs, whole, **QUIET)
    card.undo.click(undo, [card.advice, card.before], whole, **QUIET)
    own.change(apply_first, frame.config_inputs, whole, **QUIET)
    card.close.click(close, None, card.of_list, **QUIET)


def _session(request: gr.Request) -> str:
    return f"{request.session_hash} suggest"
