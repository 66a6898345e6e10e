"""The sweeps, on the Runs tab: the picture and the table of one, its winner's settings, stop and continue."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.errors import RunError
from studio.i18n import text
from studio.sweep import directory
from studio.sweep.directory import Sweep, SweepState
from studio.sweep.trial import winner
from studio.ui import sweep_views
from studio.ui.views import day_and_time
from studio.ui.words import Words

MOST = 30
"""Sweeps that can be chosen, the newest ones."""


@dataclass(frozen=True)
class SweepCard:
    """The card's components."""

    sweep_card: gr.Accordion
    sweep: gr.Dropdown
    sweep_apply: gr.Button
    sweep_stop: gr.Button
    sweep_resume: gr.Button

    @property
    def outputs(self) -> list[Any]:
        """What a look at the runs may change, besides the HTML."""
        return [self.sweep_card, self.sweep, self.sweep_apply, self.sweep_stop, self.sweep_resume]


def build(words: Words, parts: dict[str, gr.HTML], script: str) -> SweepCard:
    """Build the card inside the current Blocks; its HTML goes into `parts`, with the `script` of the tab's tables."""
    with words.make(
        gr.Accordion, label="ui.sweep.title", open=False, visible=False, elem_classes="card", elem_id="sweep-card"
    ) as card:
        sweep = words.make(gr.Dropdown, label="ui.sweep.which", choices=[], elem_id="sweep")
        parts["sweep_sentence"] = gr.HTML(elem_id="sweep-sentence")
        parts["sweep_picture"] = gr.HTML(elem_id="sweep-picture")
        parts["sweep_table"] = gr.HTML(elem_id="sweep-table", js_on_load=script)
        with gr.Row(elem_classes="actions"):
            apply = words.button("ui.sweep.apply", min_width=150, elem_id="sweep-apply")
            stop = words.button("ui.sweep.stop", min_width=110, elem_id="sweep-stop")
            resume = words.button("ui.sweep.resume", min_width=110, elem_id="sweep-resume")
    return SweepCard(card, sweep, apply, stop, resume)


def chosen(wanted: str | None) -> Sweep:
    """Return the chosen sweep, the newest one without a choice; raises RunError where there is none."""
    sweeps = directory.all_sweeps()[:MOST]
    named = next((sweep for sweep in sweeps if sweep.id == wanted), sweeps[0] if sweeps else None)
    if named is None:
        raise RunError("sweep.none")
    return named


def render(wanted: str | None, run_ids: set[str], language: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the card's HTML and its components' properties; `run_ids` are the runs that can be opened."""
    sweeps = directory.all_sweeps()[:MOST]
    if not sweeps:
        return {}, {"sweep_card": {"visible": False}}
    sweep = chosen(wanted)
    names = [(f"{'-'.join(each.id.split('-')[2:-1])} · {day_and_time(each.created)}", each.id) for each in sweeps]
    props: dict[str, dict[str, Any]] = {
        "sweep_card": {"visible": True},
        "sweep": {"choices": names, "value": sweep.id},
    }
    try:
        plan = sweep.plan()
    except RunError as error:
        off = {name: {"interactive": False} for name in ("sweep_apply", "sweep_stop", "sweep_resume")}
        words = error.text(language)
        return {
            "sweep_sentence": f'<p class="caption">{words}</p>',
            "sweep_picture": "",
            "sweep_table": "",
        }, props | off
    trials, state = sweep.trials(), sweep.state()
    best = winner(trials)
    done = state is SweepState.FINISHED
    values = {
        "sweep_sentence": sweep_views.sentence(plan, trials, state.value, language, sweep.error()),
        "sweep_picture": sweep_views.drawing(plan, trials, language),
        "sweep_table": sweep_views.table(plan, trials, dict.fromkeys(run_ids), language),
    }
    return values, props | {
        "sweep_apply": {"interactive": best is not None, "variant": "primary" if done and best else "secondary"},
        "sweep_stop": {"visible": state is SweepState.RUNNING, "interactive": not sweep.stop_requested},
        "sweep_resume": {"visible": state not in (SweepState.RUNNING, SweepState.FINISHED)},
    }


def winning_settings(wanted: str | None, language: str) -> Any:
    """Return the winner's settings as a run's, under the name that the sweep began with; raises RunError."""
    sweep = chosen(wanted)
    best, plan = winner(sweep.trials()), sweep.plan()
    if best is None:
        raise RunError("sweep.no_winner", id=sweep.id)
    gr.Info(text("ui.sweep.applied", language, number=best.number + 1), title=text("ui.sweep.title", language))
    return plan.config(best.settings, best.number).with_settings({"name": plan.base.name})
