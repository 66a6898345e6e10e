"""Settings written as text, each read by its own type: the YAML of a file, and the value behind `path=`.

YAML 1.1 takes `no`, `123`, `1e3` and `2026-01-01` for other things than text, and ` #` for the start of a comment. So
YAML is used for the structure alone, and a value of the command line is YAML only where a list or a mapping is wanted.
"""

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

from studio import safe_yaml

_TAG = "tag:yaml.org,2002:"
_TYPES = ("null", "bool", "int", "float", "str", "seq", "map", "timestamp", "merge", "value")
_KNOWN_TAGS = frozenset(_TAG + name for name in _TYPES)
_SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def read_yaml(text: str, annotation: Any) -> Any:
    """Return what a YAML document holds, each value as `annotation` (a type of pydantic's) wants it where it can be.

    Raises yaml.YAMLError, also for a name that appears twice and for aliases that expand without limit.
    """
    node = safe_yaml.compose(text)
    return None if node is None else _read(node, annotation)


def read_value(text: str, annotation: Any) -> Any:
    """Return the value in `text` as it stands behind `path=` on a command line.

    Text is taken literally. Where a setting may be absent, an empty value or `null` clears it. A list is written as
    YAML (`[a, b]`), or is the one value alone; a mapping is YAML. Raises yaml.YAMLError for a list or a mapping that
    cannot be read. What is of another type is returned as text, to be refused by the setting.
    """
    options = _options(annotation)
    bare = text.strip()
    if NoneType in options and (text if str in options else bare) in ("", "null"):
        return None
    if any(_is_section(option) or get_origin(option) is dict for option in options):
        return read_yaml(text, annotation)
    if _item(options) is not None and bare not in _words(options):
        return _read_list(text, annotation)
    return read_scalar(text if str in options else bare, annotation)


def _read_list(text: str, annotation: Any) -> Any:
    bare = text.strip()
    if bare.startswith(("[", "- ", "-\n")):
        try:
            value = read_yaml(bare, annotation)
        except yaml.YAMLError:
            if bare.startswith("[") and bare.endswith("]"):  # no doubt meant as a list
                raise
        else:
            if isinstance(value, list):
                return value
    return [read_scalar(text, _item(_options(annotation)))] if bare else []


def read_scalar(text: str, annotation: Any) -> Any:
    """Return one value as its type wants it; text that does not read as that is returned as it is."""
    options = _options(annotation)
    words, switch = _words(options), _SWITCHES.get(text.lower())
    if words and (text in words or str not in options):
        word = {True: "on", False: "off", None: None}[switch]
        return word if text not in words and word in words else text
    if str in options or not options:
        return text
    if bool in options and switch is not None:
        return switch
    for kind in (int, float):
        if kind in options or (kind is float and int in options):
            try:
                number = kind(text)
            except ValueError:
                continue
            return int(number) if int in options and number == number // 1 else number
    return text


def _read(node: yaml.Node, annotation: Any) -> Any:
    if node.tag not in _KNOWN_TAGS:
        raise _wrong(node, f"the tag {node.tag[:60]!r} is not supported")
    options = _options(annotation)
    if isinstance(node, yaml.MappingNode):
        return dict(_pairs(node, options))
    if isinstance(node, yaml.SequenceNode):
        return [_read(each, _item(options)) for each in node.value]
    if node.tag == _TAG + "null" and not node.style:
        return None
    if _item(options) is not None and node.value not in _words(options):
        return [read_scalar(node.value, _item(options))]
    return read_scalar(node.value, annotation)


def _pairs(node: yaml.MappingNode, options: list[Any]) -> Iterator[tuple[str, Any]]:
    section = next((option for option in options if _is_section(option)), None)
    mapping = next((option for option in options if get_origin(option) is dict), None)
    names = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _wrong(key, "the name of a setting is text")
        if key.value in names:
            raise _wrong(key, f"{key.value[:60]!r} appears twice")
        names.add(key.value)
        info = section.model_fields.get(key.value) if section else None
        yield key.value, _read(value, info.annotation if info else mapping and get_args(mapping)[1])


def _wrong(node: yaml.Node, problem: str) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _options(annotation: Any) -> list[Any]:
    """Return the types that a value may have; none for a name that is not known."""
    if annotation is None:
        return []
    if get_origin(annotation) is Annotated:
        return _options(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [each for option in get_args(annotation) for each in _options(option)]
    return [annotation]


def _is_section(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, BaseModel)


def _item(options: list[Any]) -> Any:
    """Return the type of a list's items; None where no list is wanted."""
    return next((get_args(option)[0] for option in options if get_origin(option) is tuple), None)


def _words(options: list[Any]) -> tuple[Any, ...]:
    return tuple(word for option in options if get_origin(option) is Literal for word in get_args(option))
