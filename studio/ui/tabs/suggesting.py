"""Suggest, on the Train tab: a list of settings that would suit better, each to be left out, and taken back at once.

While the list is open it is about the form as it is: when that changes, suggestions are looked for again.
"""

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.config import RunConfig
from studio.errors import StudioError
from studio.i18n import Message, message, text
from studio.train.suggest import Advice
from studio.ui import recipe_views, scanning, views
from studio.ui.failures import box, message_of
from studio.ui.frame import Frame
from studio.ui.page import components, view
from studio.ui.words import Words

_SLOT = scanning.Slot("suggest")


@dataclass(frozen=True)
class _Search:
    """What suggestions are looked for."""

    config: RunConfig
    fetch: bool
    """Whether rows of the Hub that are not here may be got: somebody has pressed the button."""
    applies: bool
    """Whether the suggestions are applied at once."""


class SuggestCard:
    """The head of the recipe with the button, and the list under it."""

    def __init__(self, words: Words):
        self.language = words.language
        with words.head("ui.recipe.title"):
            self.ask = words.button("ui.suggest.ask", size="sm", min_width=96, elem_id="suggest")
            self.cancel = words.button("ui.before.cancel", size="sm", min_width=96, visible=False)
        with gr.Column(elem_classes="inner", elem_id="suggestions", visible=False) as self.panel:
            self.status = gr.HTML(elem_id="suggest-said")
            self.chosen = words.make(
                gr.CheckboxGroup, label="ui.suggest.list", info="ui.suggest.help", choices=[], elem_id="suggested"
            )
            with gr.Row(elem_classes="jumps"):
                self.apply = words.button("ui.suggest.apply", size="sm", min_width=120)
                self.undo = words.button("ui.suggest.undo", size="sm", min_width=96, visible=False)
                self.close = words.button("ui.suggest.close", size="sm", min_width=96)
        self.advice = gr.State(None)
        """The advice, or a message in its place; None while the list is closed."""
        self.config_of_advice = gr.State(None)
        """The settings that the advice is about; None when they could not be read."""
        self.before = gr.State(None)
        """The settings before the suggestions were applied; None when they were not."""
        self.again = gr.State(None)
        """Changes when suggestions that are to be applied at once have to be looked for again."""
        self.outputs = components(self)

    def render(self, advice: Advice | Message, unwanted: Collection[str]) -> dict[Any, Any]:
        """Return what shows the suggestions, ticked but for the `unwanted` paths, or the message in their place."""
        opened = {self.panel: gr.update(visible=True), self.advice: advice}
        if isinstance(advice, Message):
            hidden = gr.update(visible=False)
            return {**opened, self.status: box(advice, self.language), self.chosen: hidden, self.apply: hidden}
        choices = recipe_views.suggestions(advice, self.language)
        ticked = [path for _, path in choices if path not in unwanted]
        return {
            **opened,
            self.status: recipe_views.advice(advice, self.language),
            self.chosen: gr.update(choices=choices, value=ticked, visible=bool(choices)),
            self.apply: gr.update(visible=bool(choices)),
        }

    def _busy(self, busy: bool) -> dict[Any, Any]:
        return {self.ask: gr.update(visible=not busy), self.cancel: gr.update(visible=busy)}

    def _closed(self) -> dict[Any, Any]:
        return {self.panel: gr.update(visible=False), self.advice: None, self.config_of_advice: None}

    def connect(
        self, frame: Frame, fill: Callable[..., dict[Any, Any]], filled: list[Any], changed: Any, own: gr.State
    ) -> None:
        """Connect the events; `fill(config, before)` makes the form show a config, `changed` comes when it has settled.

        `own` changes when the form has got a recipe of the user's own: then what is suggested is applied at once.
        """
        language, form = self.language, frame.form
        reading = text("ui.suggest.reading", language)

        @view(self.advice, self.config_of_advice, self.before)
        def ask(request: gr.Request, base: RunConfig, *values: Any) -> Iterator[dict[Any, Any]]:
            yield {
                self.panel: gr.update(visible=True),
                self.status: views.bar(None, reading),
                self.chosen: gr.update(choices=[], value=[], visible=False),
                self.apply: gr.update(visible=False),
                self.undo: gr.update(visible=False),
                self.before: None,
            }
            yield from search(values, base, (), request, unlike=None, fetch=True)

        @view(self.advice, self.config_of_advice, self.before)
        def apply_first(request: gr.Request, base: RunConfig, *values: Any) -> Iterator[dict[Any, Any]]:
            running = scanning.subject(_SLOT.of(request))
            unlike = running.config if running and running.applies else None
            yield from search(values, base, (), request, unlike, applies=True)

        @view(self.advice, self.config_of_advice, self.before)
        def keep_up(
            request: gr.Request,
            advice: Advice | Message | None,
            config_of_advice: RunConfig | None,
            before: RunConfig | None,
            chosen: list[str],
            base: RunConfig,
            *values: Any,
        ) -> Iterator[dict[Any, Any]]:
            """Ask again for the form as it is now, while suggestions are looked for or shown; not once applied."""
            running = scanning.subject(_SLOT.of(request))
            if running is None and (advice is None or before is not None):
                yield {self.status: gr.skip()}
                return
            if running is not None and running.applies:
                yield {self.again: time.time_ns()}
                return
            unwanted = {each.path for each in advice.suggestions} - {*chosen} if isinstance(advice, Advice) else ()
            config_on_page = None if isinstance(advice, Message) else config_of_advice  # the block may be gone
            unlike = running.config if running else config_on_page
            yield from search(values, base, unwanted, request, unlike, fetch=running is not None and running.fetch)

        def search(
            values: Any,
            base: RunConfig,
            unwanted: Collection[str],
            request: gr.Request,
            unlike: RunConfig | None,
            fetch: bool = False,
            applies: bool = False,
        ) -> Iterator[dict[Any, Any]]:
            """Look for suggestions, if the form is `unlike` these settings; those for `unwanted` paths are not ticked.

            See `_Search` for the rest.
            """
            session = _SLOT.of(request)
            try:
                config = form.read(values, base)
            except StudioError as error:
                scanning.drop(session)
                yield {**self._busy(False), **self.render(error.message, ()), self.config_of_advice: None}
                return
            if config == unlike:
                yield {self.status: gr.skip()}
                return
            work = scanning.begin(
                session, lambda on_progress: _suggest(config, fetch, on_progress), _Search(config, fetch, applies)
            )
            yield self._busy(True)
            for share in scanning.follow(session, work):
                yield {self.status: views.bar(share, reading)}
            if work.cancelled:
                yield {**self._busy(False), **self._closed()}
            else:
                advice = work.result if work.error is None else message_of(work.error)
                updates = {**self._busy(False), **self.render(advice, unwanted), self.config_of_advice: config}
                if applies and isinstance(advice, Advice) and advice.suggestions:
                    updates |= apply(request, advice, list(advice.settings()), base, *values)
                yield updates

        def apply(request: gr.Request, advice: Any, chosen: list[str], base: RunConfig, *values: Any) -> dict[Any, Any]:
            if not isinstance(advice, Advice):
                return {self.status: gr.skip()}
            scanning.drop(_SLOT.of(request))  # what is looked for by itself would take the place of what is applied
            before = form.read(values, base)
            config = before.with_settings(advice.settings(chosen))
            return {
                **fill(config, before),
                **self._busy(False),
                self.panel: gr.update(visible=True),
                self.before: before,
                self.status: recipe_views.advice(advice, language, applied=chosen),
                self.chosen: gr.update(visible=False),
                self.apply: gr.update(visible=False),
                self.undo: gr.update(visible=True),
            }

        def undo(advice: Any, before: RunConfig | None) -> dict[Any, Any]:
            if not isinstance(advice, Advice) or before is None:
                return {self.status: gr.skip()}
            return {**fill(before), **self.render(advice, ()), self.before: None, self.undo: gr.update(visible=False)}

        def close(request: gr.Request) -> dict[Any, Any]:
            scanning.drop(_SLOT.of(request))
            return {**self._busy(False), **self._closed()}

        listed = [self.advice, self.config_of_advice, self.before, self.chosen, frame.base, *form.components]
        self.ask.click(ask, frame.config_inputs, self.outputs)
        changed.then(keep_up, listed, self.outputs, trigger_mode="multiple")
        self.cancel.click(_SLOT.cancel, None, None)
        whole = [*filled, *self.outputs]
        inputs = [self.advice, self.chosen, frame.base, *form.components]
        self.apply.click(apply, inputs, whole)
        self.undo.click(undo, [self.advice, self.before], whole)
        starts = [own.change, self.again.change]
        gr.on(starts, apply_first, frame.config_inputs, whole, trigger_mode="multiple")  # the last one counts
        self.close.click(close, None, self.outputs)


def _suggest(config: RunConfig, fetch: bool, on_progress: scanning.OnProgress) -> Advice | Message:
    from studio import gpu
    from studio.data import source
    from studio.train import suggest

    if not (fetch or source.is_local(config.data)):
        return message("ui.before.no_data")
    return suggest.suggest(config, gpu.thread().free_memory(), on_progress)
