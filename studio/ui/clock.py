"""Looks at the ticks of a clock, which a page makes again and again and which seldom find anything.

A browser searches its whole page for every output of every event, changed or not: at 14 outputs, ticks without news
kept half a processor core busy. So a look has one small output, and what it has found is shown by an event of its own.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import gradio as gr

from studio.ui.failures import silent

_LOOK = {"show_progress": "hidden", "api_visibility": "undocumented", "concurrency_limit": None}


def look_at(
    ticks: Sequence[Any],
    find: Callable[..., Hashable | None],
    inputs: Sequence[Any],
    show: Callable[..., Any],
    needs: Sequence[Any],
    outputs: Sequence[Any],
) -> None:
    """At each of the `ticks`, let `find(*inputs)` say what is new, and then `show(*needs)` show it in the `outputs`.

    `find` returns None without news, and for news that were shown already what it returned then.
    """
    pulse = gr.State(None)

    @silent
    def look(request: gr.Request, before: Hashable | None, *values: Any) -> Any:
        found = find(request, *values)
        return gr.skip() if found is None or found == before else found

    gr.on(list(ticks), look, [pulse, *inputs], pulse, **_LOOK)
    pulse.change(silent(show), list(needs), list(outputs), **_LOOK)
