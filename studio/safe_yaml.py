"""YAML from outside: without code, and with limits on what aliases expand to.

An alias (`*name`) stands for what its anchor holds, which may hold aliases in turn: five kilobytes unfold to gigabytes
where somebody writes them out, in the message of an error for example.
"""

from typing import Any

import yaml

from studio.errors import ConfigError, one_line

MAX_CHARACTERS = 1_000_000
"""Characters of the text, and characters and values that its aliases may unfold to."""
MAX_DEPTH = 50
"""Lists and mappings in each other."""
MAX_NUMBER_CHARACTERS = 100
"""Characters of what is no text: `1:1:1…` is a number to the base of 60, and takes the square of its length."""
_TEXT = "tag:yaml.org,2002:str"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The same safe loader, ten times as fast where PyYAML came with libyaml: a list of runs reads many files."""


def load(text: str, largest: int = MAX_CHARACTERS) -> Any:
    """Load a YAML text; raises ConfigError where it is invalid, or too large."""
    try:
        node = compose(text, largest)
        return None if node is None else _LOADER("").construct_document(node)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError) as error:  # `!!int ''`, `2026-13-45`
        raise ConfigError("config.yaml", detail=one_line(error, 300)) from error


def compose(text: str, largest: int = MAX_CHARACTERS) -> yaml.Node | None:
    """Return the nodes of a YAML text, None for an empty one; raises YAMLError where it is invalid, or too large."""
    if len(text) > largest:
        raise yaml.YAMLError(f"{len(text):,} > {largest:,} characters")
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):  # composing goes down by recursion, and libyaml's ends the process
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise yaml.YAMLError(f"more than {MAX_DEPTH} lists and mappings in each other")
    node = yaml.compose(text, Loader=_LOADER)
    if node is not None:
        _size(node, largest, {}, frozenset())
    return node


def _size(node: yaml.Node, largest: int, known: dict[int, int], above: frozenset[int]) -> int:
    """Return the characters and values of a node with its aliases unfolded; raises YAMLError beyond the largest."""
    if id(node) in above:
        raise yaml.YAMLError("an alias stands for what it is in")
    if id(node) in known:
        return known[id(node)]
    if isinstance(node, yaml.ScalarNode):
        if len(node.value) > MAX_NUMBER_CHARACTERS and node.tag != _TEXT:
            raise yaml.YAMLError(f"a number of more than {MAX_NUMBER_CHARACTERS} characters")
        size = 1 + len(node.value)
    else:
        inside = above | {id(node)}
        parts = [part for each in node.value for part in (each if isinstance(each, tuple) else (each,))]
        size = 1 + sum(_size(part, largest, known, inside) for part in parts)
    if size > largest:
        raise yaml.YAMLError(f"its aliases unfold to more than {largest:,} characters")
    known[id(node)] = size
    return size
