"""Open connections: those on which no request comes are ended after a while, and there are never too many at a time."""

import asyncio
import contextlib
from collections import Counter
from typing import Any

from studio.ui.hosts import is_loopback
from studio.ui.logins import Visitor

HEADERS_SECONDS = 10.0
"""Seconds in which the head of a request has to arrive; between two requests uvicorn waits by itself."""
MOST_WITHOUT_REQUEST = 256
"""Connections that may be without a request; beyond these, the oldest one is ended."""
MOST_CONNECTIONS = 768
"""Connections of all addresses that have sent a request, but for those of the owner and of this machine."""
FILES = 4096
"""Files and connections that this process may have open, where the system lets it: often it is 256 or 1,024."""


def guard(config: Any) -> None:
    """Make a running uvicorn server, by its config, end connections that send no request or are too many."""
    config.http_protocol_class = _guarded(config.http_protocol_class)
    _allow_files()


def _allow_files() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _guarded(protocol: type[Any]) -> type[Any]:
    waiting: dict[Any, asyncio.TimerHandle] = {}
    """The connections without a request, in the order in which they came, each with what ends it."""
    connected: dict[Any, None] = {}
    """All connections, in the order in which they came."""

    class Guarded(protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            connected[self] = None
            self._await_request()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if not self.has_request:  # a part of a request's head
                if self not in waiting and not self.transport.is_closing():
                    self._await_request()
            else:
                self._forget()
                if len(connected) - len(waiting) > MOST_CONNECTIONS:
                    _make_room([each for each in connected if each is not self and each not in waiting])

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            connected.pop(self, None)
            super().connection_lost(exc)

        @property
        def has_request(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def end(self) -> None:
            self._forget()
            connected.pop(self, None)
            self.transport.abort()

        def _await_request(self) -> None:
            waiting[self] = self.loop.call_later(HEADERS_SECONDS, self.end)
            if len(waiting) > MOST_WITHOUT_REQUEST:
                next(iter(waiting)).end()

        def _forget(self) -> None:
            if timer := waiting.pop(self, None):
                timer.cancel()

    return Guarded


def _make_room(connected: list[Any]) -> None:
    """End connections that have sent a request as far as they are too many.

    First go those that are answered, then those without a login, then those of the addresses that have the most; the
    oldest ones of these, and none of the owner's. One whose request has not reached the gate is left alone.
    """
    others = {}
    for each in connected:
        visitor = each.cycle.scope.get("studio.visitor") or (None if each.has_request else Visitor())
        if visitor and not _is_ours(visitor):
            others[each] = visitor
    of_address = Counter(visitor.address for visitor in others.values())

    def priority(each: Any) -> tuple[bool, bool, int]:
        return not each.has_request, not others[each].login, of_address[others[each].address]

    for _ in range(len(others) + 1 - MOST_CONNECTIONS):
        worst = max(others, key=priority)
        of_address[others.pop(worst).address] -= 1
        worst.end()


def _is_ours(visitor: Visitor) -> bool:
    """Whether the owner asks, or this machine: behind a proxy, its connections are no sign of that."""
    return visitor.is_owner or is_loopback(visitor.address)
