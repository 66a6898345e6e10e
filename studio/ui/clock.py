"""Looks at the ticks of a clock, which a page makes again and again and which seldom find anything.

A browser searches its whole page for every output of every event, changed or not: at 14 outputs, ticks without news
kept half a processor core busy. So a look has one small output, and what it has found is shown by an event of its own.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.ui.failures import silent

_LOOK = {"show_progress": "hidden", "api_visibility": "undocumented", "concurrency_limit": None}


@dataclass(frozen=True)
class Watch:
    """What is looked for, and how it is shown.

    `find(*inputs)` says what is new: None without news, and for news that were shown already what it returned then.
    `show(*needs)` shows it in the `outputs`.
    """

    find: Callable[..., Hashable | None]
    inputs: Sequence[Any]
    show: Callable[..., Any]
    needs: Sequence[Any]
    outputs: Sequence[Any]


def look_at(ticks: Sequence[Any], *watches: Watch) -> None:
    """Look for all that is watched at each of the `ticks`: in one event, whose making costs more than what it does."""
    pulses = [gr.State(None) for _ in watches]

    def look(request: gr.Request, *values: Any) -> Any:
        before, rest = values[: len(watches)], iter(values[len(watches) :])
        asked = [[next(rest) for _ in watch.inputs] for watch in watches]
        found = [_found(watch, request, last, given) for watch, last, given in zip(watches, before, asked, strict=True)]
        return found if len(found) > 1 else found[0]

    inputs = [*pulses, *(part for watch in watches for part in watch.inputs)]
    gr.on(list(ticks), look, inputs, pulses, **_LOOK)
    for pulse, watch in zip(pulses, watches, strict=True):
        pulse.change(silent(watch.show), list(watch.needs), list(watch.outputs), **_LOOK)


@silent
def _found(watch: Watch, request: gr.Request, before: Hashable | None, given: list[Any]) -> Any:
    found = watch.find(request, *given)
    return gr.skip() if found is None or found == before else found
