"""Settings written as text, each read by its own type: the YAML of a file, and the value behind `path=`.

YAML 1.1 takes `no`, `123`, `1e3` and `2026-01-01` for other things than text, and ` #` for a comment. So YAML is used
for the structure alone, and on the command line only where a list or a mapping is wanted.
"""

import codecs
import difflib
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from studio import safe_yaml
from studio.errors import ConfigError
from studio.i18n import Message, message

_TAG = "tag:yaml.org,2002:"
_TYPES = ("null", "bool", "int", "float", "str", "seq", "map", "timestamp", "merge", "value")
_KNOWN_TAGS = frozenset(_TAG + name for name in _TYPES)
_SWITCHES = {"true": "on", "yes": "on", "false": "off", "no": "off"}
_BOUNDS = ("ge", "gt", "le", "lt", "min_length", "max_length")

ENCODINGS = (
    "utf-8", "utf-16", "cp949", "cp1252", "gb18030", "big5", "cp932", "euc_jp", "cp1250", "cp1251", "cp1254", "koi8-r",
    "mac_roman",
)  # fmt: skip
"""The usual encodings of text files, the ones that are offered; every other one that Python knows may be set too."""
_NOT_OF_FILES = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "utf-7", "undefined"})
_CONTAINED_IN = {"ascii": "utf-8", "euc_kr": "cp949", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932"}
"""Encodings that are read as the larger one that contains them."""


def known_encoding(name: str) -> str:
    """Return the name by which an encoding of text files is known here (`EUC-KR` is `cp949`)."""
    try:
        codec = codecs.lookup(name.strip())
    except (LookupError, ValueError):
        codec = None
    if codec is None or not codec._is_text_encoding or codec.name in _NOT_OF_FILES:
        problem = "Python knows no encoding of files by this name; usual ones: {usual}"
        raise PydanticCustomError("encoding", problem, {"usual": ", ".join(ENCODINGS)})
    return _CONTAINED_IN.get(codec.name, codec.name)


def read_yaml(text: str) -> Any:
    """Return what a YAML document holds, with the scalars as text, which `read_scalar` reads by a setting's type."""
    node = safe_yaml.compose(text)
    return None if node is None else _read(node)


def _read(node: yaml.Node) -> Any:
    if node.tag not in _KNOWN_TAGS:
        raise _error(node, f"the tag {node.tag[:60]!r} is not supported")
    if isinstance(node, yaml.SequenceNode):
        return [_read(each) for each in node.value]
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == _TAG + "null" and not node.style else node.value
    values: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _error(key, "the name of a setting is text")
        if key.value in values:
            raise _error(key, f"{key.value[:60]!r} appears twice")
        values[key.value] = _read(value)
    return values


def _error(node: yaml.Node, problem: str) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def read_value(text: str, annotation: Any) -> Any:
    """Return the value in `text` as it stands behind `path=` on a command line.

    Text is taken literally. Where a setting may be absent, an empty value or `null` clears it. A list is written as
    YAML (`[a, b]`), or is the one value alone; a mapping is YAML. Raises yaml.YAMLError for a list or a mapping that
    cannot be read. Numbers and switches are left to the setting, which reads them with `read_scalar`.
    """
    types, bare = types_of(annotation), text.strip()
    literal = text if str in types else bare
    if NoneType in types and literal in ("", "null"):
        return None
    if section_of(annotation) or dict in map(get_origin, types):
        return read_yaml(text)
    if tuple not in map(get_origin, types) or bare in _words(types):
        return literal
    if bare.startswith(("[", "- ", "-\n")):
        try:
            if isinstance(values := read_yaml(bare), list):
                return values
        except yaml.YAMLError:
            if bare.startswith("[") and bare.endswith("]"):  # no doubt meant as a list
                raise
    return [text] if bare else []


def read_scalar(text: str, annotation: Any) -> Any:
    """Return text as its type wants it, as far as pydantic does not do that; unsuitable text is returned as it is."""
    types = types_of(annotation)
    words = _words(types)
    if text in words or str in types:
        return text
    if tuple in map(get_origin, types):
        return [text]
    if _SWITCHES.get(text.lower()) in words:
        return _SWITCHES[text.lower()]
    if int not in types and float not in types:
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if int in types and number.is_integer() else number


def types_of(annotation: Any) -> tuple[Any, ...]:
    """Return the types that a value may have; none for a setting that does not exist."""
    if annotation is None:
        return ()
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the group of settings that an annotation stands for; None for a single setting."""
    types = types_of(annotation)
    return next((each for each in types if isinstance(each, type) and issubclass(each, BaseModel)), None)


def _words(types: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(word for each in types if get_origin(each) is Literal for word in get_args(each))


def annotation_at(section: type[BaseModel], path: str) -> Any:
    """Return the type of the setting or the section at a dotted path; None for one that does not exist."""
    annotation: Any = section
    for name in path.split("."):
        if model := section_of(annotation):
            info = model.model_fields.get(name)
            annotation = info.annotation if info else None
        else:
            annotation = get_args(annotation)[1] if get_origin(annotation) is dict else None
    return annotation


class Conflict(ValueError):
    """Settings that do not go together: `reason` names the text in the catalogues, `paths` are the settings."""

    def __init__(self, reason: str, *paths: str):
        super().__init__(reason)
        self.reason, self.paths = reason, paths


def describe(info: FieldInfo) -> Message:
    """Say what a setting may be (`a whole number from 1 to 512`, `one of auto, on, off`)."""
    types = [each for each in types_of(info.annotation) if each is not NoneType]
    kinds = [_kind(each) for each in types]
    words = kinds[0] if len(kinds) == 1 else message("config.allowed.either", one=kinds[0], other=kinds[1])
    bounds = {name: getattr(each, name) for name in _BOUNDS for each in info.metadata if hasattr(each, name)}
    bounds = {name: f"{bound:.10g}" for name, bound in bounds.items()}
    if bounds:
        words = message(f"config.allowed.{'_'.join(bounds)}", kind=words, **bounds)
    return words if len(types) == len(types_of(info.annotation)) else message("config.allowed.optional", kind=words)


def _kind(annotation: Any) -> Message:
    arguments = get_args(annotation)
    origin = get_origin(annotation)
    if origin is Literal:
        return message("config.allowed.options", options=", ".join(map(str, arguments)), count=len(arguments))
    if origin in (tuple, dict):
        return message(f"config.allowed.{origin.__name__}", items=_kind(arguments[-1 if origin is dict else 0]))
    return message(f"config.allowed.{annotation.__name__}")


def unknown_setting(path: str, fields: Mapping[str, FieldInfo]) -> ConfigError:
    """Make the error for a setting that does not exist, with the closest of the `fields` that do."""
    near = difflib.get_close_matches(path, fields, n=3, cutoff=0.5)
    last = path.rsplit(".", 1)[-1]
    near += [name for name in fields if name.rsplit(".", 1)[-1] == last and name not in near]
    return ConfigError("config.unknown", path=path, near=", ".join(near or [*fields][:3]), others="")


def config_error(error: ValidationError, fields: Mapping[str, FieldInfo]) -> ConfigError:
    """Make the error for values that pydantic refuses: about the first of them, with the others as its `problems`."""
    problems = [_problem(problem, fields) for problem in error.errors(include_url=False)]
    first = problems[0]
    first.problems = tuple(problem.message for problem in problems)
    if len(problems) > 1:
        first.values["others"] = message("config.others", count=len(problems) - 1)
    return first


def _problem(problem: Any, fields: Mapping[str, FieldInfo]) -> ConfigError:
    if problem["type"] == "extra_forbidden":
        return unknown_setting(".".join(map(str, problem["loc"])), fields)
    names = {part for path in fields for part in path.split(".")}
    path = ".".join(str(part) for part in problem["loc"] if part in names)
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, Conflict):
        detail = message(f"config.conflicts.{cause.reason}")
        paths = ", ".join(cause.paths)
        return ConfigError("config.conflict", path=cause.paths[0], detail=detail, paths=paths, others="")
    empty = problem["input"] in (None, "")
    value = message("config.allowed.empty") if empty else repr(problem["input"])[:80]
    if problem["type"] == "encoding":
        allowed: Any = message("config.allowed.encoding", usual=problem["ctx"]["usual"])
    else:
        allowed = describe(fields[path]) if path in fields else problem["msg"]
    if problem["type"] == "finite_number":
        allowed = message("config.allowed.finite", kind=allowed)
    return ConfigError("config.value", path=path, value=value, allowed=allowed, others="")
