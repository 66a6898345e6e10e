"""The Runs tab's events: what is pressed changes the look or the runs, and the tab shows them as they are then."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gradio as gr

from studio import runs
from studio.errors import RunError
from studio.i18n import text
from studio.runs import Run, checkpoints, metadata, trash
from studio.sweep import directory, drive
from studio.ui import clock
from studio.ui import following as follow
from studio.ui.failures import shown as failures_shown
from studio.ui.failures import warn
from studio.ui.frame import Frame
from studio.ui.page import view
from studio.ui.runs_views import MOST_CHOSEN, MOST_ROWS, Shown, size
from studio.ui.tabs import compare, compare_shown, sweep_form, sweeps
from studio.ui.tabs.compare import CompareTab
from studio.ui.tabs.runs import RunsTab
from studio.ui.tabs.runs_shown import Seen, current_look, updates

QUIET = {"show_progress": "hidden", "api_visibility": "undocumented"}


def connect(tab: RunsTab, frame: Frame, item: gr.Tab, tabs: gr.Tabs) -> None:
    """Connect the events that stay on the tab."""
    language = frame.language
    looked = [tab.kept, tab.kind, tab.seen]

    def show(look: Shown, kind: str, seen: Seen | None, changes: dict[Any, Any] | None = None) -> dict[Any, Any]:
        """Return what shows the look `look`, with the `changes` that go with it."""
        return {tab.kept: vars(look)} | updates(tab, look, kind, language, seen) | (changes or {})

    def act(*events: Any, more: list[Any] | None = None) -> Callable[[Any], Any]:
        """Connect a handler of (look, kind, seen, …) that changes what is shown."""

        def connected(handler: Callable[..., Any]) -> Any:
            @failures_shown(language)
            def handled(kept: Any, kind: str, seen: Seen | None, *rest: Any) -> Any:
                return handler(current_look(kept, seen), kind, seen, *rest)

            inputs = [*looked, *(more or [])]
            return gr.on(list(events), handled, inputs, tab.shown, trigger_mode="always_last", **QUIET)

        return connected

    def find_news(request: gr.Request, kept: Any, kind: str, seen: Seen | None) -> int | None:
        return time.time_ns() if updates(tab, current_look(kept, seen), kind, language, seen) else None

    @view(tab.seen)
    def show_news(kept: Any, kind: str, seen: Seen | None) -> Any:
        return updates(tab, current_look(kept, seen), kind, language, seen) or gr.skip()

    @failures_shown(language)
    def arrive(kept: Any, kind: str, seen: Seen | None) -> Any:
        look = current_look(kept, seen)
        changes = {tab.query: look.query, tab.state: look.state, tab.timer: gr.Timer(active=True)}
        return show(look, kind, None, changes)

    def pressed(kept: Any, kind: str, seen: Seen | None, event: gr.EventData) -> Any:
        asked = event._data if isinstance(event._data, dict) else {}
        return in_list(kept, kind, seen, str(asked.get("do")), asked)

    @failures_shown(language)
    def in_list(kept: Any, kind: str, seen: Seen | None, do: str, asked: dict[str, Any]) -> Any:
        look, run_id = current_look(kept, seen), str(asked.get("run", ""))
        if do == "restore":
            name = metadata.name_of(trash.restore(run_id))
            gr.Info(text("ui.runs.restored", language, name=name), title=text("ui.runs.title", language))
        if do == "sort":
            look = look.sorted_by(str(asked.get("sort")))
        elif do == "more":
            look = replace(look, most=look.most + MOST_ROWS)
        elif do == "open":
            look = replace(look, open=runs.find(run_id).id)
        elif do == "choose":
            seen, at = seen or Seen(), _number(asked.get("at"))
            if at < seen.ticked_at:  # a later one has overtaken it on the way, and told these boxes too
                return gr.skip()
            seen = replace(seen, ticked_at=at)
            look = look.choosing(_ids(asked.get("boxes")), _ids(asked.get("ticked")))
            if len(look.chosen) > MOST_CHOSEN:
                warn(RunError("ui.too_many", most=MOST_CHOSEN).message, language)
                look = replace(look, chosen=look.chosen[:MOST_CHOSEN])
        return show(look, kind, seen)

    tab.parts["table"].click(pressed, looked, tab.shown, trigger_mode="multiple", **QUIET)  # two boxes, quickly
    tab.parts["trash"].click(pressed, looked, tab.shown, **QUIET)

    @act(tab.query.change, more=[tab.query])  # also what is pasted
    def search(look: Shown, kind: str, seen: Seen | None, query: str) -> Any:
        return show(replace(look, query=query or "", most=MOST_ROWS), kind, seen)

    @act(tab.state.input, more=[tab.state])
    def narrow(look: Shown, kind: str, seen: Seen | None, state: str) -> Any:
        return show(replace(look, state=state, most=MOST_ROWS), kind, seen)

    @act(tab.kind.input)
    def draw(look: Shown, kind: str, seen: Seen | None) -> Any:
        return show(look, kind, seen)

    @act(tab.forget.click)
    def forget(look: Shown, kind: str, seen: Seen | None) -> Any:
        return show(replace(look, chosen=()), kind, seen)

    @act(tab.page.back.click)
    def back(look: Shown, kind: str, seen: Seen | None) -> Any:
        return show(replace(look, open=None), kind, seen)

    @act(tab.page.save.click, tab.page.name.submit, more=[tab.page.name, tab.page.note])
    def label(look: Shown, kind: str, seen: Seen | None, name: str, note: str) -> Any:
        run = opened(look)
        metadata.rename(run, name or "")
        metadata.annotate(run, note or "")
        return show(look, kind, seen, {tab.page.name: metadata.name_of(run)})

    @act(tab.page.published.input, more=[tab.page.published])
    def publish(look: Shown, kind: str, seen: Seen | None, published: bool) -> Any:
        metadata.publish(opened(look), published)
        return show(look, kind, seen)

    @act(tab.page.delete.click)
    def delete(look: Shown, kind: str, seen: Seen | None) -> Any:
        run = opened(look)
        trash.delete(run)
        return show(replace(look, open=None), kind, replace(seen or Seen(), deleted=run.id))

    @act(tab.undo.click)
    def undo(look: Shown, kind: str, seen: Seen | None) -> Any:
        if seen and seen.deleted:
            trash.restore(seen.deleted)
            look = replace(look, open=seen.deleted)  # its page was shown
        return show(look, kind, replace(seen or Seen(), deleted=None))

    @act(tab.empty.click)
    def ask_empty(look: Shown, kind: str, seen: Seen | None) -> Any:
        found = trash.deleted_runs()
        words = text("ui.runs.empty_sure", language, count=len(found), size=size(sum(run.bytes for run in found)))
        return {tab.empty_sure: gr.update(visible=True), tab.parts["empty_told"]: f"<p>{words}</p>"}

    @act(tab.empty_now.click)
    def empty(look: Shown, kind: str, seen: Seen | None) -> Any:
        trash.empty()
        return show(look, kind, seen, {tab.empty_sure: gr.update(visible=False)})

    tab.empty_not.click(lambda: gr.update(visible=False), None, tab.empty_sure, **QUIET)
    tab.page.clean.click(lambda: gr.update(visible=True), None, tab.page.sure, **QUIET)
    tab.page.clean_not.click(lambda: gr.update(visible=False), None, tab.page.sure, **QUIET)

    @act(tab.page.clean_now.click)
    def clean(look: Shown, kind: str, seen: Seen | None) -> Any:
        freed = checkpoints.remove_old(opened(look))
        gr.Info(text("ui.runs.cleaned", language, size=size(freed)), title=text("ui.runs.disk", language))
        return show(look, kind, seen, {tab.page.sure: gr.update(visible=False)})

    sweep = tab.page.sweep_form

    @failures_shown(language)
    def foretell(kept: Any, seen: Seen | None, *given: Any) -> str:
        return sweep_form.foretold(opened(current_look(kept, seen)).config(), given, language)[1]

    sweep.check.click(foretell, [tab.kept, tab.seen, *sweep.inputs], sweep.told, **QUIET)

    @failures_shown(language)
    def start_sweep(kept: Any, kind: str, seen: Seen | None, *given: Any) -> Any:
        look = current_look(kept, seen)
        plan, told = sweep_form.foretold(opened(look).config(), given, language)
        if plan is None:
            return {sweep.told: told}
        started = directory.create(plan)
        drive.drive_in_background(started)
        looked_at = show(replace(look, open=None, sweep=started.id), kind, seen)
        card = tab.sweeps.sweep_card
        return {**looked_at, sweep.told: "", card: gr.update(visible=True, open=True)}

    sweep.start.click(start_sweep, [*looked, *sweep.inputs], [*tab.shown, sweep.told], **QUIET)

    @act(tab.sweeps.sweep.input, more=[tab.sweeps.sweep])
    def choose_sweep(look: Shown, kind: str, seen: Seen | None, chosen: str | None) -> Any:
        return show(replace(look, sweep=chosen), kind, seen)

    @act(tab.sweeps.sweep_stop.click)
    def stop_sweep(look: Shown, kind: str, seen: Seen | None) -> Any:
        sweeps.chosen(look.sweep).request_stop()
        return show(look, kind, seen)

    @act(tab.sweeps.sweep_resume.click)
    def resume_sweep(look: Shown, kind: str, seen: Seen | None) -> Any:
        drive.drive_in_background(sweeps.chosen(look.sweep))
        return show(look, kind, seen)

    tab.parts["sweep_table"].click(pressed, looked, tab.shown, **QUIET)

    def watch(event: gr.SelectData) -> Any:
        """Look at the runs only while the tab is on the screen."""
        return gr.Timer(active=event.value == text("ui.tabs.runs", language))

    item.select(arrive, looked, tab.shown, **QUIET)
    tabs.select(watch, None, tab.timer, trigger_mode="multiple", **QUIET)
    clock.look_at([tab.timer.tick], clock.Watch(find_news, looked, show_news, looked, tab.shown))


def _ids(given: Any) -> list[str]:
    """Return the ids that a browser has sent, whatever it has sent."""
    return [each for each in given if isinstance(each, str)] if isinstance(given, list) else []


def _number(given: Any) -> float:
    """Return the number that a browser has sent, whatever it has sent."""
    return float(given) if isinstance(given, int | float) else 0.0


def opened(look: Shown) -> Run:
    """Return the open run; raises RunError when it is gone."""
    return runs.find(look.open or "")


def connect_others(
    tab: RunsTab,
    frame: Frame,
    tabs: gr.Tabs,
    looks: list[Any],
    run_outputs: list[Any],
    show_run: Callable[..., dict[Any, Any]],
    compare_tab: CompareTab,
    of_source: list[Any],
    show_source: Callable[[Any], dict[Any, Any]],
    setup: gr.Accordion,
) -> Any:
    """Connect the events that lead to other tabs; returns the one after which the data set is to be read again.

    `setup` holds the recipe, which a clone's settings open.
    """
    language = frame.language
    asked = [tab.kept, tab.seen]
    page = tab.page

    @failures_shown(language)
    def to_train(kept: Any, seen: Seen | None, *looks: Any) -> Any:
        run = opened(current_look(kept, seen))
        return {**show_run(follow.follow(run.id), *looks), tabs: gr.update(selected="train")}

    @failures_shown(language)
    def resume(kept: Any, seen: Seen | None, *looks: Any) -> Any:
        from studio import gpu

        run = gpu.thread().resume_run(opened(current_look(kept, seen)).id)
        return {**show_run(follow.follow(run.id), *looks), tabs: gr.update(selected="train")}

    @failures_shown(language)
    def to_compare(kept: Any, seen: Seen | None) -> Any:
        run = opened(current_look(kept, seen))
        return {
            **compare_shown.nothing(compare_tab, language),
            **compare_shown.choose(compare_tab, None, language),
            **compare_shown.generation(compare_tab, run.config().generation),
            **compare_shown.about(compare_tab, run.id, compare.comparable(), language),
            **_chosen(compare_tab, run, language),
            tabs: gr.update(selected="compare"),
        }

    @failures_shown(language)
    def clone(kept: Any, seen: Seen | None) -> Any:
        look = current_look(kept, seen)
        config = opened(look).config() if look.open else sweeps.winning_settings(look.sweep, language)
        return {
            frame.base: config,
            **frame.form.show(config),
            **show_source(config),
            setup: gr.update(open=True),
            tabs: gr.update(selected="train"),
        }

    page.train.click(to_train, [*asked, *looks], [*run_outputs, tabs], **QUIET)
    page.resume.click(resume, [*asked, *looks], [*run_outputs, tabs], **QUIET)
    to_outputs = dict.fromkeys([*compare_tab.of_runs, *compare_tab.of_answers, tabs])
    page.compare.click(to_compare, asked, list(to_outputs), **QUIET)
    cloned = [frame.base, *frame.form.components, *of_source, setup, tabs]
    copies = [page.clone.click, tab.sweeps.sweep_apply.click]  # of the open run, or of the sweep in the list
    return gr.on(copies, clone, asked, list(dict.fromkeys(cloned)), **QUIET)


def _chosen(tab: CompareTab, run: Run, language: str) -> dict[Any, Any]:
    """Return what makes the Compare tab's list hold a run as chosen."""
    offered = compare_shown.choose(tab, run.id, language)[tab.run]
    return {tab.run: offered | {"value": run.id}}
