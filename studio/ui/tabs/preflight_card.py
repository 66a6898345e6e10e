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
from studio.ui import preflight_views, scanning, views
from studio.ui.failures import message_of
from studio.ui.form import Form
from studio.ui.frame import Frame
from studio.ui.page import browser_state, view
from studio.ui.preflight_views import Rate
from studio.ui.words import Words

SETTLED = 0.3
"""Seconds that a check which nobody has asked for waits for the Data tab to begin its scan of the same rows."""
_SLOT = scanning.Slot("before")


@dataclass(frozen=True)
class _Check:
    """What is checked."""

    measures: bool = False
    """Whether two steps are tried."""
    by_hand: bool = False
    """Whether somebody has pressed a button for it, who may cancel it."""
    config: RunConfig | None = None
    """The settings, once the form was read."""


class PreflightCard:
    """Says what is known of the run that the form describes: by itself whenever the form has settled, or by a press."""

    def __init__(self, words: Words, form: Form, start: gr.Button, blocked: gr.HTML):
        """Build the card inside the current Blocks; `start` and `blocked` are where a run is started."""
        self.language, self._form = words.language, form
        self.start, self.blocked = start, blocked
        with gr.Column(elem_classes="card", elem_id="before-card"):
            with words.head("ui.before.title"):
                self.check = words.button("ui.before.check", size="sm", min_width=96)
                self.measure = words.button("ui.before.measure", size="sm", min_width=96)
                self.cancel = words.button("ui.before.cancel", size="sm", min_width=96, visible=False)
            self.progress = gr.HTML(elem_id="before-progress")
            self.summary = words.empty("ui.before.none", elem_id="before")
            with words.make(gr.Accordion, label="ui.before.rate", open=False), gr.Row(elem_id="rate"):
                price = words.make(gr.Number, label="ui.before.price", value=None, minimum=0, step=0.1)
                currency = words.make(gr.Textbox, label="ui.before.currency", max_lines=1, max_length=12)
        self.rate = [price, currency]
        self.rate_before = browser_state([None, ""], "restyle-price")
        self.verdict = gr.State(None)
        """The preflight and what was measured, or a message in their place."""
        self.checked = gr.State(None)
        """The settings that the verdict is about."""
        self.checking = gr.State(None)
        """The settings that were checked last, also while that goes on; None where it was cancelled."""
        self.of_verdict = [self.summary, start, blocked, *form.reasons.values()]
        buttons = [self.check, self.measure, self.cancel]
        self.outputs = [*buttons, *self.of_verdict, self.progress, self.verdict, self.checked, self.checking]
        block = Context.block
        while block is not None and not isinstance(block, gr.Tab):
            block = block.parent
        self.tab = block
        """Where the card stands."""

    def render(self, verdict: Any, rate: Rate | None) -> dict[Any, Any]:
        """Return what says a verdict, on the card and beside the settings that it decided."""
        return {
            self.summary: preflight_views.summary(verdict, self.language, rate),
            self.start: gr.update(interactive=not preflight_views.blocks(verdict)),
            self.blocked: preflight_views.blocked(verdict, self.language),
            **{part: preflight_views.reason(path, verdict, self.language) for path, part in self._form.reasons.items()},
        }

    def _buttons(self, can_cancel: bool) -> dict[Any, Any]:
        return {
            self.check: gr.update(visible=not can_cancel),
            self.measure: gr.update(visible=not can_cancel),
            self.cancel: gr.update(visible=can_cancel),
        }

    def connect(self, frame: Frame, token: gr.Textbox, changed: Any) -> None:
        """Connect the events: the card follows the event `changed`, and asks the Hub with `token`."""
        form = self._form

        def checker(pressed: _Check | None) -> Callable[..., Iterator[dict[Any, Any]]]:
            """Return the handler of a button for such a check; without one, of the check that begins by itself.

            A check that was asked for is made again by itself for the settings as they are now.
            """

            @view(self.verdict, self.checked)
            def check(
                request: gr.Request, checked: Any, checking: Any, price: Any, currency: Any, base: RunConfig, *rest: Any
            ) -> Iterator[dict[Any, Any]]:
                *values, token = rest
                session, rate = _SLOT.of(request), Rate.of(price, currency)
                try:
                    config = form.read(values, base)
                except StudioError as error:
                    if pressed:
                        raise
                    scanning.drop(session)
                    problems = error.problems if isinstance(error, ConfigError) else ()
                    verdict = preflight_views.Invalid(problems or (error.message,))
                    nothing = {self.checked: None, self.checking: None, self.progress: ""}
                    yield {**nothing, **self._buttons(False), self.verdict: verdict, **self.render(verdict, rate)}
                    return
                running = scanning.subject(session)
                if not pressed and config in (checked, checking, running and running.config):  # two steps of it, say
                    yield {self.progress: gr.skip()}
                    return
                work = replace(pressed or running or _Check(), config=config)
                yield from self._follow(work, token, rate, request, waits=not pressed)

            return check

        def show(verdict: Any, price: Any, currency: Any) -> dict[Any, Any]:
            return self.render(verdict, Rate.of(price, currency))

        inputs = [self.checked, self.checking, *self.rate, frame.base, *form.components, token]
        self.check.click(checker(_Check(by_hand=True)), inputs, self.outputs)
        self.measure.click(checker(_Check(measures=True, by_hand=True)), inputs, self.outputs)
        changed.then(checker(None), inputs, self.outputs, trigger_mode="multiple")
        self.cancel.click(_SLOT.cancel, None, None)
        gr.on([part.change for part in self.rate], show, [self.verdict, *self.rate], self.of_verdict)
        inputs_of_rate = [part.input for part in self.rate]
        gr.on(inputs_of_rate, lambda price, currency: [price or None, currency], self.rate, self.rate_before)
        assert Context.root_block is not None
        Context.root_block.load(lambda rate_state: list(rate_state), self.rate_before, self.rate)

    def _follow(
        self, check: _Check, token: str | None, rate: Rate | None, request: gr.Request, waits: bool
    ) -> Iterator[dict[Any, Any]]:
        """Check in the background; what was said before stays until something new is known.

        Where it `waits`, it does so until the form has settled and the Data tab's scan of the same rows is done, and
        fetches nothing.
        """
        session, config, language = _SLOT.of(request), check.config, self.language
        assert config is not None

        def run(on_progress: scanning.OnProgress) -> Any:
            from studio import gpu
            from studio.data import source
            from studio.train import preflight

            if waits:
                _settle(on_progress, str(request.session_hash))
                if not source.is_local(config.data):
                    return message("ui.before.no_data")
            report = preflight.check(config, gpu.thread().free_memory(), on_progress, (token or "").strip() or None)
            if not check.measures or report.blocks or report.plan is None:
                return report, None
            return report, _result(gpu.thread().measure(config), on_progress)

        work = scanning.begin(session, run, check)
        may_start = {self.start: gr.update(interactive=True), self.blocked: ""}  # what was in the way may be gone
        yield {self.progress: _bar(None, language), **self._buttons(check.by_hand), **may_start, self.checking: config}
        for share in scanning.follow(session, work):
            yield {self.progress: _bar(share, language)}
        done = {self.progress: "", **self._buttons(False)}
        if work.cancelled:
            yield {**done, self.checking: None}
        else:
            verdict = work.result if work.error is None else message_of(work.error)
            yield {**done, self.checked: config, self.verdict: verdict, **self.render(verdict, rate)}


def _settle(on_progress: scanning.OnProgress, data: str) -> None:
    until = time.monotonic() + SETTLED
    while time.monotonic() < until or scanning.busy(data):
        on_progress(0.0)
        time.sleep(0.1)


def _result(job: Any, on_progress: scanning.OnProgress) -> Any:
    """Wait for a job of the GPU thread; it ends when the work of the page does."""
    while not job.done.wait(scanning.UPDATE_SECONDS):
        try:
            on_progress(1.0)
        except scanning.Cancelled:
            job.stop()
            raise
    return job.result()


def _bar(share: float | None, language: str) -> str:
    return views.bar(share, views.one_line(message("ui.before.looking"), language))
