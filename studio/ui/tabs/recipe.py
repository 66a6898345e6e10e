"""The recipe, on the Train tab: a preset, a model, and every setting that the other tabs do not show."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import gradio as gr

from studio import presets
from studio.config import RunConfig, fields
from studio.ui.failures import shown
from studio.ui.form import Form
from studio.ui.frame import Frame
from studio.ui.tabs import model_choice
from studio.ui.tabs.model_choice import ModelChoice
from studio.ui.words import Words


@dataclass(frozen=True)
class Recipe:
    """The card's components that handlers read or change."""

    preset: gr.Radio
    model: ModelChoice


def build(words: Words, form: Form, preset_name: str | None) -> Recipe:
    """Build the card inside the current Blocks."""
    with gr.Column(elem_classes="card"):
        words.heading("ui.recipe.title")
        preset = words.make(
            gr.Radio,
            label="ui.recipe.preset",
            info="ui.recipe.preset_help",
            fixed_choices=presets.names(),
            value=preset_name,
        )
        rest = [(path, info) for path, info in fields() if path not in form.parts]
        basic = [path for path, info in rest if info.json_schema_extra["basic"] and not path.startswith("generation.")]
        form.add("name")
        model = model_choice.build(words, form)
        rest_of_basic = [path for path in basic if path not in ("name", "model.id")]
        for pair in zip(rest_of_basic[::2], [*rest_of_basic[1::2], None], strict=False):
            with gr.Row():
                for path in filter(None, pair):
                    form.add(path)
        with words.make(gr.Accordion, label="ui.recipe.all", open=False):
            advanced = [path for path, _ in rest if path not in basic]
            for section, paths in groupby(advanced, key=lambda path: path.split(".")[0]):
                words.make(gr.HTML, text=f"ui.sections.{section}", frame='<h3 class="section">{}</h3>')
                for path in paths:
                    form.add(path)
    return Recipe(preset, model)


def connect(
    recipe: Recipe, frame: Frame, of_source: list[Any], show_source: Callable[[RunConfig], dict[Any, Any]]
) -> Any:
    """Connect the card's events; returns the one that loads a preset, after which the data set is to be read again.

    `show_source` makes the controls `of_source` show where the preset's rows come from.
    """
    model_choice.connect(recipe.model, frame)

    @shown
    def load(language: str, name: str) -> dict[Any, Any]:
        config = presets.load(name)
        return {frame.base: config, **frame.form.show(config), **show_source(config)}

    return recipe.preset.input(
        load,
        [frame.language, recipe.preset],
        [frame.base, *frame.form.components, *of_source],
        show_progress="hidden",
        api_visibility="undocumented",
    )
