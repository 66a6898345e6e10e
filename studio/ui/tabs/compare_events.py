"""The Compare tab's events: ask the columns, stop, go on with a chat, ask again with another strength."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from studio import runs
from studio.compare.columns import BASE, NOW, Column, CompareRequest
from studio.compare.comparison import Comparison
from studio.config import GenerationConfig
from studio.errors import CompareError, ModelError, StudioError
from studio.model import hub_adapters
from studio.model.uploaded_adapters import PREFIX
from studio.ui import comparable, examples, jobs, limits
from studio.ui.comparable import MIX
from studio.ui.compare_views import NUMBERS, View
from studio.ui.tabs import compare as tabs
from studio.ui.tabs import prompted_base
from studio.ui.tabs.compare import EXTRA, SHOTS, SYSTEM, CompareTab
from studio.ui.tabs.mixing import mix_column
from studio.ui.tabs.prompted_base import PROMPTED
from studio.ui.words import merged

KIND = "compare"
_UNLESS_TYPED = "(chosen, typed) => typed || chosen || ''"
"""What is typed while the first prompt is being chosen stays."""
_IS_OPEN = """(_, ...rest) => {
  const tab = document.querySelector('#tabs [role=tab][data-tab-id=compare]');
  return [tab?.getAttribute('aria-selected') === 'true', ...rest];
}"""
UPDATE_SECONDS = 0.1
"""Seconds between two looks at answers that stream: a browser falls behind a model that says more in that time."""


def after(run_id: str | None, checkpoint: str | None, strength: float | None) -> Column:
    """Return the column that the head of the tab asks for; raises CompareError without a run, ModelError for a path."""
    if not run_id:
        raise CompareError("ui.no_run")
    _refuse_path(checkpoint or NOW)
    return column_at(checkpoint, strength)


def column_at(checkpoint: str | None, strength: float | None) -> Column:
    """Return the column of a checkpoint at a strength in percent; the run's result at its full one without these."""
    return Column("adapter", checkpoint or NOW, strength=(100 if strength is None else strength) / 100)


def settings_of(run_id: str, numbers: Sequence[float | None]) -> GenerationConfig:
    """Return a run's settings for answering, with the numbers of the page."""
    changes = {f"generation.{name}": value for name, value in zip(NUMBERS, numbers, strict=True)}
    return runs.find(run_id).config().with_settings(changes).generation


def added(run_id: str, open_: Sequence[bool], values: Sequence[Any]) -> Iterator[Column]:
    """Yield the added columns; `values` are four for each of them, open or not, then those of `CompareTab.columns`."""
    for number in range(EXTRA):
        who, strength, system, shots = values[4 * number : 4 * number + 4]
        if not open_[number]:
            continue
        if who == SYSTEM:
            if not (system or "").strip():
                raise CompareError("ui.system", number=number + 3)
            yield Column("base", system=system.strip())
        elif who == SHOTS:
            yield Column("base", shots=examples.parsed(shots or ""))
        elif who == PROMPTED:
            yield prompted_base.column(run_id, values[4 * EXTRA])
        elif who == MIX:
            mixed = mix_column(values[4 * EXTRA + 1 :], strength)
            for part in mixed.mix.parts if mixed.mix else ():
                _refuse_path(part[0])
            yield mixed
        else:
            _refuse_path(who or NOW)
            yield Column("adapter", who or NOW, strength=(strength if strength is not None else 100) / 100)


def read_request(values: Sequence[Any], count: int) -> tuple[str, GenerationConfig, tuple[Column, ...]]:
    """Return the run, how to answer, and the columns; `values` are those of the `count` settings, then of `columns`."""
    run_id, checkpoint, strength, *numbers = values[:count]
    columns = (BASE, after(run_id, checkpoint, strength), *added(run_id, values[count], values[count + 1 :]))
    return run_id, settings_of(run_id, numbers), columns


def _refuse_path(named: str) -> None:
    """Raise ModelError for a folder: the page offers none, and others may reach it."""
    if not re.fullmatch(r"[\w-]+", named) and not named.startswith(PREFIX) and not hub_adapters.is_hub_id(named):
        raise ModelError("ui.no_folders")


def connect(tab: CompareTab) -> tuple[list[Any], Callable[..., Any]]:
    """Connect the tab's events; returns those that stream answers, and what lets the first prompt be answered.

    The latter takes the run whose answers are shown, and does its part after an event that may have opened the tab.
    """
    count = len(tab.settings)

    def compare(request: gr.Request, view: View, prompt: str, *values: Any) -> Iterator[Any]:
        run_id, settings, columns = read_request(values, count)
        if not (prompt or "").strip():
            raise CompareError("ui.no_prompt")
        for each in columns:
            examples.require_unasked(each.shots, prompt)
        wanted = CompareRequest(run_id, (prompt.strip(),), settings, columns)
        yield from _ask(tab, wanted, view, request)

    def answer_first(
        request: gr.Request, is_open: bool, on_screen: str | None, last: Comparison | None, *values: Any
    ) -> Iterator[Any]:
        view, prompt, run_id, *rest = values
        prompts = comparable.held_out(run_id) if is_open and run_id and run_id == on_screen else []
        if last is not None or prompt or not prompts or jobs.busy(request, KIND):
            yield gr.skip()
            return
        yield {tab.held_out: prompts[0]}
        yield from compare(request, view, prompts[0], run_id, *rest)

    def ask_on(view: View, last: Comparison | None, follow: str, request: gr.Request) -> Iterator[dict[Any, Any]]:
        if last is None or not (follow or "").strip():
            raise CompareError("ui.no_prompt")
        yield {tab.follow: ""}
        yield from _ask(tab, last.next_turn(follow.strip()), view, request)

    def again(
        view: View,
        last: Comparison | None,
        run_id: str,
        number: int,
        strength: float,
        request: gr.Request,
    ) -> Iterator[Any]:
        if last is None or last.request.run_id != run_id or number >= len(last.request.columns):
            yield gr.skip()
            return
        columns = list(last.request.columns)
        if columns[number].kind != "adapter" or columns[number].strength == strength / 100:
            yield gr.skip()
            return
        columns[number] = replace(columns[number], strength=strength / 100)
        yield from _ask(tab, replace(last.request, columns=tuple(columns)), view, request)

    def remix(view: View, last: Comparison | None, run_id: str, request: gr.Request, *values: Any) -> Iterator[Any]:
        mixed = [number for number, column in enumerate(last.request.columns) if column.mix] if last else []
        if last is None or last.request.run_id != run_id or not mixed:
            yield gr.skip()
            return
        columns = list(last.request.columns)
        columns[mixed[0]] = replace(columns[mixed[0]], adapter=mix_column(values).adapter)
        for part in columns[mixed[0]].parts:
            _refuse_path(part.adapter)
        if columns != list(last.request.columns):
            yield from _ask(tab, replace(last.request, columns=tuple(columns)), view, request)

    def change_view(
        view: View, last: Comparison | None, token_scores: Any, request: gr.Request
    ) -> Iterator[dict[Any, Any]]:
        yield tab.render(last, view, token_scores)
        if view == "likelihood" and last is not None and token_scores is None:
            yield _score_answer(tab, last, request)

    def reopen(view: View, run_id: str | None, chosen: str | None, request: gr.Request) -> Iterator[Any]:
        saved = next((one for one in comparable.saved_of(run_id) if one.id == chosen), None)
        if saved is None:
            yield gr.skip()
            return
        yield {**tab.opened(saved.comparison, view), **tab.restore_request(saved.comparison)}
        if view == "likelihood":
            yield _score_answer(tab, saved.comparison, request)

    def done(last: Comparison | None, run_id: str | None, request: gr.Request) -> dict[Any, Any]:
        busy = jobs.busy(request, KIND)
        can_follow = not busy and last is not None
        return {
            tab.go: gr.update(interactive=bool(run_id) and not busy),
            tab.stop: gr.update(interactive=busy),
            tab.follow: gr.update(interactive=can_follow),
            tab.follow_go: gr.update(interactive=can_follow),
        }

    def stop(request: gr.Request) -> None:
        jobs.stop(request, KIND)

    changes = [part.change for part in [*tab.request_controls, tab.badge]]
    gr.on(changes, None, tab.request_controls, None, js=tabs.STALE)
    ends = (done, [tab.last, tab.run], [tab.go, tab.stop, tab.follow, tab.follow_go])
    tab.held_out.input(lambda chosen: chosen or gr.skip(), tab.held_out, tab.prompt)
    tab.held_out.change(None, [tab.held_out, tab.prompt], tab.prompt, js=_UNLESS_TYPED)
    compare_inputs = [tab.view, tab.prompt, *tab.settings, *tab.columns]
    streams = [gr.on([tab.go.click, tab.prompt.submit], compare, compare_inputs, tab.of_answers, api_name="compare")]
    on = [tab.view, tab.last, tab.follow]
    streams.append(gr.on([tab.follow_go.click, tab.follow.submit], ask_on, on, tab.of_answers))
    saved_inputs = [tab.view, tab.run, tab.saved]
    tab.saved.input(reopen, saved_inputs, [*tab.of_answers, *tab.request_controls]).then(*ends)
    strengths = [tab.strength, *(extra.strength for extra in tab.extras)]
    for number, slider in enumerate(strengths, 1):
        column = gr.State(number)
        inputs = [tab.view, tab.last, tab.run, column, slider]
        streams.append(slider.release(again, inputs, tab.of_answers))
    mixing = [*(slider.release for slider in tab.mixer.weights), tab.mixer.density.release, tab.mixer.combination.input]
    inputs = [tab.view, tab.last, tab.run, *tab.mixer.inputs]
    streams.append(gr.on(mixing, remix, inputs, tab.of_answers))
    token_scores = [tab.view, tab.last, tab.token_scores]
    tab.view.input(change_view, token_scores, tab.of_answers)
    tab.stop.click(stop, None, None, concurrency_limit=None)
    _connect_added(tab)
    tab.card.connect(tab.last)
    for event in streams:
        event.then(*ends)

    is_open = gr.Checkbox(visible=False)  # a state's value would not come from the browser

    def answer_after(event: Any, on_screen: gr.State) -> Any:
        inputs = [is_open, on_screen, tab.last, *compare_inputs]
        outputs = [*tab.of_answers, tab.held_out]
        answering = event.then(answer_first, inputs, outputs, js=_IS_OPEN)
        answering.then(*ends)
        return answering

    return streams, answer_after


def _connect_added(tab: CompareTab) -> None:
    """Connect what adds columns, takes them away and says what they are."""
    language = tab.language
    rows = [extra.row for extra in tab.extras]

    def add(open_: tuple[bool, ...]) -> list[Any]:
        place = open_.index(False)
        return opened_rows(tuple(was or number == place for number, was in enumerate(open_)))

    def opened_rows(open_: tuple[bool, ...]) -> list[Any]:
        return [open_, gr.update(interactive=not all(open_)), *(gr.update(visible=is_open) for is_open in open_)]

    def change_who(run_id: str | None, prompt: str, who: str, shots: str) -> list[Any]:
        first = examples.of_run(run_id, prompt or "") if who == SHOTS and run_id and not shots else gr.skip()
        return [
            gr.update(visible=who not in (SYSTEM, SHOTS, PROMPTED), **({"value": 100} if who == MIX else {})),
            gr.update(visible=who == SYSTEM),
            gr.update(visible=who == SHOTS) if first == gr.skip() else gr.update(visible=True, value=first),
        ]

    def arrived(column: str, run_id: str | None, open_: tuple[bool, ...], *who: str) -> dict[Any, Any]:
        """Offer what has arrived, in a column of its own if one is free."""
        choices = comparable.who(run_id, comparable.comparable(), language)
        updates: dict[Any, Any] = {extra.who: gr.update(choices=choices) for extra in tab.extras}
        if any(is_open and chosen == column for is_open, chosen in zip(open_, who, strict=True)) or all(open_):
            return updates
        place = open_.index(False)
        extra = tab.extras[place]
        cleared = {extra.system: gr.update(visible=False), extra.shots: gr.update(visible=False)}
        updates |= {
            extra.who: gr.update(choices=choices, value=column),
            extra.strength: gr.update(visible=True, value=100),
            **cleared,
        }
        return updates | dict(zip([tab.open, tab.add, *rows], add(open_), strict=True))

    def gone(column: str, run_id: str | None, open_: tuple[bool, ...], *who: str) -> dict[Any, Any]:
        """Offer what was removed no more."""
        choices = comparable.who(run_id, comparable.comparable(), language)
        return {
            extra.who: gr.update(choices=choices, **({"value": NOW} if chosen == column else {}))
            for extra, chosen in zip(tab.extras, who, strict=True)
        }

    outputs = [tab.open, tab.add, *rows, *tab.of_answers]
    whose = [tab.run, tab.open, *(extra.who for extra in tab.extras)]
    shows = [tab.open, tab.add, *rows, *(part for extra in tab.extras for part in extra.inputs)]
    tab.outside.connect(whose, shows, arrived, gone)
    who = [extra.who for extra in tab.extras]
    tab.prompted.connect(tab.run, tab.open, who)
    tab.mixer.connect(tab.run, tab.open, who)
    tab.add.click(add, tab.open, [tab.open, tab.add, *rows])
    for number, extra in enumerate(tab.extras):

        def remove(
            view: View, last: Comparison | None, open_: tuple[bool, ...], number: int = number
        ) -> dict[Any, Any]:
            still = tuple(was and place != number for place, was in enumerate(open_))
            updates = dict(zip([tab.open, tab.add, *rows], opened_rows(still), strict=True))
            column = 2 + sum(open_[:number])
            if last is None or last.proof is None or not len(last.request.columns) > max(column, 2 + sum(still)):
                return updates
            return {**updates, **tab.opened(last.without(column), view)}

        extra.remove.click(remove, [tab.view, tab.last, tab.open], outputs, trigger_mode="always_last")
        extra.who.input(
            change_who, [tab.run, tab.prompt, extra.who, extra.shots], [extra.strength, extra.system, extra.shots]
        )


def _ask(tab: CompareTab, wanted: CompareRequest, view: View, request: gr.Request) -> Iterator[dict[Any, Any]]:
    """Ask the columns and show their answers as they come. Raises AccessError for more than a guest may ask for."""
    from studio import gpu

    limits.require_small(wanted)
    yield {
        **tab.waiting(wanted),
        tab.go: gr.update(interactive=False),
        tab.stop: gr.update(interactive=True),
        tab.follow: gr.update(interactive=False),
        tab.follow_go: gr.update(interactive=False),
        tab.saved: gr.update(interactive=False),
    }
    job = jobs.keep(request, KIND, gpu.thread().compare(wanted, keep=not runs.is_restricted()))
    comparing: Comparison | None = None
    try:
        updated_at = 0.0
        for comparing in job.updates():
            if not jobs.is_current(request, KIND, job):  # another run was opened
                return
            if (now := time.monotonic()) - updated_at >= UPDATE_SECONDS:
                updated_at = now
                yield tab.answers(comparing, view)
    except StudioError as error:  # an adapter of another base, say: it stands where the proof would stand
        yield tab.refused(wanted, error, comparing)
        return
    finally:  # also when the browser tab was closed
        job.stop()
    if comparing is not None and jobs.is_current(request, KIND, job):
        yield {**tab.opened(comparing, view), **tab.offered(wanted.run_id, comparing)}
        if view == "likelihood":
            yield _score_answer(tab, comparing, request)


def _score_answer(tab: CompareTab, last: Comparison, request: gr.Request) -> dict[Any, Any]:
    """Ask both sides how likely they find the adapter's answer, and show it."""
    from studio import gpu

    if len(last.request.columns) < 2 or not last.answers[0][1].ids:
        return {}
    pair_request = replace(last.request, columns=last.request.columns[:2])
    job = jobs.keep(request, "weigh", gpu.thread().score_answer(pair_request, last.answers[0][1].ids))
    token_scores = job.result()
    return {**tab.render(last, "likelihood", token_scores), tab.token_scores: token_scores}


def restored(tab: CompareTab, run_id: str | None, view: View, prompt: str, request: gr.Request) -> dict[Any, Any]:
    """Return what shows a run that was just chosen: its own settings, and the last comparison whose answers are whole.

    A stopped one stays among the saved; shown here, it would stand where the first prompt is answered.
    """
    jobs.stop(request, KIND)
    jobs.forget(request, KIND)
    config = comparable.config_of(run_id)
    last = next((saved.comparison for saved in comparable.saved_of(run_id) if not saved.comparison.was_stopped), None)
    updates = {
        **tab.about(run_id, comparable.comparable()),
        **tab.generation(config.generation if config else GenerationConfig()),
        **tab.nothing(),
        **tab.offered(run_id, last),
        tab.go: gr.update(interactive=config is not None),
        tab.stop: gr.update(interactive=False),
    }
    if last is None:
        return updates
    can = gr.update(interactive=True)
    return merged(
        updates,
        tab.opened(last, view),
        {tab.follow: can, tab.follow_go: can, **tab.restore_request(last)},
        {tab.prompt: prompt} if prompt else {},
    )
