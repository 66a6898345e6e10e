"""The Compare tab: one prompt, the base model and the adapter, side by side."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import gradio as gr

from studio import runs
from studio.config import BUILTIN_MODEL, GenerationConfig, RunConfig
from studio.errors import CompareError, StudioError
from studio.i18n import text
from studio.runs import Run, State
from studio.ui import views
from studio.ui.failures import shown
from studio.ui.frame import Frame
from studio.ui.words import Words

SIDES = ("before", "after")
MOST_RUNS = 50
_DEFAULTS = GenerationConfig()

_going: "WeakValueDictionary[str, Any]" = WeakValueDictionary()
"""The comparison of each session, so that its Stop button finds it."""


@dataclass(frozen=True)
class CompareTab:
    """The tab's components that handlers read or change."""

    run: gr.Dropdown
    none: gr.HTML
    prompt: gr.Textbox
    held_out: gr.Dropdown
    temperature: gr.Number
    max_new_tokens: gr.Number
    seed: gr.Number
    go: gr.Button
    stop: gr.Button
    titles: dict[str, gr.HTML]
    answers: dict[str, gr.HTML]
    captions: dict[str, gr.HTML]

    @property
    def of_runs(self) -> list[Any]:
        """What changes with the runs that there are."""
        numbers = [self.temperature, self.max_new_tokens, self.seed]
        return [self.run, self.none, self.go, self.held_out, *numbers, *self.titles.values()]


def build(words: Words) -> CompareTab:
    """Build the tab inside the current Blocks."""
    with gr.Column(elem_classes="card"):
        with gr.Row():
            run = words.make(gr.Dropdown, label="ui.compare.run", fixed_choices=[], scale=3, min_width=280)
            temperature = _number(words, "temperature", step=0.1)
            max_new_tokens = _number(words, "max_new_tokens", step=1)
            seed = _number(words, "seed", step=1)
        none = words.make(gr.HTML, text="ui.compare.no_runs", frame='<p class="empty">{}</p>', visible=False)
        prompt = words.make(
            gr.Textbox,
            label="ui.compare.prompt",
            placeholder="ui.compare.prompt_hint",
            lines=2,
            max_lines=6,
            elem_id="prompt",
        )
        with gr.Row(elem_classes="ask", equal_height=True):
            held_out = words.make(
                gr.Dropdown, label="ui.compare.held_out", info="ui.compare.held_out_help", fixed_choices=[], scale=3
            )
            go = words.make(gr.Button, text="ui.compare.go", variant="primary", min_width=140, scale=1)
            stop = words.make(gr.Button, text="ui.compare.stop", interactive=False, min_width=100, scale=1)
    titles, answers, captions = {}, {}, {}
    with gr.Row(elem_classes="columns sides"):
        for side in SIDES:
            with gr.Column(min_width=320, elem_classes=f"card {side}"):
                titles[side] = words.heading(f"ui.compare.{side}")
                answers[side] = words.make(
                    gr.HTML,
                    text="ui.compare.empty",
                    frame='<p class="empty">{}</p>',
                    elem_id=f"answer-{side}",
                    elem_classes="stream",
                    autoscroll=True,
                )
                captions[side] = gr.HTML(value='<p class="caption">&nbsp;</p>', elem_id=f"caption-{side}")
    return CompareTab(
        run, none, prompt, held_out, temperature, max_new_tokens, seed, go, stop, titles, answers, captions
    )


def _number(words: Words, name: str, step: float) -> gr.Number:
    path = f"config.generation.{name}"
    value = getattr(_DEFAULTS, name)
    return words.make(gr.Number, label=f"{path}.title", value=value, step=step, min_width=120)


def comparable() -> list[tuple[Run, runs.Status]]:
    """Return the runs that have an adapter to compare, the newest first: finished ones, and one that trains."""
    found = []
    for run in runs.all_runs()[:MOST_RUNS]:
        status = runs.readable_status(run)
        if status and (run.has_adapter or (status.state is State.TRAINING and status.step)):
            found.append((run, status))
    return found


def choose(tab: CompareTab, chosen: str | None, language: str) -> dict[Any, Any]:
    """Return what offers the runs there are; the `chosen` one stays chosen if it is among them."""
    found = comparable()
    choices = [(views.run_choice(run.id, status, language), run.id) for run, status in found]
    ids = [run.id for run, _ in found]
    value = chosen if chosen in ids else next(iter(ids), None)
    config = _config(value)
    changed = {} if value == chosen or config is None else _generation(tab, config.generation)
    return {
        tab.run: gr.update(choices=choices, value=value),
        tab.none: gr.update(visible=not ids),
        tab.go: gr.update(interactive=bool(ids)),
        **changed,
        **about(tab, value, language),
    }


def _generation(tab: CompareTab, settings: GenerationConfig) -> dict[Any, Any]:
    """Return what shows a run's own settings for comparing."""
    return {
        tab.temperature: settings.temperature,
        tab.max_new_tokens: settings.max_new_tokens,
        tab.seed: settings.seed,
    }


def about(tab: CompareTab, run_id: str | None, language: str) -> dict[Any, Any]:
    """Return what belongs to a run: its held-out prompts, and the titles of both sides."""
    config = _config(run_id)
    if run_id is None or config is None:
        return {tab.held_out: gr.update(choices=[], value=None), **_titles(tab, "", "", language)}
    base = text("ui.model.builtin", language) if config.model.id == BUILTIN_MODEL else config.model.id
    titles = _titles(tab, base, views.run_name(run_id), language)
    return {tab.held_out: gr.update(choices=_held_out(config)), **titles}


def _config(run_id: str | None) -> RunConfig | None:
    """Return a run's settings; None without a run, or when its folder was damaged from outside."""
    try:
        return runs.find(run_id).config() if run_id else None
    except (StudioError, OSError):
        return None


def _titles(tab: CompareTab, before: str, after: str, language: str) -> dict[Any, Any]:
    names = {"before": before, "after": after}
    return {tab.titles[side]: views.side_title(text(f"ui.compare.{side}", language), names[side]) for side in SIDES}


def _held_out(config: RunConfig) -> list[str]:
    from studio.data import prepare

    try:
        return prepare.held_out(config.evaluation.prompts)
    except StudioError:  # the data set of an old run is gone: there is nothing to offer
        return []


def connect(tab: CompareTab, frame: Frame) -> None:
    """Connect the tab's events."""
    panels = [part for parts in (tab.answers, tab.captions) for part in parts.values()]
    quiet = {"show_progress": "hidden", "api_visibility": "undocumented"}

    @shown
    def change_run(language: str, run_id: str | None) -> dict[Any, Any]:
        config = _config(run_id)
        return {**about(tab, run_id, language), **_generation(tab, config.generation if config else _DEFAULTS)}

    @shown
    def compare(
        language: str,
        run_id: str | None,
        prompt: str,
        temperature: float | None,
        max_new_tokens: float | None,
        seed: float | None,
        request: gr.Request,
    ) -> Iterator[dict[Any, Any]]:
        from studio import gpu
        from studio.compare.columns import CompareRequest

        if not run_id:
            raise CompareError("ui.no_run")
        if not prompt.strip():
            raise CompareError("ui.no_prompt")
        asked = {"temperature": temperature, "max_new_tokens": max_new_tokens, "seed": seed}
        settings = {f"generation.{name}": value for name, value in asked.items()}
        generation = runs.find(run_id).config().with_settings(settings).generation
        yield {**_waiting(tab, language), tab.go: gr.update(interactive=False), tab.stop: gr.update(interactive=True)}
        comparison = gpu.thread().compare(CompareRequest(run_id, (prompt,), generation))
        _going[request.session_hash or ""] = comparison
        try:
            for comparing in comparison.updates():
                yield _sides(tab, comparing.answers[0], language)
        finally:  # also when the browser tab was closed
            comparison.stop()

    def stop(request: gr.Request) -> None:
        if comparison := _going.get(request.session_hash or ""):
            comparison.stop()

    def done() -> dict[Any, Any]:
        return {tab.go: gr.update(interactive=True), tab.stop: gr.update(interactive=False)}

    tab.run.input(
        change_run,
        [frame.language, tab.run],
        [tab.held_out, *tab.titles.values(), tab.temperature, tab.max_new_tokens, tab.seed],
        **quiet,
    )
    tab.held_out.input(lambda chosen: chosen or gr.skip(), tab.held_out, tab.prompt, **quiet)
    asked = [frame.language, tab.run, tab.prompt, tab.temperature, tab.max_new_tokens, tab.seed]
    event = gr.on(
        [tab.go.click, tab.prompt.submit],
        compare,
        asked,
        [*panels, tab.go, tab.stop],
        show_progress="hidden",
        concurrency_limit=None,
        api_visibility="undocumented",
    )
    event.then(done, None, [tab.go, tab.stop], **quiet)
    tab.stop.click(stop, None, None, concurrency_limit=None, **quiet)


def _waiting(tab: CompareTab, language: str) -> dict[Any, Any]:
    waiting = views.answer_html("", True, language)
    return {
        **dict.fromkeys(tab.answers.values(), waiting),
        **dict.fromkeys(tab.captions.values(), '<p class="caption">&nbsp;</p>'),
    }


def _sides(tab: CompareTab, sides: tuple[Any, ...], language: str) -> dict[Any, Any]:
    updates: dict[Any, Any] = {}
    for name, side in zip(SIDES, sides, strict=True):
        updates[tab.answers[name]] = views.answer_html(side.text, side.end is None, language)
        updates[tab.captions[name]] = views.answer_line(side.tokens, side.seconds, side.end, language)
    return updates
