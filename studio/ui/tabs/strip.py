"""The sample timeline's card, on the Train tab: how the answers to pinned prompts change while a run trains."""

from typing import Any

import gradio as gr

from studio.train.samples import SampleTimeline
from studio.ui import strip_views
from studio.ui.failures import silent
from studio.ui.following import Following
from studio.ui.frame import Frame
from studio.ui.strip_views import Place
from studio.ui.words import Words


class StripCard:
    """The card's components that handlers read or change."""

    def __init__(self, words: Words):
        self.language = words.language
        with gr.Column(elem_classes="card", elem_id="strip"):
            words.heading("ui.strip.title")
            with gr.Row(elem_id="strip-head"):
                self.prompt = words.make(
                    gr.Dropdown, label="ui.strip.prompt", choices=[], interactive=True, filterable=False, scale=3
                )
                self.at = words.make(
                    gr.Slider, label="ui.strip.scrub", minimum=0, maximum=1, value=0, step=1, interactive=False,
                    buttons=[], scale=2, min_width=240, elem_id="strip-at",
                )  # fmt: skip
            self.answers = words.make(
                gr.HTML,
                text="ui.strip.none",
                frame='<div class="placeholder"><p class="empty">{}</p></div>',
                elem_id="strip-answers",
            )
            self.caption = gr.HTML(strip_views.NO_CAPTION)
        self.chosen = gr.State(None)
        """The run and the frame that the user has moved the scrubber to; None follows the newest one. Only the user
        changes it: what a tick in flight puts into the scrubber cannot take the choice away."""
        self.stamp = gr.State(current_stamp(Following()))
        """What of the run the card shows; when a tick finds more, the card is shown anew."""
        self.of_run = list(self.render(Following()))

    @property
    def place(self) -> list[Any]:
        """What says where the session looks; see `place_of`."""
        return [self.prompt, self.chosen]

    def render(self, following: Following, place: Place | None = None) -> dict[Any, Any]:
        """Return what makes the card show the followed run; without a `place`, the newest frame of the first prompt."""
        place, strip = place or Place(), _strip(following)
        count = len(strip.frames)
        return {
            self.at: gr.update(
                maximum=max(1, count - 1), value=max(0, place.number(strip)), interactive=count > 1,
                label=strip_views.scrubber(strip, place, following.total, self.language),
            ),
            self.prompt: gr.update(
                choices=strip_views.prompts(strip), value=place.prompt_of(strip) if strip.prompts else None
            ),
            **self._outputs(following, place),
        }  # fmt: skip

    def _outputs(self, following: Following, place: Place) -> dict[Any, Any]:
        return {
            self.answers: strip_views.answers(_strip(following), place, self.language, state=_state(following)),
            self.caption: strip_views.caption(_strip(following), place, self.language),
        }

    def connect(self, frame: Frame) -> None:
        """Connect the card's events."""
        language = self.language

        def moved(following: Following, prompt: int, at: int) -> dict[Any, Any]:
            newest = at >= len(_strip(following).frames) - 1
            chosen = None if newest else (following.run_id, at)
            place = place_of(prompt, chosen, following)
            label = strip_views.scrubber(_strip(following), place, following.total, language)
            return {self.chosen: chosen, self.at: gr.update(label=label), **self._outputs(following, place)}

        @silent
        def show(following: Following, *place: Any) -> dict[Any, Any]:
            return self.render(following, place_of(*place, following))

        inputs = [frame.following, self.prompt, self.at]
        for component in (self.at, self.prompt):
            component.input(moved, inputs, [self.chosen, self.at, self.answers, self.caption])
        self.stamp.change(show, [frame.following, *self.place], self.of_run, concurrency_limit=None)


def current_stamp(following: Following) -> tuple[Any, ...]:
    """Return what decides what the card shows; it seldom changes."""
    return following.run_id, following.snapshot.strip if following.snapshot else 0, _state(following)


def place_of(prompt: Any, chosen: tuple[str, int] | None, following: Following) -> Place:
    """Return where a session looks, from the values of `StripCard.place`: at the newest frame, unless it was moved."""
    return Place(int(prompt or 0), chosen[1] if chosen and chosen[0] == following.run_id else None)


def _strip(following: Following) -> SampleTimeline:
    return following.reader.strip() if following.reader else SampleTimeline()


def _state(following: Following) -> str:
    """Say why there is no frame."""
    if following.run_id is None:
        return "none"
    waits = following.alive and (_strip(following).prompts or not (following.status and following.status.step))
    return "waiting" if waits else "missing"
