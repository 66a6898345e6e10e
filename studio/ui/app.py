"""Assemble the page: the frame, the tabs, and the one timer that reads run directories."""

from typing import Any

import gradio as gr

from studio import presets, runs
from studio.config import RunConfig
from studio.errors import StudioError
from studio.i18n import LANGUAGES, best_language, text
from studio.ui import following as follow
from studio.ui import frame as frames
from studio.ui import launch, views
from studio.ui.failures import shown, silent
from studio.ui.following import Following
from studio.ui.frame import Frame
from studio.ui.look import Checked, Look
from studio.ui.tabs import compare, comparing, data, data_events, data_shown, recipe, runs_events, train
from studio.ui.tabs import runs as runs_tab
from studio.ui.words import Words, merged

TICK = 1.0
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
        _connect(page, frame, tabs, data_tab, train_tab, views_tab, compare_item, library, runs_item)
    return page


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
) -> None:
    run_outputs = [frame.following, frame.run_row, frame.run_bar, *train_tab.of_run]
    compare_tab = views_tab.answers
    runs_offered = compare_tab.of_runs

    def show_run(following: Following, before: Following | None, language: str) -> dict[Any, Any]:
        updates = {frame.following: following, **train.render(train_tab, following, before, language)}
        if before is None or (before.alive, before.run_id) != (following.alive, following.run_id):
            updates[frame.run_row] = gr.update(visible=following.alive)
        if following.alive and following.status and following.run_id:
            updates[frame.run_bar] = views.run_bar(
                following.run_id, following.status, following.points, language, stopping=following.stopping
            )
        return updates

    @silent
    def tick(language: str, following: Following, chosen: str | None) -> Any:
        now = follow.read(following)
        if now is following:
            return gr.skip()
        updates = show_run(now, following, language)
        if _stage(now) != _stage(following):
            updates |= compare.choose(compare_tab, chosen, language)
        return updates

    @shown
    def say_again(
        language: str,
        following: Following,
        look: Look,
        checked: Checked,
        chosen: str | None,
        *compared: Any,
    ) -> dict[Any, Any]:
        return merged(
            frame.words.updates(language),
            show_run(following, None, language),
            data_shown.all_of(data_tab, look, checked, language),
            compare.choose(compare_tab, chosen, language),
            comparing.said_again(views_tab, language, chosen, compared),
            {frame.remembered: language, frame.device: _device_name(language)},
        )

    def open_page(remembered: str, request: gr.Request) -> dict[Any, Any]:
        language = remembered if remembered in LANGUAGES else best_language(request.headers.get("accept-language", ""))
        following = follow.newest()
        base = _settings_of(following) or frame.base.value
        return merged(
            say_again(language, following, Look(), Checked(), None, *comparing.AT_FIRST),
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
    def offer_runs(language: str, chosen: str | None) -> dict[Any, Any]:
        return compare.choose(compare_tab, chosen, language)

    said = list(
        dict.fromkeys(
            [
                frame.remembered,
                *frame.words.components,
                *run_outputs,
                *data_tab.worded,
                *runs_offered,
                *views_tab.worded,
                frame.device,
            ]
        )
    )
    everything = list(dict.fromkeys([*said, frame.language, frame.base, *frame.form.components, *data_tab.of_source]))
    read_data = data_events.connect(data_tab, frame)
    train.connect(train_tab, frame, show_run, run_outputs)
    comparing.connect(views_tab, frame)
    say_runs_again = runs_events.connect(library, frame, runs_item, tabs)
    opened = page.load(open_page, frame.remembered, everything, **_QUIET)
    opened.then(None, frame.language, None, js=_SET_LANGUAGE)
    read_data(opened)

    def show_source(config: RunConfig) -> dict[Any, Any]:
        return data_shown.source(data_tab, config)

    read_data(
        runs_events.connect_others(
            library, frame, tabs, run_outputs, show_run, compare_tab, data_tab.of_source, show_source
        )
    )
    read_data(recipe.connect(train_tab.recipe, frame, data_tab.of_source, show_source))
    spoken = frame.language.input(
        say_again,
        [
            frame.language,
            frame.following,
            data_tab.look,
            data_tab.checked,
            compare_tab.run,
            *views_tab.kept,
        ],
        said,
        **_QUIET,
    )
    spoken.then(None, frame.language, None, js=_SET_LANGUAGE)
    say_runs_again(spoken)
    gr.Timer(TICK).tick(
        tick,
        [frame.language, frame.following, compare_tab.run],
        list(dict.fromkeys([*run_outputs, *runs_offered])),
        concurrency_limit=None,
        **_QUIET,
    )
    compare_item.select(offer_runs, [frame.language, compare_tab.run], runs_offered, **_QUIET)
    frame.device.click(
        device_card, [frame.language, frame.device_card], frame.device_card, api_visibility="undocumented"
    )
    for button, tab in ((data_tab.go_on, "train"), (frame.open_run, "train"), (train_tab.go_on, "compare")):
        button.click(lambda tab=tab: gr.update(selected=tab), None, tabs, **_QUIET)


def _settings_of(following: Following) -> RunConfig | None:
    """Return the settings of a live run, so that a reload shows what trains; None without one."""
    if not following.alive or following.run_id is None:
        return None
    try:
        return runs.find(following.run_id).config()
    except (StudioError, OSError):  # damaged from outside
        return None


def _stage(following: Following) -> tuple[Any, ...]:
    """Return what decides whether a run is offered for comparing, and under which name."""
    status = following.status
    return following.run_id, status.state if status else None, bool(status and status.step)


def _device_name(language: str) -> dict[str, Any]:
    from studio.model import hardware

    name = hardware.quick_device()
    if name.startswith("CPU"):
        name = text("ui.device.cpu", language, cores=hardware.cores())
    return gr.update(value=text("ui.device.name", language, name=name))
