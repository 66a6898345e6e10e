"""The guests' page: compare, vote and present what the owner has published, and nothing else.

It is built of the same parts as the Compare tab, and then narrowed: of their events it keeps those of a list, of their
components it sends those of a list, and whatever an event is asked about has to be published. An event that is not on
the list does not exist on this page, whoever calls it and however.
"""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from gradio.context import Context

from studio import runs
from studio.compare.comparison import Comparison
from studio.config import RunConfig
from studio.errors import AccessError, StudioError
from studio.i18n import DEFAULT_LANGUAGE, LANGUAGES, text
from studio.runs import metadata
from studio.ui import comparable, launch, limits, polling
from studio.ui import frame as frames
from studio.ui.failures import warn
from studio.ui.frame import Frame
from studio.ui.page import LeanBlocks
from studio.ui.tabs import ballot, comparing
from studio.ui.words import Words

EVENTS = {
    "studio.ui.guest": {"open_page"},
    "studio.ui.polling": {"poll_once"},
    "studio.ui.tabs.compare_events": {"compare", "ask_on", "again", "change_view", "reopen", "done", "stop"},
    "studio.ui.tabs.comparing": {"open_run", "show_measured", "show_news"},
    "studio.ui.tabs.ballot": {"begin", "change_ways", "vote", "reveal", "marked"},
    "studio.ui.tabs.present": {"present"},
}
"""What guests may do: handlers by their module. Nothing else of the parts' events is on the page."""
ANSWERS, REST = "answers", "rest"
AT_ONCE = {ANSWERS: 2, REST: 2}
"""Events of guests that are carried out at once: answers, which take the model, and all others. More wait."""
OWNERS_TABS = ("prompts", "score", "sheet")
MOST_SESSIONS = 1000
"""Guests' sessions that are kept; beyond these, the one that was not used for the longest time is forgotten."""
LONGEST = 4000
"""Characters of the longest text that a guest may send."""
TICK = 3.0


def build() -> gr.Blocks:
    """Return the guests' app, not yet mounted: a page for each language, the default one at the root."""
    launch.temporary()
    brands: dict[str, gr.HTML] = {}
    with LeanBlocks(title=text("ui.name"), analytics_enabled=False, fill_width=True) as app:
        brands[""], sent = _build_page(Words(DEFAULT_LANGUAGE))
    for language, name in LANGUAGES.items():
        if language != DEFAULT_LANGUAGE:
            with app.route(name, language, show_in_navbar=False):
                brands[language], more = _build_page(Words(language))
                sent |= more
    _narrow(app, sent)
    for event in app.fns.values():
        event.show_progress_on = [brands[event.page]]
    app.max_threads = sum(AT_ONCE.values())
    app.queue(max_size=launch.MOST_WAITING)  # Gradio's own limit on ZeroGPU is one event
    app.state_session_capacity = MOST_SESSIONS
    limits.FairQueue(app._queue, ANSWERS)
    return app


def _build_page(words: Words) -> tuple[gr.HTML, set[Any]]:
    """Build one language's page inside the current Blocks; returns its brand, and the components guests are sent."""
    frame = frames.Frame(words, RunConfig(), None)
    with gr.Row(elem_classes="card-head"):
        words.hint("ui.guest.about", elem_id="guest")
        if launch.on_space():
            words.make(gr.HTML, text="ui.guest.login", frame='<a href="../login/huggingface">{}</a>')
    views = comparing.Views(words)
    none = words.empty("ui.guest.none", elem_id="nothing-published")
    _connect(views, none)
    _hide(frame, views)
    return frame.brand, {none, *_sent(views)}


def _connect(views: comparing.Views, none: gr.HTML) -> None:
    answers, page = views.answers, Context.root_block
    assert page is not None

    def open_page() -> dict[Any, Any]:
        return {**answers.choose(None), none: gr.update(visible=not comparable.comparable())}

    polling.poll([gr.Timer(TICK).tick], *views.connect())
    page.load(ballot.marked, views.vote.mark, views.vote.mark)
    page.load(open_page, None, [none, *answers.of_runs])


def _hide(frame: Frame, views: comparing.Views) -> None:
    """Take off the screen what guests have no use for; that it does nothing is not decided here."""
    answers, vote, app = views.answers, views.vote, Context.root_block
    assert app is not None
    card = answers.card
    owner_only = [answers.outside.fold, answers.held_out, answers.add, card.kind, card.make, vote.export]
    owner_only += [vote.maker.block, views.preferences.column]
    others = [block for block in app.blocks.values() if isinstance(block, gr.Tab) and block.id in OWNERS_TABS]
    for block in [frame.device, *owner_only, *others]:
        block.visible = False
    answers.numbers["max_new_tokens"].maximum = limits.MOST_TOKENS
    for box in (answers.prompt, answers.follow):
        box.max_length = LONGEST


def _sent(views: comparing.Views) -> list[Any]:
    """Return the components whose values guests are sent."""
    answers, vote = views.answers, views.vote
    panels = [part for panel in answers.panels for part in (panel.column, panel.title, panel.answer, panel.caption)]
    asking = [*answers.settings, answers.none, answers.prompt, answers.saved, answers.go, answers.stop]
    outputs = [answers.badge, answers.view, answers.caption, answers.follow, answers.follow_go, answers.present]
    voting = [vote.voter, vote.mark, *(part for part in vote.outputs if part is not vote.export)]
    return [*panels, *asking, *outputs, *voting, views.slides]


def _narrow(page: gr.Blocks, sent: set[Any]) -> None:
    """Keep the events of the list, each of them guarded."""
    narrowed: dict[int, Any] = {}
    for number, event in page.fns.items():
        follows = (
            event.fn is None and event.trigger_after in narrowed
        )  # a script of the page, which the server never runs
        if not follows and (event.fn is None or event.fn.__name__ not in EVENTS.get(event.fn.__module__, ())):
            continue
        if event.fn is not None:
            _guard(event, sent)
        narrowed[number] = event
    for event in narrowed.values():
        event.cancels = [number for number in event.cancels if number in narrowed]
    page.default_config.fns = narrowed


def _guard(event: Any, sent: set[Any]) -> None:
    event.outputs = [part for part in event.outputs if part in sent or isinstance(part, gr.State)]
    event.concurrency_id = ANSWERS if inspect.isgeneratorfunction(event.fn) else REST
    event.concurrency_limit = AT_ONCE[event.concurrency_id]
    by_itself = any(name in ("tick", "change") for _, name in event.targets)
    event.fn = guarded(event.fn, set(event.outputs), event.page or DEFAULT_LANGUAGE, silent=by_itself)


def guarded(handler: Callable[..., Any], sent: set[Any], language: str, silent: bool = False) -> Callable[..., Any]:
    """Make a handler know published runs alone, and return nothing but updates of what may be `sent`.

    What is refused is said over the page, or, of an event that comes by itself, not at all.
    """

    def refused(error: StudioError) -> Any:
        if not silent:
            warn(error.message, language)
        return gr.skip()

    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
            try:
                with _published():
                    _check(args)
            except StudioError as error:
                yield refused(error)
                return
            with contextlib.closing(handler(*args, **kwargs)) as steps:
                while True:
                    with _published():  # each step may be in another thread
                        try:
                            step = next(steps)
                        except StopIteration:
                            return
                    yield _only(step, sent)

        return generator

    @functools.wraps(handler)
    def function(*args: Any, **kwargs: Any) -> Any:
        with _published():
            try:
                _check(args)
            except StudioError as error:
                return refused(error)
            return _only(handler(*args, **kwargs), sent)

    return function


def _published() -> contextlib.AbstractContextManager[None]:
    return runs.visible_only(metadata.is_published)


def _check(args: tuple[Any, ...]) -> None:
    """Raise RunError where a handler is asked about a run that is not published, AccessError for a text too long."""
    for arg in args:
        if isinstance(arg, str) and len(arg) > LONGEST:
            raise AccessError("access.long", most=LONGEST)
        if isinstance(arg, str) and runs.is_id(arg):
            runs.find(arg)
        if isinstance(arg, Comparison):  # it was published when it was made
            adapters = [part.adapter for column in arg.request.columns for part in column.parts]
            for named in [arg.request.run_id, *filter(runs.is_id, adapters)]:
                runs.find(named)


def _only(result: Any, sent: set[Any]) -> Any:
    """Return a handler's result without the updates of what may not be sent."""
    if not isinstance(result, dict):
        return result
    allowed = {part: value for part, value in result.items() if isinstance(part, str) or part in sent}
    return allowed or gr.skip()
