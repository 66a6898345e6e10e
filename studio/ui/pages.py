"""The pages' HTML as it is sent: with links to the files that it needs, compressed, and made once for all visits."""

import gzip
from typing import Any

from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from studio.i18n import LANGUAGES
from studio.ui import assets, browser_scripts

LEVEL = 5
"""Of compression: a page of 750 KB is one of 75 KB, 3 s less on a slow link."""
MOST_PAGES = 16
_NAMES = ("", *LANGUAGES)
"""The last parts of the pages' paths."""
_DECIDING = ("host", "x-forwarded-host", "x-forwarded-proto", "x-gradio-server")
"""The headers that decide the addresses in a page."""


class Pages:
    """Sends pages and answers compressed, and keeps what Gradio takes 0.2 s to make, a page, for the next visit.

    Gradio compresses its own files alone. Files of users are sent as they are: a browser asks for parts of them.
    """

    def __init__(self, app: ASGIApp, keeps: bool):
        """Serve `app`; `keeps` says whether a page is the same for all who may see it."""
        self._app, self._keeps = app, keeps
        self._others = GZipMiddleware(app, compresslevel=LEVEL)
        self._pages: dict[Any, Response] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"].rpartition("/")[2] in _NAMES:
            await self._page(scope, receive, send)
        elif scope["type"] == "http" and "/file=" in scope["path"]:
            await self._app(scope, receive, send)
        else:
            await self._others(scope, receive, send)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Request(scope).headers
        is_compressed = "gzip" in headers.get("accept-encoding", "")
        address = scope["scheme"], scope.get("root_path"), scope["path"], scope["query_string"]
        key = (*address, is_compressed, browser_scripts.is_first_visit(), *map(headers.get, _DECIDING))
        answer = self._pages.get(key)
        if answer is None:
            answer = await self._answer(scope, receive, is_compressed)
            if self._keeps and answer.status_code == 200 and "set-cookie" not in answer.headers:
                self._pages = dict([*self._pages.items(), (key, answer)][-MOST_PAGES:])
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, is_compressed: bool) -> Response:
        """Return what Gradio answers, as it is sent."""
        start: Message = {}
        body = b""

        async def take(message: Message) -> None:
            nonlocal body
            start.update(message if message["type"] == "http.response.start" else {})
            body += message.get("body", b"")

        await self._app(scope, receive, take)
        answer = Response(status_code=start["status"])
        answer.raw_headers = [item for item in start["headers"] if item[0].lower() != b"content-length"]
        if answer.headers.get("content-type", "").startswith("text/html"):
            body = assets.with_links(body.decode()).encode()
        if is_compressed:
            body = gzip.compress(body, LEVEL)
            answer.headers["Content-Encoding"] = "gzip"
        answer.headers["Vary"] = "Accept-Encoding"
        answer.body = body
        answer.headers["Content-Length"] = str(len(body))
        return answer
