"""Messages become conversations: the chosen speaker is the assistant, the others are the user."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from typing import Any

import numpy

from studio.errors import DataError
from studio.i18n import Message as Text
from studio.i18n import listed, message
from studio.material.documents import Block, Document
from studio.material.message import Message, clean

DEFAULT_HOURS = 3
"""Silence that ends a conversation where there are too few gaps to infer it."""
_FEWEST_GAPS = 50
_BOUNDS = (10 * 60, 24 * 3600)
"""Shortest and longest silence, in seconds, that is inferred."""
_BINS = 60
_STEPS = (10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 360, 480, 600, 720, 960, 1200, 1440)
"""Lengths, in minutes, to which an inferred silence is rounded."""


@dataclass(frozen=True)
class Silence:
    """How long a silence ends a conversation, and why."""

    seconds: float
    reason: Text


def infer_silence(chats: Iterable[Sequence[Message]]) -> Silence:
    """Infer the silence that ends a conversation from the gaps between messages.

    Gaps inside a conversation and between two are two heaps on a logarithmic scale; the border is the one with the
    largest variance between the heaps (Otsu, "A threshold selection method from gray-level histograms", 1979).
    """
    gaps = [
        gap for chat in chats for before, after in pairwise(chat) if (gap := seconds_between(before.at, after.at)) >= 60
    ]
    if len(gaps) < _FEWEST_GAPS:
        return Silence(DEFAULT_HOURS * 3600, message("material.silence.few", length=length(DEFAULT_HOURS * 3600)))
    low, high = math.log(60), math.log(7 * 86400)
    counts, edges = numpy.histogram(numpy.clip(numpy.log(gaps), low, high), bins=_BINS, range=(low, high))
    border = min(max(math.exp(edges[_otsu(counts) + 1]), _BOUNDS[0]), _BOUNDS[1])
    seconds = 60 * min(_STEPS, key=lambda minutes: abs(math.log(minutes * 60 / border)))
    return Silence(seconds, message("material.silence.inferred", length=length(seconds), gaps=f"{len(gaps):,}"))


def _otsu(counts: Any) -> int:
    """Return the last bin of the lower heap; between equally good borders, the one in the middle."""
    below, sums = counts.cumsum(), (counts * numpy.arange(len(counts))).cumsum()
    above = below[-1] - below
    difference = sums / numpy.maximum(below, 1) - (sums[-1] - sums) / numpy.maximum(above, 1)
    scores = (below * above * difference**2)[:-1]
    best = numpy.flatnonzero(scores >= scores.max() * (1 - 1e-9))
    return int(best[len(best) // 2])


def parse_length(text: str) -> float:
    """Return the seconds of a length such as `6h`, `90m` or `2d`; raises DataError for another text."""
    number, unit = text.strip()[:-1], text.strip()[-1:].lower()
    try:
        seconds = float(number) * {"m": 60, "h": 3600, "d": 86400}[unit]
    except (ValueError, KeyError):
        seconds = math.nan
    if not 60 <= seconds <= 365 * 86400:
        raise DataError("material.silence", text=text[:40])
    return seconds


def length(seconds: float) -> Text:
    """Return a length in whole hours, else in minutes."""
    minutes = round(seconds / 60)
    if minutes % 60 == 0:
        return message("material.silence.hours", count=minutes // 60)
    return message("material.silence.minutes", count=minutes)


def seconds_between(before: datetime | None, after: datetime | None) -> float:
    """Return the seconds from one message to the next; 0 where a time is not known, or goes back."""
    return max(0.0, (after - before).total_seconds()) if before and after else 0.0


def resolve_speaker(name: str, counts: Counter[str]) -> str:
    """Return the speaker of this name, whatever its case and outer space; raises DataError where there is none."""
    name = clean(name)
    wanted = name.casefold()
    if name in counts:
        return name
    similar = [speaker for speaker in counts if speaker.casefold() == wanted]
    if len(similar) == 1:
        return similar[0]
    known = listed(speaker for speaker, _ in counts.most_common(9))
    raise DataError("material.speaker", name=name[:80], names=known)


def rows(
    chats: Iterable[Sequence[Message]],
    speaker: str,
    silence: float,
    most: int,
    left_out: Counter[str],
) -> Iterator[dict[str, Any]]:
    """Yield a row for each conversation, in parts of about `most` characters.

    Every row begins with the user and ends with the assistant. Messages that no answer follows, and answers that
    follow no message, are counted in `left_out`.
    """
    for chat in chats:
        for conversation in divide(chat, silence):
            yield from _rows_of(conversation, speaker, most, left_out)


def documents_of(
    chats: Iterable[Sequence[Message]], speaker: str, silence: float, left_out: Counter[str]
) -> list[Document]:
    """Return what the speaker writes, a document for each run of messages; those of others are counted."""
    documents = []
    for chat in chats:
        for conversation in divide(chat, silence):
            for is_own, group in groupby(conversation, key=lambda entry: entry.speaker == speaker):
                turn = list(group)
                if is_own:
                    text = "\n".join(entry.text for entry in turn)
                    documents.append(Document(turn[0].place.file, [Block(text, _span(turn))]))
                else:
                    left_out["other_speaker"] += len(turn)
    return documents


def divide(chat: Sequence[Message], silence: float) -> Iterator[list[Message]]:
    """Yield the conversations of a chat, which end with a silence of more than so many seconds."""
    conversation: list[Message] = []
    for entry in chat:
        if conversation and seconds_between(conversation[-1].at, entry.at) > silence:
            yield conversation
            conversation = []
        conversation.append(entry)
    if conversation:
        yield conversation


def _rows_of(conversation: list[Message], speaker: str, most: int, left_out: Counter[str]) -> Iterator[dict[str, Any]]:
    turns = [list(turn) for _, turn in groupby(conversation, key=lambda entry: entry.speaker == speaker)]
    if turns and turns[0][0].speaker == speaker:
        left_out["no_prompt"] += len(turns.pop(0))
    if turns and turns[-1][0].speaker != speaker:
        left_out["no_answer"] += len(turns.pop())
    part: list[list[Message]] = []
    size = 0
    for user, answer in zip(turns[::2], turns[1::2], strict=True):
        added = sum(len(entry.text) + 1 for entry in (*user, *answer))
        if part and size + added > most:
            yield _row(part)
            part, size = [], 0
        part += [user, answer]
        size += added
    if part:
        yield _row(part)


def _row(turns: list[list[Message]]) -> dict[str, Any]:
    """Return a row of turns, which begin with the user."""
    messages = [
        {"role": ("user", "assistant")[number % 2], "content": "\n".join(entry.text for entry in turn)}
        for number, turn in enumerate(turns)
    ]
    place = _span([*turns[0], *turns[-1]])
    return {"messages": messages, "source": {"file": turns[0][0].place.file, "place": place, "recipe": "chat"}}


def _span(entries: Sequence[Message]) -> str:
    """Return the numbers of the first and the last message."""
    first, last = entries[0].place.number, entries[-1].place.number
    return str(first) if first == last else f"{first}-{last}"
