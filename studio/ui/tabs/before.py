"""Before the start, on the Train tab: what can be known of a run, and two steps of it tried out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.config import RunConfig
from studio.ui import before_views, scanning, views
from studio.ui.failures import box, message_of, shown
from studio.ui.frame import Frame
from studio.ui.words import Words

QUIET = {"show_progress": "hidden", "api_visibility": "undocumented", "concurrency_limit": None}


@dataclass(frozen=True)
class Before:
    """The card's components."""

    check: gr.Button
    measure: gr.Button
    cancel: gr.Button
    said: gr.HTML
    found: gr.State
    """The preflight and what was measured, to be said again in another language."""

    @property
    def of_check(self) -> list[Any]:
        """What a check changes."""
        return [self.check, self.measure, self.cancel, self.said, self.found]


def build(words: Words) -> Before:
    """Build the card inside the current Blocks."""
    with gr.Column(elem_classes="card"):
        with gr.Row(elem_classes="card-head", equal_height=True):
            words.heading("ui.before.title")
            with gr.Row(elem_classes="stepper"):
                check = words.make(gr.Button, text="ui.before.check", size="sm", min_width=96)
                measure = words.make(gr.Button, text="ui.before.measure", size="sm", min_width=96)
                cancel = words.make(gr.Button, text="ui.before.cancel", size="sm", min_width=96, visible=False)
        said = words.make(gr.HTML, text="ui.before.none", frame='<p class="empty">{}</p>', elem_id="before")
    return Before(check, measure, cancel, said, gr.State(None))


def connect(card: Before, frame: Frame, token: gr.Textbox) -> None:
    """Connect the card's events; `token` is for asking the Hub about a model that is not here."""
    form = frame.form

    def looker(measure: bool) -> Callable[..., Iterator[dict[Any, Any]]]:
        @shown
        def look(language: str, request: gr.Request, base: RunConfig, *given: Any) -> Iterator[dict[Any, Any]]:
            from studio import gpu
            from studio.train import preflight

            *values, token = given
            config = form.read(values, base)
            session = f"{request.session_hash} before"

            def check(going: scanning.Going) -> Any:
                found = preflight.check(config, gpu.thread().free_memory(), going, (token or "").strip() or None)
                if not measure or found.blocks or found.plan is None:
                    return found, None
                return found, _result(gpu.thread().measure(config), going)

            work = scanning.begin(session, check)
            yield {**_busy(True), card.said: _waiting(None, language)}
            for share in scanning.follow(session, work):
                yield {card.said: _waiting(share, language)}
            if work.error is None:
                yield {
                    **_busy(False),
                    card.found: work.result,
                    card.said: before_views.preflight(*work.result, language),
                }
            elif work.cancelled:
                yield {**_busy(False), card.found: None, card.said: views.empty("ui.before.none", language)}
            else:
                yield {**_busy(False), card.found: None, card.said: box(message_of(work.error), language)}

        return look

    def _busy(busy: bool) -> dict[Any, Any]:
        return {
            card.check: gr.update(visible=not busy),
            card.measure: gr.update(visible=not busy),
            card.cancel: gr.update(visible=busy),
        }

    def cancel(request: gr.Request) -> None:
        scanning.cancel(f"{request.session_hash} before")

    @shown
    def say(language: str, found: Any) -> str:
        return before_views.preflight(*found, language) if found else views.empty("ui.before.none", language)

    inputs = [*frame.config_inputs, token]
    card.check.click(looker(False), inputs, card.of_check, **QUIET)
    card.measure.click(looker(True), inputs, card.of_check, **QUIET)
    card.cancel.click(cancel, None, None, **QUIET)
    frame.language.change(say, [frame.language, card.found], card.said, **QUIET)


def _result(job: Any, going: scanning.Going) -> Any:
    """Wait for a job of the GPU thread; it ends when the work of the page does."""
    while not job.done.wait(scanning.GLANCE):
        try:
            going(1.0)
        except scanning.Cancelled:
            job.stop()
            raise
    return job.result()


def _waiting(share: float | None, language: str) -> str:
    return views.bar(share, views.said(views.message("ui.before.looking"), language))
