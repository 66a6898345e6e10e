"""The queue, on the Train tab: the runs that wait for the device, in their order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio import runs
from studio.errors import RunError
from studio.ui import views
from studio.ui.following import Following
from studio.ui.frame import Frame
from studio.ui.words import Words


@dataclass(frozen=True)
class RunQueue:
    """The card's components."""

    card: gr.Column
    runs: gr.Radio
    earlier: gr.Button
    later: gr.Button
    remove: gr.Button

    @property
    def of_queue(self) -> list[Any]:
        """What changes with the queue."""
        return [self.card, self.runs, self.earlier, self.later, self.remove]


def build(words: Words) -> RunQueue:
    """Build the card inside the current Blocks; without a queue it is not there."""
    with gr.Column(elem_classes="card", visible=False) as card:
        with gr.Row(elem_classes="card-head", equal_height=True):
            words.heading("ui.queue.title")
            with gr.Row(elem_classes="stepper"):
                earlier = words.make(gr.Button, text="ui.queue.earlier", size="sm", min_width=88)
                later = words.make(gr.Button, text="ui.queue.later", size="sm", min_width=88)
                remove = words.make(gr.Button, text="ui.queue.remove", size="sm", min_width=88)
        waiting = words.make(
            gr.Radio,
            label="ui.queue.runs",
            info="ui.queue.help",
            choices=[],
            elem_id="queue",
        )
    return RunQueue(card, waiting, earlier, later, remove)


def in_order(waiting: Sequence[str]) -> list[str]:
    """Return the runs that wait in the order in which they will begin: this process's queue, then those of others."""
    if not waiting:
        return []
    from studio import gpu

    own = [run_id for run_id in gpu.thread().queued() if run_id in waiting]
    return own + [run_id for run_id in waiting if run_id not in own]


def render(card: RunQueue, following: Following, chosen: str | None) -> dict[Any, Any]:
    """Return what shows the queue, with `chosen` still chosen if it waits."""
    order = in_order(following.active.waiting)
    place = order.index(chosen) if chosen in order else 0
    named = [(f"{number}. {views.run_name(run_id)}", run_id) for number, run_id in enumerate(order, 1)]
    return {
        card.card: gr.update(visible=bool(order)),
        card.runs: gr.update(choices=named, value=order[place] if order else None),
        card.earlier: gr.update(interactive=len(order) > 1),
        card.later: gr.update(interactive=len(order) > 1),
        card.remove: gr.update(interactive=bool(order)),
    }


def connect(card: RunQueue, frame: Frame) -> None:
    """Connect the buttons."""

    def mover(by: int) -> Any:
        def move(following: Following, chosen: str | None) -> dict[Any, Any]:
            from studio import gpu

            if chosen is None:
                raise RunError("ui.queue_none")
            order = gpu.thread().queued()
            if chosen not in order:
                raise RunError("run.not_queued", run=views.run_name(chosen))
            gpu.thread().move(chosen, order.index(chosen) + by)
            return render(card, following, chosen)

        return move

    def remove(following: Following, chosen: str | None) -> dict[Any, Any]:
        if chosen is None or chosen not in following.active.waiting:
            raise RunError("ui.queue_none")
        runs.find(chosen).request("cancel")  # its owner takes it out between two micro-batches
        return {card.remove: gr.update(interactive=False)}

    queue_inputs = [frame.following, card.runs]
    card.earlier.click(mover(-1), queue_inputs, card.of_queue)
    card.later.click(mover(1), queue_inputs, card.of_queue)
    card.remove.click(remove, queue_inputs, card.of_queue)
