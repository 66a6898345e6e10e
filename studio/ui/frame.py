"""What stands around the tabs: name, device, language, and the bar of the live run."""

import html
from pathlib import Path
from typing import Any

import gradio as gr

from studio.config import RunConfig
from studio.i18n import DEFAULT_LANGUAGE, LANGUAGES, text
from studio.ui.form import Form
from studio.ui.page import browser_state
from studio.ui.words import Words


class Frame:
    """The parts of the page that every tab knows."""

    def __init__(self, words: Words, base: RunConfig, following: Any):
        """Build the head of the page inside the current Blocks."""
        self.words = words
        with gr.Row(elem_id="head", equal_height=True):
            self.brand = words.make(gr.HTML, text="ui.name", frame='<h1 id="brand"><i aria-hidden="true"></i>{}</h1>')
            self.device = words.button("ui.device.unknown", size="sm", elem_id="device", scale=0)
            code = (Path(__file__).parent / "page.js").read_text(encoding="utf-8")
            gr.HTML(
                _language_links(words.language) + _theme_button(words.language), elem_id="language", js_on_load=code
            )
        self.device_card = gr.HTML(visible=False, elem_id="device-card")
        with gr.Row(elem_id="run-row", visible=False, equal_height=True) as self.run_row:
            self.run_bar = gr.HTML(elem_id="run-bar")
            self.open_run = words.button("ui.run.open", size="sm", scale=0, min_width=96)
        self.form = Form(words, base)
        self.base = gr.State(base)
        """The RunConfig that the form was filled from; it keeps what the form does not show."""
        self.draft = browser_state({}, "restyle-draft")
        """The form as it was left in this browser: `settings` as YAML, and the name of the `preset`."""
        self.keep_draft = gr.Button(visible="hidden", elem_id="keep-draft")
        """Pressed by the browser once the form has settled."""
        self.following = gr.State(following)
        """The followed run as it was shown last."""

    @property
    def language(self) -> str:
        """The page's language."""
        return self.words.language

    @property
    def config_inputs(self) -> list[Any]:
        """What a handler takes to read the settings: the base, then the form's values."""
        return [self.base, *self.form.components]


def _language_links(current: str) -> str:
    """Return the links between the pages of each language; see `access.language_of` for how they are read."""
    links = []
    for code, name in LANGUAGES.items():
        page = "." if code == DEFAULT_LANGUAGE else code
        mark = ' aria-current="page"' if code == current else ""
        links.append(f'<a href="{page}?language={code}" hreflang="{code}" lang="{code}"{mark}>{name}</a>')
    return f'<nav aria-label="{text("ui.language", current)}">{"".join(links)}</nav>'


def _theme_button(language: str) -> str:
    """Return the button that chooses light, dark or the system's theme; `page.js` works it."""
    words = {name: html.escape(text(f"ui.theme.{name}", language)) for name in ("system", "light", "dark")}
    data = " ".join(f'data-{name}="{label}"' for name, label in words.items())
    return f'<button type="button" id="theme" aria-label="{words["system"]}" {data}>◐</button>'
