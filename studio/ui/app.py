"""Assemble the page: the frame, the tabs, and the one timer that reads run directories."""

import time
from typing import Any

import gradio as gr

from studio import presets, runs
from studio.config import RunConfig
from studio.errors import StudioError
from studio.i18n import LANGUAGES, best_language, text
from studio.ui import clock, hosts, launch, status_views, views
from studio.ui import following as follow
from studio.ui import frame as frames
from studio.ui import help as help_pages
from studio.ui.failures import shown, silent
from studio.ui.following import Following
from studio.ui.frame import Frame
from studio.ui.look import Checked, Look
from studio.ui.tabs import (
    ballot,
    compare,
    comparing,
    curves,
    data,
    data_events,
    data_shown,
    export_events,
    log,
    notify,
    recipe,
    runs_events,
    strip,
    train,
)
from studio.ui.tabs import export as export_tab
from studio.ui.tabs import runs as runs_tab
from studio.ui.words import Words, merged

TICK = 2.0
"""Seconds between two looks at the followed run."""

_QUIET = {"show_progress": "hidden", "api_visibility": "undocumented"}
_SET_LANGUAGE = "(language) => { document.documentElement.lang = language; }"


def build() -> gr.Blocks:
    """Return the page, not yet launched."""
    launch.temporary()  # components remember it when they are made
    words = Words()
    preset = presets.QUICKSTART if presets.QUICKSTART in presets.names() else None
    base = presets.load(preset) if preset else RunConfig()
    with gr.Blocks(title=text("ui.name"), analytics_enabled=False, fill_width=True) as page:
        for notice in hosts.notices():
            words.make(gr.HTML, text=notice, frame='<p class="notice" role="note">{}</p>')
        if launch.on_space():
            gr.LoginButton()  # also what makes Gradio offer the Hub's login, to guests too
        frame = frames.build(words, base, Following())
        with gr.Tabs(elem_id="tabs") as tabs:
            with words.make(gr.Tab, label="ui.tabs.data", id="data"):
                data_tab = data.build(words, frame.form, base)
            with words.make(gr.Tab, label="ui.tabs.train", id="train"):
                train_tab = train.build(words, frame.form, preset)
            with words.make(gr.Tab, label="ui.tabs.compare", id="compare") as compare_item:
                views_tab = comparing.build(words)
            with words.make(gr.Tab, label="ui.tabs.runs", id="runs") as runs_item:
                library = runs_tab.build(words)
            with words.make(gr.Tab, label="ui.tabs.export", id="export") as export_item:
                exports = export_tab.build(words)
        help_section = help_pages.build(words)
        say_exports_again = export_events.connect(exports, frame, export_item, tabs)
        export_events.connect_others(exports, frame, tabs, train_tab.export, library.page.export, library.kept)
        spoken = _connect(page, frame, tabs, data_tab, train_tab, views_tab, compare_item, library, runs_item)
        say_exports_again(spoken)
        help_section.connect(frame.language)
    _quiet(page, frame.brand)
    return page


def _quiet(page: gr.Blocks, place: Any) -> None:
    """Let all events tell their progress at one `place`, which shows none: the page says in words what goes on.

    A browser searches its whole page for every component at which an event ever told its progress (all outputs, if
    nothing is said), at every event anew: once the page was open, ticks without news kept 40 % of a core busy.
    """
    for event in page.fns.values():
        event.show_progress_on = [place]


def _connect(
    page: gr.Blocks,
    frame: Frame,
    tabs: gr.Tabs,
    data_tab: data.DataTab,
    train_tab: train.TrainTab,
    views_tab: comparing.Views,
    compare_item: gr.Tab,
    library: runs_tab.RunsTab,
    runs_item: gr.Tab,
) -> Any:
    """Connect the events of the tabs with each other; returns the one after which all words are in another language."""
    tick_outputs = [frame.following, frame.run_bar, *train_tab.of_tick]
    stage_outputs = [frame.run_row, *train_tab.of_stage]
    run_outputs = [*tick_outputs, *stage_outputs]
    compare_tab = views_tab.answers
    runs_offered = compare_tab.of_runs

    def news_of_run(
        following: Following, before: Following | None, language: str, curves_look: curves.Look, log_look: log.Look
    ) -> dict[Any, Any]:
        following, updates = train.render(train_tab, following, before, curves_look, log_look, language)
        line = _bar(following, language)
        if line and (before is None or line != _bar(before, language)):
            updates[frame.run_bar] = line
        return {frame.following: following, **updates}

    def show_stage(following: Following, language: str, queued: str | None = None) -> dict[Any, Any]:
        row = gr.update(visible=following.alive)
        return {frame.run_row: row, **train.buttons(train_tab, following, language, queued)}

    def show_run(following: Following, language: str, *looks: Any) -> dict[Any, Any]:
        return news_of_run(following, None, language, *looks) | show_stage(following, language)

    def find_news(request: gr.Request, following: Following) -> int | None:
        now = follow.read(following)
        return None if now == following and not now.to_be_drawn else time.time_ns()

    def show_run_news(language: str, following: Following, *looks: Any) -> dict[Any, Any]:
        return news_of_run(follow.read(following), following, language, *looks)

    @silent
    def settle(found: int | None, language: str, following: Following, queued: str | None, chosen: str | None) -> Any:
        if found is None:  # the page is being opened: it says so itself, in a language that is not known here yet
            return gr.skip()
        return show_stage(following, language, queued) | compare.choose(compare_tab, chosen, language)

    @shown
    def say_again(
        language: str,
        following: Following,
        look: Look,
        checked: Checked,
        curves_look: curves.Look,
        log_look: log.Look,
        chosen: str | None,
        *rest: Any,
    ) -> dict[Any, Any]:
        return merged(
            frame.words.updates(language),
            show_run(following, language, curves_look, log_look),
            strip.render(train_tab.strip, following, language, strip.place_of(*rest[: len(strip.AT_FIRST)], following)),
            data_shown.all_of(data_tab, look, checked, language),
            compare.choose(compare_tab, chosen, language),
            comparing.retranslate(views_tab, language, chosen, comparing.Kept(*rest[len(strip.AT_FIRST) :])),
            {frame.remembered: language, frame.device: _device_name(language)},
            {train_tab.notify: notify.render(language)},
        )

    def open_page(remembered: str, request: gr.Request) -> dict[Any, Any]:
        language = remembered if remembered in LANGUAGES else best_language(request.headers.get("accept-language", ""))
        following = follow.newest()
        base = _settings_of(following) or frame.base.value
        return merged(
            say_again(
                language,
                following,
                Look(),
                Checked(),
                curves.Look(),
                log.Look(),
                None,
                *strip.AT_FIRST,
                *comparing.Kept(),
            ),
            {frame.language: language, frame.remembered: remembered, frame.base: base},
            frame.form.show(base),
            data_shown.source(data_tab, base),
        )

    @shown
    def device_card(language: str, is_open: str) -> Any:
        from studio.model import hardware

        if is_open:
            return gr.update(visible=False, value="")
        choices = [(choice.name, choice.value, choice.reason) for choice in hardware.describe()]
        return gr.update(visible=True, value=views.choices_html(choices, language))

    @shown
    def try_run(language: str, following: Following, chosen: str | None) -> dict[Any, Any]:
        offered = compare.choose(compare_tab, chosen, language, wanted=following.run_id)
        return {tabs: gr.update(selected="compare"), **offered}

    @shown
    def offer_runs(language: str, chosen: str | None) -> dict[Any, Any]:
        return compare.choose(compare_tab, chosen, language)

    said = list(
        dict.fromkeys(
            [
                frame.remembered,
                *frame.words.components,
                *run_outputs,
                *train_tab.strip.of_run,
                *data_tab.worded,
                *runs_offered,
                *views_tab.worded,
                frame.device,
                train_tab.notify,
            ]
        )
    )
    everything = list(dict.fromkeys([*said, frame.language, frame.base, *frame.form.components, *data_tab.of_source]))
    read_data = data_events.connect(data_tab, frame)
    train.connect(train_tab, frame, show_run, run_outputs)
    timer = gr.Timer(TICK)
    of_others = comparing.connect(views_tab, frame)
    page.load(ballot.marked, views_tab.vote.mark, views_tab.vote.mark, **_QUIET)
    say_runs_again = runs_events.connect(library, frame, runs_item, tabs)
    opened = page.load(open_page, frame.remembered, everything, **_QUIET)
    opened.then(None, frame.language, None, js=_SET_LANGUAGE)
    read_data(opened)

    def show_source(config: RunConfig) -> dict[Any, Any]:
        return data_shown.source(data_tab, config)

    read_data(
        runs_events.connect_others(
            library,
            frame,
            tabs,
            train_tab.looks,
            run_outputs,
            show_run,
            compare_tab,
            data_tab.of_source,
            show_source,
        )
    )
    read_data(recipe.connect(train_tab.recipe, train_tab.before, frame, data_tab.of_source, show_source))
    spoken = frame.language.input(
        say_again,
        [
            frame.language,
            frame.following,
            data_tab.look,
            data_tab.checked,
            *train_tab.looks,
            compare_tab.run,
            *train_tab.strip.place,
            *views_tab.kept,
        ],
        said,
        trigger_mode="always_last",
        **_QUIET,
    )
    spoken.then(None, frame.language, None, js=_SET_LANGUAGE)
    say_runs_again(spoken)
    of_run = clock.Watch(
        find_news, [frame.following], show_run_news, [frame.language, frame.following, *train_tab.looks], tick_outputs
    )
    clock.look_at([timer.tick, train_tab.look_again.click], of_run, of_others)
    train_tab.stage.change(
        settle,
        [train_tab.stage, frame.language, frame.following, train_tab.waiting.runs, compare_tab.run],
        [*stage_outputs, *runs_offered],
        concurrency_limit=None,
        **_QUIET,
    )
    compare_item.select(offer_runs, [frame.language, compare_tab.run], runs_offered, **_QUIET)
    frame.device.click(
        device_card, [frame.language, frame.device_card], frame.device_card, api_visibility="undocumented"
    )
    gr.on(
        [train_tab.try_now.click, train_tab.go_on.click],
        try_run,
        [frame.language, frame.following, compare_tab.run],
        [tabs, *runs_offered],
        **_QUIET,
    )
    for button, tab in ((data_tab.go_on, "train"), (frame.open_run, "train")):
        button.click(lambda tab=tab: gr.update(selected=tab), None, tabs, **_QUIET)
    return spoken


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
    if not following.alive or following.glance is None or following.run_id is None:
        return ""
    return status_views.run_bar(following.run_id, following.glance, language, following.stopping)


def _device_name(language: str) -> dict[str, Any]:
    from studio.model import hardware

    name = hardware.quick_device()
    if name.startswith("CPU"):
        name = text("ui.device.cpu", language, cores=hardware.cores())
    return gr.update(value=text("ui.device.name", language, name=name))
