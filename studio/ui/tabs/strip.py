"""The film strip's card, on the Train tab: how the answers to pinned prompts change while a run trains."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.ui import strip_views
from studio.ui.failures import shown
from studio.ui.following import Following
from studio.ui.frame import Frame
from studio.ui.strip_views import Place
from studio.ui.words import Words

AT_FIRST = (None, None)
"""The values of `StripCard.place` on a new page."""


@dataclass(frozen=True)
class StripCard:
    """The card's components that handlers read or change."""

    prompt: gr.Dropdown
    at: gr.Slider
    chosen: gr.State
    """The frame that the user has moved the scrubber to; None follows the newest one. Only the user changes it, and a
    new run: what a tick in flight puts into the scrubber cannot take the choice away."""
    answers: gr.HTML
    caption: gr.HTML

    @property
    def of_run(self) -> list[Any]:
        """What changes with the followed run."""
        return [self.prompt, self.at, self.chosen, self.answers, self.caption]

    @property
    def place(self) -> list[Any]:
        """What says where the session looks; see `place_of`."""
        return [self.prompt, self.chosen]


def build(words: Words) -> StripCard:
    """Build the card inside the current Blocks."""
    with gr.Column(elem_classes="card", elem_id="strip"):
        words.heading("ui.strip.title")
        with gr.Row(elem_id="strip-head"):
            prompt = words.make(
                gr.Dropdown, label="ui.strip.prompt", fixed_choices=[], interactive=True, filterable=False, scale=3
            )
            at = words.make(
                gr.Slider, label="ui.strip.scrub", minimum=0, maximum=1, value=0, step=1, interactive=False,
                buttons=[], scale=2, min_width=240, elem_id="strip-at",
            )  # fmt: skip
        answers = words.make(
            gr.HTML,
            text="ui.strip.none",
            frame='<div class="placeholder"><p class="empty">{}</p></div>',
            elem_id="strip-answers",
        )
        caption = gr.HTML(strip_views.NO_CAPTION)
    return StripCard(prompt, at, gr.State(None), answers, caption)


def place_of(prompt: Any, chosen: int | None) -> Place:
    """Return where a session looks, from the values of `StripCard.place`."""
    return Place(int(prompt or 0), chosen)


def render(
    card: StripCard, following: Following, before: Following | None, language: str, place: Place | None = None
) -> dict[Any, Any]:
    """Return what makes the card show the followed run; what has not changed since `before` is left out.

    Without a `place` the newest frame of the first prompt is shown; a new run begins like that too.
    """
    same_run = before is None or before.run_id == following.run_id
    if before is not None and same_run and (before.strip, before.alive) == (following.strip, following.alive):
        return {}
    anew = place is None or not same_run
    place = Place() if place is None or anew else place
    strip = following.strip
    count = len(strip.frames)
    updates = {
        card.at: gr.update(
            maximum=max(1, count - 1), value=max(0, place.number(strip)), interactive=count > 1,
            label=strip_views.scrubber(strip, place, following.total, language),
        ),
        **({card.chosen: None} if anew else {}),
        **_shown(card, following, place, language),
    }  # fmt: skip
    if before is None or not same_run or before.strip.prompts != strip.prompts:
        chosen = place.prompt_of(strip) if strip.prompts else None
        updates[card.prompt] = gr.update(choices=strip_views.prompts(strip), value=chosen)
    return updates


def _shown(card: StripCard, following: Following, place: Place, language: str) -> dict[Any, Any]:
    return {
        card.answers: strip_views.answers(following.strip, place, language, state=_state(following)),
        card.caption: strip_views.caption(following.strip, place, language),
    }


def _state(following: Following) -> str:
    """Say why there is no frame."""
    if following.run_id is None:
        return "none"
    waits = following.alive and not (following.status and following.status.step)
    return "waiting" if waits else "missing"


def connect(card: StripCard, frame: Frame) -> None:
    """Connect the card's events."""

    @shown
    def moved(language: str, following: Following, prompt: int, at: int) -> dict[Any, Any]:
        newest = at >= len(following.strip.frames) - 1
        place = place_of(prompt, None if newest else int(at))
        label = strip_views.scrubber(following.strip, place, following.total, language)
        return {
            card.chosen: place.frame,
            card.at: gr.update(label=label),
            **_shown(card, following, place, language),
        }

    inputs = [frame.language, frame.following, card.prompt, card.at]
    for component in (card.at, card.prompt):
        component.input(
            moved,
            inputs,
            [card.chosen, card.at, card.answers, card.caption],
            show_progress="hidden",
            trigger_mode="always_last",
            api_visibility="undocumented",
        )
