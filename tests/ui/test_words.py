"""The registry of words: what it makes, and what a change of language does."""

import gradio as gr

from studio.i18n import text
from studio.ui.words import Words, merged


def test_a_component_is_made_with_english_words():
    words = Words()

    box = words.make(gr.Textbox, label="ui.compare.prompt", placeholder="ui.compare.prompt_hint")

    assert (box.label, box.placeholder) == (text("ui.compare.prompt"), text("ui.compare.prompt_hint"))


def test_a_change_of_language_changes_words_and_never_values():
    words = Words()
    box = words.make(gr.Textbox, label="ui.compare.prompt", value="typed")
    radio = words.make(
        gr.Radio, label="config.train.optimizer.title", choices={"sgd": "config.train.optimizer.options.sgd"}
    )

    updates = words.updates("ko")

    assert updates[box]["label"] == text("ui.compare.prompt", "ko")
    assert "value" not in updates[box]
    assert updates[radio]["choices"] == [(text("config.train.optimizer.options.sgd", "ko"), "sgd")]
    assert "value" not in updates[radio]


def test_words_inside_a_frame_are_escaped():
    words = Words()

    heading = words.make(gr.HTML, text="ui.data.continue", frame="<h2>{}</h2>")

    assert heading.value.startswith("<h2>")
    assert words.updates("ko")[heading]["value"] == f"<h2>{text('ui.data.continue', 'ko')}</h2>"


def test_a_later_update_wins_property_by_property():
    with gr.Blocks():
        box = gr.Textbox()

    joined = merged({box: gr.update(label="a", value="b")}, {box: gr.update(value="c")}, {box: "d"})

    assert joined == {box: gr.update(label="a", value="d")}
