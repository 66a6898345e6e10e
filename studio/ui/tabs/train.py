"""The Train tab: the recipe beside the run, as its directory tells it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
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
from studio.ui.tabs.curves import Curves
from studio.ui.tabs.log import Log
from studio.ui.tabs.preflight_card import PreflightCard
from studio.ui.tabs.recipe import Recipe
from studio.ui.tabs.remote_card import RemoteCard
from studio.ui.tabs.run_queue import RunQueue
from studio.ui.tabs.stopping import StoppingCard
from studio.ui.tabs.strip import StripCard
from studio.ui.words import Words


@dataclass(frozen=True)
class TrainTab:
    """The tab's components that handlers read or change."""

    recipe: Recipe
    start: gr.Button
    pause: gr.Button
    resume: gr.Button
    stopping: StoppingCard
    remote: RemoteCard | None
    """None on a Space: jobs are started, and paid, by who sits at the machine that runs the studio."""
    try_now: gr.Button
    ways: gr.HTML
    apply: gr.Button
    preflight: PreflightCard
    why: gr.HTML
    status: gr.HTML
    failure: gr.HTML
    refresh: gr.Button
    """Pressed by the browser while the page is hidden, when its clock stands still."""
    waiting: RunQueue
    progress: gr.Column
    """What a run has done so far; not there before the first run."""
    setup: gr.Accordion
    """The recipe, and what can be known of it before the start."""
    curves: Curves
    strip: StripCard
    log: Log
    export: gr.Button
    go_on: gr.Button
    stage: gr.State
    """When a tick has last found another stage of the run (`Following.stage`): the buttons are set then."""

    @property
    def of_tick(self) -> list[Any]:
        """What changes often with the followed run; every output costs at every tick, changed or not."""
        return [self.stage, self.strip.stamp, self.status, *self.curves.of_run, self.log.lines]

    @property
    def of_stage(self) -> list[Any]:
        """What changes with the state of the followed run and with the queue."""
        return [
            self.start,
            self.pause,
            self.resume,
            *self.stopping.outputs,
            self.try_now,
            self.ways,
            self.apply,
            self.why,
            self.failure,
            self.export,
            self.go_on,
            self.progress,
            *self.waiting.of_queue,
        ]

    @property
    def looks(self) -> list[Any]:
        """What a session wants to see of the curves and the log."""
        return [self.curves.settings, self.log.settings]


def build(words: Words, form: Form, preset_name: str | None) -> TrainTab:
    """Build the tab inside the current Blocks."""
    with gr.Column(elem_classes="card", elem_id="run-card"):
        with gr.Row(elem_classes="card-head", equal_height=True):
            words.heading("ui.train.title")
            with gr.Row(elem_classes="stepper"):
                try_now = words.make(gr.Button, text="ui.train.try", visible=False, min_width=96)
                go_on = words.make(gr.Button, text="ui.train.continue", visible=False, min_width=200)
                export = words.make(gr.Button, text="ui.train.export", visible=False, min_width=96)
                resume = words.make(gr.Button, text="ui.train.resume", visible=False, min_width=96)
                start = words.make(gr.Button, text="ui.train.start", variant="primary", min_width=120)
                pause = words.make(gr.Button, text="ui.train.pause", visible=False, min_width=96)
                stop = StoppingCard(words)
        stop.build_question(words)
        status = words.make(gr.HTML, text="ui.status.none", frame='<p class="empty">{}</p>', elem_id="status")
        failure = gr.HTML(elem_id="failure")
        ways = gr.HTML(elem_id="ways")
        apply = words.make(gr.Button, text="ui.oom_advice.apply", visible=False, elem_id="apply")
        with gr.Row(elem_id="why-row"):
            why = gr.HTML(elem_id="why")
            blocked = gr.HTML(elem_id="start-blocked")
            notify.build(words.language)
        refresh = words.make(gr.Button, text="ui.train.look", visible="hidden", elem_id="look-again")
        remote = None if hosts.on_space() else RemoteCard(words)
    queue = run_queue.build(words)
    with gr.Column(visible=False, elem_id="progress") as progress, gr.Row(elem_classes="columns"):
        with gr.Column(min_width=320):
            lines = curves.build(words)
        with gr.Column(min_width=320):
            answers = strip.build(words)
            logged = log.build(words)
    with words.make(gr.Accordion, label="ui.train.setup", elem_id="setup") as setup, gr.Row(elem_classes="columns"):
        with gr.Column(scale=6, min_width=320):
            chosen = recipe.build(words, form, preset_name)
        with gr.Column(scale=5, min_width=320):
            checks = PreflightCard(words, form, start, blocked)
    return TrainTab(
        recipe=chosen,
        start=start,
        pause=pause,
        resume=resume,
        stopping=stop,
        remote=remote,
        try_now=try_now,
        ways=ways,
        apply=apply,
        preflight=checks,
        why=why,
        status=status,
        failure=failure,
        refresh=refresh,
        waiting=queue,
        progress=progress,
        setup=setup,
        curves=lines,
        strip=answers,
        log=logged,
        export=export,
        go_on=go_on,
        stage=gr.State(None),
    )


def render(
    tab: TrainTab,
    following: Following,
    before: Following | None,
    curve_settings: curves.Settings,
    log_filter: log.Filter,
    language: str,
) -> tuple[Following, dict[Any, Any]]:
    """Return what makes the tab show the news of the followed run since `before`, and the run as it is shown then.

    The buttons are not part of it (`buttons`): where they have to follow, the stage is marked as new. Without `before`
    everything is shown, and the buttons are up to the caller: a page that opens learns its language only then.
    """
    updates: dict[Any, Any] = {}
    other = before is None or before.run_id != following.run_id
    panel = _panel(following, language)
    if before is None or panel != _panel(before, language):
        updates[tab.status] = panel
    if other or following.needs_render:
        updates |= curves.render(tab.curves, following, curve_settings, language)
        following = following.as_rendered()
    if other or _lines(before) != _lines(following):
        updates |= log.render(tab.log, following, log_filter, language)
    if before is None or strip.current_stamp(before) != strip.current_stamp(following):
        updates[tab.strip.stamp] = strip.current_stamp(following)
    if before is not None and before.stage != following.stage:
        updates[tab.stage] = time.time_ns()
    return following, updates


def _panel(following: Following, language: str) -> str:
    stopping, outcome = following.stopping, stopping_card.what_is_kept(following)
    return status_views.status_panel(
        following.run_id, following.snapshot, language, stopping, following.silent, outcome
    )


def _lines(following: Following | None) -> int:
    return following.snapshot.lines if following and following.snapshot else 0


def buttons(tab: TrainTab, following: Following, language: str, chosen: str | None = None) -> dict[Any, Any]:
    """Return what makes the buttons suit the state of the followed run and the queue, where `chosen` is chosen."""
    status, alive, done, go_on = following.status, following.alive, following.has_result, following.can_go_on
    busy, tried, suggestions = bool(following.active.here), following.can_be_tried, following.suggestions
    quiet = bool(following.active.all) or done or go_on
    is_requested = following.stopping is not None
    return {
        tab.start: gr.update(
            value=text("ui.train.queue" if busy else "ui.train.start", language),
            variant="secondary" if quiet else "primary",
        ),
        tab.resume: gr.update(visible=go_on, variant="primary" if go_on and not done and not busy else "secondary"),
        tab.pause: gr.update(visible=alive, interactive=not is_requested),
        **tab.stopping.render(following),
        tab.try_now: gr.update(visible=alive, interactive=tried, variant="primary" if tried else "secondary"),
        tab.ways: preflight_views.suggestions(suggestions, language),
        tab.apply: gr.update(visible=any(way.resumes for way in suggestions)),
        tab.why: _why(following, language),
        tab.failure: box(status.error if status else None, language),
        tab.export: gr.update(visible=done),
        tab.go_on: gr.update(visible=done, variant="secondary" if busy else "primary"),
        tab.progress: gr.update(visible=following.run_id is not None),
        **run_queue.render(tab.waiting, following, chosen),
    }


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


def connect(tab: TrainTab, frame: Frame, show_run: Callable[..., dict[Any, Any]], show_run_outputs: list[Any]) -> None:
    """Connect the tab's events. `show_run(following, *looks)` returns what shows a run from its start."""
    language = frame.language
    form = frame.form
    strip.connect(tab.strip, frame)
    curves.connect(tab.curves, frame)
    log.connect(tab.log, frame)
    run_queue.connect(tab.waiting, frame)

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

    settings = [*frame.config_inputs, tab.recipe.model.token, frame.following, *tab.looks]
    tab.start.click(start, settings, show_run_outputs)
    followed = [frame.following, *tab.looks]
    tab.stopping.connect(followed, show_run, show_run_outputs)
    tab.apply.click(go_on_with_less, followed, show_run_outputs)
    pause = stopping_card.request("pause", language, show_run)
    tab.pause.click(pause, followed, show_run_outputs)
    of_hub = [tab.remote.token] if tab.remote else []
    tab.resume.click(resume, [*followed, *of_hub], show_run_outputs)
    if tab.remote:
        checked = [tab.preflight.verdict, tab.preflight.checked]
        tab.remote.connect(frame, checked, tab.looks, show_run, show_run_outputs)
