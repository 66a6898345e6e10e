"""Names of columns and roles as datasets have them, and other tables, which lie as YAML beside this module."""

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from studio.config import Role


@functools.cache
def load(name: str, module: str = __file__) -> Any:
    """Return the table in the YAML file called `name` that lies beside a module."""
    text = Path(module).with_name(f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


VOCABULARY: dict[str, dict[str, list[str]]] = load("vocabulary")
COLUMNS = SimpleNamespace(**VOCABULARY["columns"])
"""Lists of column names, such as `COLUMNS.assistant`."""
TOOL = "tool"
"""The role of a tool call or its result, which is not text that anybody writes."""
ROLES: dict[str, str] = {name: role for role, names in VOCABULARY["roles"].items() for name in names}
"""Roles by the names of speakers, in lower case."""


def role_of(name: str, own: Mapping[str, Role]) -> str | None:
    """Return the role that a name stands for (`skip` and `tool` are two more); the user's own names come first."""
    return own.get(name) or ROLES.get(name.lower())


def suggest_roles(names: Iterable[str], own: Mapping[str, Role]) -> dict[str, str]:
    """Return the unknown ones of some names, each with the role that it may stand for beside the known ones."""
    roles = {name: role_of(name, own) for name in names}
    missing = [role for role in ("user", "assistant") if role not in roles.values()]
    unknown = [name for name, role in roles.items() if role is None]
    return {name: missing[number] if number < len(missing) else "skip" for number, name in enumerate(unknown)}
