"""The queue, on the Train tab: the runs that wait for the device, in their order."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from studio import runs
from studio.errors import RunError
from studio.ui import views
from studio.ui.following import Following
from studio.ui.frame import Frame
from studio.ui.page import components
from studio.ui.words import Words


class RunQueue:
    """The card's components."""

    def __init__(self, words: Words):
        """Build the card inside the current Blocks; without a queue it is not there."""
        self.language = words.language
        with gr.Column(elem_classes="card", visible=False) as self.card:
            with words.head("ui.queue.title"):
                self.earlier = words.button("ui.queue.earlier", size="sm", min_width=88)
                self.later = words.button("ui.queue.later", size="sm", min_width=88)
                self.remove = words.button("ui.queue.remove", size="sm", min_width=88)
            self.runs = words.make(
                gr.Radio,
                label="ui.queue.runs",
                info="ui.queue.help",
                choices=[],
                elem_id="queue",
            )
        self.outputs = components(self)

    def render(self, following: Following, chosen: str | None) -> dict[Any, Any]:
        """Return what shows the queue, with `chosen` still chosen if it waits."""
        order = in_order(following.active.waiting)
        place = order.index(chosen) if chosen in order else 0
        named = [(f"{number}. {views.run_name(run_id)}", run_id) for number, run_id in enumerate(order, 1)]
        return {
            self.card: gr.update(visible=bool(order)),
            self.runs: gr.update(choices=named, value=order[place] if order else None),
            self.earlier: gr.update(interactive=len(order) > 1),
            self.later: gr.update(interactive=len(order) > 1),
            self.remove: gr.update(interactive=bool(order)),
        }

    def connect(self, frame: Frame) -> None:
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
                return self.render(following, chosen)

            return move

        def remove(following: Following, chosen: str | None) -> dict[Any, Any]:
            if chosen is None or chosen not in following.active.waiting:
                raise RunError("ui.queue_none")
            runs.find(chosen).request("cancel")  # its owner takes it out between two micro-batches
            return {self.remove: gr.update(interactive=False)}

        queue_inputs = [frame.following, self.runs]
        self.earlier.click(mover(-1), queue_inputs, self.outputs)
        self.later.click(mover(1), queue_inputs, self.outputs)
        self.remove.click(remove, queue_inputs, self.outputs)


def in_order(waiting: Sequence[str]) -> list[str]:
    """Return the runs that wait in the order in which they will begin: this process's queue, then those of others."""
    if not waiting:
        return []
    from studio import gpu

    own = [run_id for run_id in gpu.thread().queued() if run_id in waiting]
    return own + [run_id for run_id in waiting if run_id not in own]
