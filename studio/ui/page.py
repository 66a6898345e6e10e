"""The app's Blocks, in which answers that come late change nothing: a page shows one state, not parts of several.

Events of a session run at the same time, begin in another order than a browser has sent them (see `start.js`), and
what they return reaches it in another one.
Four rules decide, here and nowhere else, what of it still counts:

1. Of the calls of one handler, those that were sent before another one that has answered are late.
2. A handler marked as a `view` of some states shows what follows from them: its call is late once a handler that is
   no view has written one of them.
3. An answer's states are written at once. Its other values, which Gradio prepares one after another in other threads,
   reach the browser only where no answer with states written later has sent its own.
4. The end of a generator tells a browser nothing but that it has ended. Gradio would send the last values once more,
   over what has been typed and moved on the page since they came.

Gradio offers no such order; `process_api`, `postprocess_data` and `handle_streaming_diffs` are where it can be kept.
"""

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import gradio as gr
from gradio.blocks import Block, BlocksConfig, convert_component_dict_to_list
from gradio.components import _Keywords
from gradio.context import Context
from gradio.utils import is_prop_update

from studio.i18n import DEFAULT_LANGUAGE
from studio.ui.failures import show_errors

Handler = Callable[..., Any]


def view(*states: gr.State) -> Callable[[Handler], Handler]:
    """Return a decorator that marks a handler as a view of these states: it never undoes what somebody has done."""

    def mark(handler: Handler) -> Handler:
        handler.view_of = [state._id for state in states]  # type: ignore[attr-defined]
        return handler

    return mark


def browser_state(default: Any, key: str) -> gr.BrowserState:
    """Return a value that the browser keeps under a key, placed outside the tab that is being built.

    A browser makes the parts of a tab when the tab is opened: an event of that opening may be sent before the value
    has been read there, and the default, sent back, would replace what was kept.
    """
    state = gr.BrowserState(default, storage_key=key, secret="restyle-studio", render=False)
    inside, Context.block = Context.block, Context.root_block
    try:
        state.render()
    finally:
        Context.block = inside
    return state


def components(card: Any) -> list[Any]:
    """Return the components of a card, in the order in which they became its attributes: what its events may change."""
    values = [[value] if isinstance(value, Block) else value for value in vars(card).values()]
    parts = [list(value.values()) if isinstance(value, dict) else value for value in values]
    every = [each for part in parts if isinstance(part, list | tuple) for each in part]
    return list(dict.fromkeys(each for each in every if isinstance(each, Block)))


@dataclass
class _Call:
    """One call of a handler."""

    session: "_Session"
    handler: Handler
    number: int
    """As its browser counts what it sends; for a client of the API, in the order in which calls begin."""
    states: dict[int, int]
    """The revisions of the states that it is a view of, by the component's id."""
    in_browser: bool
    """Whether a browser has called, rather than a client of the API, to which the end of a generator is its result."""
    written: int = 0
    """When its states were written last."""

    @property
    def is_late(self) -> bool:
        outdated = any(self.session.revisions.get(id, 0) != version for id, version in self.states.items())
        return outdated or self.session.answered.get(self.handler, 0) > self.number

    def answer(self, outputs: list[Any], values: list[Any], state: Any) -> None:
        """Write the states among the values, and remember that the handler has answered."""
        session = self.session
        for part, value in zip(outputs, values, strict=True):
            if part.stateful and not is_prop_update(value):
                if not self.states:
                    session.revisions[part._id] = session.revisions.get(part._id, 0) + 1
                state[part._id] = value
        if any(not (is_prop_update(value) and len(value) == 1) for value in values):
            session.answered[self.handler] = self.number
        session.writes += 1
        self.written = session.writes

    def in_order(self, outputs: list[Any], data: list[Any]) -> list[Any]:
        """Return the values without those whose place a later answer has taken."""
        return [self._in_order(part._id, value) for part, value in zip(outputs, data, strict=True)]

    def _in_order(self, part: int, value: Any) -> Any:
        sent = self.session.sent
        if not is_prop_update(value):
            if sent.get((part, "value"), 0) > self.written:
                return gr.skip()
            sent[part, "value"] = self.written
            return value
        in_order = {name: new for name, new in value.items() if sent.get((part, name), 0) <= self.written}
        sent.update({(part, name): self.written for name in in_order if name != "__type__"})
        return in_order


@dataclass
class _Session:
    """What one browser page has been sent, as far as it decides what is late."""

    calls: int = 0
    writes: int = 0
    revisions: dict[int, int] = field(default_factory=dict)
    """How often a state was written by another handler than a view."""
    answered: dict[Handler, int] = field(default_factory=dict)
    """The newest call of each handler that has answered."""
    sent: dict[tuple[int, str], int] = field(default_factory=dict)
    """For each property of a component, when the states of the values sent last were written."""
    running: dict[str, _Call] = field(default_factory=dict)
    """The calls of generators by the id of their event."""

    def begin(self, handler: Handler, request: Any) -> _Call:
        headers = getattr(request, "headers", {})
        number = headers.get("x-restyle-event", "")[:15]
        self.calls += 1
        states = {id: self.revisions.get(id, 0) for id in getattr(handler, "view_of", ())}
        in_browser = headers.get("x-gradio-user") == "app"
        return _Call(self, handler, int(number) if number.isdecimal() else self.calls, states, in_browser)


_call: ContextVar[_Call | None] = ContextVar("_call", default=None)


_CONTROLLED = ("change", "input", "release")
"""Events of a control that somebody changes again before the answer is there: the last change counts."""


class _Components(BlocksConfig):
    """The components and events of a page, of which each session gets a copy."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._guarded: dict[tuple[Handler, str], Handler] = {}

    def set_event_trigger(self, targets: Any, fn: Handler | None, *args: Any, **options: Any) -> Any:  # type: ignore[override]
        """Add an event as all events here are: it shows its failure in the page's language, and no progress.

        It is no part of the public API. Generators, which may take long, do not wait for those of other sessions.
        """
        options |= {"show_progress": "hidden", "api_visibility": "undocumented"}
        if fn is None:
            return super().set_event_trigger(targets, fn, *args, **options)
        if options.get("trigger_mode") is None and any(target.event_name in _CONTROLLED for target in targets):
            options["trigger_mode"] = "always_last"
        if inspect.isgeneratorfunction(fn) and options.get("concurrency_limit") == "default":
            options["concurrency_limit"] = None
        if not hasattr(fn, "handles_errors"):
            language = self.root_block.current_page or DEFAULT_LANGUAGE
            fn = self._guarded.setdefault((fn, language), show_errors(language)(fn))
        return super().set_event_trigger(targets, fn, *args, **options)

    def __copy__(self) -> BlocksConfig:
        copied = super().__copy__()
        copied.config_for_block = _description  # type: ignore[method-assign]
        return copied


def _description(*described: Any) -> dict[str, Any]:
    """Return what a browser gets of a component: of one that its session renders anew, and nothing of the others."""
    is_rerendered = len(described) > 3 and described[3] is not None
    return BlocksConfig.config_for_block(*described) if is_rerendered else {}


class LeanBlocks(gr.Blocks):
    """Blocks whose sessions do not describe all components once more: 40 ms and 2 MB a visit, which nothing reads."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.default_config = _Components(self)


class Page(LeanBlocks):
    """Blocks that drop late answers (see the module)."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._sessions: WeakKeyDictionary[Any, _Session] = WeakKeyDictionary()

    async def process_api(  # type: ignore[override]
        self, block_fn: Any, inputs: list[Any], state: Any = None, event_id: str | None = None, **rest: Any
    ) -> dict[str, Any]:
        """Call a handler, or go on with one that is a generator."""
        if state is None or isinstance(block_fn, int) or block_fn.fn is None:
            return await super().process_api(block_fn, inputs, state=state, event_id=event_id, **rest)
        session = self._sessions.setdefault(state, _Session())
        call = session.running.pop(event_id or "", None) or session.begin(block_fn.fn, rest.get("request"))
        _call.set(call)
        output = await super().process_api(block_fn, inputs, state=state, event_id=event_id, **rest)
        if output["is_generating"] and event_id:
            session.running[event_id] = call
        return output

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        """Write the states and return the values for the browser; what is late is left out of both."""
        call = _call.get()
        outputs = list(block_fn.outputs)
        values = _values(outputs, predictions)
        if call is None or call.handler is not block_fn.fn or not values or values[0] is _Keywords.FINISHED_ITERATING:
            return await super().postprocess_data(block_fn, predictions, state)
        nothing = [None if part.stateful else gr.skip() for part in outputs]
        if call.is_late:
            return nothing
        call.answer(outputs, values, state)
        values = [gr.skip() if part.stateful else value for part, value in zip(outputs, values, strict=True)]
        data = await super().postprocess_data(block_fn, values if len(values) > 1 else values[0], state)
        return nothing if call.is_late else call.in_order(outputs, data)

    def handle_streaming_diffs(self, block_fn: Any, data: list[Any], **rest: Any) -> list[Any]:  # type: ignore[override]
        """Return what a generator sends: to a browser nothing at its end, and what has parts as a whole.

        With a difference of parts, Gradio's client changes the value that it was sent before, also where that is not
        drawn yet: a button that was to be hidden stayed on the page.
        """
        values = list(data)
        data = super().handle_streaming_diffs(block_fn, data, **rest)
        call = _call.get()
        if rest["final"]:
            return [gr.skip() for _ in data] if call is not None and call.in_browser else data
        return [
            [["replace", [], value]] if isinstance(value, dict | list) and sent is not value and sent else sent
            for value, sent in zip(values, data, strict=True)
        ]


def _values(outputs: list[Any], predictions: Any) -> list[Any]:
    """Return what a handler returned as a list, in the order of its outputs."""
    if isinstance(predictions, dict) and predictions == gr.skip():
        return [gr.skip() for _ in outputs]
    if isinstance(predictions, dict) and any(isinstance(key, Block) for key in predictions):
        predictions = convert_component_dict_to_list(outputs, predictions)  # of a single one, its value
    return [predictions] if len(outputs) == 1 else list(predictions or ())
