"""The Runs tab's events: what is pressed changes the query or the runs, and the tab shows them as they are then."""

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
from studio.ui import following as follow
from studio.ui import polling
from studio.ui.failures import warn
from studio.ui.frame import Frame
from studio.ui.page import view
from studio.ui.runs_views import MOST_CHOSEN, MOST_ROWS, RunsQuery, size
from studio.ui.tabs import compare, compare_updates, sweep_form, sweeps
from studio.ui.tabs.compare import CompareTab
from studio.ui.tabs.runs import RunsTab
from studio.ui.tabs.runs_updates import RunsSession, current_query, updates


def connect(tab: RunsTab, frame: Frame, item: gr.Tab, tabs: gr.Tabs) -> None:
    """Connect the events that stay on the tab."""
    language = frame.language
    looked = [tab.saved_query, tab.kind, tab.session]

    def show(
        query: RunsQuery, kind: str, session: RunsSession | None, changes: dict[Any, Any] | None = None
    ) -> dict[Any, Any]:
        """Return what shows the runs that a query selects, with the `changes` that go with it."""
        return {tab.saved_query: vars(query)} | updates(tab, query, kind, language, session) | (changes or {})

    def act(*events: Any, more: list[Any] | None = None) -> Callable[[Any], Any]:
        """Connect a handler of (query, kind, session, …) that changes what is shown."""

        def connected(handler: Callable[..., Any]) -> Any:
            def handled(stored: Any, kind: str, session: RunsSession | None, *rest: Any) -> Any:
                return handler(current_query(stored, session), kind, session, *rest)

            inputs = [*looked, *(more or [])]
            return gr.on(list(events), handled, inputs, tab.outputs, trigger_mode="always_last")

        return connected

    def find_news(request: gr.Request, stored: Any, kind: str, session: RunsSession | None) -> int | None:
        return time.time_ns() if updates(tab, current_query(stored, session), kind, language, session) else None

    @view(tab.session)
    def show_news(stored: Any, kind: str, session: RunsSession | None) -> Any:
        return updates(tab, current_query(stored, session), kind, language, session) or gr.skip()

    def arrive(stored: Any, kind: str, session: RunsSession | None) -> Any:
        query = current_query(stored, session)
        changes = {tab.query: query.query, tab.state: query.state, tab.timer: gr.Timer(active=True)}
        return show(query, kind, None, changes)

    def pressed(stored: Any, kind: str, session: RunsSession | None, event: gr.EventData) -> Any:
        data = event._data if isinstance(event._data, dict) else {}
        return in_list(stored, kind, session, str(data.get("do")), data)

    def in_list(stored: Any, kind: str, session: RunsSession | None, do: str, data: dict[str, Any]) -> Any:
        query, run_id = current_query(stored, session), str(data.get("run", ""))
        if do == "restore":
            name = metadata.name_of(trash.restore(run_id))
            gr.Info(text("ui.runs.restored", language, name=name), title=text("ui.runs.title", language))
        if do == "sort":
            query = query.sorted_by(str(data.get("sort")))
        elif do == "more":
            query = replace(query, most=query.most + MOST_ROWS)
        elif do == "open":
            query = replace(query, open=runs.find(run_id).id)
        elif do == "choose":
            session, at = session or RunsSession(), _number(data.get("at"))
            if at < session.ticked_at:  # a later one has overtaken it on the way, and told these boxes too
                return gr.skip()
            session = replace(session, ticked_at=at)
            query = query.choosing(_ids(data.get("boxes")), _ids(data.get("ticked")))
            if len(query.chosen) > MOST_CHOSEN:
                warn(RunError("ui.too_many", most=MOST_CHOSEN).message, language)
                query = replace(query, chosen=query.chosen[:MOST_CHOSEN])
        return show(query, kind, session)

    tab.parts["table"].click(pressed, looked, tab.outputs, trigger_mode="multiple")  # two boxes, quickly
    tab.parts["trash"].click(pressed, looked, tab.outputs)

    @act(tab.query.change, more=[tab.query])  # also what is pasted
    def search(query: RunsQuery, kind: str, session: RunsSession | None, words: str) -> Any:
        return show(replace(query, query=words or "", most=MOST_ROWS), kind, session)

    @act(tab.state.input, more=[tab.state])
    def narrow(query: RunsQuery, kind: str, session: RunsSession | None, state: str) -> Any:
        return show(replace(query, state=state, most=MOST_ROWS), kind, session)

    @act(tab.kind.input)
    def draw(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
        return show(query, kind, session)

    @act(tab.forget.click)
    def forget(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
        return show(replace(query, chosen=()), kind, session)

    @act(tab.page.back.click)
    def back(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
        return show(replace(query, open=None), kind, session)

    @act(tab.page.save.click, tab.page.name.submit, more=[tab.page.name, tab.page.note])
    def label(query: RunsQuery, kind: str, session: RunsSession | None, name: str, note: str) -> Any:
        run = opened(query)
        metadata.rename(run, name or "")
        metadata.annotate(run, note or "")
        return show(query, kind, session, {tab.page.name: metadata.name_of(run)})

    @act(tab.page.published.input, more=[tab.page.published])
    def publish(query: RunsQuery, kind: str, session: RunsSession | None, published: bool) -> Any:
        metadata.publish(opened(query), published)
        return show(query, kind, session)

    @act(tab.page.delete.click)
    def delete(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
        run = opened(query)
        trash.delete(run)
        return show(replace(query, open=None), kind, replace(session or RunsSession(), deleted=run.id))

    @act(tab.undo.click)
    def undo(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
        if session and session.deleted:
            trash.restore(session.deleted)
            query = replace(query, open=session.deleted)  # its page was shown
        return show(query, kind, replace(session or RunsSession(), deleted=None))

    @act(tab.empty.click)
    def ask_empty(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
        deleted = trash.deleted_runs()
        words = text("ui.runs.empty_sure", language, count=len(deleted), size=size(sum(run.bytes for run in deleted)))
        return {tab.empty_sure: gr.update(visible=True), tab.parts["empty_told"]: f"<p>{words}</p>"}

    @act(tab.empty_now.click)
    def empty(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
        trash.empty()
        return show(query, kind, session, {tab.empty_sure: gr.update(visible=False)})

    tab.empty_not.click(lambda: gr.update(visible=False), None, tab.empty_sure)
    tab.page.clean.click(lambda: gr.update(visible=True), None, tab.page.sure)
    tab.page.clean_not.click(lambda: gr.update(visible=False), None, tab.page.sure)

    @act(tab.page.clean_now.click)
    def clean(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
        freed = checkpoints.remove_old(opened(query))
        gr.Info(text("ui.runs.cleaned", language, size=size(freed)), title=text("ui.runs.disk", language))
        return show(query, kind, session, {tab.page.sure: gr.update(visible=False)})

    sweep = tab.page.sweep_form

    def foretell(stored: Any, session: RunsSession | None, *values: Any) -> str:
        return sweep_form.foretold(opened(current_query(stored, session)).config(), values, language)[1]

    sweep.check.click(foretell, [tab.saved_query, tab.session, *sweep.inputs], sweep.estimate)

    def start_sweep(stored: Any, kind: str, session: RunsSession | None, *values: Any) -> Any:
        query = current_query(stored, session)
        plan, estimate = sweep_form.foretold(opened(query).config(), values, language)
        if plan is None:
            return {sweep.estimate: estimate}
        started = directory.create(plan)
        drive.drive_in_background(started)
        looked_at = show(replace(query, open=None, sweep=started.id), kind, session)
        card = tab.sweeps.sweep_card
        return {**looked_at, sweep.estimate: "", card: gr.update(visible=True, open=True)}

    sweep.start.click(start_sweep, [*looked, *sweep.inputs], [*tab.outputs, sweep.estimate])

    @act(tab.sweeps.sweep.input, more=[tab.sweeps.sweep])
    def choose_sweep(query: RunsQuery, kind: str, session: RunsSession | None, chosen: str | None) -> Any:
        return show(replace(query, sweep=chosen), kind, session)

    @act(tab.sweeps.sweep_stop.click)
    def stop_sweep(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
        sweeps.chosen(query.sweep).request_stop()
        return show(query, kind, session)

    @act(tab.sweeps.sweep_resume.click)
    def resume_sweep(query: RunsQuery, kind: str, session: RunsSession | None) -> Any:
        drive.drive_in_background(sweeps.chosen(query.sweep))
        return show(query, kind, session)

    tab.parts["sweep_table"].click(pressed, looked, tab.outputs)

    def watch(event: gr.SelectData) -> Any:
        """Look at the runs only while the tab is on the screen."""
        return gr.Timer(active=event.value == text("ui.tabs.runs", language))

    item.select(arrive, looked, tab.outputs)
    tabs.select(watch, None, tab.timer, trigger_mode="multiple")
    polling.poll([tab.timer.tick], polling.Watch(find_news, looked, show_news, looked, tab.outputs))


def _ids(value: Any) -> list[str]:
    """Return the ids that a browser has sent, whatever it has sent."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _number(value: Any) -> float:
    """Return the number that a browser has sent, whatever it has sent."""
    return float(value) if isinstance(value, int | float) else 0.0


def opened(query: RunsQuery) -> Run:
    """Return the open run; raises RunError when it is gone."""
    return runs.find(query.open or "")


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
    query_inputs = [tab.saved_query, tab.session]
    page = tab.page

    def to_train(stored: Any, session: RunsSession | None, *looks: Any) -> Any:
        run = opened(current_query(stored, session))
        return {**show_run(follow.follow(run.id), *looks), tabs: gr.update(selected="train")}

    def resume(stored: Any, session: RunsSession | None, *looks: Any) -> Any:
        from studio import gpu

        run = gpu.thread().resume_run(opened(current_query(stored, session)).id)
        return {**show_run(follow.follow(run.id), *looks), tabs: gr.update(selected="train")}

    def to_compare(stored: Any, session: RunsSession | None) -> Any:
        run = opened(current_query(stored, session))
        return {
            **compare_updates.nothing(compare_tab, language),
            **compare_updates.choose(compare_tab, None, language),
            **compare_updates.generation(compare_tab, run.config().generation),
            **compare_updates.about(compare_tab, run.id, compare.comparable(), language),
            **_chosen(compare_tab, run, language),
            tabs: gr.update(selected="compare"),
        }

    def clone(stored: Any, session: RunsSession | None) -> Any:
        query = current_query(stored, session)
        config = opened(query).config() if query.open else sweeps.winning_settings(query.sweep, language)
        return {
            frame.base: config,
            **frame.form.show(config),
            **show_source(config),
            setup: gr.update(open=True),
            tabs: gr.update(selected="train"),
        }

    page.train.click(to_train, [*query_inputs, *looks], [*run_outputs, tabs])
    page.resume.click(resume, [*query_inputs, *looks], [*run_outputs, tabs])
    to_outputs = dict.fromkeys([*compare_tab.of_runs, *compare_tab.of_answers, tabs])
    page.compare.click(to_compare, query_inputs, list(to_outputs))
    cloned = [frame.base, *frame.form.components, *of_source, setup, tabs]
    copies = [page.clone.click, tab.sweeps.sweep_apply.click]  # of the open run, or of the sweep in the list
    return gr.on(copies, clone, query_inputs, list(dict.fromkeys(cloned)))


def _chosen(tab: CompareTab, run: Run, language: str) -> dict[Any, Any]:
    """Return what makes the Compare tab's list hold a run as chosen."""
    offered = compare_updates.choose(tab, run.id, language)[tab.run]
    return {tab.run: offered | {"value": run.id}}
