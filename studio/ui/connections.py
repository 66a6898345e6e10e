"""Connections on which no request comes: ended after a while, and never too many at a time."""

import asyncio
from typing import Any

HEADERS_SECONDS = 10.0
"""Seconds in which the head of a request has to arrive; between two requests uvicorn waits by itself."""
MOST_WITHOUT_REQUEST = 256
"""Connections that may be without a request; beyond these, the oldest one is ended."""


def guard(config: Any) -> None:
    """Make a running uvicorn server, by its config, end connections that send no request."""
    config.http_protocol_class = _guarded(config.http_protocol_class)


def _guarded(protocol: type[Any]) -> type[Any]:
    waiting: dict[Any, asyncio.TimerHandle] = {}
    """The connections without a request, in the order in which they came, each with what ends it."""

    class Guarded(protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._await_request()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:  # a part of a request's head
                if self not in waiting and not self.transport.is_closing():
                    self._await_request()
            else:
                self._forget()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def _await_request(self) -> None:
            waiting[self] = self.loop.call_later(HEADERS_SECONDS, self._end)
            if len(waiting) > MOST_WITHOUT_REQUEST:
                next(iter(waiting))._end()

        def _end(self) -> None:
            self._forget()
            self.transport.abort()

        def _forget(self) -> None:
            if timer := waiting.pop(self, None):
                timer.cancel()

    return Guarded
