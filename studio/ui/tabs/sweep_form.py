"""Try several settings: on the page of a run, the settings to vary and what the sweep will take."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import gradio as gr

from studio.config import RunConfig
from studio.errors import ConfigError
from studio.sweep import axes, plan
from studio.sweep.forecast import Forecast
from studio.sweep.plan import SweepPlan
from studio.ui import sweep_views
from studio.ui.words import Words

ROWS = 3
"""Settings that can be varied at once on the page; on the command line there may be more."""
_RULES: tuple[plan.Prune, ...] = get_args(plan.Prune)


@dataclass(frozen=True)
class SweepForm:
    """The card's components."""

    settings: tuple[gr.Dropdown, ...]
    values: tuple[gr.Textbox, ...]
    by: gr.Radio
    prune: gr.Radio
    trials: gr.Textbox
    check: gr.Button
    start: gr.Button
    estimate: gr.HTML

    @property
    def inputs(self) -> list[Any]:
        """What `read` takes after the base."""
        return [*self.settings, *self.values, self.by, self.prune, self.trials]


def build(words: Words) -> SweepForm:
    """Build the card inside the current Blocks."""
    with words.make(gr.Accordion, label="ui.sweep.form", open=False, elem_classes="card", elem_id="sweep-form"):
        words.make(gr.HTML, text="ui.sweep.form_help", frame='<p class="hint">{}</p>')
        settings, values = [], []
        for at in range(ROWS):
            with gr.Row():
                settings.append(
                    words.make(
                        gr.Dropdown,
                        label="ui.sweep.setting",
                        choices=sweep_views.offered(words.language),
                        value=("train.learning_rate", "lora.r", None)[at],
                        min_width=220,
                        elem_id=f"sweep-setting-{at}",
                    )
                )
                values.append(
                    words.make(
                        gr.Textbox,
                        label="ui.sweep.values",
                        placeholder="ui.sweep.values_hint",
                        max_lines=1,
                        max_length=2000,
                        min_width=220,
                        elem_id=f"sweep-values-{at}",
                    )
                )
        with gr.Row():
            by = words.make(
                gr.Radio,
                label="ui.sweep.by",
                choices={"": "ui.sweep.auto", "loss": "ui.sweep.value.loss", "style": "ui.sweep.value.style"},
                value="",
                elem_id="sweep-by",
            )
            prune = words.make(
                gr.Radio,
                label="ui.sweep.prune",
                choices={name: f"ui.sweep.rule.{name}" for name in _RULES},
                value=_RULES[0],
                elem_id="sweep-prune",
            )
            trials = words.make(
                gr.Textbox,  # a browser shows an empty number as 0
                label="ui.sweep.trials",
                info="ui.sweep.trials_help",
                max_lines=1,
                max_length=6,
                elem_id="sweep-trials",
            )
        estimate = gr.HTML(elem_id="sweep-told")
        with gr.Row(elem_classes="actions"):
            check = words.make(gr.Button, text="ui.sweep.check", min_width=150, elem_id="sweep-check")
            start = words.make(gr.Button, text="ui.sweep.start", min_width=150, elem_id="sweep-start")
    return SweepForm(tuple(settings), tuple(values), by, prune, trials, check, start, estimate)


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
