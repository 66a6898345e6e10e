"""Polling at the ticks of a clock, again and again, which seldom finds news.

A browser searches its whole page for every output of every event, changed or not: at 14 outputs, ticks without news
kept half a processor core busy. So a poll has one small output, and news are shown by an event of their own.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.ui.failures import silent


@dataclass(frozen=True)
class Watch:
    """What is polled, and how it is shown.

    `find(*inputs)` says what is new: None without news, and for news that were shown already what it returned then.
    `show(*needs)` shows it in the `outputs`.
    """

    find: Callable[..., Hashable | None]
    inputs: Sequence[Any]
    show: Callable[..., Any]
    needs: Sequence[Any]
    outputs: Sequence[Any]


def poll(ticks: Sequence[Any], *watches: Watch) -> None:
    """Poll all that is watched at each of the `ticks`: in one event, whose making costs more than what it does."""
    pulses = [gr.State(None) for _ in watches]

    def poll_once(request: gr.Request, *values: Any) -> Any:
        before, rest = values[: len(watches)], iter(values[len(watches) :])
        arguments = [[next(rest) for _ in watch.inputs] for watch in watches]
        news = [
            _news_of(watch, request, last, values_of_watch)
            for watch, last, values_of_watch in zip(watches, before, arguments, strict=True)
        ]
        return news if len(news) > 1 else news[0]

    inputs = [*pulses, *(part for watch in watches for part in watch.inputs)]
    gr.on(list(ticks), poll_once, inputs, pulses, concurrency_limit=None)
    for pulse, watch in zip(pulses, watches, strict=True):
        pulse.change(silent(watch.show), list(watch.needs), list(watch.outputs), concurrency_limit=None)


@silent
def _news_of(watch: Watch, request: gr.Request, before: Hashable | None, values_of_watch: list[Any]) -> Any:
    news = watch.find(request, *values_of_watch)
    return gr.skip() if news is None or news == before else news
