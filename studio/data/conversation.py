"""Conversations: turns in an order that can be trained on, and the problems of a row."""

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal


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
    spoken: list[Turn] = []
    called = False
    for turn in turns:  # answers around a tool call are joined, and a question that only got one is left out
        if turn is None:
            called = True
            continue
        if called and spoken and spoken[-1].role == turn.role:
            spoken[-1] = _joined(spoken[-1], turn) if turn.role == "assistant" else turn
        else:
            spoken.append(turn)
        called = False
    while spoken and spoken[-1].role != "assistant":
        notes.add("unanswered")
        spoken.pop()
    if not spoken:
        raise RowProblem("no_text_answer" if None in turns else "no_answer")
    head = next(number for number, turn in enumerate(spoken) if turn.role != "system")
    system = "\n\n".join(turn.content for turn in spoken[:head])
    rest = [turn for turn in spoken[head:] if turn.role != "system"]
    if len(rest) < len(spoken) - head:
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
