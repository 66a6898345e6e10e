"""Marks that say what is not to be learned: columns of a row, and keys of a message.

OpenAI and mistral-finetune write `weight: 0` at a message, axolotl `train: false`, KTO `label: false` at a row, OASST
`deleted: true` and `review_result: false`; annotation tools have a status. Only what is certain counts: a column of the
same name that holds anything else (a class, a text, a share) is no mark.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

# fmt: off
_LEARN = frozenset({
    "train", "trainable", "training", "learn", "loss", "keep", "include", "review_result", "accepted", "is_accepted",
    "approved", "is_approved", "valid", "is_valid", "승인여부", "사용여부", "채택여부",
})
"""Not to be learned when false."""
_SKIP = frozenset({
    "deleted", "is_deleted", "removed", "rejected", "is_rejected", "discarded", "ignore", "ignored", "skip", "exclude",
    "excluded", "flagged", "is_flagged", "mask", "masked", "was_cancelled", "삭제여부", "제외여부",
})
"""Not to be learned when true."""
_BY_WORD = frozenset({"loss", "mask"})
"""A number there is something else: the loss itself, a token's mask."""
_KTO = ("label", "kto_tag")
_WEIGHT = frozenset({"weight", "loss_weight", "loss_scale", "sample_weight"})
_STATUS = (
    "status", "state", "review", "review_status", "review_result", "annotation_status", "verdict", "decision", "answer",
    "검수상태", "검수결과", "검수 결과", "상태",
)
_REJECTED = frozenset({
    "rejected", "reject", "discarded", "discard", "deleted", "declined", "disapproved", "ignore", "ignored",
    "반려", "삭제", "제외", "부적합", "불합격",
})
_WORDS = {
    **dict.fromkeys(("true", "yes", "y", "t", "1", "1.0", "예", "네"), True),
    **dict.fromkeys(("false", "no", "n", "f", "0", "0.0", "아니오", "아니요"), False),
}
# fmt: on
MESSAGE_KEYS = _LEARN | _SKIP | _WEIGHT | {"train_detail"}
"""The keys of a message that are marks."""


ROW_COLUMNS = MESSAGE_KEYS | {*_KTO, *_STATUS, "annotations", "reviews", "responses"}
"""The columns of a row that are marks, or hold them."""


def excludes_message(marks: Mapping[str, Any]) -> bool:
    """Whether the marks of a message say that it is not to be learned; in part (`train_detail`) is as a whole."""
    detail = marks.get("train_detail")
    if isinstance(detail, list) and any(isinstance(part, Mapping) and part.get("train") is False for part in detail):
        return True
    return _excludes(marks)


def excludes_row(marks: Mapping[str, Any], has_answer: bool) -> bool:
    """Whether the marks of a row, by their names in lower case, say that it is not to be learned.

    In rows with an answer, `label` may be one (KTO).
    """
    if has_answer and any(_flag(marks.get(name), numbers=False) is False for name in _KTO):
        return True
    return _is_rejected(marks) or _excludes(marks) or _is_rejected_inside(marks)


def has_fraction(marks: Mapping[str, Any]) -> bool:
    """Whether the marks of a row or a message, by their names in lower case, hold a weight other than 0 and 1."""
    weights = (_number(marks[name]) for name in _WEIGHT & marks.keys())
    return any(weight is not None and weight > 0 and weight != 1 for weight in weights)


def in_lower_case(values: Mapping[str, Any], names: Collection[str], used: Collection[str] = ()) -> dict[str, Any]:
    """Return the values of some names, which are compared without case and outer space; `used` columns are no such."""
    found = {}
    for key, value in values.items():
        name = _lower(key) if isinstance(key, str) else ""
        if name in names and key not in used:
            found[name] = value
    return found


@lru_cache(maxsize=4096)
def _lower(name: str) -> str:
    return name.strip().lower()


def are_verdicts(values: Collection[Any]) -> bool:
    """Whether all values are an annotator's verdicts (accept, reject, ignore), as Prodigy writes them."""
    return bool(values) and all(isinstance(value, str) and value in ("accept", "reject", "ignore") for value in values)


def _excludes(marks: Mapping[str, Any]) -> bool:
    for name, value in marks.items():
        if name in _WEIGHT:
            weight = _number(value)
            excludes = weight is not None and weight <= 0
        else:
            flag = _flag(value, numbers=name not in _BY_WORD)
            excludes = (flag is False and name in _LEARN) or (flag is True and name in _SKIP)
        if excludes:
            return True
    return False


def _is_rejected(marks: Mapping[str, Any]) -> bool:
    words = (marks.get(name) for name in _STATUS)
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


def _number(value: Any) -> float | None:
    try:
        return float(value) if isinstance(value, str | int | float) else None
    except (ValueError, OverflowError):
        return None
