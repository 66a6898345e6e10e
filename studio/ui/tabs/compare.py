"""The Compare tab: one prompt, the base model and the adapter, side by side."""

import html
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from studio import runs
from studio.compare import comparison_history
from studio.compare.columns import ADAPTED, BASE, MAX_COLUMNS, MAX_STRENGTH, NOW, Column, CompareRequest
from studio.compare.comparison import Comparison
from studio.config import GenerationConfig
from studio.errors import StudioError
from studio.i18n import DEFAULT_LANGUAGE, text
from studio.runs import Run
from studio.style import style_store
from studio.style.report import StyleReport
from studio.ui import comparable, compare_views, limits, views
from studio.ui.compare_views import View
from studio.ui.failures import box
from studio.ui.tabs import adapter_import, card
from studio.ui.tabs.mixing import MixEditor
from studio.ui.tabs.pair_vote import PairVote
from studio.ui.tabs.prompted_base import PromptEditor
from studio.ui.words import Words

NAMES = ("before", "after", "3", "4")
"""The columns, in the ids of their elements."""
EXTRA = MAX_COLUMNS - 2
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


class Extra:
    """The controls of an added column."""

    def __init__(self, words: Words, number: int):
        """Build the row of one of the added columns."""
        with gr.Row(visible=False, elem_classes="extra", elem_id=f"extra-{NAMES[2 + number]}") as self.row:
            self.who = words.make(
                gr.Dropdown, label=f"ui.compare.columns.{NAMES[2 + number]}", choices=[], scale=3, min_width=240
            )
            self.strength = _strength(words, _FIRST_STRENGTHS[number], scale=4, min_width=240)
            self.system = words.make(
                gr.Textbox, label="ui.compare.system", lines=2, visible=False, scale=4, min_width=240
            )
            self.shots = words.make(
                gr.Textbox, label="ui.compare.shots", lines=4, max_lines=8, visible=False, scale=4, min_width=240
            )
            self.remove = words.button("ui.compare.remove", size="sm", scale=0, min_width=100)
        self.inputs = [self.who, self.strength, self.system, self.shots]
        """What says what the column is."""


class Panel:
    """One column of answers."""

    def __init__(self, words: Words, name: str):
        """Build the column that is called so in the ids of its elements."""
        with gr.Column(
            min_width=250, elem_classes=f"card side-{name} {name}", visible=name in NAMES[:2]
        ) as self.column:
            self.title = gr.HTML()
            self.answer = words.empty(
                "ui.compare.empty",
                elem_id=f"answer-{name}",
                elem_classes="stream",
                autoscroll=True,
                js_on_load=compare_views.COPY,
            )
            self.caption = gr.HTML(value=compare_views.NO_CAPTION, elem_id=f"caption-{name}")


class CompareTab:
    """Which run is asked, how, and what it answers."""

    def __init__(self, words: Words):
        """Build the card above all views: which run, and how it answers; `build_answers` builds the rest."""
        self.language = words.language
        with gr.Column(elem_classes="card", elem_id="compare-head"):
            with gr.Row(elem_classes="who"):
                self.run = words.make(gr.Dropdown, label="ui.compare.run", choices=[], scale=3, min_width=250)
                self.checkpoint = words.make(
                    gr.Dropdown,
                    label="ui.compare.checkpoint",
                    choices=[],
                    scale=2,
                    min_width=170,
                    elem_id="checkpoint",
                )
                self.strength = _strength(words, 100, scale=3, min_width=220, elem_id="strength")
            self.none = words.empty("ui.compare.no_runs", visible=False)
            with words.make(gr.Accordion, label="ui.compare.all_settings", open=False), gr.Row():
                self.numbers = {name: _number(words, name) for name in compare_views.NUMBERS}

    def build_answers(self, words: Words) -> None:
        """Build the answers inside the current tab."""
        with gr.Column(elem_classes="card", elem_id="ask-card"):
            with gr.Row(elem_classes="ask"):
                self.prompt = words.make(
                    gr.Textbox,
                    label="ui.compare.prompt",
                    lines=2,
                    max_lines=6,
                    scale=5,
                    min_width=280,
                    elem_id="prompt",
                )
                with gr.Row(elem_classes="going"):
                    self.go = words.button("ui.compare.go", variant="primary", interactive=False, min_width=120)
                    self.stop = words.button("ui.compare.stop", interactive=False, min_width=72)
                    self.add = words.button("ui.compare.add", min_width=132, elem_id="add-column")
            self.held_out = words.make(
                gr.Radio,
                label="ui.compare.held_out",
                choices=[],
                show_label=False,
                visible=False,
                elem_id="held-out",
                elem_classes="chips",
            )
            self.extras = tuple(Extra(words, number) for number in range(EXTRA))
            self.prompted, self.mixer = PromptEditor(words), MixEditor(words)
        with gr.Column(elem_id="answers"):
            self.badge = words.make(
                gr.HTML, text="ui.proof.none", frame='<p class="proof-none">{}</p>', elem_id="proof"
            )
            words.make(gr.HTML, text="ui.compare.stale", frame='<p class="hint">⚠ {}</p>', elem_id="stale")
            with gr.Row(elem_classes="columns sides"):
                self.panels = tuple(Panel(words, name) for name in NAMES)
            self.vote = PairVote(words)
        with gr.Row(elem_classes="follow"):
            self.follow = words.make(
                gr.Textbox,
                label="ui.compare.follow",
                placeholder="ui.compare.follow_later",
                interactive=False,
                scale=5,
                elem_id="follow",
            )
            self.follow_go = words.button("ui.compare.follow_go", interactive=False, scale=1, min_width=120)
        with gr.Row(elem_classes="view"):
            self.view = words.make(
                gr.Radio,
                label="ui.compare.view",
                value=compare_views.VIEWS[0],
                choices={view: f"ui.compare.views.{view}" for view in compare_views.VIEWS},
                scale=1,
                elem_id="view",
            )
            self.card = card.CardMaker(words)
            self.present = words.button("ui.present.go", min_width=110, elem_id="present")
        self.caption = gr.HTML(value=compare_views.NO_CAPTION, elem_id="told")
        with gr.Column(elem_classes="card"):
            self.saved = words.make(gr.Dropdown, label="ui.compare.saved", info="", choices=[], elem_id="saved")
            self.outside = adapter_import.AdapterImport(words)
        self.open = gr.State((False,) * EXTRA)
        """Which of the added columns are open."""
        self.last = gr.State(None)
        """The last comparison; None before the first."""
        self.token_scores = gr.State(None)
        """How likely both sides find each token of the adapter's last answer; None before it is asked for."""

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

    def choose(self, chosen: str | None, wanted: str | None = None) -> dict[Any, Any]:
        """Return what offers the runs there are; the `chosen` one stays chosen if it is among them.

        A `wanted` one that is among them is chosen in its place. Nothing can be compared until another run is opened,
        which lets the button be pressed: opening it would end the comparison.
        """
        comparable_runs = comparable.comparable()
        choices = [(views.run_choice(run.id, status, self.language), run.id) for run, status in comparable_runs]
        ids = [run.id for run, _ in comparable_runs]
        value = next((run_id for run_id in (wanted, chosen) if run_id in ids), next(iter(ids), None))
        config = comparable.config_of(value)
        changed = {} if value == chosen or config is None else self.generation(config.generation)
        return {
            self.run: gr.update(choices=choices, value=value),
            self.none: gr.update(visible=not ids),
            **({} if ids and value == chosen else {self.go: gr.update(interactive=False)}),
            **changed,
            **self.about(value, comparable_runs, fresh=value != chosen),
        }

    def about(
        self, run_id: str | None, comparable_runs: Sequence[tuple[Run, runs.Status]], fresh: bool = True
    ) -> dict[Any, Any]:
        """Return what belongs to a run: its checkpoints, other runs on its base, its held-out prompts, and the titles.

        What the user chose stays, unless the run is a `fresh` one.
        """
        prompts = comparable.held_out(run_id)
        own = comparable.own_adapters(run_id, self.language)
        value = {"value": NOW if run_id else None} if fresh else {}
        titles = self.titled((BASE, ADAPTED), run_id) if fresh else {}
        return {
            self.held_out: gr.update(choices=prompts, visible=bool(prompts), **({"value": None} if fresh else {})),
            self.checkpoint: gr.update(choices=own, **value),
            **{
                extra.who: gr.update(choices=comparable.who(run_id, comparable_runs, self.language), **value)
                for extra in self.extras
            },
            **titles,
        }

    def titled(self, columns: Sequence[Column], run_id: str | None) -> dict[Any, Any]:
        """Return the headings of columns."""
        base, name = comparable.names(run_id, self.language)
        return {
            self.panels[number].title: compare_views.column_title(column, number, base, name, self.language)
            for number, column in enumerate(columns)
        }

    def generation(self, settings: GenerationConfig) -> dict[Any, Any]:
        """Return what shows a run's own settings for comparing; a guest's are no longer than they may ask for."""
        return {part: getattr(_allowed(settings), name) for name, part in self.numbers.items()}

    def _badge(self, comparison: Comparison) -> str:
        request = replace(comparison.request, generation=_allowed(comparison.request.generation))
        return compare_views.badge(replace(comparison, request=request), self.language)

    def nothing(self) -> dict[Any, Any]:
        """Return what shows that nothing is compared yet."""
        updates: dict[Any, Any] = {
            self.last: None,
            self.token_scores: None,
            self.badge: compare_views.badge(None, self.language),
            self.caption: compare_views.NO_CAPTION,
            self.follow: gr.update(interactive=False, placeholder=text("ui.compare.follow_later", self.language)),
            self.follow_go: gr.update(interactive=False),
        }
        for number, panel in enumerate(self.panels):
            updates[panel.column] = gr.update(visible=number < len(self.panels) - EXTRA)
            updates[panel.answer] = compare_views.empty("ui.compare.empty", self.language)
            updates[panel.caption] = compare_views.NO_CAPTION
        return updates

    def waiting(self, request: CompareRequest) -> dict[Any, Any]:
        """Return what shows the columns that are about to answer."""
        unanswered = compare_views.waiting(request, self.language)
        updates: dict[Any, Any] = self.titled(request.columns, request.run_id)
        for number, panel in enumerate(self.panels):
            is_used = number < len(request.columns)
            updates[panel.column] = gr.update(visible=is_used)
            if is_used:
                updates |= {panel.answer: unanswered[number], panel.caption: compare_views.NO_CAPTION}
        return updates | {
            self.badge: self._badge(Comparison(request, ())),
            self.caption: compare_views.NO_CAPTION,
        }

    def answers(self, comparing: Comparison, view: View, token_scores: Any = None) -> dict[Any, Any]:
        """Return what shows the answers as far as they have come."""
        updates: dict[Any, Any] = {}
        style = _style_of(comparing.request.run_id) if view == "style" else None
        for number, side in enumerate(comparing.answers[0]):
            words = compare_views.answer(comparing, number, view, self.language, token_scores, style)
            updates[self.panels[number].answer] = words
            updates[self.panels[number].caption] = compare_views.caption(side, self.language)
        return updates

    def render(self, last: Comparison | None, view: View, token_scores: Any = None) -> dict[Any, Any]:
        """Return what shows the last comparison in a view and a language; nothing is asked."""
        if last is None:
            return {}
        request = last.request
        line = ""
        if view == "difference":
            line = compare_views.shared_line(last, self.language)
        elif view == "likelihood":
            waiting = text("ui.likelihood.going", self.language)
            line = compare_views.token_scores_line(token_scores, self.language) if token_scores else waiting
        elif view == "style":
            line = text(
                "ui.compare.style_words" if _style_of(request.run_id) else "ui.compare.style_later", self.language
            )
        return {
            **self.titled(request.columns, request.run_id),
            **self.answers(last, view, token_scores),
            self.badge: self._badge(last),
            self.caption: f'<p class="caption">{html.escape(line) or "&nbsp;"}</p>',
            self.follow: gr.update(placeholder=text("ui.compare.follow_hint", self.language)),
        }

    def opened(self, comparison: Comparison, view: View) -> dict[Any, Any]:
        """Return what shows a comparison that is over."""
        visible_columns = {
            panel.column: gr.update(visible=n < len(comparison.request.columns)) for n, panel in enumerate(self.panels)
        }
        return {**visible_columns, **self.render(comparison, view), self.last: comparison, self.token_scores: None}

    def restore_request(self, comparison: Comparison) -> dict[Any, Any]:
        """Return what sets the controls as they were for a comparison that is shown again."""
        prompt, checkpoint, strength, *_ = compare_views.settings_of(comparison.request)
        updates = {self.prompt: prompt, **self.generation(comparison.request.generation)}
        if strength is not None:
            updates[self.strength] = strength
        own = comparable.own_adapters(comparison.request.run_id, DEFAULT_LANGUAGE)
        if checkpoint in [name for _, name in own]:  # it may be gone
            updates[self.checkpoint] = checkpoint
        return updates

    def refused(self, request: CompareRequest, error: StudioError, so_far: Comparison | None = None) -> dict[Any, Any]:
        """Return what shows, and keeps on the page, why columns could not be compared; answers `so_far` stay."""
        cleared = self.nothing()
        if so_far is not None and so_far.has_tokens:
            cleared = {self.last: None, self.token_scores: None}
        return {
            **cleared,
            **self.titled(request.columns, request.run_id),
            **{panel.column: gr.update(visible=n < len(request.columns)) for n, panel in enumerate(self.panels)},
            **self.offered(request.run_id, None),
            self.badge: box(error.message, self.language),
        }

    def offered(self, run_id: str | None, on_screen: Comparison | None) -> dict[Any, Any]:
        """Return what offers the comparisons that a run has kept; the one on the screen is the chosen one."""
        choices = [
            (compare_views.saved_choice(saved, self.language), saved.id) for saved in comparable.saved_of(run_id)
        ]
        chosen = comparison_history.comparison_id(on_screen) if on_screen else None
        value = chosen if chosen in [name for _, name in choices] else None
        help_key = "ui.compare.saved_help" if choices else "ui.compare.saved_none"
        return {
            self.saved: gr.update(
                choices=choices, value=value, interactive=bool(choices), info=text(help_key, self.language)
            )
        }


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


def _allowed(settings: GenerationConfig) -> GenerationConfig:
    if not runs.is_restricted():
        return settings
    return settings.model_copy(update={"max_new_tokens": min(settings.max_new_tokens, limits.MOST_TOKENS)})


def _style_of(run_id: str) -> StyleReport | None:
    """Return the newest report of the meter that knows which words carry the style; None without one."""
    run = runs.try_find(run_id)
    report = style_store.newest(run) if run else None
    return report if report and report.author_words else None
