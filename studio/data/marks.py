"""Marks that say what is not to be learned: columns of a row, and keys of a message.

OpenAI and mistral-finetune write `weight: 0` at a message, axolotl `train: false`, KTO `label: false` at a row, OASST
`deleted: true` and `review_result: false`; annotation tools have a status. Only what is certain counts: a column of the
same name that holds anything else (a class, a text, a share) is no mark.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from studio.data.vocabulary import VOCABULARY

_FLAGS = VOCABULARY["flags"]
_TRAIN, _SKIP, _WEIGHT, _REJECTED = (frozenset(_FLAGS[name]) for name in ("train", "skip", "weight", "rejected"))
_WORDS = {word: value for value in (True, False) for word in _FLAGS[str(value).lower()]}
MESSAGE_KEYS = _TRAIN | _SKIP | _WEIGHT | {"train_detail"}
"""The keys of a message that are marks."""
ROW_COLUMNS = MESSAGE_KEYS | {*_FLAGS["kto"], *_FLAGS["status"], "annotations", "reviews", "responses"}
"""The columns of a row that are marks, or hold them."""


def excludes_message(marks: Mapping[str, Any]) -> bool:
    """Whether the marks of a message say that it is not to be learned; in part (`train_detail`) is as a whole."""
    detail = marks.get("train_detail")
    parts = _objects(detail) if isinstance(detail, list) else ()
    return _excludes(marks) or any(part.get("train") is False for part in parts)


def excludes_row(marks: Mapping[str, Any], has_answer: bool) -> bool:
    """Whether the marks of a row, by their names in lower case, say that it is not to be learned.

    In rows with an answer, `label` may be one (KTO).
    """
    if has_answer and any(_flag(marks.get(name), numbers=False) is False for name in _FLAGS["kto"]):
        return True
    return _is_rejected(marks) or _excludes(marks) or _is_rejected_inside(marks)


def has_fraction(marks: Mapping[str, Any]) -> bool:
    """Whether the marks of a row or a message, by their names in lower case, hold a weight other than 0 and 1."""
    weights = (number(marks[name]) for name in _WEIGHT & marks.keys())
    return any(weight is not None and weight > 0 and weight != 1 for weight in weights)


def in_lower_case(values: Mapping[str, Any], names: Collection[str], used: Collection[str] = ()) -> dict[str, Any]:
    """Return the values of some names, which are compared without case and outer space; `used` columns are no such."""
    values_by_name = {}
    for key, value in values.items():
        name = key.strip().lower() if isinstance(key, str) else ""
        if name in names and key not in used:
            values_by_name[name] = value
    return values_by_name


def _excludes(marks: Mapping[str, Any]) -> bool:
    for name, value in marks.items():
        if name in _WEIGHT:
            weight = number(value)
            excludes = weight is not None and weight <= 0
        else:
            flag = _flag(value, numbers=name not in _FLAGS["words_only"])
            excludes = (flag is False and name in _TRAIN) or (flag is True and name in _SKIP)
        if excludes:
            return True
    return False


def _is_rejected(marks: Mapping[str, Any]) -> bool:
    words = (marks.get(name) for name in _FLAGS["status"])
    return any(isinstance(word, str) and word.strip().lower() in _REJECTED for word in words)


def _is_rejected_inside(marks: Mapping[str, Any]) -> bool:
    """Whether the last review, all of Argilla's responses, or Label Studio's first annotation says so."""
    reviews, responses, annotations = ([*_objects(marks.get(name))] for name in ("reviews", "responses", "annotations"))
    reviews += _objects(marks.get("review"))
    inside = [*reviews[-1:], *annotations[:1]]
    own = [in_lower_case(entry, ROW_COLUMNS) for entry in inside]
    if any(_is_rejected(entry) or _excludes(entry) for entry in own):
        return True
    if annotations and [*_objects(annotations[0].get("reviews"))][-1:]:
        return _is_rejected_inside({"reviews": annotations[0]["reviews"]})
    return bool(responses) and all(_is_rejected(in_lower_case(entry, ROW_COLUMNS)) for entry in responses)


def is_good(value: Any) -> bool | None:
    """Whether a verdict on an answer says that it is good; None for what is no verdict. -1 is bad, as 0 is."""
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in _FLAGS["good"] or word in _FLAGS["bad"]:
        return word in _FLAGS["good"]
    return False if number(value) == -1 else _flag(value)


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    entries = value if isinstance(value, list) else [value]
    yield from (entry for entry in entries if isinstance(entry, Mapping))


def _flag(value: Any, numbers: bool = True) -> bool | None:
    """Return what a switch says; None for what is none. Without `numbers`, 0 and 1 are none."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return {0: False, 1: True}.get(value) if numbers else None
    word = value.strip().lower() if isinstance(value, str) else ""
    return None if word[:1] in ("0", "1") and not numbers else _WORDS.get(word)


def number(value: Any) -> float | None:
    """Return a number, which may be written as text; None for anything else, and for NaN."""
    try:
        result = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(result) else result
