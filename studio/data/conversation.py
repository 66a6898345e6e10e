"""Conversations: turns in an order that can be trained on, and the problems of a row."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Speaker = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Turn:
    """One message of a conversation."""

    role: Speaker
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
    if _is_arranged(turns):
        return tuple(turn for turn in turns if turn)
    spoken = _without_tools(turns)
    while spoken and spoken[-1].role != "assistant":
        notes.add("unanswered")
        spoken.pop()
    if not spoken:
        raise RowProblem("no_text_answer" if None in turns else "no_answer")
    system, spoken = _system(spoken, merge, notes)
    if merge:
        spoken = _merged(spoken, notes)
    if not spoken or spoken[0].role == "assistant":
        raise RowProblem("assistant_first")
    if [turn.role for turn in spoken] != ["user", "assistant"] * (len(spoken) // 2):
        raise RowProblem("order")
    if not any(turn.content.strip() for turn in spoken if turn.role == "assistant"):
        raise RowProblem("empty_answer")
    spoken = [_checked(turn, notes) for turn in spoken]
    if not any(turn.role == "assistant" and turn.trained for turn in spoken):
        raise RowProblem("marked")
    return (*system, *spoken)


def _is_arranged(turns: list[Turn | None]) -> bool:
    """Whether turns are in order, and every answer is text to be trained, as in most rows: the fast path."""
    expected = "user"
    for number, turn in enumerate(turns):
        if turn is None:
            return False
        if number == 0 and turn.role == "system" and turn.content.strip():
            continue
        if turn.role != expected or (expected == "assistant" and not (turn.trained and turn.content.strip())):
            return False
        expected = "user" if expected == "assistant" else "assistant"
    return len(turns) > 1 and expected == "user"


def _without_tools(turns: list[Turn | None]) -> list[Turn]:
    """Leave out tool calls: an answer before and one after it are joined, a question that only got one goes too."""
    kept: list[Turn] = []
    called = False
    for turn in turns:
        if turn is None:
            called = True
            continue
        if called and kept and kept[-1].role == turn.role:
            kept[-1] = _joined(kept[-1], turn) if turn.role == "assistant" else turn
        else:
            kept.append(turn)
        called = False
    return kept


def _system(turns: list[Turn], merge: bool, notes: Notes) -> tuple[list[Turn], list[Turn]]:
    """Split off the system turns at the beginning, joined to one; later ones are left out when turns are merged."""
    head = next(number for number, turn in enumerate(turns) if turn.role != "system")
    rest = [turn for turn in turns[head:] if turn.role != "system"]
    if len(rest) < len(turns) - head:
        if not merge:
            raise RowProblem("late_system")
        notes.add("turns_dropped")
    if head > 1:
        notes.add("joined_system")
    joined = "\n\n".join(turn.content for turn in turns[:head])
    return ([Turn("system", joined)] if joined.strip() else []), rest


def _merged(turns: list[Turn], notes: Notes) -> list[Turn]:
    merged: list[Turn] = []
    for turn in turns:
        if merged and merged[-1].role == turn.role:
            merged[-1] = _joined(merged[-1], turn)
        else:
            merged.append(turn)
    if merged and merged[0].role == "assistant":
        notes.add("turns_dropped")
        del merged[0]
    return merged


def _joined(first: Turn, second: Turn) -> Turn:
    return Turn(first.role, f"{first.content}\n\n{second.content}", first.trained and second.trained)


def _checked(turn: Turn, notes: Notes) -> Turn:
    """Return a turn, counted when it is not to be learned, and not to be learned when it is empty."""
    if turn.role == "assistant" and not turn.content.strip():
        notes.add("empty_turn")
        return replace(turn, trained=False)
    if turn.role == "assistant" and not turn.trained:
        notes.add("marked_turn")
    return turn
