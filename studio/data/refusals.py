"""Refuse a table whose columns are not understood, and name what is not: keys, roles, labels, columns.

Each message says what to give on the command line where a setting of the mapping is all that is missing.
"""

import re
from collections.abc import Mapping
from typing import Any, NoReturn

import yaml

from studio.config import MappingConfig
from studio.data.content import parsed
from studio.data.first_rows import FirstRows, holds_objects, is_texts
from studio.data.readers.base import BadRow
from studio.data.source import FIRST_ROWS, cell
from studio.data.turns import columnar, speaker_of
from studio.data.vocabulary import COLUMNS, role_of, suggest_roles
from studio.errors import DataError
from studio.i18n import listed

_OFFSETS = {"start", "end", "start_offset", "end_offset", "begin", "offset"}
"""Keys of a span of a text, which is no message."""
_CLASS_LENGTH = 30
"""Characters of the longest name of a class."""


def as_setting(mapping: MappingConfig | Mapping[str, Any]) -> str:
    """Return a whole mapping as `--set` takes it in a POSIX shell."""
    values = mapping.model_dump(mode="json", exclude_defaults=True) if isinstance(mapping, MappingConfig) else mapping
    written = yaml.safe_dump(values, default_flow_style=True, allow_unicode=True, width=10_000, sort_keys=False).strip()
    quoted = written.replace("'", "'\\''")
    return f"--set 'data.mapping={quoted}'"


def refuse_single_messages(first: FirstRows) -> None:
    """Refuse a table with one message a row."""
    flat = [row for row in first.rows if speaker_of(row) is not None and not any(map(holds_objects, row.values()))]
    names = {str(speaker_of(row)) for row in flat}
    roles = {role_of(name, {}) for name in names}
    if len(flat) * 2 > len(first.rows) and {"user", "assistant"} <= roles and None not in roles:
        raise DataError("data.single_messages", columns=listed(first.table.names))


def refuse_objects(first: FirstRows) -> None:
    """Refuse lists of objects, or an object in a column named for chats, with the keys or roles that are not known."""
    for column in first.top:
        name = column.strip().lower()
        if name in COLUMNS.attached:
            continue
        for number, row in enumerate(first.table.rows(0, FIRST_ROWS), start=1):
            value = None if isinstance(row, BadRow) else parsed(cell(row, column))
            if isinstance(value, Mapping) and name in COLUMNS.chat:
                value = columnar(value) or [value]
            if isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
                _refuse_messages(first, column, number, value)


def _refuse_messages(first: FirstRows, column: str, number: int, entries: list[Mapping[str, Any]]) -> None:
    keys = list(dict.fromkeys(str(key) for entry in entries for key in entry))
    if _OFFSETS & set(keys):
        return
    names = [name for entry in entries if (name := speaker_of(entry)) is not None]
    roles = suggest_roles(names, {})
    if not roles and len(names) > 1 and role_of(names[-1], {}) == "system":  # a dialogue system, as in MultiWOZ
        roles = {names[-1]: "assistant"}
    if roles:
        setting = as_setting({"shape": "messages", "messages": column, "roles": roles})
        raise DataError("data.unknown_roles", column=column, row=number, roles=listed(roles), setting=setting)
    if names:
        raise DataError("data.no_answers", column=column, row=number, roles=listed(dict.fromkeys(names)))
    unknown = {"column": column, "row": number, "keys": listed(keys)}
    if text := next((name for name in first.named(COLUMNS.text) if first.has_strings(name)), None):
        setting = as_setting({"shape": "text", "text": text})
        raise DataError("data.unknown_keys_beside_text", text=text, setting=setting, **unknown)
    raise DataError("data.unknown_keys", **unknown)


def refuse_labels(first: FirstRows) -> None:
    """Refuse to guess whether a label beside a text is its answer or its class."""
    text, label = first.first([*COLUMNS.text, *COLUMNS.document, *COLUMNS.user]), next(iter(first.labels), None)
    words = [word for value in first.cells(label) for word in _words(value)] if label else []
    if text and label and words and not _is_number(first, label):
        answer = as_setting({"prompt": [text], "completion": label})
        alone = as_setting({"shape": "text", "text": text})
        values = listed(dict.fromkeys(word[:40] for word in words))
        raise DataError("data.label", column=label, text=text, values=values, answer=answer, alone=alone)


def refuse(first: FirstRows) -> NoReturn:
    """Refuse a table of which nothing is known, with its columns."""
    for column in first.named(COLUMNS.chat):
        if any(is_texts(parsed(value)) for value in first.cells(column)):
            setting = as_setting({"shape": "messages", "messages": column})
            raise DataError("data.unknown_texts", column=column, setting=setting)
    texts = [column for column in first.table.names if first.has_strings(column) and not _is_number(first, column)]
    columns = ", ".join(first.table.names)
    if len(texts) < 2:
        raise DataError("data.no_pair", columns=columns)
    raise DataError(
        "data.no_mapping", columns=columns, setting=as_setting({"prompt": texts[:1], "completion": texts[1]})
    )


def are_classes(labels: list[Any]) -> bool:
    """Whether labels are classes rather than answers: single words, or few short ones that come again."""
    words = [words[0].strip() for value in labels if (words := _words(value))]
    if len(words) * 2 <= len(labels):
        return True
    if any(len(word) > _CLASS_LENGTH for word in words):
        return False
    return all(re.fullmatch(r"[\w-]+", word) for word in words) or len(set(words)) * 2 <= len(words)


def _is_number(first: FirstRows, column: str) -> bool:
    words = [word for value in first.cells(column) for word in _words(value)]
    return all(re.fullmatch(r"-?[\d.,]+", word.strip()) for word in words)


def _words(value: Any) -> list[str]:
    return [word for word in (value if isinstance(value, list) else [value]) if isinstance(word, str)]
