"""The Train tab: the recipe beside the run, as its directory tells it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio import runs
from studio.config import RunConfig
from studio.errors import RunError
from studio.i18n import text
from studio.runs import Action
from studio.ui import before_views, views
from studio.ui.failures import box, shown
from studio.ui.following import Following, follow
from studio.ui.form import Form
from studio.ui.frame import Frame
from studio.ui.tabs import before, recipe, strip
from studio.ui.tabs.before import Before
from studio.ui.tabs.recipe import Recipe
from studio.ui.tabs.strip import StripCard
from studio.ui.words import Words

CHART_HEIGHT = 280


@dataclass(frozen=True)
class TrainTab:
    """The tab's components that handlers read or change."""

    recipe: Recipe
    start: gr.Button
    pause: gr.Button
    resume: gr.Button
    stop: gr.Button
    cancel: gr.Button
    ways: gr.HTML
    apply: gr.Button
    before: Before
    why: gr.HTML
    status: gr.HTML
    failure: gr.HTML
    chart: gr.LinePlot
    sentence: gr.HTML
    strip: StripCard
    log: gr.HTML
    go_on: gr.Button

    @property
    def of_run(self) -> list[Any]:
        """What changes with the followed run."""
        return [
            self.start,
            self.pause,
            self.resume,
            self.stop,
            self.cancel,
            self.ways,
            self.apply,
            self.why,
            self.status,
            self.failure,
            self.chart,
            self.sentence,
            *self.strip.of_run,
            self.log,
            self.go_on,
        ]


def build(words: Words, form: Form, preset_name: str | None) -> TrainTab:
    """Build the tab inside the current Blocks."""
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=4, min_width=320):
            chosen = recipe.build(words, form, preset_name)
        with gr.Column(scale=7, min_width=320):
            with gr.Column(elem_classes="card"):
                with gr.Row(elem_classes="card-head", equal_height=True):
                    words.heading("ui.train.title")
                    with gr.Row(elem_classes="stepper"):
                        start = words.make(gr.Button, text="ui.train.start", variant="primary", min_width=120)
                        resume = words.make(gr.Button, text="ui.train.resume", visible=False, min_width=120)
                        pause = words.make(gr.Button, text="ui.train.pause", interactive=False, min_width=96)
                        stop = words.make(gr.Button, text="ui.train.stop", interactive=False, min_width=96)
                        cancel = words.make(gr.Button, text="ui.train.cancel", visible=False, min_width=96)
                status = words.make(gr.HTML, text="ui.status.none", frame='<p class="empty">{}</p>', elem_id="status")
                failure = gr.HTML(elem_id="failure")
                ways = gr.HTML(elem_id="ways")
                apply = words.make(gr.Button, text="ui.ways_out.apply", visible=False, elem_id="apply")
                why = gr.HTML(elem_id="why")
            checks = before.build(words)
            with gr.Column(elem_classes="card"):
                words.heading("ui.loss.title")
                chart = _chart(words)
                sentence = words.make(
                    gr.HTML, text="ui.loss.none", frame='<p class="caption">{}</p>', elem_id="sentence"
                )
            answers = strip.build(words)
            with gr.Column(elem_classes="card"):
                words.heading("ui.log.title")
                log = words.make(gr.HTML, text="ui.log.empty", frame='<p class="empty">{}</p>', elem_id="log")
    with gr.Row(elem_classes="next"):
        go_on = words.make(gr.Button, text="ui.train.continue", scale=0, min_width=240)
    return TrainTab(
        chosen,
        start,
        pause,
        resume,
        stop,
        cancel,
        ways,
        apply,
        checks,
        why,
        status,
        failure,
        chart,
        sentence,
        answers,
        log,
        go_on,
    )


def _chart(words: Words) -> gr.LinePlot:
    return words.make(
        gr.LinePlot,
        label="ui.loss.title",
        x_title="ui.loss.x",
        y_title="ui.loss.y",
        show_label=False,
        value=views.loss_frame([]),
        x="step",
        y="loss",
        color="series",
        colors_in_legend=[],  # the sentence under the chart holds the legend, in the page's language
        color_map=views.SERIES_COLOURS,
        height=CHART_HEIGHT,
        elem_id="loss",
    )


def render(tab: TrainTab, following: Following, before: Following | None, language: str) -> dict[Any, Any]:
    """Return what makes the tab show the followed run; what has not changed since `before` is left out."""
    status = following.status
    alive = following.alive
    done = following.has_result
    go_on = following.can_go_on
    updates: dict[Any, Any] = {
        tab.status: views.status_line(
            following.run_id or "", status, following.points, language, stopping=following.stopping
        ),
    }
    if before is None or (before.run_id, before.alive, before.stopping) != (
        following.run_id,
        alive,
        following.stopping,
    ):
        updates |= {
            tab.start: gr.update(interactive=not alive, variant="secondary" if alive or done or go_on else "primary"),
            tab.resume: gr.update(visible=go_on, variant="primary" if go_on and not done else "secondary"),
            tab.pause: gr.update(interactive=alive and not following.stopping),
            tab.stop: gr.update(interactive=alive and not following.stopping),
            tab.cancel: gr.update(visible=alive, interactive=not following.stopping),
            tab.ways: before_views.ways_out(following.ways_out, language),
            tab.apply: gr.update(visible=any(way.resumes for way in following.ways_out)),
            tab.why: _why(following, language),
            tab.failure: box(status.error if status else None, language),
            tab.go_on: gr.update(interactive=done or alive, variant="primary" if done else "secondary"),
        }
    if before is None or (before.run_id, before.points) != (following.run_id, following.points):
        updates |= {
            tab.chart: _curve(following),
            tab.sentence: views.loss_legend(following.points, language) + _sentence(following, language),
        }
    if before is None or before.run_id != following.run_id or len(before.lines) != len(following.lines):
        updates[tab.log] = views.log_html(following.lines, language)
    return updates


def _curve(following: Following) -> dict[str, Any]:
    last = following.points[-1].step if following.points else 1
    return gr.update(value=views.loss_frame(following.points), x_lim=[0, max(following.total, last)])


def _sentence(following: Following, language: str) -> str:
    return f'<p class="caption">{views.loss_sentence(following.points, following.total, language)}</p>'


def _why(following: Following, language: str) -> str:
    """Say why a button cannot be pressed."""
    over = "resume" if following.can_go_on else "stop"
    reason = following.stopping or ("start" if following.alive else over)
    return f'<p class="hint">{text(f"ui.train.why.{reason}", language)}</p>'


def connect(tab: TrainTab, frame: Frame, show_run: Any, show_run_outputs: list[Any]) -> None:
    """Connect the tab's events. `show_run(following, before, language)` returns the updates of the whole page."""
    form = frame.form
    strip.connect(tab.strip, frame)
    before.connect(tab.before, frame, tab.recipe.model.token)

    @shown
    def start(language: str, base: RunConfig, *given: Any) -> dict[Any, Any]:
        from studio import gpu

        *values, token = given

        run = gpu.thread().start_run(form.read(values, base), token=(token or "").strip() or None)
        return show_run(follow(run.id), None, language)

    @shown
    def resume(language: str, following: Following) -> dict[Any, Any]:
        from studio import gpu

        run = gpu.thread().resume_run(following.run_id or "")
        return show_run(follow(run.id), None, language)

    @shown
    def go_on_with_less(language: str, following: Following) -> dict[Any, Any]:
        from studio import gpu

        first = next(way for way in following.ways_out if way.resumes)
        run = gpu.thread().resume_run(following.run_id or "", first.settings)
        return show_run(follow(run.id), None, language)

    def ask(action: Action) -> Callable[..., dict[Any, Any]]:
        @shown
        def asked(language: str, following: Following) -> dict[Any, Any]:
            if not following.alive or following.run_id is None:
                raise RunError("ui.nothing_to_stop")
            runs.find(following.run_id).request(action)
            return show_run(follow(following.run_id), None, language)

        return asked

    quiet = {"show_progress": "hidden", "api_visibility": "undocumented"}
    tab.start.click(start, [*frame.config_inputs, tab.recipe.model.token], show_run_outputs, **quiet)
    followed = [frame.language, frame.following]
    tab.stop.click(ask("stop"), followed, show_run_outputs, **quiet)
    tab.cancel.click(ask("cancel"), followed, show_run_outputs, **quiet)
    tab.apply.click(go_on_with_less, followed, show_run_outputs, **quiet)
    tab.pause.click(ask("pause"), followed, show_run_outputs, **quiet)
    tab.resume.click(resume, followed, show_run_outputs, **quiet)
