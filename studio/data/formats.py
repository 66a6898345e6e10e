"""Find out which columns make the prompt and which the answer, and turn a row into a conversation.

Shapes are read from the first rows and the column names: a list of turns first, then an explicit pair.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from studio.config import MappingConfig
from studio.data.source import Table
from studio.errors import DataError
from studio.i18n import Message, message

# Column names that users bring, first match wins; compared without case and outer space.
# fmt: off
USER = [
    "instruction", "prompt", "question", "query", "input", "user", "q", "problem", "source",
    "질문", "질의", "지시", "지시문", "입력", "명령어",
]
ASSISTANT = [
    "output", "response", "answer", "completion", "assistant", "a", "target", "solution", "reply", "lyric", "lyrics",
    "답변", "응답", "대답", "출력", "정답", "가사",
]
# fmt: on
SYSTEM = ["system", "system_prompt", "persona", "시스템", "페르소나"]
CHAT = ["messages", "conversations", "conversation", "dialogue", "dialog", "chat", "대화"]
ROLES = {
    **dict.fromkeys(["user", "human", "prompter", "usr", "사용자"], "user"),
    **dict.fromkeys(["assistant", "gpt", "model", "bot", "chatbot", "챗봇"], "assistant"),
    **dict.fromkeys(["system", "시스템"], "system"),
}
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Turn:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class Detected:
    """A mapping and why it was chosen."""

    mapping: MappingConfig
    reason: Message


class RowProblem(Exception):
    """A row cannot be used; `kind` is the problem's name in the catalogues under `problems`."""

    def __init__(self, kind: str):
        self.kind = kind
        super().__init__(kind)


def detect(table: Table) -> Detected:
    """Find the shape of a table; raises DataError that lists the columns when it cannot be told."""
    names = {column.strip().lower(): column for column in table.columns}
    first = table.rows[0]
    for column in [names[n] for n in CHAT if n in names] or [c for c in table.columns if _is_turns(first.get(c))]:
        if _is_turns(first.get(column)):
            mapping = MappingConfig(shape="messages", messages=column)
            return Detected(mapping, message("data.found.messages", column=column))
    completion = next((names[n] for n in ASSISTANT if n in names), None)
    prompts = [names[n] for n in USER if n in names and names[n] != completion]
    if not completion or not prompts:
        raise DataError("data.no_mapping", columns=", ".join(table.columns))
    prompt = prompts[:1]
    if prompt[0].lower() == "instruction" and "input" in names:  # Alpaca: the input belongs to the question
        prompt.append(names["input"])
    system = next((names[n] for n in SYSTEM if n in names), None)
    mapping = MappingConfig(prompt=tuple(prompt), completion=completion, system=system)
    return Detected(mapping, message("data.found.pair", prompt=" + ".join(prompt), completion=completion))


def _is_turns(value: Any) -> bool:
    turns = _parsed(value)
    return (
        isinstance(turns, list) and bool(turns) and isinstance(turns[0], Mapping) and _turn_keys(turns[0]) is not None
    )


def _parsed(value: Any) -> Any:
    """Return a cell's value, with JSON inside text read."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _turn_keys(turn: Mapping[str, Any]) -> tuple[str, str] | None:
    return next(
        (keys for keys in (("role", "content"), ("from", "value")) if keys[0] in turn and keys[1] in turn), None
    )


def check(mapping: MappingConfig, columns: list[str]) -> None:
    """Raise DataError when the mapping names a column that the table does not have."""
    named = [*mapping.prompt, mapping.completion, mapping.system, mapping.messages]
    missing = [column for column in named if column and column not in columns]
    if missing:
        raise DataError("data.no_column", column=missing[0], columns=", ".join(columns))


def conversation(row: Mapping[str, Any], mapping: MappingConfig) -> tuple[Turn, ...]:
    """Turn a row into the turns of a conversation, the last one the assistant's; raises RowProblem."""
    turns = _from_messages(row, mapping) if mapping.shape == "messages" else _from_pair(row, mapping)
    if not turns[-1].content.strip():
        raise RowProblem("empty_answer")
    return turns


def _from_pair(row: Mapping[str, Any], mapping: MappingConfig) -> tuple[Turn, ...]:
    if mapping.completion is None:
        raise RowProblem("not_text")
    completion = row.get(mapping.completion)
    if completion is None:
        raise RowProblem("empty_answer")
    parts = [row.get(column) for column in mapping.prompt]
    system = row.get(mapping.system) if mapping.system else None
    if any(part is not None and not isinstance(part, str) for part in (completion, system, *parts)):
        raise RowProblem("not_text")
    prompt = "\n".join(part for part in parts if part and part.strip())
    if not prompt:
        raise RowProblem("empty_prompt")
    head = (Turn("system", system),) if system and system.strip() else ()
    return (*head, Turn("user", prompt), Turn("assistant", completion))


def _from_messages(row: Mapping[str, Any], mapping: MappingConfig) -> tuple[Turn, ...]:
    raw = _parsed(row.get(mapping.messages or ""))
    if not isinstance(raw, list):
        raise RowProblem("not_turns")
    turns: list[Turn] = []
    for entry in raw:
        keys = _turn_keys(entry) if isinstance(entry, Mapping) else None
        if keys is None:
            raise RowProblem("not_turns")
        role, content = entry[keys[0]], entry[keys[1]]
        if not isinstance(content, str):
            raise RowProblem("not_text")
        known = ROLES.get(str(role).strip().lower())
        if known is None:
            raise RowProblem("unknown_role")
        turns.append(Turn(known, content))
    return _in_order(turns)


def _in_order(turns: list[Turn]) -> tuple[Turn, ...]:
    """Check that user and assistant take turns, after at most one system turn; a user's last word is left out."""
    while turns and turns[-1].role != "assistant":
        turns = turns[:-1]
    if not turns:
        raise RowProblem("no_answer")
    spoken = turns[1:] if turns[0].role == "system" else turns
    if [turn.role for turn in spoken] != ["user", "assistant"] * (len(spoken) // 2) or not spoken:
        raise RowProblem("order")
    return tuple(turns)
