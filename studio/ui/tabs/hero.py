"""What a first visit sees above the tabs: what this is, in one look, and the two ways to begin."""

import html
import json
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio import presets
from studio.i18n import text
from studio.ui import browser_scripts, preset_choices
from studio.ui.words import Words

RECORDED = presets.FOLDER / "pictures" / "quickstart-answers.json"
"""Answers of the quickstart's base model and adapter to a held-out prompt, from a run of it on two CPU cores."""


@dataclass(frozen=True)
class Hero:
    """The card's components."""

    card: gr.Column
    start: gr.Button
    own: gr.Button
    presets: gr.Dropdown
    """Leads to the Train tab with the preset that is chosen."""


def build(words: Words) -> Hero:
    """Build the card inside the current Blocks, not yet visible: only a page without runs shows it."""
    with gr.Column(elem_classes="card", elem_id=browser_scripts.FIRST_VISIT, visible=False) as card:
        gr.HTML(_recorded(words.language))
        with gr.Row(elem_id="hero-ways"):
            start = words.make(gr.Button, text="ui.hero.start", variant="primary", min_width=200)
            own = words.make(gr.Button, text="ui.hero.own", min_width=200)
            others = words.make(
                gr.Dropdown,
                label="ui.hero.presets",
                choices=[(text("ui.hero.presets", words.language), ""), *preset_choices.offered(words.language, " · ")],
                value="",
                show_label=False,
                container=False,
                elem_id="hero-presets",
            )
    return Hero(card, start, own, others)


def _recorded(language: str) -> str:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    sides = "".join(
        f'<div class="{kind}"><small>{text(f"ui.hero.{side}", language)}</small>{html.escape(recorded[side])}</div>'
        for kind, side in (("one", "before"), ("two", "after"))
    )
    prompt_html = f'<div class="asked">{html.escape(recorded["prompt"])}</div>'
    about = text("ui.hero.about", language)
    return f'<h2>{text("ui.hero.title", language)}</h2><p>{about}</p>{prompt_html}<div class="two-sides">{sides}</div>'


def visibility(hero: Hero, is_first_visit: bool) -> dict[Any, Any]:
    """Return what shows the card, or takes it away."""
    return {hero.card: gr.update(visible=is_first_visit)}
