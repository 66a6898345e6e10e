"""Which of a run's saved comparisons go into the model card of an export."""

from typing import Any

import gradio as gr

from studio import runs
from studio.compare.comparison_history import SavedComparison
from studio.errors import StudioError
from studio.export import sample_answers
from studio.export.request import KINDS
from studio.files import sha256
from studio.model.adapter_files import WEIGHTS
from studio.ui import export_views
from studio.ui.words import Words

_WITHOUT_CARD = ("script", "example")


class CardComparisons:
    """A list to tick; those of pinned and held-out prompts are ticked at first."""

    def __init__(self, words: Words):
        """Build the folded list inside the current form, not visible before there is something to tick."""
        self.language = words.language
        with words.make(gr.Accordion, label="ui.export.comparisons", open=False, visible=False) as self.part:
            self.chosen = words.make(
                gr.Dropdown,
                label="ui.export.comparisons",
                show_label=False,
                choices=[],
                value=[],
                multiselect=True,
                max_choices=sample_answers.MAX_PAIRS,
                elem_id="card-comparisons",
            )
        self.of_run = gr.State(None)
        """The run whose comparisons are offered."""

    def render(self, run_id: str | None, kind: str, of_run: str | None, chosen: list[str]) -> dict[Any, Any]:
        """Return what offers a run's comparisons; what was ticked stays ticked, until there is another run.

        The ticks are sent only where they change: what is ticked while this is made stays.
        """
        saved, default = _offered(run_id)
        ids = [one.id for one in saved]
        remaining = [id for id in chosen or () if id in ids]
        ticked = (
            {"value": list(default)}
            if run_id != of_run
            else {"value": remaining}
            if remaining != (chosen or [])
            else {}
        )
        choices = [(export_views.comparison(one.comparison.request, self.language), one.id) for one in saved]
        is_visible = bool(saved) and kind in KINDS and kind not in _WITHOUT_CARD
        return {
            self.part: gr.update(visible=is_visible),
            self.chosen: gr.update(choices=choices, **ticked),
            self.of_run: run_id,
        }

    def connect(self, item: gr.Tab, run: gr.Dropdown, kind: gr.Radio) -> None:
        """Connect what changes the list: the tab that is opened, another run, another kind of export."""
        render = self.render
        inputs = [run, kind, self.of_run, self.chosen]
        outputs = [self.part, self.chosen, self.of_run]
        gr.on([item.select, run.change, kind.change], render, inputs, outputs)


def _offered(run_id: str | None) -> tuple[list[SavedComparison], tuple[str, ...]]:
    """Return the comparisons that a run's card may show, and the ids of those that are ticked at first."""
    try:
        run = runs.find(run_id) if run_id else None
        if run is None or not run.has_adapter:
            return [], ()
        saved = sample_answers.usable_comparisons(run, sha256(run.adapter / WEIGHTS))
        return saved, sample_answers.default_comparisons(run, saved)
    except (StudioError, OSError):  # its folder was taken away
        return [], ()
