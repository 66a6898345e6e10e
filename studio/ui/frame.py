"""What stands around the tabs: name, device, language, and the bar of the live run."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.config import RunConfig
from studio.i18n import DEFAULT_LANGUAGE, LANGUAGES
from studio.ui.form import Form
from studio.ui.words import Words


@dataclass(frozen=True)
class Frame:
    """The parts of the page that every tab knows."""

    words: Words
    brand: gr.HTML
    form: Form
    base: gr.State
    """The RunConfig that the form was filled from; it keeps what the form does not show."""
    following: gr.State
    language: gr.Radio
    remembered: gr.BrowserState
    device: gr.Button
    device_card: gr.HTML
    run_row: gr.Row
    run_bar: gr.HTML
    open_run: gr.Button

    @property
    def config_inputs(self) -> list[Any]:
        """What a handler takes to read the settings: the language, the base, then the form's values."""
        return [self.language, self.base, *self.form.components]


def build(words: Words, base: RunConfig, following: Any) -> Frame:
    """Build the head of the page inside the current Blocks."""
    with gr.Row(elem_id="head", equal_height=True):
        brand = words.make(gr.HTML, text="ui.name", frame='<h1 id="brand"><i aria-hidden="true"></i>{}</h1>')
        device = words.make(gr.Button, text="ui.device.unknown", size="sm", elem_id="device", scale=0)
        language = words.make(
            gr.Radio,
            label="ui.language",
            show_label=False,
            container=False,
            value=DEFAULT_LANGUAGE,
            elem_id="language",
            scale=0,
            fixed_choices=[(name, code) for code, name in LANGUAGES.items()],
        )
    device_card = gr.HTML(visible=False, elem_id="device-card")
    with gr.Row(elem_id="run-row", visible=False, equal_height=True) as run_row:
        run_bar = gr.HTML(elem_id="run-bar")
        open_run = words.make(gr.Button, text="ui.run.open", size="sm", scale=0, min_width=96)
    return Frame(
        words=words,
        brand=brand,
        form=Form(words),
        base=gr.State(base),
        following=gr.State(following),
        language=language,
        remembered=gr.BrowserState("", storage_key="restyle-language", secret="restyle-studio"),
        device=device,
        device_card=device_card,
        run_row=run_row,
        run_bar=run_bar,
        open_run=open_run,
    )
