"""The page's words: components get their text from the catalogues, and change it when the language changes.

`gr.I18n` follows the browser's language only, so the page keeps this registry of its own: which property of which
component shows which key.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import gradio as gr

from studio.i18n import DEFAULT_LANGUAGE, text

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class _Bound:
    """The keys behind one component's properties."""

    component: Any
    properties: Mapping[str, str]
    choices: Mapping[Any, str]
    frame: str | None

    def props(self, language: str) -> dict[str, Any]:
        props: dict[str, Any] = {name: text(key, language) for name, key in self.properties.items()}
        if self.frame is not None:
            props["value"] = self.frame.format(html.escape(props["value"]))
        if self.choices:
            props["choices"] = [(text(key, language), value) for value, key in self.choices.items()]
        return props


@dataclass
class Words:
    """All worded components of one page."""

    bound: list[_Bound] = field(default_factory=list)

    def make(
        self,
        kind: type[Kind],
        *,
        label: str | None = None,
        info: str | None = None,
        placeholder: str | None = None,
        text: str | None = None,
        choices: Mapping[Any, str] | None = None,
        frame: str | None = None,
        x_title: str | None = None,
        y_title: str | None = None,
        fixed_choices: Sequence[Any] | None = None,
        **settings: Any,
    ) -> Kind:
        """Make a component whose words are keys of the catalogues; `settings` go to its constructor as they are.

        `text` becomes the component's value, inside the HTML of `frame` if there is one; `choices` maps values to keys.
        `fixed_choices` are the same in every language.
        """
        keys = {"label": label, "info": info, "placeholder": placeholder, "value": text}
        keys |= {"x_title": x_title, "y_title": y_title}
        properties = {name: key for name, key in keys.items() if key}
        if fixed_choices is not None:
            settings["choices"] = list(fixed_choices)
        draft = _Bound(None, properties, choices or {}, frame)
        component = kind(**draft.props(DEFAULT_LANGUAGE), **settings)
        self.bound.append(_Bound(component, properties, choices or {}, frame))
        return component

    def heading(self, key: str) -> gr.HTML:
        """Make the heading of a card."""
        return self.make(gr.HTML, text=key, frame='<h2 class="heading">{}</h2>')

    @property
    def components(self) -> list[Any]:
        """Every component that has words."""
        return [bound.component for bound in self.bound]

    def updates(self, language: str) -> dict[Any, Any]:
        """Return what puts every bound component into `language`; what the user typed or chose stays."""
        return {bound.component: gr.update(**bound.props(language)) for bound in self.bound}


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
