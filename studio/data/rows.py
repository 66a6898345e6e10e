"""Turn a row into a conversation, by the columns that a mapping names."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from studio.config import ANSWER, QUESTION, MappingConfig
from studio.data import marks, source
from studio.data.conversation import Conversation, Notes, RowProblem, Turn, arrange, parsed, text_of
from studio.data.readers.base import Row
from studio.data.turns import TEXT_KEYS, TurnReader, holds_turns
from studio.data.vocabulary import COLUMNS, VOCABULARY
from studio.errors import DataError

_EXTRA = frozenset({*marks.ROW_COLUMNS, *COLUMNS.tools, *COLUMNS.media})
"""Columns that mean something beside those that are read; lower case."""
_BEST = VOCABULARY["best"]
_VERDICTS = frozenset(name for names in _BEST.values() for name in names)
_ROLES = frozenset({"role", "from"})
_ANSWER_KEYS = (*COLUMNS.assistant, *TEXT_KEYS)


def check_mapping(mapping: MappingConfig, columns: list[str]) -> None:
    """Raise DataError when the mapping names a column that the table does not have."""
    missing = [column for column in mapping.columns if not {column, column.split(".")[0]} & set(columns)]
    if missing:
        raise DataError("data.no_column", column=missing[0], columns=", ".join(columns))


def evenly_spaced(rows: Sequence[Any], count: int) -> list[Any]:
    """Return `count` of the rows, evenly spaced; all where there are fewer."""
    return [rows[at * len(rows) // count] for at in range(count)] if len(rows) > count else list(rows)


def read_conversation(row: Row, mapping: MappingConfig, merge: bool = False) -> Conversation:
    """Read the conversation of a row; raises RowProblem for a row that cannot be used.

    `merge` joins turns of the same speaker that follow each other, and leaves out what the assistant says first.
    """
    needed = [mapping.messages or mapping.text or mapping.completion or "", *mapping.prompt]
    if not any(column in row or column.split(".")[0] in row for column in needed):
        raise RowProblem("other_shape")
    notes = Notes()
    columns = mapping.columns
    if extra := marks.in_lower_case(row, _EXTRA, columns):
        if mapping.marks == "follow" and marks.excludes_row(extra, has_answer=mapping.shape != "text"):
            raise RowProblem("marked")
        if marks.has_fraction(extra):
            notes.add("weights")
        for kind, names in (("tool_definitions", COLUMNS.tools), ("media", COLUMNS.media)):
            values = [extra[name] for name in names if isinstance(extra.get(name), str | list | Mapping)]
            if mapping.shape != "text" and any(parsed(value) not in ("", [], {}, "null", "None") for value in values):
                notes.add(kind)
    lists = [column.split(".0.")[0] for column in columns if ".0." in column and column not in row]
    if any(isinstance(entries := _cell(row, column), list) and len(entries) > 1 for column in lists):
        notes.add("extra_entries")
    if mapping.shape == "text":
        turns = _text_turns(row, mapping)
        if not turns[-1].content.strip():
            raise RowProblem("empty_answer")
        return Conversation(turns, tuple(notes))
    reader = TurnReader(mapping, notes)
    is_chat = mapping.shape == "messages"
    turns = reader.read(_cell(row, mapping.messages or "")) if is_chat else _pair(row, mapping, reader)
    turns = reader.with_system(turns, _cell(row, mapping.system) if mapping.system else None)
    return Conversation(arrange(turns, merge, notes), tuple(notes))


def rejected_side(row: Row, mapping: MappingConfig) -> Row:
    """Return a row of preference data with the worse answer in the place of the better one; raises RowProblem."""
    worse = _cell(row, mapping.rejected or "")
    if worse is None or (isinstance(worse, str) and not worse.strip()):
        raise RowProblem("no_rejected")
    return {**row, (mapping.messages if mapping.shape == "messages" else mapping.completion) or "": worse}


def is_good(row: Row, mapping: MappingConfig) -> bool:
    """Whether the answer of a row is good, as its label says; raises RowProblem where that says neither."""
    verdict = marks.is_good(_cell(row, mapping.label or ""))
    if verdict is None:
        raise RowProblem("no_label")
    return verdict


def columns_for_template(row: Row, mapping: MappingConfig) -> Row:
    """Return a row as a text template sees it: its columns, and the joined prompt columns under their name."""
    if mapping.shape == "text":
        turns = _text_turns(row, mapping)
        return {**row, QUESTION: turns[0].content, ANSWER: turns[-1].content}
    if mapping.shape == "messages":
        return row
    reader = TurnReader(mapping, Notes())
    named = [*mapping.prompt, mapping.completion, mapping.system]
    reached = {column: _cell(row, column) for column in named if column}
    if not isinstance(reached.get(mapping.completion or ""), str | None):
        if not isinstance(answer := _answer(row, mapping, reader), str):
            answers = (turn.content for turn in reversed(answer) if turn and turn.role == "assistant")
            answer = next(answers, "")
        reached[mapping.completion or ""] = answer
    turns = _prompt_turns(row, mapping, reader)
    question = next((turn.content for turn in reversed(turns) if turn and turn.role == "user"), "")
    reached |= {column: question for column in mapping.prompt if holds_turns(reached[column])}
    joined = {mapping.joined: question} if mapping.joined not in row else {}
    return {**row, **reached, **joined}


def _cell(row: Row, column: str) -> Any:
    """Return a row's cell; None where there is nothing, which pandas writes as NaN."""
    value = row[column] if column in row else source.cell(row, column)
    return None if isinstance(value, float) and math.isnan(value) else value


def _text_turns(row: Row, mapping: MappingConfig) -> tuple[Turn, ...]:
    """Read running text: an answer, or a question in its first line and the answer behind it."""
    text = _cell(row, mapping.text or "")
    if not isinstance(text, str):
        raise RowProblem("empty_answer" if text is None else "not_text")
    if not mapping.split_text:
        return (Turn("assistant", text),)
    question, _, answer = text.strip().partition("\n")
    return (Turn("user", question.strip()), Turn("assistant", answer.strip()))


def _pair(row: Row, mapping: MappingConfig, reader: TurnReader) -> list[Turn | None]:
    """Read prompt and answer, each as text or as a list of turns."""
    answer = _answer(row, mapping, reader)
    prompt = _prompt_turns(row, mapping, reader)
    if isinstance(answer, str):
        if not prompt:
            raise RowProblem("empty_prompt")
        earlier = parsed(_cell(row, mapping.history)) if mapping.history else None
        return [*(reader.read(earlier) if earlier else []), *prompt, Turn("assistant", answer)]
    if any(turn and turn.role == "user" for turn in answer):
        return answer  # a whole conversation, in which the prompt stands too
    head = next((number for number, turn in enumerate(answer) if not turn or turn.role != "system"), len(answer))
    return [*answer[:head], *prompt, *answer[head:]]


def _prompt_turns(row: Row, mapping: MappingConfig, reader: TurnReader) -> list[Turn | None]:
    """Return the turns before the answer: one of the user's, unless a prompt column holds turns."""
    cells = [(column, _cell(row, column)) for column in mapping.prompt]
    if not any(holds_turns(value) for _, value in cells):
        parts = [_prompt_text(column, value) for column, value in cells]
        text = mapping.joiner.join(part for part in parts if part)
        return [Turn("user", text)] if text else []
    turns: list[Turn | None] = []
    for column, value in cells:
        if holds_turns(value):
            turns += reader.read(value)
        elif text := _prompt_text(column, value):
            turns.append(Turn("user", text))
    return turns


def _prompt_text(column: str, value: Any) -> str | None:
    """Return the text of a prompt cell, or None. Only a document may be a list of texts, its lines."""
    if isinstance(value, list) and len(value) > 1 and column.strip().lower() not in COLUMNS.document:
        raise RowProblem("not_text")
    text = None if value is None else _text_of(value, Notes())
    return text if text and text.strip() else None


def _answer(row: Row, mapping: MappingConfig, reader: TurnReader) -> str | list[Turn | None]:
    """Return the answer of a row: text or turns. Of several answers the best is meant, else the first."""
    column = mapping.completion or ""
    name, _, inside = ("", "", "") if column in row else column.partition(".0.")
    is_alone = inside and not any(each.startswith(f"{name}.0.") for each in mapping.prompt)
    if is_alone and isinstance(entries := _cell(row, name), list):
        value = source.cell({"answers": _best_first(entries, row)}, f"answers.0.{inside}")
    else:
        value = _cell(row, column)
    if value is None:
        raise RowProblem("empty_answer")
    if isinstance(value, list):
        value = [_rated_text(entry) for entry in _best_first(value, row)]
    if holds_turns(value):
        return reader.read(value)
    if isinstance(value, str) and "answer_start" in value:  # SQuAD's `answers` in a cell of a CSV file
        value = parsed(value)
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        value = value["text"]
    if isinstance(value, list) and not any(isinstance(entry, Mapping) and "type" in entry for entry in value):
        texts = [_text_of(entry, reader.notes) for entry in value]
        if len(set(texts)) > 1:
            reader.notes.add("extra_answers")
        return next((text for text in texts if text and text.strip()), "")
    text = _text_of(value, reader.notes)
    if text is None:
        raise RowProblem("no_text_answer")
    return text


def _best_first(answers: list[Any], row: Row) -> list[Any]:
    """Return several answers with the best first, where the row, or each of them, says how good they are.

    Turns of a conversation stay in their order.
    """
    if any(isinstance(entry, Mapping) and _ROLES & entry.keys() for entry in answers):
        return answers
    own = [marks.in_lower_case(entry, _VERDICTS) if isinstance(entry, Mapping) else {} for entry in answers]
    of_row = marks.in_lower_case(row, _VERDICTS)
    for kind, names in _BEST.items():
        sign = 1 if kind == "rank" else -1
        for name in names:
            for verdicts in (of_row.get(name), [entry.get(name) for entry in own]):
                if isinstance(verdicts, list) and len(verdicts) == len(answers):
                    numbers = [marks.number(verdict) for verdict in verdicts]
                    if any(number is not None for number in numbers):  # an answer without one is the last
                        places = [math.inf if number is None else sign * number for number in numbers]
                        return [answers[place] for place in sorted(range(len(answers)), key=places.__getitem__)]
    return answers


def _rated_text(entry: Any) -> Any:
    """Return the text of an answer that is kept with its rating, and who has written it; anything else as it is."""
    if isinstance(entry, Mapping) and marks.in_lower_case(entry, _VERDICTS) and not _ROLES & entry.keys():
        return next((entry[key] for key in _ANSWER_KEYS if entry.get(key)), None)
    return entry


def _text_of(value: Any, notes: Notes) -> str | None:
    """Return the text of a cell that is no message, whose keys are not to be renamed."""
    try:
        return text_of(value, notes)
    except RowProblem as problem:
        raise RowProblem("not_text") from problem
