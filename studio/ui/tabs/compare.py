"""The Compare tab: one prompt, the base model and the adapter, side by side. Here what it is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from studio import runs
from studio.compare import external_adapters as arrived
from studio.compare.columns import MAX_COLUMNS, MAX_STRENGTH, NOW, Column
from studio.config import BUILTIN_MODEL, GenerationConfig, RunConfig
from studio.errors import StudioError
from studio.i18n import text
from studio.runs import Run, State, checkpoints
from studio.ui import compare_views, views
from studio.ui.tabs import adapter_import, card
from studio.ui.tabs.mixing import MIX, MixEditor
from studio.ui.tabs.pair_vote import PairVote
from studio.ui.tabs.prompted_base import PromptEditor
from studio.ui.words import Words

NAMES = ("before", "after", "3", "4")
"""The columns, in the ids of their elements."""
EXTRA = MAX_COLUMNS - 2
MOST_RUNS = 50
MOST_CHECKPOINTS = 40
SYSTEM, SHOTS = "base+system", "base+shots"
"""What an added column can be besides an adapter: the base that is told something first."""
_STEPS = {"temperature": 0.1, "top_p": 0.05, "repetition_penalty": 0.05}
_DEFAULTS = GenerationConfig()
_FIRST_STRENGTHS = (50, 150)
STALE = """(...values) => {
  const given = document.querySelector('#proof [data-answered]')?.dataset.answered;
  const plain = value => typeof value === 'string' ? value.trim() : value === null ? null : Number(value);
  const same = !given || JSON.parse(given).every(
    (value, number) => value === null || plain(value) === plain(values[number]));
  document.querySelector('#answers').classList.toggle('stale', !same);
  return [];
}"""
"""Dims the answers when the settings (`compare_views.settings_of`) are no longer those that they were given to."""
COPY = (
    "element.addEventListener('click', async event => { const asked = event.target.closest('[data-copy]');"
    " if (!asked) return; await navigator.clipboard.writeText(asked.dataset.copy);"
    " asked.textContent = asked.dataset.done; });"
)
"""Makes the copy buttons inside an answer work."""


@dataclass(frozen=True)
class Extra:
    """The controls of an added column."""

    row: gr.Row
    who: gr.Dropdown
    strength: gr.Slider
    system: gr.Textbox
    shots: gr.Textbox
    remove: gr.Button

    @property
    def inputs(self) -> list[Any]:
        """What says what the column is."""
        return [self.who, self.strength, self.system, self.shots]


@dataclass(frozen=True)
class Panel:
    """One column of answers."""

    column: gr.Column
    title: gr.HTML
    answer: gr.HTML
    caption: gr.HTML


@dataclass(frozen=True)
class CompareTab:
    """The tab's components that handlers read or change."""

    run: gr.Dropdown
    checkpoint: gr.Dropdown
    strength: gr.Slider
    numbers: dict[str, gr.Number]
    none: gr.HTML
    extras: tuple[Extra, ...]
    open: gr.State
    """Which of the added columns are open."""
    add: gr.Button
    prompted: PromptEditor
    mixer: MixEditor
    outside: adapter_import.AdapterImport
    prompt: gr.Textbox
    held_out: gr.Radio
    saved: gr.Dropdown
    go: gr.Button
    stop: gr.Button
    badge: gr.HTML
    panels: tuple[Panel, ...]
    view: gr.Radio
    caption: gr.HTML
    """What the view shows, in words."""
    follow: gr.Textbox
    follow_go: gr.Button
    last: gr.State
    """The last comparison; None before the first."""
    token_scores: gr.State
    """How likely both sides find each token of the adapter's last answer; None before it is asked for."""
    card: card.CardMaker
    present: gr.Button
    vote: PairVote

    @property
    def of_runs(self) -> list[Any]:
        """What changes with the runs that there are."""
        who = [extra.who for extra in self.extras]
        titles = [panel.title for panel in self.panels]
        return [self.run, self.checkpoint, self.none, self.go, self.held_out, *self.numbers.values(), *who, *titles]

    @property
    def of_answers(self) -> list[Any]:
        """What shows a comparison."""
        parts = [part for panel in self.panels for part in (panel.column, panel.title, panel.answer, panel.caption)]
        asking = [self.go, self.stop, self.follow, self.follow_go, self.saved]
        return [*parts, self.badge, self.caption, *asking, self.last, self.token_scores]

    @property
    def settings(self) -> list[Any]:
        """What says how to ask: the run, its checkpoint and strength, and the numbers."""
        return [self.run, self.checkpoint, self.strength, *self.numbers.values()]

    @property
    def request_controls(self) -> list[Any]:
        """The controls behind `compare_views.settings_of`."""
        return [self.prompt, self.checkpoint, self.strength, *self.numbers.values()]

    @property
    def columns(self) -> list[Any]:
        """What says which columns are added; then the prompt of the prompted base, and the mix."""
        of_extras = (part for extra in self.extras for part in extra.inputs)
        return [self.open, *of_extras, self.prompted.text, *self.mixer.inputs]


def build_head(words: Words) -> dict[str, Any]:
    """Build the card above all views: which run, and how it answers."""
    with gr.Column(elem_classes="card", elem_id="compare-head"):
        with gr.Row(elem_classes="who"):
            run = words.make(gr.Dropdown, label="ui.compare.run", choices=[], scale=3, min_width=250)
            chosen = words.make(
                gr.Dropdown,
                label="ui.compare.checkpoint",
                choices=[],
                scale=2,
                min_width=170,
                elem_id="checkpoint",
            )
            strength = _strength(words, 100, scale=3, min_width=220, elem_id="strength")
        none = words.empty("ui.compare.no_runs", visible=False)
        with words.make(gr.Accordion, label="ui.compare.all_settings", open=False), gr.Row():
            numbers = {name: _number(words, name) for name in compare_views.NUMBERS}
    return {"run": run, "checkpoint": chosen, "strength": strength, "numbers": numbers, "none": none}


def build(words: Words, head: dict[str, Any]) -> CompareTab:
    """Build the answers inside the current tab."""
    with gr.Column(elem_classes="card", elem_id="ask-card"):
        with gr.Row(elem_classes="ask"):
            prompt = words.make(
                gr.Textbox, label="ui.compare.prompt", lines=2, max_lines=6, scale=5, min_width=280, elem_id="prompt"
            )
            with gr.Row(elem_classes="going"):
                go = words.button("ui.compare.go", variant="primary", interactive=False, min_width=120)
                stop = words.button("ui.compare.stop", interactive=False, min_width=72)
                add = words.button("ui.compare.add", min_width=132, elem_id="add-column")
        held_out = words.make(
            gr.Radio,
            label="ui.compare.held_out",
            choices=[],
            show_label=False,
            visible=False,
            elem_id="held-out",
            elem_classes="chips",
        )
        extras = tuple(_extra(words, number) for number in range(EXTRA))
        prompted, mixer = PromptEditor(words), MixEditor(words)
    with gr.Column(elem_id="answers"):
        badge = words.make(gr.HTML, text="ui.proof.none", frame='<p class="proof-none">{}</p>', elem_id="proof")
        words.make(gr.HTML, text="ui.compare.stale", frame='<p class="hint">⚠ {}</p>', elem_id="stale")
        with gr.Row(elem_classes="columns sides"):
            panels = tuple(_panel(words, name) for name in NAMES)
        vote = PairVote(words)
    with gr.Row(elem_classes="follow"):
        follow = words.make(
            gr.Textbox,
            label="ui.compare.follow",
            placeholder="ui.compare.follow_later",
            interactive=False,
            scale=5,
            elem_id="follow",
        )
        follow_go = words.button("ui.compare.follow_go", interactive=False, scale=1, min_width=120)
    with gr.Row(elem_classes="view"):
        view = words.make(
            gr.Radio,
            label="ui.compare.view",
            value=compare_views.VIEWS[0],
            choices={view: f"ui.compare.views.{view}" for view in compare_views.VIEWS},
            scale=1,
            elem_id="view",
        )
        maker = card.CardMaker(words)
        present = words.button("ui.present.go", min_width=110, elem_id="present")
    caption = gr.HTML(value=compare_views.NO_CAPTION, elem_id="told")
    with gr.Column(elem_classes="card"):
        saved = words.make(gr.Dropdown, label="ui.compare.saved", info="", choices=[], elem_id="saved")
        arriving = adapter_import.AdapterImport(words)
    return CompareTab(
        **head,
        extras=extras,
        open=gr.State((False,) * EXTRA),
        add=add,
        prompted=prompted,
        mixer=mixer,
        outside=arriving,
        prompt=prompt,
        held_out=held_out,
        saved=saved,
        go=go,
        stop=stop,
        badge=badge,
        panels=panels,
        view=view,
        caption=caption,
        follow=follow,
        follow_go=follow_go,
        last=gr.State(None),
        card=maker,
        present=present,
        vote=vote,
        token_scores=gr.State(None),
    )


def _number(words: Words, name: str) -> gr.Number:
    path = f"config.generation.{name}"
    is_rare = name in compare_views.NUMBERS[3:]
    label, info = (f"{path}.title", f"{path}.help") if is_rare else (f"ui.compare.{name}", None)
    value, step = getattr(_DEFAULTS, name), _STEPS.get(name, 1)
    return words.make(gr.Number, label=label, info=info, value=value, step=step, min_width=110)


def _strength(words: Words, percent: int, **settings: Any) -> gr.Slider:
    most = round(100 * MAX_STRENGTH)
    return words.make(
        gr.Slider, label="ui.compare.strength", minimum=0, maximum=most, step=5, value=percent, **settings
    )


def _extra(words: Words, number: int) -> Extra:
    with gr.Row(visible=False, elem_classes="extra", elem_id=f"extra-{NAMES[2 + number]}") as row:
        who = words.make(
            gr.Dropdown, label=f"ui.compare.columns.{NAMES[2 + number]}", choices=[], scale=3, min_width=240
        )
        strength = _strength(words, _FIRST_STRENGTHS[number], scale=4, min_width=240)
        system = words.make(gr.Textbox, label="ui.compare.system", lines=2, visible=False, scale=4, min_width=240)
        shots = words.make(
            gr.Textbox, label="ui.compare.shots", lines=4, max_lines=8, visible=False, scale=4, min_width=240
        )
        remove = words.button("ui.compare.remove", size="sm", scale=0, min_width=100)
    return Extra(row, who, strength, system, shots, remove)


def _panel(words: Words, name: str) -> Panel:
    with gr.Column(min_width=250, elem_classes=f"card side-{name} {name}", visible=name in NAMES[:2]) as column:
        title = gr.HTML()
        answer = words.empty(
            "ui.compare.empty", elem_id=f"answer-{name}", elem_classes="stream", autoscroll=True, js_on_load=COPY
        )
        caption = gr.HTML(value=compare_views.NO_CAPTION, elem_id=f"caption-{name}")
    return Panel(column, title, answer, caption)


# What there is to compare


def comparable() -> list[tuple[Run, runs.Status]]:
    """Return the runs that have an adapter to compare, the newest first: finished ones, and one that trains."""
    comparable_runs = []
    for run in runs.all_runs()[:MOST_RUNS]:
        status = runs.try_status(run)
        if status and (
            run.has_adapter or checkpoints.all_of(run.path) or (status.state is State.TRAINING and status.step)
        ):
            comparable_runs.append((run, status))
    return comparable_runs


def who(run_id: str | None, comparable_runs: Sequence[tuple[Run, runs.Status]], language: str) -> list[tuple[str, str]]:
    """Return what an added column can be: an adapter of this run, another one, or the base that is told more."""
    others = [
        (text("compare.column.other", language, name=views.run_name(run.id)), run.id)
        for run in _other_runs(run_id, comparable_runs)
    ]
    external = arrived.available_columns(runs.Run(runs.folder() / run_id)) if run_id else []
    bases = [(text(f"ui.compare.who.{kind}", language), f"base+{kind}") for kind in ("prompted", "system", "shots")]
    outside = ((views.column_label(Column(adapter=each), language), each) for each in external)
    adapters = [*own_adapters(run_id, language), *others, *outside]
    mix = [(text("ui.compare.who.mix", language), MIX)] if len(adapters) > 1 else []
    return [*adapters, *mix, *bases]


def own_adapters(run_id: str | None, language: str) -> list[tuple[str, str]]:
    """Return the adapters of a run: its own, and its checkpoints."""
    return [(text("compare.column.now", language), NOW), *_steps(run_id, language)] if run_id else []


def _steps(run_id: str, language: str) -> list[tuple[str, str]]:
    steps = [checkpoints.step_of(path) for path in checkpoints.all_of(runs.folder() / run_id)[:MOST_CHECKPOINTS]]
    return [(text("compare.column.step", language, step=step), f"step-{step:06}") for step in steps]


def _other_runs(run_id: str | None, comparable_runs: Sequence[tuple[Run, runs.Status]]) -> list[Run]:
    """Return the other runs whose adapters were made for the same base."""
    bases = {run.id: run.resolved().get("base", {}).get("weights") for run, _ in comparable_runs if run.has_adapter}
    mine = run_id and runs.Run(runs.folder() / run_id).resolved().get("base", {}).get("weights")
    return [run for run, _ in comparable_runs if mine and run.id != run_id and bases.get(run.id) == mine]


def names(run_id: str | None, language: str) -> tuple[str, str]:
    """Return what a run's base and the run itself are called."""
    config = config_of(run_id)
    if run_id is None or config is None:
        return "", ""
    model = config.model.id
    named = Path(model).name if Path(model).is_absolute() else model  # guests and audiences read it: no folders
    return text("ui.model.builtin", language) if model == BUILTIN_MODEL else named, views.run_name(run_id)


def config_of(run_id: str | None) -> RunConfig | None:
    """Return a run's settings; None without a run, or when its folder was damaged from outside."""
    try:
        return runs.find(run_id).config() if run_id else None
    except (StudioError, OSError):
        return None


def held_out(run_id: str | None) -> list[str]:
    """Return the prompts that a run was not trained on, for answers to be compared by."""
    from studio.data import prepare

    config = config_of(run_id)
    try:
        return prepare.held_out(config.evaluation.prompts) if config else []
    except StudioError:  # the data set of an old run is gone: there is nothing to offer
        return []
