"""Assemble the app: a page for each language, with its frame, tabs, and the one timer that reads run directories."""

import html
import json
import time
from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.context import Context

from studio import presets, runs
from studio.config import RunConfig
from studio.errors import StudioError
from studio.i18n import DEFAULT_LANGUAGE, LANGUAGES, text
from studio.model import libraries
from studio.ui import following as follow
from studio.ui import frame as frames
from studio.ui import help as help_pages
from studio.ui import hosts, launch, polling, preset_choices, settings_file, status_views, views
from studio.ui.failures import silent, warn
from studio.ui.following import Following
from studio.ui.frame import Frame
from studio.ui.page import Page, view
from studio.ui.tabs import (
    ballot,
    comparing,
    curves,
    data,
    data_events,
    hero,
    log,
    train,
)
from studio.ui.tabs import export as export_tab
from studio.ui.tabs import runs as runs_tab
from studio.ui.tabs.serving import ServingCard
from studio.ui.words import Words

TICK = 2.0
"""Seconds between two looks at the followed run."""

_TO_TOP = "() => { scrollTo(0, 0); return []; }"
_TO_UPLOAD = """() => {
  let turns = 0, still = 0;
  const look = setInterval(() => {
    const place = document.querySelector('#upload'), box = place?.getBoundingClientRect();
    still = box && box.top >= 0 && box.bottom < innerHeight ? still + 1 : 0;
    if (still > 5 || ++turns > 100) clearInterval(look);
    else if (place && !still) place.closest('.card').scrollIntoView();
  }, 100);
}"""
"""On a phone, where a file is dropped stands under the row, which may be drawn after it, and moves it then."""


def build() -> gr.Blocks:
    """Return the app, not yet launched: a page for each language, the default one at the root."""
    launch.temporary()  # components remember it when they are made
    brands = {}
    with Page(title=text("ui.name"), analytics_enabled=False, fill_width=True) as app:
        brands[""] = _build_page(Words(DEFAULT_LANGUAGE))
    for language, name in LANGUAGES.items():
        if language != DEFAULT_LANGUAGE:
            with app.route(name, language, show_in_navbar=False):
                brands[language] = _build_page(Words(language))
    _quiet(app, brands)
    return app


def _build_page(words: Words) -> gr.HTML:
    """Build one language's page inside the current Blocks; returns the component that shows no progress."""
    preset = presets.QUICKSTART if presets.QUICKSTART in presets.names() else None
    base = presets.load(preset) if preset else RunConfig()
    for notice in hosts.notices():
        words.make(gr.HTML, text=notice, frame='<p class="notice" role="note">{}</p>')
    if launch.on_space():
        gr.LoginButton()  # also what makes Gradio offer the Hub's login, to guests too
    frame = frames.Frame(words, base, Following())
    first = hero.Hero(words)
    with gr.Tabs(elem_id="tabs") as tabs:
        with words.make(gr.Tab, label="ui.tabs.data", id="data"):
            data_tab = data.DataTab(words, frame.form, base)
        with words.make(gr.Tab, label="ui.tabs.train", id="train"):
            train_tab = train.TrainTab(words, frame.form, preset)
        with words.make(gr.Tab, label="ui.tabs.compare", id="compare") as compare_item:
            views_tab = comparing.Views(words)
        with words.make(gr.Tab, label="ui.tabs.runs", id="runs") as runs_item:
            library = runs_tab.RunsTab(words)
        with words.make(gr.Tab, label="ui.tabs.export", id="export") as export_item:
            exports = export_tab.ExportTab(words)
            endpoint = ServingCard(words)
    help_pages.build(words)
    refused = html.escape(text("ui.refused", frame.language, name="{name}", kinds="{kinds}"))
    places = html.escape(json.dumps(frame.form.places))
    gr.HTML(f'<i data-places="{places}" data-refused="{refused}"></i>', elem_id="places", visible="hidden")
    exports.connect(export_item, tabs)
    endpoint.connect(exports.run, export_item)
    views_tab.style.connect_strength(exports.strength)
    exports.connect_others(frame, tabs, train_tab.export, library.page.export, library.saved_query)
    _connect(frame, first, tabs, data_tab, train_tab, views_tab, compare_item, library, runs_item)
    return frame.brand


def _quiet(app: gr.Blocks, brands: Mapping[str, gr.HTML]) -> None:
    """Let all events of a page show their progress at its brand, which shows none: the page says in words what goes on.

    A browser searches its whole page for every component at which an event ever told its progress (all outputs, if
    nothing is said), at every event anew: once the page was open, ticks without news kept 40 % of a core busy.
    """
    for event in app.fns.values():
        event.show_progress_on = [brands[event.page]]


def _connect(
    frame: Frame,
    first: hero.Hero,
    tabs: gr.Tabs,
    data_tab: data.DataTab,
    train_tab: train.TrainTab,
    views_tab: comparing.Views,
    compare_item: gr.Tab,
    library: runs_tab.RunsTab,
    runs_item: gr.Tab,
) -> None:
    """Connect the events of the tabs with each other."""
    language, page = frame.language, Context.root_block
    assert page is not None
    tick_outputs = [frame.following, frame.run_bar, *train_tab.of_tick]
    stage_outputs = [frame.run_row, *train_tab.of_stage]
    run_outputs = [*tick_outputs, *stage_outputs, train_tab.setup, first.card]
    compare_tab = views_tab.answers
    runs_offered = compare_tab.of_runs

    def news_of_run(
        following: Following, before: Following | None, curve_settings: curves.Settings, log_filter: log.Filter
    ) -> dict[Any, Any]:
        following, updates = train_tab.render(following, before, curve_settings, log_filter)
        line = _bar(following, language)
        if line and (before is None or line != _bar(before, language)):
            updates[frame.run_bar] = line
        return {frame.following: following, **updates}

    def show_stage(following: Following, queued: str | None = None) -> dict[Any, Any]:
        row = gr.update(visible=following.alive)
        return {frame.run_row: row, **train_tab.buttons(following, queued)}

    def show_run(following: Following, *looks: Any) -> dict[Any, Any]:
        is_open = gr.update(open=following.run_id is None)
        run_updates = {**news_of_run(following, None, *looks), **show_stage(following), train_tab.setup: is_open}
        return {**run_updates, **first.visibility(following.run_id is None)}

    def find_news(request: gr.Request, following: Following) -> int | None:
        now = follow.read(following)
        return None if now == following and not now.needs_render else time.time_ns()

    @view(frame.following)
    def show_run_news(following: Following, *looks: Any) -> dict[Any, Any]:
        return news_of_run(follow.read(following), following, *looks)

    @view(frame.following)
    @silent
    def settle(news: int | None, following: Following, queued: str | None, chosen: str | None) -> Any:
        if news is None:  # the page is being opened, and shows it itself
            return gr.skip()
        return show_stage(following, queued) | compare_tab.choose(chosen)

    def show_settings(config: RunConfig) -> dict[Any, Any]:
        return {frame.base: config, **frame.form.show(config), **data_tab.render_source(config)}

    def open_page(draft: Any) -> dict[Any, Any]:
        following = follow.newest()
        base, preset = _of_draft(draft, language) or (_settings_of(following), None)
        chosen = {"value": preset} if preset in (presets.OWN, *presets.names()) else {}
        return {
            **show_run(following, curves.Settings(), log.Filter()),
            **({} if following.run_id else {first.card: gr.skip()}),  # the page has come with it; it may be gone by now
            **train_tab.strip.render(following),
            **compare_tab.choose(None),
            frame.device: _device_name(language),
            **(show_settings(base) if base else frame.form.blanks),
            views_tab.score.limit: None,  # browsers show an empty number as 0 until they are told
            train_tab.recipe.preset: gr.update(choices=preset_choices.offered(language), **chosen),
        }

    def device_card(is_open: str) -> Any:
        from studio.model import hardware

        if is_open:
            return gr.update(visible=False, value="")
        choices = [(choice.name, choice.value, choice.reason) for choice in hardware.describe()]
        return gr.update(visible=True, value=views.choices_html(choices, language))

    def start_quickstart(*looks: Any) -> dict[Any, Any]:
        from studio import gpu

        run = gpu.thread().start_run(presets.load(presets.QUICKSTART))
        return {**show_run(follow.follow(run.id), *looks), tabs: gr.update(selected="train")}

    def begin_imports() -> None:
        """Import what a training needs while somebody reads the page, which has shown its rows by now."""
        libraries.begin()

    def choose_own() -> dict[Any, Any]:
        return {tabs: gr.update(selected="data"), data_tab.source.kind: "file", **first.visibility(False)}

    def choose_preset(name: str) -> Any:
        if not name:
            return gr.skip()
        to_train = gr.update(selected="train")
        return {train_tab.recipe.preset: name, tabs: to_train, **first.visibility(False)}

    def try_run(following: Following, chosen: str | None) -> dict[Any, Any]:
        offered = compare_tab.choose(chosen, wanted=following.run_id)
        return {tabs: gr.update(selected="compare"), **offered}

    everything = [
        *run_outputs,
        *train_tab.strip.of_run,
        *runs_offered,
        frame.device,
        views_tab.score.limit,
        frame.base,
        *frame.form.components,
        train_tab.recipe.preset,
        *data_tab.of_source,
    ]
    read_data, own = data_events.connect(data_tab, frame, train_tab.recipe.preset)
    first.start.click(start_quickstart, train_tab.looks, [*run_outputs, tabs])
    own_chosen = first.own.click(choose_own, None, [tabs, data_tab.source.kind, first.card])
    own_chosen.then(None, None, None, js=_TO_UPLOAD)
    read_data(own_chosen)
    train_tab.connect(frame, show_run, run_outputs)
    timer = gr.Timer(TICK)
    of_others = views_tab.connect(compare_item)
    page.load(ballot.marked, views_tab.vote.mark, views_tab.vote.mark)
    library.connect(runs_item, tabs)
    opened = read_data(page.load(open_page, frame.draft, list(dict.fromkeys(everything))))
    opened.then(begin_imports, None, None)

    to_show = [train_tab.recipe.preset, tabs, first.card]
    chosen = first.presets.input(choose_preset, first.presets, to_show)

    def show_source(config: RunConfig | None) -> dict[Any, Any]:
        if config is None:
            return {tabs: gr.update(selected="data"), data_tab.source.kind: "file"}
        return data_tab.render_source(config)

    read_data(
        library.page.connect_others(
            frame,
            tabs,
            [library.saved_query, library.session],
            library.sweeps.apply,
            train_tab.looks,
            run_outputs,
            show_run,
            compare_tab,
            data_tab.of_source,
            show_source,
            train_tab.setup,
        )
    )
    of_source = [*data_tab.of_source, tabs]
    read_data(train_tab.recipe.connect(train_tab.preflight, frame, of_source, show_source, own, chosen))
    of_run = polling.Watch(
        find_news, [frame.following], show_run_news, [frame.following, *train_tab.looks], tick_outputs
    )
    polling.poll([timer.tick, train_tab.refresh.click], of_run, *of_others)
    train_tab.stage.change(
        settle,
        [train_tab.stage, frame.following, train_tab.waiting.runs, compare_tab.run],
        [*stage_outputs, *runs_offered],
        concurrency_limit=None,
    )
    frame.device.click(device_card, frame.device_card, frame.device_card)
    gr.on(
        [train_tab.try_now.click, train_tab.go_on.click],
        try_run,
        [frame.following, compare_tab.run],
        [tabs, *runs_offered],
    )
    to_train = gr.update(selected="train")
    frame.open_run.click(lambda: to_train, None, tabs)
    data_tab.go_on.click(lambda: (to_train, gr.update(open=True)), None, [tabs, train_tab.setup], js=_TO_TOP)


def _of_draft(draft: Any, language: str) -> tuple[RunConfig, str | None] | None:
    """Return the settings and the preset that this browser has kept; None without any, with a warning if they fail."""
    if not isinstance(draft, dict) or not isinstance(draft.get("settings"), str):
        return None
    try:
        config, notes = settings_file.take(draft["settings"])
    except StudioError as error:
        warn(error.message, language)
        return None
    for note in notes:
        warn(note, language)
    return config, draft.get("preset")


def _settings_of(following: Following) -> RunConfig | None:
    """Return the settings of a live run, so that a reload shows what trains; None without one."""
    if not following.alive or following.run_id is None:
        return None
    try:
        return runs.find(following.run_id).config()
    except (StudioError, OSError):  # damaged from outside
        return None


def _bar(following: Following, language: str) -> str:
    """Return the line about the live run; empty without one."""
    if not following.alive or following.snapshot is None or following.run_id is None:
        return ""
    return status_views.run_bar(following.run_id, following.snapshot, language, following.stopping)


def _device_name(language: str) -> dict[str, Any]:
    from studio.model import hardware

    name = hardware.quick_device()
    if name.startswith("CPU"):
        name = text("ui.device.cpu", language, cores=hardware.cores())
    return gr.update(value=text("ui.device.name", language, name=name))
