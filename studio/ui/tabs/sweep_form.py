"""Try several settings: on the page of a run, the settings to vary and what the sweep will take."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

import gradio as gr

from studio import runs
from studio.config import RunConfig
from studio.errors import ConfigError
from studio.sweep import axes, directory, drive, plan
from studio.sweep.forecast import Forecast
from studio.sweep.plan import SweepPlan
from studio.ui import sweep_views
from studio.ui.runs_views import RunsQuery, RunsSession
from studio.ui.words import Words

ROWS = 3
"""Settings that can be varied at once on the page; on the command line there may be more."""
_RULES: tuple[plan.Prune, ...] = get_args(plan.Prune)


class SweepForm:
    """The card's components."""

    def __init__(self, words: Words):
        self.language = words.language
        with words.make(gr.Accordion, label="ui.sweep.form", open=False, elem_classes="card", elem_id="sweep-form"):
            words.hint("ui.sweep.form_help")
            self.settings, self.values = [], []
            for at in range(ROWS):
                with gr.Row():
                    self.settings.append(
                        words.make(
                            gr.Dropdown,
                            label="ui.sweep.setting",
                            choices=sweep_views.offered(words.language),
                            value=("train.learning_rate", "lora.r", None)[at],
                            min_width=220,
                            elem_id=f"sweep-setting-{at}",
                        )
                    )
                    self.values.append(
                        words.make(
                            gr.Textbox,
                            label="ui.sweep.values",
                            max_lines=1,
                            max_length=2000,
                            min_width=220,
                            elem_id=f"sweep-values-{at}",
                        )
                    )
            with gr.Row():
                self.by = words.make(
                    gr.Radio,
                    label="ui.sweep.by",
                    choices={"": "ui.sweep.auto", "loss": "ui.sweep.value.loss", "style": "ui.sweep.value.style"},
                    value="",
                    elem_id="sweep-by",
                )
                self.prune = words.make(
                    gr.Radio,
                    label="ui.sweep.prune",
                    choices={name: f"ui.sweep.rule.{name}" for name in _RULES},
                    value=_RULES[0],
                    elem_id="sweep-prune",
                )
                self.trials = words.make(
                    gr.Textbox, label="ui.sweep.trials", max_lines=1, max_length=6, elem_id="sweep-trials"
                )
            self.estimate = gr.HTML(elem_id="sweep-told")
            with gr.Row(elem_classes="actions"):
                self.check = words.button("ui.sweep.check", min_width=150, elem_id="sweep-check")
                self.start = words.button("ui.sweep.start", min_width=150, elem_id="sweep-start")

    @property
    def inputs(self) -> list[Any]:
        """What `read` takes after the base."""
        return [*self.settings, *self.values, self.by, self.prune, self.trials]

    def connect(
        self, act: Callable[..., Callable[[Any], Any]], show: Callable[..., dict[Any, Any]], card: gr.Accordion
    ) -> None:
        """Connect the buttons; the first parameters are those of `RunPage.connect`, `card` shows what has begun."""

        @act(self.check.click, more=self.inputs, also=[self.estimate])
        def foretell(query: RunsQuery, kind: str, session: RunsSession | None, *values: Any) -> dict[Any, Any]:
            return {self.estimate: foretold(runs.find(query.open or "").config(), values, self.language)[1]}

        @act(self.start.click, more=self.inputs, also=[self.estimate], mode="once")  # a second press begins no other
        def start_sweep(query: RunsQuery, kind: str, session: RunsSession | None, *values: Any) -> dict[Any, Any]:
            wanted, estimate = foretold(runs.find(query.open or "").config(), values, self.language)
            if wanted is None:
                return {self.estimate: estimate}
            started = directory.create(wanted)
            drive.drive_in_background(started)
            changes = {self.estimate: "", card: gr.update(visible=True, open=True)}
            return show(replace(query, open=None, sweep=started.id), kind, session, changes)


def read(base: RunConfig, control_values: Sequence[Any]) -> SweepPlan:
    """Return the plan that the form says, around the settings of a run; raises ConfigError."""
    paths, values, (by, prune, trials) = (
        control_values[:ROWS],
        control_values[ROWS : 2 * ROWS],
        control_values[2 * ROWS :],
    )
    over = []
    known = {path for _, path in sweep_views.offered("en")}
    for path, written in zip(paths, values, strict=True):
        if path in known and (written or "").strip():
            over.append(axes.read(path, written.strip()))
    return plan.make(base, over, by=by or None, prune=prune or _RULES[0], trials=_count(trials))


def _count(written: str | None) -> int | None:
    """Return the number of runs in a text; None for an empty one; raises ConfigError."""
    if not (written or "").strip():
        return None
    if not str(written).strip().isdecimal() or not 1 <= int(written) <= plan.MAX_COMBINATIONS:
        raise ConfigError("sweep.trials", value=str(written)[:20], most=plan.MAX_COMBINATIONS)
    return int(written)


_known: OrderedDict[str, Forecast] = OrderedDict()
_MOST_KNOWN = 8


def foretell(wanted: SweepPlan) -> Forecast:
    """Return what a sweep will take; one that was foretold just now is not checked again."""
    from studio import gpu
    from studio.sweep.forecast import forecast

    key = wanted.model_dump_json()
    if key not in _known:
        _known[key] = forecast(wanted, gpu.thread().free_memory())
        while len(_known) > _MOST_KNOWN:
            _known.popitem(last=False)
    return _known[key]


def foretold(base: RunConfig, values: Sequence[Any], language: str) -> tuple[SweepPlan | None, str]:
    """Return the plan that the form says, and what it will take in words; None where something stands in its way."""
    try:
        wanted = read(base, values)
    except ConfigError as error:
        if not error.problems:
            raise
        return None, sweep_views.problems(error.problems, language)
    expected = foretell(wanted)
    return None if expected.blocks else wanted, sweep_views.foretold(expected, language)
