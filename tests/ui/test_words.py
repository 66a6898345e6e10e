"""Components get the words of their page's language."""

import gradio as gr
import pytest

from studio.i18n import LANGUAGES, text
from studio.ui.words import Words, merged


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_component_is_made_with_the_words_of_the_page(language):
    words = Words(language)

    box = words.make(gr.Textbox, label="ui.compare.prompt", placeholder="ui.compare.prompt_hint", value="typed")
    radio = words.make(gr.Radio, label="ui.language", choices={"sgd": "config.train.optimizer.options.sgd"})

    assert box.label == text("ui.compare.prompt", language)
    assert box.placeholder == text("ui.compare.prompt_hint", language)
    assert box.value == "typed"
    assert radio.choices == [(text("config.train.optimizer.options.sgd", language), "sgd")]


def test_a_control_brings_its_help_and_its_hint():
    box = Words().make(gr.Textbox, label="ui.outside.id")

    assert (box.info, box.placeholder) == (text("ui.outside.id_help"), text("ui.outside.id_hint"))
    assert Words().make(gr.Textbox, label="ui.outside.id", info="").info is None
    Words().make(gr.File, label="ui.outside.files")  # which shows no help


def test_words_inside_a_frame_are_escaped(monkeypatch):
    monkeypatch.setattr("studio.ui.words.translate", lambda key, language: "<b>")

    assert Words().make(gr.HTML, text="ui.data.continue", frame="<h2>{}</h2>").value == "<h2>&lt;b&gt;</h2>"


def test_a_later_update_wins_property_by_property():
    with gr.Blocks():
        box = gr.Textbox()

    joined = merged({box: gr.update(label="a", value="b")}, {box: gr.update(value="c")}, {box: "d"})

    assert joined == {box: gr.update(label="a", value="d")}
