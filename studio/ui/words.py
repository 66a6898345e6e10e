"""The words of one page: components get them from the catalogue of the page's language."""

import functools
import html
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import gradio as gr

from studio.i18n import DEFAULT_LANGUAGE, has
from studio.i18n import text as translate

Kind = TypeVar("Kind")


def class_of(path: str) -> str:
    """Return the CSS class of a setting's component."""
    return "setting-" + path.replace(".", "-").replace("_", "-")


@dataclass(frozen=True)
class Words:
    """Makes the components of a page in `language`."""

    language: str = DEFAULT_LANGUAGE

    def make(
        self,
        kind: type[Kind],
        *,
        label: str | None = None,
        info: str | None = None,
        placeholder: str | None = None,
        text: str | None = None,
        choices: Mapping[Any, str] | Sequence[Any] | None = None,
        frame: str | None = None,
        x_title: str | None = None,
        y_title: str | None = None,
        **settings: Any,
    ) -> Kind:
        """Make a component whose words are keys of the catalogues; `settings` go to its constructor as they are.

        What helps with a label stands under `<label>_help`, what an empty field shows under `<label>_hint`, where there
        are such words and nothing else is given. `text` becomes the component's value, inside the HTML of `frame` if
        there is one. `choices` maps values to keys, or lists values.
        """
        if label:
            info = _known(kind, "info", f"{label}_help") if info is None else info
            placeholder = _known(kind, "placeholder", f"{label}_hint") if placeholder is None else placeholder
        keys = {"label": label, "info": info, "placeholder": placeholder, "value": text}
        keys |= {"x_title": x_title, "y_title": y_title}
        words = {name: translate(key, self.language) for name, key in keys.items() if key}
        if frame is not None:
            words["value"] = frame.format(html.escape(words["value"]))
        if isinstance(choices, Mapping):
            choices = [(translate(key, self.language), value) for value, key in choices.items()]
        if choices is not None:
            settings["choices"] = choices
        if kind is gr.Accordion and label:
            settings.setdefault("elem_id", label.replace(".", "-").replace("_", "-"))  # the way to what it holds
        return kind(**words, **settings)

    def fold(self, key: str) -> gr.Accordion:
        """Make a part of a card that is open at first, and on a phone folded (by `page.js`)."""
        return self.make(gr.Accordion, label=key, elem_classes="fold")

    def button(self, key: str, **settings: Any) -> gr.Button:
        """Make a button."""
        return self.make(gr.Button, text=key, **settings)

    def pick(self, label: str, choices: Mapping[Any, str], **settings: Any) -> gr.Radio:
        """Make a choice of what a card shows: a row of words without a label of its own to see."""
        return self.make(gr.Radio, label=label, choices=choices, show_label=False, container=False, **settings)

    def secret(self, label: str, **settings: Any) -> gr.Textbox:
        """Make a field for a token or a key, which is handed to the call that needs it and kept nowhere."""
        return self.make(gr.Textbox, label=label, type="password", max_lines=1, **settings)

    def heading(self, key: str) -> gr.HTML:
        """Make the heading of a card."""
        return self.make(gr.HTML, text=key, frame='<h2 class="heading">{}</h2>')

    @contextmanager
    def head(self, key: str, *classes: str) -> Iterator[None]:
        """Make the head of a card: its heading, and beside it what is made inside."""
        with gr.Row(elem_classes="card-head", equal_height=True):
            self.heading(key)
            with gr.Row(elem_classes=["stepper", *classes]):
                yield

    def section(self, key: str, **settings: Any) -> gr.HTML:
        """Make the heading of a part of a card."""
        return self.make(gr.HTML, text=key, frame='<h3 class="section">{}</h3>', **settings)

    def paragraph(self, key: str, **settings: Any) -> gr.HTML:
        """Make a paragraph."""
        return self.make(gr.HTML, text=key, frame="<p>{}</p>", **settings)

    def hint(self, key: str, **settings: Any) -> gr.HTML:
        """Make a quiet paragraph."""
        return self.make(gr.HTML, text=key, frame='<p class="hint">{}</p>', **settings)

    def empty(self, key: str, **settings: Any) -> gr.HTML:
        """Make the place of something that is not there yet, with words on what will be here and how to get it."""
        return self.make(gr.HTML, text=key, frame='<p class="empty">{}</p>', **settings)


@functools.cache
def _known(kind: type, name: str, key: str) -> str | None:
    """Return a key where it has words and this kind of component shows such; None where not."""
    return key if has(key) and name in inspect.signature(kind).parameters else None


def merged(*parts: Mapping[Any, Any]) -> dict[Any, Any]:
    """Join updates of components; where two are about one component, the later one wins property by property."""
    joined: dict[Any, Any] = {}
    for part in parts:
        for component, update in part.items():
            is_update = isinstance(update, dict) and update.get("__type__") == "update"
            if component in joined and not isinstance(component, gr.State):
                joined[component] = joined[component] | (update if is_update else gr.update(value=update))
            else:
                joined[component] = update if is_update or isinstance(component, gr.State) else gr.update(value=update)
    return joined
