"""The Train tab: the recipe beside the run, as its directory tells it."""

import time
from collections.abc import Callable
from typing import Any

import gradio as gr

from studio.config import RunConfig
from studio.i18n import text
from studio.ui import hosts, preflight_views, status_views
from studio.ui.failures import box
from studio.ui.following import Following, follow
from studio.ui.form import Form
from studio.ui.frame import Frame
from studio.ui.tabs import curves, log, notify, recipe, run_queue, strip
from studio.ui.tabs import stopping as stopping_card
from studio.ui.tabs.preflight_card import PreflightCard
from studio.ui.tabs.remote_card import RemoteCard
from studio.ui.tabs.stopping import StoppingCard
from studio.ui.words import Words


class TrainTab:
    """The tab's components that handlers read or change."""

    def __init__(self, words: Words, form: Form, preset_name: str | None):
        """Build the tab inside the current Blocks."""
        self.language = words.language
        with gr.Column(elem_classes="card", elem_id="run-card"):
            with words.head("ui.train.title"):
                self.try_now = words.button("ui.train.try", visible=False, min_width=96)
                self.go_on = words.button("ui.train.continue", visible=False, min_width=200)
                self.export = words.button("ui.train.export", visible=False, min_width=96)
                self.resume = words.button("ui.train.resume", visible=False, min_width=96)
                self.start = words.button("ui.train.start", variant="primary", min_width=120)
                self.pause = words.button("ui.train.pause", visible=False, min_width=96)
                self.stopping = StoppingCard(words)
            self.stopping.build_question(words)
            self.status = words.empty("ui.status.none", elem_id="status")
            self.failure = gr.HTML(elem_id="failure")
            self.ways = gr.HTML(elem_id="ways")
            self.apply = words.button("ui.oom_advice.apply", visible=False, elem_id="apply")
            with gr.Row(elem_id="why-row"):
                self.why = gr.HTML(elem_id="why")
                blocked = gr.HTML(elem_id="start-blocked")
                notify.build(words.language)
            self.refresh = words.button("ui.train.look", visible="hidden", elem_id="look-again")
            """Pressed by the browser while the page is hidden, when its clock stands still."""
            self.remote = None if hosts.on_space() else RemoteCard(words)
            """None on a Space: jobs are started, and paid, by who sits at the machine that runs the studio."""
        self.waiting = run_queue.RunQueue(words)
        # what a run has done so far, not there before the first one; then the recipe, and what can be known of it
        with gr.Column(visible=False, elem_id="progress") as self.progress, gr.Row(elem_classes="columns"):
            with gr.Column(min_width=320):
                self.curves = curves.Curves(words)
            with gr.Column(min_width=320):
                self.strip = strip.StripCard(words)
                self.log = log.Log(words)
        with (
            words.make(gr.Accordion, label="ui.train.setup", elem_id="setup") as self.setup,
            gr.Row(elem_classes="columns"),
        ):
            with gr.Column(scale=6, min_width=320):
                self.recipe = recipe.Recipe(words, form, preset_name)
            with gr.Column(scale=5, min_width=320):
                self.preflight = PreflightCard(words, form, self.start, blocked)
        self.stage = gr.State(None)
        """When a tick has last found another stage of the run (`Following.stage`): the buttons are set then."""
        self.of_stage = list(self.buttons(Following()))
        """What changes with the state of the followed run and with the queue."""

    @property
    def of_tick(self) -> list[Any]:
        """What changes often with the followed run; every output costs at every tick, changed or not."""
        return [self.stage, self.strip.stamp, self.status, *self.curves.of_run, self.log.lines]

    @property
    def looks(self) -> list[Any]:
        """What a session wants to see of the curves and the log."""
        return [self.curves.settings, self.log.settings]

    def render(
        self, following: Following, before: Following | None, curve_settings: curves.Settings, log_filter: log.Filter
    ) -> tuple[Following, dict[Any, Any]]:
        """Return what makes the tab show the news of the followed run since `before`, and the run as it is shown then.

        The buttons are not part of it (`buttons`): where they have to follow, the stage is marked as new. Without
        `before` everything is shown, and the buttons are up to the caller.
        """
        updates: dict[Any, Any] = {}
        other = before is None or before.run_id != following.run_id
        panel = _panel(following, self.language)
        if before is None or panel != _panel(before, self.language):
            updates[self.status] = panel
        if other or following.needs_render:
            updates |= self.curves.render(following, curve_settings)
            following = following.as_rendered()
        if other or _lines(before) != _lines(following):
            updates |= self.log.render(following, log_filter)
        if before is None or strip.current_stamp(before) != strip.current_stamp(following):
            updates[self.strip.stamp] = strip.current_stamp(following)
        if before is not None and before.stage != following.stage:
            updates[self.stage] = time.time_ns()
        return following, updates

    def buttons(self, following: Following, chosen: str | None = None) -> dict[Any, Any]:
        """Return what makes the buttons suit the state of the followed run and the queue, where `chosen` is chosen."""
        status, alive, done, go_on = following.status, following.alive, following.has_result, following.can_go_on
        busy, tried, suggestions = bool(following.active.here), following.can_be_tried, following.suggestions
        quiet = bool(following.active.all) or done or go_on
        is_requested = following.stopping is not None
        return {
            self.start: gr.update(
                value=text("ui.train.queue" if busy else "ui.train.start", self.language),
                variant="secondary" if quiet else "primary",
            ),
            self.resume: gr.update(
                visible=go_on, variant="primary" if go_on and not done and not busy else "secondary"
            ),
            self.pause: gr.update(visible=alive, interactive=not is_requested),
            **self.stopping.render(following),
            self.try_now: gr.update(visible=alive, interactive=tried, variant="primary" if tried else "secondary"),
            self.ways: preflight_views.suggestions(suggestions, self.language),
            self.apply: gr.update(visible=any(way.resumes for way in suggestions)),
            self.why: _why(following, self.language),
            self.failure: box(status.error if status else None, self.language),
            self.export: gr.update(visible=done),
            self.go_on: gr.update(visible=done, variant="secondary" if busy else "primary"),
            self.progress: gr.update(visible=following.run_id is not None),
            **self.waiting.render(following, chosen),
        }

    def connect(self, frame: Frame, show_run: Callable[..., dict[Any, Any]], show_run_outputs: list[Any]) -> None:
        """Connect the tab's events. `show_run(following, *looks)` returns what shows a run from its start."""
        language = self.language
        form = frame.form
        self.strip.connect(frame)
        self.curves.connect(frame)
        self.log.connect(frame)
        self.waiting.connect(frame)

        def start(base: RunConfig, *inputs: Any) -> dict[Any, Any]:
            from studio import gpu

            *values, token, following, curve_settings, log_filter = inputs
            busy = bool(following.active.here)  # what this page has shown: the button has said "add to the queue"
            config = form.read(values, base)
            run = gpu.thread().start_run(config, wait=busy, token=(token or "").strip() or None)
            stays = busy and following.alive
            return show_run(follow(following.run_id if stays else run.id), curve_settings, log_filter)

        def resume(following: Following, curve_settings: Any, log_filter: Any, token: str = "") -> dict[Any, Any]:
            from studio import gpu

            of_hub = (token or "").strip() or None if following.is_elsewhere else None
            looks = curve_settings, log_filter
            run = gpu.thread().resume_run(following.run_id or "", wait=bool(following.active.here), token=of_hub)
            return show_run(follow(run.id), *looks)

        def go_on_with_less(following: Following, *looks: Any) -> dict[Any, Any]:
            from studio import gpu

            first = next(way for way in following.suggestions if way.resumes)
            run = gpu.thread().resume_run(following.run_id or "", first.settings, wait=bool(following.active.here))
            return show_run(follow(run.id), *looks)

        settings = [*frame.config_inputs, self.recipe.model.token, frame.following, *self.looks]
        self.start.click(start, settings, show_run_outputs)
        followed = [frame.following, *self.looks]
        self.stopping.connect(followed, show_run, show_run_outputs)
        self.apply.click(go_on_with_less, followed, show_run_outputs)
        pause = stopping_card.request("pause", language, show_run)
        self.pause.click(pause, followed, show_run_outputs)
        of_hub = [self.remote.token] if self.remote else []
        self.resume.click(resume, [*followed, *of_hub], show_run_outputs)
        if self.remote:
            checked = [self.preflight.verdict, self.preflight.checked]
            self.remote.connect(frame, checked, self.looks, show_run, show_run_outputs)


def _panel(following: Following, language: str) -> str:
    stopping, outcome = following.stopping, stopping_card.what_is_kept(following)
    return status_views.status_panel(
        following.run_id, following.snapshot, language, stopping, following.silent, outcome
    )


def _lines(following: Following | None) -> int:
    return following.snapshot.lines if following and following.snapshot else 0


def _why(following: Following, language: str) -> str:
    """Say why a button cannot be pressed, or what it does."""
    if following.alive and following.is_elsewhere:
        reason = following.stopping or ("elsewhere" if following.can_be_tried else "elsewhere_yet")
    elif following.alive:
        reason = following.stopping or ("queue" if following.can_be_tried else "try")
    elif following.others_at_work:
        reason = "queue"
    else:
        reason = "resume" if following.can_go_on else "again" if following.has_nothing_left else ""
    if not reason:
        return ""
    return f'<p class="hint why-{reason}">{text(f"ui.train.why.{reason}", language)}</p>'
