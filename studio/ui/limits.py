"""What one session, and one address, may take of the guests' queue, and what is kept for a browser that reads nothing.

Gradio counts all that waits together: seventy answers that one guest asks for would keep the page of another from
opening, and it keeps what it sends to a session until somebody reads it.
"""

import contextlib
import itertools
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import HTTPException, Request

from studio import runs
from studio.compare.columns import CompareRequest
from studio.errors import AccessError
from studio.i18n import best_language
from studio.ui.logins import SESSIONS, Visitor

MOST_UNREAD, MOST_UNREAD_BEFORE, MOST_UNREAD_OF_ADDRESS = 200, 60, 600
"""Messages that are kept for a session which does not read them, those with which it may still ask for something, and
those of all sessions of an address with which these may."""
MOST_SESSIONS, FORGOTTEN = 200, 600.0
"""Sessions of an address, and the seconds after which one that asks for nothing is forgotten."""
LONGEST_SESSION = 128
"""Characters of a session's name; Gradio's have 11."""
MOST_TOKENS, LONGEST_CHAT = 512, 32_000
"""Tokens of the longest answer that a guest may ask for, and characters of the longest chat."""


def require_small(request: CompareRequest) -> None:
    """Raise AccessError for a comparison that is too much for a guest; the owner may ask for any.

    It is called where the work is asked for: what a component on the page allows is changed by any update of it.
    """
    if not runs.is_restricted():
        return
    if (count := request.generation.max_new_tokens) > MOST_TOKENS:
        raise AccessError("access.tokens", most=MOST_TOKENS, count=count, path="generation.max_new_tokens")
    chats = [request.turns(request.prompts[0], column) for column in request.columns]
    if (count := max(sum(len(turn.content) for turn in chat) for chat in chats)) > LONGEST_CHAT:
        raise AccessError("access.chat", most=LONGEST_CHAT, count=count)


async def require_own_session(request: Request) -> None:
    """Raise HTTPException (403) for a request that names a session of another login in its path, query or body."""
    body: Any = None
    if request.method == "POST":
        with contextlib.suppress(ValueError):
            body = await request.json()
    for named in (request.path_params, request.query_params, body):
        session = named.get("session_hash") if isinstance(named, Mapping) else None
        if isinstance(session, str) and len(session) > LONGEST_SESSION:  # thousands of names are kept
            raise _refused(403, "access.guest", request)
        if isinstance(session, str) and not SESSIONS.claim(session, Visitor.of(request).login):
            raise _refused(403, "access.guest", request)


def _refused(status: int, key: str, request: Request) -> HTTPException:
    return HTTPException(status, AccessError(key).text(best_language(request.headers.get("accept-language", ""))))


@dataclass(frozen=True)
class Share:
    """How many events wait or run at a time: of one guest, of one address, and of all."""

    guest: int
    address: int
    all: int


ANSWERS, REST = Share(3, 16, 64), Share(12, 96, 512)
"""The share of what takes the model; and of what does not: opening the page, a vote, a look at what is new."""


@dataclass(frozen=True)
class _Session:
    guest: str
    """Its login; without one, the session itself."""
    address: str
    used: float


_NOBODY = _Session("", "", 0.0)


class FairQueue:
    """Lets the guests and addresses on a Gradio queue take turns, and refuses what is too much of one of them."""

    def __init__(self, queue: Any, answers: str):
        """Stand in front of the queue; `answers` is the concurrency id of the events that take the model."""
        self._queue, self._answers = queue, answers
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        """The one that was not used for the longest time is the first."""
        self._push, self._send = queue.push, queue.send_message
        queue.push, queue.send_message = self.push, self.send
        queue.broadcast_estimations = lambda *args, **kwargs: None  # of each event to all that wait; nobody sees them

    async def push(self, body: Any, request: Any, username: str | None) -> Any:
        """Take an event as Gradio's queue does; raises HTTPException (429) for one that is too much."""
        name, visitor = body.session_hash or "", Visitor.of(request)
        session = _Session(visitor.login or f"session {name}", visitor.address, time.monotonic())
        event = self._queue.blocks.fns.get(body.fn_index)
        self._forget()
        if event is not None and self._is_too_much(name, session, event.concurrency_id == self._answers):
            raise _refused(429, "access.busy", request)
        self._sessions[name] = session
        self._sessions.move_to_end(name)
        answer = await self._push(body=body, request=request, username=username)
        for waiting in self._queue.event_queue_per_concurrency_id.values():
            self._take_turns(waiting.queue)
        return answer

    def send(self, event: Any, message: Any) -> None:
        """Keep a message until its session reads it; where nobody reads, what was asked for ends."""
        if self._unread(event.session_hash) >= MOST_UNREAD:
            event.alive = False
        if event.alive:
            self._send(event, message)

    def _is_too_much(self, name: str, session: _Session, answers: bool) -> bool:
        share = ANSWERS if answers else REST
        busy = [self._of(event) for event in self._events() if (event.concurrency_id == self._answers) == answers]
        of_address = [known for known, other in self._sessions.items() if other.address == session.address]
        return (
            len(busy) >= share.all
            or sum(other.guest == session.guest for other in busy) >= share.guest
            or sum(other.address == session.address for other in busy) >= share.address
            or (name not in self._sessions and len(of_address) >= MOST_SESSIONS)
            or self._unread(name) >= MOST_UNREAD_BEFORE
            or sum(map(self._unread, of_address)) >= MOST_UNREAD_OF_ADDRESS
        )

    def _events(self) -> Iterator[Any]:
        """Yield what waits and what runs."""
        for waiting in self._queue.event_queue_per_concurrency_id.values():
            yield from waiting.queue
        yield from self._running()

    def _running(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(filter(None, self._queue.active_jobs))

    def _of(self, event: Any) -> _Session:
        return self._sessions.get(event.session_hash, _NOBODY)

    def _unread(self, name: str) -> int:
        messages = self._queue.pending_messages_per_session.get(name)
        return messages.qsize() if messages is not None else 0

    def _take_turns(self, waiting: list[Any]) -> None:
        """Put each guest's first event before anybody's second one, and likewise among addresses where these tie.

        What runs already was a turn.
        """
        kind = waiting[0].concurrency_id if waiting else None
        of_guest = Counter(self._of(event).guest for event in self._running() if event.concurrency_id == kind)
        of_address: Counter[tuple[int, str]] = Counter()
        turns: dict[str, tuple[int, int]] = {}
        for event in waiting:
            session = self._of(event)
            turn = of_guest[session.guest]
            turns[event._id] = turn, of_address[turn, session.address]
            of_guest[session.guest] += 1
            of_address[turn, session.address] += 1
        waiting.sort(key=lambda event: turns[event._id])

    def _forget(self) -> None:
        """Forget sessions that ask for nothing any more, with what they have not read: a page that is open does ask."""
        old = time.monotonic() - FORGOTTEN
        while self._sessions and next(iter(self._sessions.values())).used < old:
            name, _ = self._sessions.popitem(last=False)
            if not any(event.session_hash == name for event in self._events()):
                self._queue.pending_messages_per_session.pop(name, None)
                self._queue.pending_event_ids_session.pop(name, None)
