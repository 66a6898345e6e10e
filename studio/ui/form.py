"""The form: one component per setting, made from `RunConfig`, and read back into one."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import gradio as gr
from pydantic.fields import FieldInfo

from studio.config import RunConfig, choices, fields
from studio.errors import ConfigError
from studio.ui import launch
from studio.ui.words import Words, class_of

MAPPING = "data.mapping."
_FIELDS = dict(fields())
_COLUMNS = [MAPPING + name for name in ("prompt", "completion", "system", "history", "messages", "text")]


class Form:
    """The settings' components by dotted path."""

    def __init__(self, words: Words, base: RunConfig):
        """Show `base` at first."""
        self._words = words
        self._values = to_values(base)
        self.parts: dict[str, Any] = {}
        self.reasons: dict[str, Any] = {}
        """Where the form says why an automatic setting is what it is, by path."""

    def add(self, path: str, kind: type | None = None, **settings: Any) -> Any:
        """Make the component of the setting at `path`, of the type's own kind or of `kind`."""
        settings.setdefault("elem_classes", class_of(path))
        if not path.startswith(MAPPING):  # it is shown with the columns of its table
            settings.setdefault("value", self._values[path])
        component = self._words.make(
            kind or _kind(_FIELDS[path]),
            label=f"config.{path}.title",
            info=f"config.{path}.help",
            **(settings if kind else _properties(path) | settings),
        )
        return self.adopt(path, component)

    def adopt(self, path: str, component: Any) -> Any:
        """Let `component` stand for the setting at `path`."""
        self.parts[path] = component
        return component

    @property
    def components(self) -> list[Any]:
        """All components, in the order in which `read` wants their values."""
        return list(self.parts.values())

    @property
    def blanks(self) -> dict[Any, None]:
        """What empties the numbers without a value: until they are told so, browsers show them as 0."""
        empty = [part for part in self.components if isinstance(part, gr.Number) and part.value is None]
        return dict.fromkeys(empty)

    @property
    def places(self) -> dict[str, list[str]]:
        """The way to each control: by its class the id of its tab, then those of the accordions around it."""
        return {class_of(path): _place(part) for path, part in self.parts.items()}

    def values(self, values: Sequence[Any]) -> dict[str, Any]:
        """Return the components' values by path."""
        return dict(zip(self.parts, values, strict=True))

    def read(self, values: Sequence[Any], base: RunConfig) -> RunConfig:
        """Return `base` with the form's values; raises ConfigError when a value cannot be."""
        return read(self.values(values), base)

    def read_rows(self, values: Sequence[Any], base: RunConfig) -> RunConfig:
        """Return a config with the form's rows, prompt and model; what is wrong elsewhere in the form is left out."""
        try:
            return self.read(values, base)
        except ConfigError:
            needed = {
                path: value for path, value in self.values(values).items() if path.startswith(("data.", "model."))
            }
            return read(needed, RunConfig(model=base.model, data=base.data))

    def show(self, config: RunConfig) -> dict[Any, Any]:
        """Return what makes the form show `config`; the mapping is shown with the columns of its table instead."""
        component_values = to_values(config)
        return {
            component: component_values[path]
            if isinstance(component, gr.State)
            else gr.update(value=component_values[path])
            for path, component in self.parts.items()
            if not path.startswith(MAPPING)
        }


def _place(part: Any) -> list[str]:
    way, block = [], part.parent
    while block is not None:
        if isinstance(block, gr.Tab):
            return [str(block.id), *reversed(way)]
        if isinstance(block, gr.Accordion):
            way.append(str(block.elem_id))
        block = block.parent
    return []


def read(values: Mapping[str, Any], base: RunConfig) -> RunConfig:
    """Return `base` with the components' `values` by path; an empty mapping means that it is detected.

    Raises ModelError for a model in a folder, on a page that others reach too.
    """
    settings = {path: from_component(path, value) for path, value in values.items()}
    mapping = {path: settings[path] for path in settings if path.startswith(MAPPING)}
    if mapping and not any(settings.get(path) for path in _COLUMNS):
        settings = {path: value for path, value in settings.items() if path not in mapping}
        settings["data.mapping"] = None
    if (named := settings.get("model.id")) and named != base.model.id:
        launch.refuse_folder(named)
    if (named := settings.get("model.adapter")) and named != base.model.adapter:
        launch.refuse_folder(named)
    return base.with_settings(settings)


def to_values(config: RunConfig) -> dict[str, Any]:
    """Return what the components show for `config`, by path."""
    values = {}
    for path in _FIELDS:
        value: Any = config
        for name in path.split("."):
            value = None if value is None else getattr(value, name)
        if value is None and path.startswith(MAPPING):
            value = _FIELDS[path].default
        values[path] = to_component(path, value)
    return values


def to_component(path: str, value: Any) -> Any:
    """Return a setting's value as its component shows it."""
    if _is_list(_FIELDS[path]):
        return list(value)
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, dict):
        return ", ".join(f"{name}: {meaning}" for name, meaning in value.items())
    if value is None and _kind(_FIELDS[path]) is gr.Textbox and not path.startswith(MAPPING):
        return ""
    return value


def from_component(path: str, value: Any) -> Any:
    """Return a component's value as its setting wants it."""
    if _is_list(_FIELDS[path]):
        return tuple(value or ())
    if get_origin(_FIELDS[path].annotation) is dict:
        pairs = (part.partition(":") for part in str(value or "").replace("\n", ",").split(",") if part.strip())
        return {name.strip(): meaning.strip() for name, _, meaning in pairs}
    if path == "lora.target_modules":
        names = tuple(name for part in str(value or "").split(",") if (name := part.strip()))
        return "all-linear" if names == ("all-linear",) else names
    if not value and type(None) in get_args(_FIELDS[path].annotation):
        return None  # empty, or the 0 that a number shows before its value has come: no optional setting may be 0
    return value


def _is_list(info: FieldInfo) -> bool:
    return get_origin(info.annotation) is tuple


def _options(info: FieldInfo) -> tuple[Any, ...]:
    """Return what a setting is chosen from: one of them, or several where it is a list."""
    inner = get_args(info.annotation)[0] if _is_list(info) else None
    return get_args(inner) if get_origin(inner) is Literal else choices(info)


def _kind(info: FieldInfo) -> type:
    if _is_list(info):
        return gr.CheckboxGroup if _options(info) else gr.Dropdown
    if choices(info):
        return gr.Radio
    types = get_args(info.annotation) or (info.annotation,)
    if bool in types:
        return gr.Checkbox
    return gr.Number if int in types or float in types else gr.Textbox


def _properties(path: str) -> dict[str, Any]:
    info = _FIELDS[path]
    properties: dict[str, Any] = {"value": to_component(path, info.default)}
    if _kind(info) is gr.Dropdown:
        properties |= {"multiselect": True, "choices": [], "allow_custom_value": True}
    elif options := _options(info):
        properties["choices"] = {option: f"config.{path}.options.{option}" for option in options}
    elif _kind(info) is gr.Number:
        properties["step"] = _step(info)
    elif _kind(info) is gr.Textbox:
        properties["max_lines"] = 6
    return properties


def _step(info: FieldInfo) -> float:
    """Return the step of a number's arrows. Bounds are `RunConfig`'s, which has words for what is out of them."""
    if int in (get_args(info.annotation) or (info.annotation,)):
        return 1
    return 0.1 if not info.default or info.default >= 0.1 else info.default / 10
