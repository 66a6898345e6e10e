"""Help: the pages of `studio/docs` under the tabs, in the page's language."""

import re
from pathlib import Path

import gradio as gr

from studio.ui.words import Words

TOPICS = (
    "style", "data", "material", "training", "preferences", "comparing", "exporting", "serving", "sharing", "remote",
    "many-gpus", "measured", "not-run",
)  # fmt: skip
_DOCS = Path(__file__).parent.parent / "docs"
_PICTURE, _LOCAL_LINK = re.compile(r"^!\[.*\n+", re.M), re.compile(r"\[([^]]*)\]\((?!https?:)[^)]*\)")


def build(words: Words) -> None:
    """Build the closed section at the bottom of the page; a topic is read when it is opened."""
    with words.make(gr.Accordion, label="ui.help.title", open=False, elem_id="help", elem_classes="card") as section:
        topic = words.pick(
            "ui.help.topic", {name: f"ui.help.topics.{name.replace('-', '_')}" for name in TOPICS}, value=TOPICS[0]
        )
        text = gr.Markdown(elem_id="help-text")

    def show(topic: str) -> str:
        return page(topic, words.language)

    gr.on([section.expand, topic.input], show, topic, text)


def page(topic: str, language: str) -> str:
    """Return a topic's Markdown without pictures and links to files; an unknown topic or language gives the first."""
    topic = topic if topic in TOPICS else TOPICS[0]
    folder = _DOCS / "ko" if language == "ko" else _DOCS
    return _LOCAL_LINK.sub(r"\1", _PICTURE.sub("", (folder / f"{topic}.md").read_text(encoding="utf-8")))
