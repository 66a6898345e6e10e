"""The curves of the followed run, on the Train tab: loss, learning rate or gradient norm in one chart."""

import html
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from studio.i18n import text
from studio.runs.curve import Curve
from studio.train.diagnosis import diagnose
from studio.ui import charts, curve_views, reading_views, style_views
from studio.ui.following import Following
from studio.ui.frame import Frame
from studio.ui.words import Words

HEIGHT = 280


@dataclass(frozen=True)
class Settings:
    """How a session wants the curves."""

    kind: str = "loss"
    smoothing: float = 0.6
    log: bool = False


class Curves:
    """The card's components."""

    def __init__(self, words: Words):
        self.language = words.language
        settings = Settings()
        with gr.Column(elem_classes="card"):
            with gr.Row(elem_classes="card-head", equal_height=True):
                words.heading("ui.curves.title")
                self.kind = words.pick(
                    "ui.curves.kind",
                    {kind: f"ui.curves.kinds.{kind}" for kind in curve_views.KINDS},
                    value=settings.kind,
                    elem_id="curve-kind",
                    elem_classes="pick",
                )
            self.chart = line_plot(words, "loss", curve_views.frame([]), curve_views.COLOURS, "ui.curves.title")
            self.legend = gr.HTML(elem_id="legend")
            self.style = gr.HTML(elem_id="style-points")
            """What the meter has measured, under the loss."""
            with (
                words.make(gr.Accordion, label="ui.curves.settings", open=False),
                gr.Row(elem_classes="chart-settings"),
            ):
                self.smoothing = words.make(
                    gr.Slider,
                    label="ui.curves.smoothing",
                    minimum=0,
                    maximum=charts.MOST_SMOOTHING,
                    step=0.01,
                    value=settings.smoothing,
                    buttons=[],
                    elem_id="smoothing",
                )
                self.log = words.make(gr.Checkbox, label="ui.curves.log", value=settings.log, elem_id="log-scale")
        with gr.Column(elem_classes="card"):
            words.heading("ui.curves.reading")
            self.sentence = words.make(
                gr.HTML, text="ui.loss.none", frame='<p class="caption">{}</p>', elem_id="sentence"
            )
        self.settings = gr.State(settings)

    @property
    def of_run(self) -> list[Any]:
        """What changes with the run."""
        return [self.chart, self.legend, self.style, self.sentence]

    def render(self, following: Following, settings: Settings) -> dict[Any, Any]:
        """Return what draws the run's curves.

        The axis' title is in the legend for `page.js` to set: a chart that gets another `y_title` is built anew, and
        news that come meanwhile are lost.
        """
        reader = following.reader
        curve = reader.curve() if reader else Curve()
        curves = curve_views.series(curve, settings.kind)
        title = text(
            f"ui.curves.y.{settings.kind}_log" if settings.log else f"ui.curves.y.{settings.kind}", self.language
        )
        legend = curve_views.legend(curves, self.language, settings.smoothing)
        margins = int(bool(len(curve_views.series(curve, curve_views.MARGIN)[0].steps)))
        data = f'data-axis="{html.escape(title)}" data-log="{int(settings.log)}" data-margins="{margins}"'
        return {
            self.chart: curve_views.frame(curves, settings.smoothing, settings.log, following.total),
            self.legend: f"<div {data}>{legend}</div>",
            self.style: style_views.points(curve.styles, curve.best_step, self.language),
            self.sentence: sentence(following, self.language),
        }

    def connect(self, frame: Frame) -> None:
        """Connect the controls: they change what is drawn, for this session alone."""

        def changed(following: Following, settings: Settings, kind: str, weight: float, log: bool) -> dict[Any, Any]:
            wanted = replace(
                settings, kind=kind, smoothing=min(max(weight or 0.0, 0.0), charts.MOST_SMOOTHING), log=bool(log)
            )
            return {self.settings: wanted, **self.render(following, wanted)}

        gr.on(
            [self.kind.input, self.smoothing.release, self.log.input],
            changed,
            [frame.following, self.settings, self.kind, self.smoothing, self.log],
            [self.settings, *self.of_run],
        )


def line_plot(
    words: Words, name: str, frame: Any, colours: dict[str, str], label: str = "ui.curves.kinds.loss"
) -> gr.LinePlot:
    """Make a chart of losses by step."""
    return words.make(
        gr.LinePlot,
        label=label,
        x_title="ui.loss.x",
        y_title="ui.curves.y.loss",
        show_label=False,
        value=frame,
        x=charts.STEP,
        y=charts.VALUE,
        color=charts.SERIES,
        colors_in_legend=[],  # the legend under the chart is in the page's language
        color_map=charts.colour_map(colours),
        height=HEIGHT,
        elem_id=name,
    )


def sentence(following: Following, language: str) -> str:
    """Return what the loss curve says, whichever curve is drawn."""
    curve = following.reader.curve() if following.reader else Curve()
    return reading_views.reading_html(curve, diagnose(curve, following.status), language)
