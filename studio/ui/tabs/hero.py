"""What a first visit sees above the tabs: what this is, in one look, and the two ways to begin."""

import html
import json
from typing import Any

import gradio as gr

from studio import presets
from studio.i18n import text
from studio.ui import browser_scripts, preset_choices
from studio.ui.words import Words

RECORDED = presets.FOLDER / "pictures" / "quickstart-answers.json"
"""Answers of the quickstart's base model and adapter to a held-out prompt, from a run of it on two CPU cores."""


class Hero:
    """The card's components."""

    def __init__(self, words: Words):
        """Build the card inside the current Blocks, not yet visible: only a page without runs shows it."""
        self.language = words.language
        with gr.Column(elem_classes="card", elem_id=browser_scripts.FIRST_VISIT, visible=False) as self.card:
            gr.HTML(_recorded(words.language))
            with gr.Row(elem_id="hero-ways"):
                self.start = words.button("ui.hero.start", variant="primary", min_width=200)
                self.own = words.button("ui.hero.own", min_width=200)
                self.presets = words.make(
                    gr.Dropdown,
                    label="ui.hero.presets",
                    choices=[
                        (text("ui.hero.presets", words.language), ""),
                        *preset_choices.offered(words.language, " · "),
                    ],
                    value="",
                    show_label=False,
                    container=False,
                    elem_id="hero-presets",
                )
                """Leads to the Train tab with the preset that is chosen."""

    def visibility(self, is_first_visit: bool) -> dict[Any, Any]:
        """Return what shows the card, or takes it away."""
        return {self.card: gr.update(visible=is_first_visit)}


def _recorded(language: str) -> str:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    sides = "".join(
        f'<div class="{kind}"><small>{text(f"ui.hero.{side}", language)}</small>{html.escape(recorded[side])}</div>'
        for kind, side in (("one", "before"), ("two", "after"))
    )
    prompt_html = f'<div class="asked">{html.escape(recorded["prompt"])}</div>'
    about = text("ui.hero.about", language)
    return f'<h2>{text("ui.hero.title", language)}</h2><p>{about}</p>{prompt_html}<div class="two-sides">{sides}</div>'
