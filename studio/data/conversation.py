"""Conversations: the text of messages, turns in an order that can be trained on, and the problems of a row.

A message is text itself, or parts of which some are text: those of OpenAI (chat completions and responses), Anthropic,
Gemini and Bedrock. Images, tool calls and reasoning among them are left out and noted.
"""

import ast
import functools
import itertools
import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from studio.data.vocabulary import VOCABULARY

_PARTS = VOCABULARY["parts"]
_REASONING, _TOOLS, _MEDIA = (frozenset(_PARTS[name]) for name in ("reasoning", "tools", "media"))
_ARRAY_BREAK = re.compile(r"\}[^\S\n]*+\n\s*+\{")
"""What stands between two objects where pandas wrote a NumPy array into a cell; it forgets the comma."""
_ARRAY = re.compile(r"\barray\((\[(?:[^\]a]|a(?!rray\(\[))*+\])(?:,\s*dtype=\w+)?\)")
"""A NumPy array inside an object that pandas wrote into a cell."""
_LITERAL_LIMIT = 1_000_000
"""Characters of a cell up to which it is read as a Python literal."""


@dataclass(frozen=True)
class Turn:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str
    trained: bool = True
    """Whether an assistant's message is to be learned; the others are context in any case."""


@dataclass(frozen=True)
class Conversation:
    """The turns of a row, and its problems although it is used."""

    turns: tuple[Turn, ...]
    """User and assistant by turns, after at most one system turn; the last one is the assistant's."""
    notes: tuple[str, ...] = ()
    """Kinds of problems, by their names in the catalogues under `problems`, each once."""


class RowProblem(Exception):
    """A row cannot be used; `kind` is the problem's name in the catalogues under `problems`.

    `names` are the names in the row that are unknown, each with what it may stand for (`{"wizard": "assistant"}`);
    `detail` is what caused it, in the words of the template or parser that refused it.
    """

    def __init__(self, kind: str, names: Mapping[str, str] | None = None, detail: str = ""):
        self.kind, self.names, self.detail = kind, dict(names or {}), detail
        super().__init__(kind)


class Notes(dict[str, None]):
    """Kinds of problems of one row, each once, in their order."""

    def add(self, kind: str) -> None:
        """Count one more kind."""
        self[kind] = None


def arrange(turns: list[Turn | None], merge: bool, notes: Notes) -> tuple[Turn, ...]:
    """Return the turns by speaker in alternation, after at most one system turn, the last one the assistant's.

    None stands for a tool call, its result, or an answer without text. `merge` joins turns of one speaker that follow
    each other, and leaves out answers before the first question. Raises RowProblem where that cannot be trained on.
    """
    result: list[Turn] = []
    called = False
    for turn in turns:  # answers around a tool call are joined, and a question that only got one is left out
        if turn is None:
            called = True
            continue
        if called and result and result[-1].role == turn.role:
            result[-1] = _joined(result[-1], turn) if turn.role == "assistant" else turn
        else:
            result.append(turn)
        called = False
    while result and result[-1].role != "assistant":
        notes.add("unanswered")
        result.pop()
    if not result:
        raise RowProblem("no_text_answer" if None in turns else "no_answer")
    head = next(number for number, turn in enumerate(result) if turn.role != "system")
    system = "\n\n".join(turn.content for turn in result[:head])
    rest = [turn for turn in result[head:] if turn.role != "system"]
    if len(rest) < len(result) - head:
        if not merge:
            raise RowProblem("late_system")
        notes.add("turns_dropped")
    if head > 1:
        notes.add("joined_system")
    if merge:
        rest = [functools.reduce(_joined, together) for _, together in itertools.groupby(rest, lambda turn: turn.role)]
        if rest[0].role == "assistant":
            notes.add("turns_dropped")
            del rest[0]
    if not rest or rest[0].role == "assistant":
        raise RowProblem("assistant_first")
    if [turn.role for turn in rest] != ["user", "assistant"] * (len(rest) // 2):
        raise RowProblem("order")
    answers = rest[1::2]
    if not any(turn.content.strip() for turn in answers):
        raise RowProblem("empty_answer")
    for turn in answers:
        if not turn.content.strip():
            notes.add("empty_turn")
        elif not turn.trained:
            notes.add("marked_turn")
    rest = [turn if turn.content.strip() or turn.role == "user" else replace(turn, trained=False) for turn in rest]
    if not any(turn.trained for turn in rest[1::2]):
        raise RowProblem("marked")
    return (*([Turn("system", system)] if system.strip() else []), *rest)


def _joined(first: Turn, second: Turn) -> Turn:
    return Turn(first.role, f"{first.content}\n\n{second.content}", first.trained and second.trained)


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
    return _joined_parts(value, notes)


def _joined_parts(parts: list[Any], notes: Notes, is_inside: bool = False) -> str | None:
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
    return _joined_parts(inner, notes, is_inside=True)
