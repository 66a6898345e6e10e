"""Render conversations with a tokenizer's chat template, and find every turn in the text that it makes.

The text of a row is the template's for the whole conversation. Where the contents stand in it is known from what the
template makes of placeholders; where it treats a content by what it says, it renders the conversation again with a
placeholder in the place of one turn at a time. The text itself is never searched for the contents.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from typing import Any

from studio.data.tokens import Part, Rendering, Segment, Span, common_prefix, cut, special_pattern
from studio.model.template import ChatTemplate, Message, TemplateRefusal

_PLACEHOLDER = "\ue000{}\ue001"
_PLACEHOLDERS = re.compile("\ue000(\\d+)\ue001")
_REMEMBERED = 4_096
"""Sequences of roles whose frames are remembered."""

Roles = tuple[str, ...]


@dataclass(frozen=True)
class _Frame:
    """What a template writes around the contents of turns."""

    order: tuple[int, ...]
    """The numbers of the turns in the order in which their contents appear."""
    literals: tuple[str, ...]
    """What is written before each of them, and after the last."""


@dataclass(frozen=True)
class _Seam:
    """Where the prompt ends and the answer begins, for the last turn of some roles."""

    lead: str
    """What the template writes after the last content of the prompt, up to where the model begins to answer."""
    shared: int
    """Length of the part of it that the prompt of an answer has, and the text with the answer too."""
    is_written: bool
    """Whether the text with the answer begins with the prompt; a template may ask with more than it writes later."""
    tail: str
    """What it writes after the answer when nothing follows."""


@dataclass(frozen=True)
class _Place:
    """Where a turn's content stands in a text."""

    turn: int
    start: int
    end: int


class ChatText:
    """Makes text of conversations, given as roles and contents."""

    def __init__(self, tokenizer: Any, today: date | None = None):
        self._tokenizer = tokenizer
        self._special = special_pattern(tokenizer)
        self._template = ChatTemplate(tokenizer, today)
        self._template.require_syntax()
        self._frame = lru_cache(_REMEMBERED)(self._make_frame)
        self._seam = lru_cache(_REMEMBERED)(self._make_seam)

    @cached_property
    def refusal_of_system(self) -> str | None:
        """The words with which the template refuses a system turn, empty where it leaves it out in silence.

        None where it has a place for one.
        """
        try:
            return None if 0 in self._frame(("system", "user", "assistant"), False).order else ""
        except TemplateRefusal as refusal:
            return str(refusal)

    def example(self, turns: Sequence[Message], trained: Sequence[bool]) -> Rendering:
        """Return the text of a conversation in which some of the assistant's turns are trained.

        Raises TemplateRefusal.
        """
        roles = tuple(role for role, _ in turns)
        text = self._template.render(turns, ask=False)
        places = self._places(turns, text, ask=False)
        notes = [*self._lost(turns, text, places, trained)]
        last = len(turns) - 1
        if places and places[-1].turn == last and not self._seam(roles).is_written:
            prompt = self._template.render(turns[:-1], ask=True)
            answer = places[-1]
            if not prompt.startswith(text[: places[-2].end if len(places) > 1 else 0]):
                notes += ["answer_lost"] if any(trained[:-1]) else []
                places = [answer]
            moved = len(prompt) - answer.start
            text = prompt + text[answer.start :]
            places = [*places[:-1], _Place(last, answer.start + moved, answer.end + moved)]
            if trained[last]:
                notes.append("other_prompt")
        elif places and places[-1].turn == last and trained[last]:
            before, seam = places[-2].end if len(places) > 1 else 0, self._seam(roles)
            if not text.startswith(seam.lead[: seam.shared], before):
                notes.append("joined")
        answers = [(number, place.turn) for number, place in enumerate(places) if roles[place.turn] == "assistant"]
        parts = [Part(*self._answer(roles, text, places, number), trained[turn]) for number, turn in answers]
        plain = self._spelled(turns, text, places)
        return Rendering(cut(text, parts, plain), tuple(dict.fromkeys([*notes, *(["special_text"] if plain else [])])))

    def question(self, turns: Sequence[Message]) -> Segment:
        """Return the prompt of an answer to a conversation; raises TemplateRefusal."""
        text = self._template.render(turns, ask=True)
        plain = self._spelled(turns, text)
        seam = self._seam((*(role for role, _ in turns), "assistant"))
        if text.endswith(seam.lead):
            text = text[: len(text) - len(seam.lead) + seam.shared]
        return Segment(text, False, plain=tuple(span for span in plain if span[1] <= len(text)))

    def _spelled(self, turns: Sequence[Message], text: str, places: Sequence[_Place] | None = None) -> list[Span]:
        """Return where contents spell special tokens."""
        if not any(self._special.search(content) for _, content in turns):
            return []
        places = self._places(turns, text, ask=True) if places is None else places
        return [m.span() for place in places for m in self._special.finditer(text, place.start, place.end)]

    def _make_frame(self, roles: Roles, ask: bool) -> _Frame:
        turns = [(role, _PLACEHOLDER.format(number)) for number, role in enumerate(roles)]
        pieces = _PLACEHOLDERS.split(self._template.render(turns, ask))
        return _Frame(tuple(map(int, pieces[1::2])), tuple(pieces[::2]))

    def _make_seam(self, roles: Roles) -> _Seam:
        """Return where the answer of the last turn of `roles` begins and what follows it."""
        whole, prompt = self._frame(roles, False), self._frame(roles[:-1], True)
        lead, tail = prompt.literals[-1], whole.literals[-1]
        if not whole.order or whole.order[-1] != len(roles) - 1:
            return _Seam(lead, len(lead), True, tail)
        written = whole.literals[-2]
        shared = common_prefix(lead, written)
        same = whole.order[:-1] == prompt.order and whole.literals[:-2] == prompt.literals[:-1]
        if not same or lead[shared:].strip():
            return _Seam(lead, len(lead), False, tail)
        # white space that has other tokens before an answer than at an end is the answer's
        ids = self._tokenizer(written + "a", add_special_tokens=False)["input_ids"]
        for length in range(shared, len(lead[:shared].rstrip()) - 1, -1):
            alone = self._tokenizer(lead[:length], add_special_tokens=False)["input_ids"] if length else []
            if ids[: len(alone)] == alone:
                return _Seam(lead, length, True, tail)
        return _Seam(lead, shared, True, tail)

    def _places(self, turns: Sequence[Message], text: str, ask: bool) -> list[_Place]:
        """Return where the contents stand: as in the frame, or by what changes with a placeholder in one's place."""
        places = _aligned(self._frame(tuple(role for role, _ in turns), ask), turns, text)
        if places is not None:
            return places
        places = []
        for number, (role, _) in enumerate(turns):
            placeholder = _PLACEHOLDER.format(number)
            try:
                other = self._template.render([*turns[:number], (role, placeholder), *turns[number + 1 :]], ask)
            except TemplateRefusal:
                continue
            before, separator, after = other.rpartition(placeholder)
            if separator:
                start = common_prefix(before, text)
                places.append(_Place(number, start, len(text) - common_prefix(after[::-1], text[start:][::-1])))
        return sorted(places, key=lambda place: place.start)

    def _answer(self, roles: Roles, text: str, places: Sequence[_Place], number: int) -> Span:
        """Return what is trained of an assistant's turn: from the end of its prompt to the end of its turn."""
        place = places[number]
        before = places[number - 1].end if number else 0
        seam = self._seam(roles[: place.turn + 1])
        start = place.start
        if text.startswith(seam.lead[: seam.shared], before):
            start = before + seam.shared
        if number + 1 == len(places):
            return start, len(text)
        between = text[place.end : places[number + 1].start]
        return start, place.end + self._end(seam.tail, between, self._frame(roles, False).literals[0])

    def _end(self, tail: str, between: str, begin: str) -> int:
        """Return how much of what is between an answer and the next turn ends the answer."""
        length = common_prefix(tail, between)
        for text in (tail, between):
            for token in self._special.finditer(text):
                if token.start() < length < token.end():
                    length = token.start()
        if not between[:length].strip():  # the last answer of a text has another end
            first = self._special.match(between, len(between) - len(between.lstrip()))
            if first and first[0] not in begin:
                return first.end()
        return length

    def _lost(
        self, turns: Sequence[Message], text: str, places: Sequence[_Place], trained: Sequence[bool]
    ) -> Iterator[str]:
        """Yield what does not stand in the text as it was given, but for white space, as kinds of problems."""
        by_turn = {place.turn: at for at, place in enumerate(places)}
        for number, (role, content) in enumerate(turns):
            at = by_turn.get(number)
            written = text[places[at].start : places[at].end] if at is not None else ""
            if not content.strip() or content.strip() in written:
                continue
            if at is not None:
                start = places[at - 1].end if at else 0
                end = places[at + 1].start if at + 1 < len(places) else len(text)
                if _without_spaces(content) in _without_spaces(text[start:end]):
                    continue
            _, mark, answer = content.rpartition("</think>")
            if role in ("system", "user"):
                yield "system_lost" if role == "system" else "question_lost"
            elif at is not None and mark and _without_spaces(answer) in _without_spaces(written):
                yield "reasoning_lost"
            elif trained[number]:
                yield "answer_lost"


def _without_spaces(text: str) -> str:
    return "".join(text.split())


def _aligned(frame: _Frame, turns: Sequence[Message], text: str) -> list[_Place] | None:
    """Find the contents in a text that is a frame with contents, stripped or not; None where it is something else."""
    places = []
    position = 0
    for number, turn in enumerate(frame.order):
        literal, following = frame.literals[number], frame.literals[number + 1]
        if not text.startswith(literal, position):
            return None
        start = position + len(literal)
        content = turns[turn][1]
        is_last = number + 1 == len(frame.order)
        for written in (content, content.strip(), content.rstrip(), content.lstrip(), content.strip("\n")):
            end = start + len(written)
            fits = text[end:] == following if is_last else text.startswith(following, end)
            if fits and text.startswith(written, start):
                break
        else:
            return None
        places.append(_Place(turn, start, end))
        position = end
    return places if frame.order or text == frame.literals[0] else None
