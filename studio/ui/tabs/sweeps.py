"""The sweeps, on the Runs tab: the picture and the table of one, its winner's settings, stop and continue."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gradio as gr

from studio.errors import RunError
from studio.i18n import text
from studio.sweep import directory, drive
from studio.sweep.directory import Sweep, SweepState
from studio.sweep.trial import winner
from studio.ui import sweep_views
from studio.ui.page import components
from studio.ui.runs_views import RunsQuery, RunsSession
from studio.ui.views import day_and_time
from studio.ui.words import Words

MOST = 30
"""Sweeps that can be chosen, the newest ones."""


class SweepCard:
    """The card, away before the first sweep."""

    def __init__(self, words: Words, script: str):
        """Build the card inside the current Blocks; `script` makes the buttons of its table work."""
        self.language = words.language
        with words.make(
            gr.Accordion, label="ui.sweep.title", open=False, visible=False, elem_classes="card", elem_id="sweep-card"
        ) as self.card:
            self.sweep = words.make(gr.Dropdown, label="ui.sweep.which", choices=[], elem_id="sweep")
            self.sentence = gr.HTML(elem_id="sweep-sentence")
            self.picture = gr.HTML(elem_id="sweep-picture")
            self.table = gr.HTML(elem_id="sweep-table", js_on_load=script)
            with gr.Row(elem_classes="actions"):
                self.apply = words.button("ui.sweep.apply", min_width=150, elem_id="sweep-apply")
                self.stop = words.button("ui.sweep.stop", min_width=110, elem_id="sweep-stop")
                self.resume = words.button("ui.sweep.resume", min_width=110, elem_id="sweep-resume")
        self.outputs = components(self)

    def render(self, wanted: str | None, run_ids: set[str]) -> dict[Any, Any]:
        """Return what shows a sweep; `run_ids` are the runs that can be opened."""
        sweeps, language = directory.all_sweeps()[:MOST], self.language
        if not sweeps:
            return {self.card: gr.update(visible=False)}
        sweep = chosen_sweep(wanted)
        names = [(f"{'-'.join(each.id.split('-')[2:-1])} · {day_and_time(each.created)}", each.id) for each in sweeps]
        updates = {self.card: gr.update(visible=True), self.sweep: gr.update(choices=names, value=sweep.id)}
        try:
            plan = sweep.plan()
        except RunError as error:
            words = f'<p class="caption">{error.text(language)}</p>'
            off = dict.fromkeys((self.apply, self.stop, self.resume), gr.update(interactive=False))
            return {**updates, **off, self.sentence: words, self.picture: "", self.table: ""}
        trials, state = sweep.trials(), sweep.state()
        best = winner(trials)
        filled = "primary" if state is SweepState.FINISHED and best else "secondary"
        is_running = state is SweepState.RUNNING
        return {
            **updates,
            self.sentence: sweep_views.sentence(plan, trials, state.value, language, sweep.error()),
            self.picture: sweep_views.drawing(plan, trials, language),
            self.table: sweep_views.table(plan, trials, dict.fromkeys(run_ids), language),
            self.apply: gr.update(interactive=best is not None, variant=filled),
            self.stop: gr.update(visible=is_running, interactive=not sweep.stop_requested),
            self.resume: gr.update(visible=not is_running and state is not SweepState.FINISHED),
        }

    def connect(self, act: Callable[..., Callable[[Any], Any]], show: Callable[..., dict[Any, Any]]) -> None:
        """Connect the events; the parameters are those of `RunPage.connect`."""

        @act(self.sweep.input, more=[self.sweep])
        def choose_sweep(query: RunsQuery, kind: str, session: RunsSession | None, chosen: str | None) -> Any:
            return show(replace(query, sweep=chosen), kind, session)

        @act(self.stop.click)
        def stop_sweep(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
            chosen_sweep(query.sweep).request_stop()
            return show(query, kind, session)

        @act(self.resume.click)
        def resume_sweep(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
            drive.drive_in_background(chosen_sweep(query.sweep))
            return show(query, kind, session)


def chosen_sweep(wanted: str | None) -> Sweep:
    """Return the chosen sweep, the newest one without a choice; raises RunError where there is none."""
    sweeps = directory.all_sweeps()[:MOST]
    named = next((sweep for sweep in sweeps if sweep.id == wanted), sweeps[0] if sweeps else None)
    if named is None:
        raise RunError("sweep.none")
    return named


def winning_settings(wanted: str | None, language: str) -> Any:
    """Return the winner's settings as a run's, under the name that the sweep began with; raises RunError."""
    sweep = chosen_sweep(wanted)
    best, plan = winner(sweep.trials()), sweep.plan()
    if best is None:
        raise RunError("sweep.no_winner", id=sweep.id)
    gr.Info(text("ui.sweep.applied", language, number=best.number + 1), title=text("ui.sweep.title", language))
    return plan.config(best.settings, best.number).with_settings({"name": plan.base.name})
