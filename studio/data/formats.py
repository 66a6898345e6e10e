"""Find out which columns make the prompt and which the answer, and turn a row into a conversation.

Shapes are read from the first rows and the column names, in this order: a list of turns, an explicit pair, one text.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from studio.config import ANSWER, QUESTION, MappingConfig
from studio.data.readers.base import Row
from studio.data.source import Table, cell
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
PREFERRED = ["chosen"]
SYSTEM = ["system", "system_prompt", "persona", "시스템", "페르소나"]
CONTEXT = ["context", "article", "passage", "지문"]
CHAT = ["messages", "conversations", "conversation", "dialogue", "dialog", "chat", "대화"]
TEXT = ["text", "content", "본문"]
ROLES = {
    **dict.fromkeys(["user", "human", "prompter", "usr", "사용자"], "user"),
    **dict.fromkeys(["assistant", "gpt", "model", "bot", "chatbot", "챗봇"], "assistant"),
    **dict.fromkeys(["system", "시스템"], "system"),
}
_TAG = re.compile(r"(?:^[ \t]*##|###)[ \t]*(\w+)[ \t]*:[ \t]*", re.MULTILINE)
"""A speaker's mark in running text, such as `### Human:`."""
_KEYWORD = re.compile(r"(key|keyword|키워드)[ _-]?\d+", re.IGNORECASE)

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
    """What a row says, and what is odd about it although it is used."""

    turns: tuple[Turn, ...]
    """User and assistant by turns, after at most one system turn; the last one is the assistant's."""
    notes: tuple[str, ...] = ()
    """Kinds of problems, by their names in the catalogues under `problems`, each once."""


@dataclass(frozen=True)
class Detected:
    """A mapping and why it was chosen."""

    mapping: MappingConfig
    reason: Message


class RowProblem(Exception):
    """A row cannot be used; `kind` is the problem's name in the catalogues under `problems`, `detail` its cause."""

    def __init__(self, kind: str, detail: str = ""):
        self.kind = kind
        self.detail = detail
        super().__init__(kind)


def detect(table: Table) -> Detected:
    """Find the shape of a table; raises DataError that lists the columns when it cannot be told."""
    names: dict[str, str] = {}
    for column in table.names:
        names.setdefault(column.strip().lower(), column)
        names.setdefault(column.rsplit(".", 1)[-1].lower(), column)  # inside nested cells
    return _chat(table, names) or _pair(table, names) or _text(names) or _unknown(table)


def _unknown(table: Table) -> Detected:
    raise DataError("data.no_mapping", columns=", ".join(table.names))


def _chat(table: Table, names: Mapping[str, str]) -> Detected | None:
    rows = table.first[:20]
    named = [names[name] for name in CHAT if name in names]
    for column in [*named, *(name for name in table.names if name not in named)]:
        if any(_is_turns(cell(row, column)) for row in rows):
            if column.lower() in PREFERRED or "chosen" in names:
                return None  # preference data: the answers are lists of turns
            if isinstance(cell(rows[0], column), list) and "completion" in names and "prompt" in names:
                return None  # prompt and completion, both as lists of turns
            kind = "tagged" if isinstance(_parsed(cell(rows[0], column)), str) else "messages"
            mapping = MappingConfig(shape="messages", messages=column)
            return Detected(mapping, message(f"data.found.{kind}", column=column))
    return None


def _pair(table: Table, names: Mapping[str, str]) -> Detected | None:
    preferred = next((names[name] for name in PREFERRED if name in names), None)
    completion = preferred or _first(names, ASSISTANT) or _ending(table.names, ("답변", "답"))
    if completion is None:
        return None
    keywords = [name for name in table.names if _KEYWORD.fullmatch(name.strip())]
    mapping: dict[str, Any] = {"completion": completion}
    if keywords:
        mapping |= {"prompt": tuple(keywords), "joiner": ", ", "joined": "keywords"}
    else:
        prompt = next((names[name] for name in USER if name in names and names[name] != completion), None)
        if prompt is None:
            return None
        extra = names.get("input") if prompt.lower().endswith("instruction") else None  # Alpaca
        context = _first(names, CONTEXT)
        mapping["prompt"] = tuple(dict.fromkeys(c for c in (context, prompt, extra) if c and c != completion))
    mapping |= {"system": _first(names, SYSTEM), "history": names.get("history")}
    reason = "keywords" if keywords else "preference" if preferred else "nested" if "." in completion else "pair"
    told = message(f"data.found.{reason}", prompt=" + ".join(mapping["prompt"]), completion=completion)
    return Detected(MappingConfig(**mapping), told)


def _text(names: Mapping[str, str]) -> Detected | None:
    column = _first(names, TEXT)
    return column and Detected(MappingConfig(shape="text", text=column), message("data.found.text", column=column))


def _first(names: Mapping[str, str], wanted: Iterable[str]) -> str | None:
    return next((names[name] for name in wanted if name in names), None)


def _ending(columns: list[str], endings: tuple[str, ...]) -> str | None:
    return next((column for column in columns if column.strip().endswith(endings)), None)


def _is_turns(value: Any) -> bool:
    try:
        turns = _turns(value, {})
    except RowProblem:
        return False
    return any(turn.role == "assistant" for turn in turns)


def _parsed(value: Any) -> Any:
    """Return a cell's value, with JSON inside text read."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _holds_objects(value: Any) -> bool:
    parsed = _parsed(value)
    return isinstance(parsed, list) and bool(parsed) and all(isinstance(entry, Mapping) for entry in parsed)


def check(mapping: MappingConfig, columns: list[str]) -> None:
    """Raise DataError when the mapping names a column that the table does not have."""
    missing = [column for column in mapping.columns if column not in columns]
    if missing:
        raise DataError("data.no_column", column=missing[0], columns=", ".join(columns))


def conversation(row: Row, mapping: MappingConfig, merge: bool = False) -> Conversation:
    """Read the conversation of a row; raises RowProblem for a row that cannot be used.

    `merge` joins turns of the same speaker that follow each other, and leaves out what the assistant says first.
    """
    if mapping.shape == "messages":
        turns = _in_order(_turns(cell(row, mapping.messages or ""), mapping.roles), merge)
    elif mapping.shape == "text":
        turns = _from_text(_text_cell(row, mapping.text), mapping.split_text)
    else:
        turns = _from_pair(row, mapping, merge)
    if not any(turn.content.strip() for turn in turns if turn.role == "assistant"):
        raise RowProblem("empty_answer")
    return Conversation(turns)


def _from_text(text: str, split: bool) -> tuple[Turn, ...]:
    if not split:
        return (Turn("assistant", text),)
    question, _, answer = text.strip().partition("\n")
    return (Turn("user", question.strip()), Turn("assistant", answer.strip()))


def answer_column(mapping: MappingConfig) -> str | None:
    """Return what a text template calls the answer; None where a mapping has no such thing."""
    return ANSWER if mapping.shape == "text" and mapping.split_text else mapping.completion


def question_column(mapping: MappingConfig) -> str:
    """Return what a text template calls the question."""
    if mapping.shape == "text":
        return QUESTION
    return mapping.prompt[0] if len(mapping.prompt) == 1 else mapping.joined


def columns_for_template(row: Row, mapping: MappingConfig) -> Row:
    """Return a row as a text template sees it: its columns, and the joined prompt columns under their name."""
    if mapping.shape == "text":
        turns = _from_text(_text_cell(row, mapping.text), mapping.split_text)
        return {**row, QUESTION: turns[0].content, ANSWER: turns[-1].content}
    named = [*mapping.prompt, mapping.completion, mapping.system]
    reached = {column: cell(row, column) for column in named if column}
    return (
        {**row, **reached, mapping.joined: _joined(row, mapping)} if mapping.joined not in row else {**row, **reached}
    )


def _text_cell(row: Row, column: str | None) -> str:
    value = cell(row, column or "")
    if value is None:
        raise RowProblem("empty_answer")
    if not isinstance(value, str):
        raise RowProblem("not_text")
    return value


def _joined(row: Row, mapping: MappingConfig) -> str:
    parts = [cell(row, column) for column in mapping.prompt]
    if any(part is not None and not isinstance(part, str) for part in parts):
        raise RowProblem("not_text")
    return mapping.joiner.join(part for part in parts if part and part.strip())


def _from_pair(row: Row, mapping: MappingConfig, merge: bool) -> tuple[Turn, ...]:
    answer, asked = cell(row, mapping.completion or ""), cell(row, mapping.prompt[0])
    if _holds_objects(answer):  # prompt and completion, or the chosen answer, as lists of turns
        told = _turns(answer, mapping.roles)
        before = _turns(asked, mapping.roles) if _holds_objects(asked) else []
        if not before and told and told[0].role != "user":
            before = [Turn("user", _joined(row, mapping))]
        return _in_order([*before, *told], merge)
    completion = _text_cell(row, mapping.completion)
    prompt = _joined(row, mapping)
    if not prompt:
        raise RowProblem("empty_prompt")
    system = cell(row, mapping.system) if mapping.system else None
    if system is not None and not isinstance(system, str):
        raise RowProblem("not_text")
    head = (Turn("system", system),) if system and system.strip() else ()
    return (*head, *_history(row, mapping), Turn("user", prompt), Turn("assistant", completion))


def _history(row: Row, mapping: MappingConfig) -> list[Turn]:
    earlier = _parsed(cell(row, mapping.history)) if mapping.history else None
    if not earlier:
        return []
    if not isinstance(earlier, list) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in earlier):
        raise RowProblem("not_turns")
    return [Turn(role, str(said)) for pair in earlier for role, said in zip(("user", "assistant"), pair, strict=True)]


def _turns(value: Any, roles: Mapping[str, str]) -> list[Turn]:
    """Read the turns of a cell: objects with role and text, plain texts by turns, or marked text."""
    raw = _parsed(value)
    if isinstance(raw, str):
        return _tagged(raw, roles)
    if not isinstance(raw, list):
        raise RowProblem("not_turns")
    if raw and all(isinstance(entry, str) for entry in raw):
        return [Turn("assistant" if number % 2 else "user", entry) for number, entry in enumerate(raw)]
    found = [_turn(entry, roles) for entry in raw]
    return [turn for turn in found if turn]


def _turn(entry: Any, roles: Mapping[str, str]) -> Turn | None:
    for role_key, text_key in (("role", "content"), ("from", "value"), ("role", "text"), ("speaker", "text")):
        if isinstance(entry, Mapping) and role_key in entry and text_key in entry:
            name, content = str(entry[role_key]).strip(), entry[text_key]
            if not isinstance(content, str):
                raise RowProblem("not_text")
            role = roles.get(name) or ROLES.get(name.lower())
            if role is None:
                raise RowProblem("unknown_role")
            return None if role == "skip" else Turn(role, content)
    raise RowProblem("not_turns")


def _tagged(text: str, roles: Mapping[str, str]) -> list[Turn]:
    """Read text that is marked by speakers; other headings in it are part of what is said."""
    known = {**ROLES, **{name.lower(): role for name, role in roles.items()}}
    marks = [mark for mark in _TAG.finditer(text) if mark[1].lower() in known]
    if not marks:
        raise RowProblem("not_turns")
    turns = []
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        said = text[mark.end() : following.start() if following else len(text)].strip()
        if (role := known[mark[1].lower()]) != "skip":
            turns.append(Turn(role, said))
    return turns


def _in_order(turns: list[Turn], merge: bool) -> tuple[Turn, ...]:
    """Check that user and assistant take turns, after at most one system turn; a user's last word is left out."""
    if merge:
        turns = _merged(turns)
    while turns and turns[-1].role != "assistant":
        turns = turns[:-1]
    if not turns:
        raise RowProblem("no_answer")
    spoken = turns[1:] if turns[0].role == "system" else turns
    if not spoken or spoken[0].role == "assistant":
        raise RowProblem("assistant_first")
    if [turn.role for turn in spoken] != ["user", "assistant"] * (len(spoken) // 2):
        raise RowProblem("order")
    return tuple(turns)


def _merged(turns: list[Turn]) -> list[Turn]:
    merged: list[Turn] = []
    for turn in turns:
        if merged and merged[-1].role == turn.role:
            merged[-1] = Turn(turn.role, f"{merged[-1].content}\n\n{turn.content}")
        elif turn.role != "system" or not merged:
            merged.append(turn)
    head = 1 if merged and merged[0].role == "system" else 0
    while len(merged) > head and merged[head].role == "assistant":
        del merged[head]
    return merged
