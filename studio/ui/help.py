"""Help: the pages of `studio/docs` under the tabs, in the page's language."""

import re
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from studio.ui.words import Words

TOPICS = ("style", "data", "training", "comparing", "exporting", "sharing", "many-gpus", "measured", "not-run")
_DOCS = Path(__file__).parent.parent / "docs"
_PICTURE, _LOCAL_LINK = re.compile(r"^!\[.*\n+", re.M), re.compile(r"\[([^]]*)\]\((?!https?:)[^)]*\)")
_QUIET = {"show_progress": "hidden", "api_visibility": "undocumented"}


@dataclass(frozen=True)
class Help:
    """The closed section at the bottom of the page; a topic is read when it is opened."""

    section: gr.Accordion
    topic: gr.Radio
    text: gr.Markdown

    def connect(self, language: gr.Radio) -> None:
        """Show the chosen topic when the section opens, and when the topic or the language changes."""
        inputs = [self.topic, language]
        self.section.expand(page, inputs, self.text, **_QUIET)
        gr.on([self.topic.input, language.input], page, inputs, self.text, trigger_mode="always_last", **_QUIET)


def build(words: Words) -> Help:
    """Build the section inside the current Blocks."""
    with words.make(gr.Accordion, label="ui.help.title", open=False, elem_id="help", elem_classes="card") as section:
        topic = words.make(
            gr.Radio,
            label="ui.help.topic",
            show_label=False,
            container=False,
            value=TOPICS[0],
            choices={name: f"ui.help.topics.{name.replace('-', '_')}" for name in TOPICS},
        )
        text = gr.Markdown(elem_id="help-text")
    return Help(section, topic, text)


def page(topic: str, language: str) -> str:
    """Return a topic's Markdown without pictures and links to files; an unknown topic or language gives the first."""
    topic = topic if topic in TOPICS else TOPICS[0]
    folder = _DOCS / "ko" if language == "ko" else _DOCS
    return _LOCAL_LINK.sub(r"\1", _PICTURE.sub("", (folder / f"{topic}.md").read_text(encoding="utf-8")))
