"""Before the start, on the Train tab: what can be known of a run, and two steps of it tried out."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from gradio.context import Context

from studio.config import RunConfig
from studio.errors import ConfigError, StudioError
from studio.i18n import message
from studio.ui import before_views, scanning, views
from studio.ui.before_views import Rate
from studio.ui.failures import message_of, show_errors
from studio.ui.frame import Frame
from studio.ui.page import browser_state, view
from studio.ui.words import Words

QUIET = {"show_progress": "hidden", "api_visibility": "undocumented", "concurrency_limit": None}
SETTLED = 0.3
"""Seconds that the verdict waits by itself for the Data tab to begin its scan of the same rows."""


@dataclass(frozen=True)
class Before:
    """The card's components."""

    start: gr.Button
    """Off while something stands in its way."""
    blocked: gr.HTML
    """What that is, beside it."""
    check: gr.Button
    measure: gr.Button
    cancel: gr.Button
    progress: gr.HTML
    said: gr.HTML
    found: gr.State
    """The preflight and what was measured, or a message in their place, to be said again in another language."""
    asked: gr.State
    """The settings that `found` is about."""
    looking: gr.State
    """The settings that were looked at last, also while that goes on; None where it was cancelled."""
    price: gr.Number
    currency: gr.Textbox
    remembered: gr.BrowserState
    tab: gr.Tab | None
    """Where the card stands."""


@dataclass(frozen=True)
class _Wanted:
    """What is to be found out."""

    config: RunConfig
    measure: bool
    by_hand: bool
    """Whether somebody has pressed a button for it, who may cancel it."""


def build(words: Words, start: gr.Button, blocked: gr.HTML) -> Before:
    """Build the card inside the current Blocks; `start` and `blocked` are where a run is started."""
    with gr.Column(elem_classes="card", elem_id="before-card"):
        with gr.Row(elem_classes="card-head", equal_height=True):
            words.heading("ui.before.title")
            with gr.Row(elem_classes="stepper"):
                check = words.make(gr.Button, text="ui.before.check", size="sm", min_width=96)
                measure = words.make(gr.Button, text="ui.before.measure", size="sm", min_width=96)
                cancel = words.make(gr.Button, text="ui.before.cancel", size="sm", min_width=96, visible=False)
        progress = gr.HTML(elem_id="before-progress")
        said = words.make(gr.HTML, text="ui.before.none", frame='<p class="empty">{}</p>', elem_id="before")
        with words.make(gr.Accordion, label="ui.before.rate", open=False), gr.Row(elem_id="rate"):
            price = words.make(
                gr.Number, label="ui.before.price", info="ui.before.price_help", value=None, minimum=0, step=0.1
            )
            currency = words.make(
                gr.Textbox, label="ui.before.currency", info="ui.before.currency_help", max_lines=1, max_length=12
            )
    remembered = browser_state([None, ""], "restyle-price")
    states = gr.State(None), gr.State(None), gr.State(None)
    return Before(start, blocked, check, measure, cancel, progress, said, *states, price, currency, remembered, _tab())


def _tab() -> gr.Tab | None:
    block = Context.block
    while block is not None and not isinstance(block, gr.Tab):
        block = block.parent
    return block


def connect(card: Before, frame: Frame, token: gr.Textbox) -> None:
    """Connect the card's buttons; `token` is for asking the Hub about a model that is not here."""
    language = frame.language
    root = Context.root_block
    assert root is not None

    def looker(measure: bool) -> Callable[..., Iterator[dict[Any, Any]]]:
        @view(card.found, card.asked)
        @show_errors(language)
        def look(
            request: gr.Request, price: Any, currency: Any, base: RunConfig, *given: Any
        ) -> Iterator[dict[Any, Any]]:
            *values, token = given
            wanted = _Wanted(frame.form.read(values, base), measure, by_hand=True)
            yield from _look(card, frame, wanted, token, Rate.of(price, currency), language, request)

        return look

    def cancel(request: gr.Request) -> None:
        scanning.cancel(_session(request))

    @show_errors(language)
    def say(found: Any, price: Any, currency: Any) -> dict[Any, Any]:
        return _shown(card, frame, found, Rate.of(price, currency), language)

    def remember(price: Any, currency: Any) -> list[Any]:
        return [price or None, currency]

    def recall(remembered: list[Any]) -> list[Any]:
        return list(remembered)

    rate = [card.price, card.currency]
    inputs = [*rate, frame.base, *frame.form.components, token]
    outputs = _of_look(card, frame)
    card.check.click(looker(False), inputs, outputs, **QUIET)
    card.measure.click(looker(True), inputs, outputs, **QUIET)
    card.cancel.click(cancel, None, None, **QUIET)
    said = [card.said, card.start, card.blocked, *frame.form.reasons.values()]
    gr.on([card.price.change, card.currency.change], say, [card.found, *rate],
          said, trigger_mode="always_last", **QUIET)  # fmt: skip
    gr.on([card.price.input, card.currency.input], remember, rate, card.remembered, trigger_mode="always_last", **QUIET)
    root.load(recall, card.remembered, rate, **QUIET)


def watch(card: Before, frame: Frame, token: gr.Textbox, changed: Any) -> None:
    """Look for the verdict by itself after the event `changed`.

    What somebody has asked for meanwhile is asked again for the settings as they are now.
    """
    language = frame.language

    @view(card.found, card.asked)
    @show_errors(language)
    def look(
        request: gr.Request,
        asked: Any,
        looking: Any,
        price: Any,
        currency: Any,
        base: RunConfig,
        *given: Any,
    ) -> Iterator[Any]:
        *values, token = given
        rate = Rate.of(price, currency)
        try:
            config = frame.form.read(values, base)
        except StudioError as error:
            scanning.drop(_session(request))
            problems = error.problems if isinstance(error, ConfigError) else ()
            told = _render(card, frame, before_views.Invalid(problems or (error.message,)), rate, language)
            yield {card.asked: None, card.looking: None, card.progress: "", **_buttons(card, looking=False), **told}
            return
        before = scanning.subject(_session(request))
        if config in (asked, looking, before and before.config):  # two steps of it are tried, say
            yield {card.progress: gr.skip()}
            return
        wanted = replace(before, config=config) if before else _Wanted(config, measure=False, by_hand=False)
        yield from _look(card, frame, wanted, token, rate, language, request, by_itself=True)

    inputs = [
        card.asked,
        card.looking,
        card.price,
        card.currency,
        frame.base,
        *frame.form.components,
        token,
    ]
    outputs = _of_look(card, frame)
    changed.then(look, inputs, outputs, trigger_mode="multiple", **QUIET)


def _of_look(card: Before, frame: Frame) -> list[Any]:
    buttons = [card.check, card.measure, card.cancel, card.start]
    told = [card.blocked, card.progress, card.said, card.found, card.asked, card.looking]
    return [*buttons, *told, *frame.form.reasons.values()]


def _buttons(card: Before, looking: bool) -> dict[Any, Any]:
    return {
        card.check: gr.update(visible=not looking),
        card.measure: gr.update(visible=not looking),
        card.cancel: gr.update(visible=looking),
    }


def _render(card: Before, frame: Frame, found: Any, rate: Rate | None, language: str) -> dict[Any, Any]:
    return {card.found: found, **_shown(card, frame, found, rate, language)}


def _shown(card: Before, frame: Frame, found: Any, rate: Rate | None, language: str) -> dict[Any, Any]:
    """Return what says what was found, on the card and beside the settings that it decided."""
    reasons = frame.form.reasons.items()
    return {
        card.said: before_views.told(found, language, rate),
        card.start: gr.update(interactive=not before_views.blocks(found)),
        card.blocked: before_views.blocked(found, language),
        **{part: before_views.reason(path, found, language) for path, part in reasons},
    }


def _look(
    card: Before,
    frame: Frame,
    wanted: _Wanted,
    token: str | None,
    rate: Rate | None,
    language: str,
    request: gr.Request,
    by_itself: bool = False,
) -> Iterator[dict[Any, Any]]:
    """Look at a run in the background; what was said before stays until something new is known.

    By itself it waits until the form has settled and the Data tab's scan of the same rows is done, and fetches nothing.
    """
    session, config = _session(request), wanted.config

    def check(going: scanning.OnProgress) -> Any:
        from studio import gpu
        from studio.data import source
        from studio.train import preflight

        if by_itself:
            _settle(going, str(request.session_hash))
            if not source.is_local(config.data):
                return message("ui.before.no_data")
        found = preflight.check(config, gpu.thread().free_memory(), going, (token or "").strip() or None)
        if not wanted.measure or found.blocks or found.plan is None:
            return found, None
        return found, _result(gpu.thread().measure(config), going)

    work = scanning.begin(session, check, wanted)
    start = {card.start: gr.update(interactive=True), card.blocked: ""}  # what was in the way may be gone
    start[card.looking] = config
    yield {card.progress: _waiting(None, language), **_buttons(card, looking=wanted.by_hand), **start}
    for share in scanning.follow(session, work):
        yield {card.progress: _waiting(share, language)}
    done = {card.progress: "", **_buttons(card, looking=False)}
    if work.cancelled:
        yield {**done, card.looking: None}
    else:
        found = work.result if work.error is None else message_of(work.error)
        yield {**done, card.asked: config, **_render(card, frame, found, rate, language)}


def _settle(going: scanning.OnProgress, data: str) -> None:
    until = time.monotonic() + SETTLED
    while time.monotonic() < until or scanning.busy(data):
        going(0.0)
        time.sleep(0.1)


def _result(job: Any, going: scanning.OnProgress) -> Any:
    """Wait for a job of the GPU thread; it ends when the work of the page does."""
    while not job.done.wait(scanning.UPDATE_SECONDS):
        try:
            going(1.0)
        except scanning.Cancelled:
            job.stop()
            raise
    return job.result()


def _session(request: gr.Request) -> str:
    return f"{request.session_hash} before"


def _waiting(share: float | None, language: str) -> str:
    return views.bar(share, views.one_line(message("ui.before.looking"), language))
