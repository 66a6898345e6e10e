"""The text of a message or of a cell: text itself, or parts of which some are text.

Parts are those of OpenAI (chat completions and responses), Anthropic, Gemini and Bedrock. Images, tool calls and
reasoning among them are left out and noted.
"""

import ast
import json
import re
import warnings
from collections.abc import Mapping
from typing import Any

from studio.data.conversation import Notes, RowProblem
from studio.data.vocabulary import VOCABULARY

_PARTS = VOCABULARY["parts"]
_REASONING, _TOOLS, _MEDIA = (frozenset(_PARTS[name]) for name in ("reasoning", "tools", "media"))
_ARRAY_BREAK = re.compile(r"\}[^\S\n]*+\n\s*+\{")
"""What stands between two objects where pandas wrote a NumPy array into a cell; it forgets the comma."""
_ARRAY = re.compile(r"\barray\((\[(?:[^\]a]|a(?!rray\(\[))*+\])(?:,\s*dtype=\w+)?\)")
"""A NumPy array inside an object that pandas wrote into a cell."""
_LITERAL_LIMIT = 1_000_000
"""Characters of a cell up to which it is read as a Python literal."""


def parsed(value: Any) -> Any:
    """Return a cell's value, with a list or object inside text read: JSON, or Python's notation as pandas writes it."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        pass
    if len(value) > _LITERAL_LIMIT:
        return value
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            read = ast.literal_eval(_ARRAY.sub(r"\1", _ARRAY_BREAK.sub("}, {", value.strip())))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return value
    return read if isinstance(read, list | dict) else value


def text_of(value: Any, notes: Notes) -> str | None:
    """Return the text of a message's content; None where it holds only images, tool calls or reasoning.

    Raises RowProblem for anything that is neither text nor known parts.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return _part(value, notes)
    if not isinstance(value, list):
        raise RowProblem("not_text")
    return _joined(value, notes)


def _joined(parts: list[Any], notes: Notes, is_inside: bool = False) -> str | None:
    pieces = [part if isinstance(part, str) else _part(part, notes, is_inside) for part in parts]
    texts = [piece for piece in pieces if piece is not None]
    return "\n".join(texts) if texts or not pieces else None


def _part(part: Any, notes: Notes, is_inside: bool = False) -> str | None:
    """Return the text of a part; one that `is_inside` another holds no others."""
    if not isinstance(part, Mapping):
        raise RowProblem("not_text")
    inner = next((part[key] for key in ("parts", "content", "text") if isinstance(part.get(key), list)), None)
    if is_inside and inner is not None:
        raise RowProblem("not_text")
    kinds = {part["type"]} if isinstance(part.get("type"), str) else set(part)
    if part.get("thought") is True or kinds & _REASONING:
        return notes.add("reasoning")
    if kinds & _TOOLS:
        return notes.add("tool_calls")
    if kinds & _MEDIA:
        return notes.add("media")
    key = next((key for key in _PARTS["text"] if isinstance(part.get(key), str)), None)
    if key:
        if key == "refusal":
            notes.add("refusal")
        return part[key]
    if inner is None or any(isinstance(piece, list) for piece in inner):
        raise RowProblem("unknown_keys", dict.fromkeys(map(str, list(part)[:8]), ""))
    return _joined(inner, notes, is_inside=True)
