"""Who may ask for what: the one gate in front of every request to the page, whatever route it asks for.

The owner's page has all events; guests have a page of their own (`studio.ui.guest`) at `GUEST_PATH`, made of the few
events that are theirs. So what a guest may do is decided by the path alone: nothing outside of that page, and on it the
routes of a list. A new event, tab or route is the owner's until it is put on a list here or there.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Message, Receive, Scope, Send

from studio.errors import AccessError
from studio.i18n import DEFAULT_LANGUAGE, LANGUAGES, best_language
from studio.ui import hosts
from studio.ui.hosts import Names
from studio.ui.logins import ADDRESS, DEVICE_SECONDS, GUEST, OWNER, SIGN_IN, Logins, SignIn, Visitor, login_of

Role = Literal["owner", "guest"]
Kind = Literal["local", "logins", "space"]

GUEST_PATH = "/guest"
LARGEST_LOGIN, LARGEST_OF_GUEST = 16 * 1024, 256 * 1024
"""Bytes of the largest body that is taken from somebody without a login, and from a guest."""

MOST_REQUESTS, MOST_STREAMS = 300, 4
"""Requests of guests and strangers at one address that are open at a time, and streams of one session of theirs: each
tab of a browser keeps two open."""
LONGEST_BODY, LONGEST_STALL = 30.0, 60.0
"""Seconds in which the whole body of a guest's or a stranger's request has to arrive, and in which they have to take
what they are sent."""

_FILES = ("/assets/", "/static/", "/svelte/")
_PAGE = ("/", "/favicon.ico", "/theme.css", "/gradio_api/theme.css", "/gradio_api/startup-events")
LOGIN = {"/login", "/login/"}
OPEN = {*_PAGE, *LOGIN, "/robots.txt", f"{GUEST_PATH}/gradio_api/startup-events"}
"""What is answered without a login: the login itself, Gradio's own files, and the start that `launch` asks for."""
OF_SPACE = {"/login/huggingface", "/login/callback", "/logout"}
"""What a Space needs besides to log its owner in and out."""
OF_GUEST = {
    *_PAGE,
    "",
    *(f"/{language}" for language in LANGUAGES),
    "/config",
    "/gradio_api/info",
    "/gradio_api/queue/join",
    "/gradio_api/queue/data",
    "/gradio_api/cancel",
    "/gradio_api/reset",
}
"""What a guest may ask for below `GUEST_PATH`; of the rest only the heartbeat."""
_HEARTBEAT, _DATA = "/gradio_api/heartbeat/", "/gradio_api/queue/data"


@dataclass
class Door:
    """How a page is reached: by this machine alone without a login, by two logins, or as a Space."""

    kind: Kind = "local"
    names: Names = field(default_factory=Names.here)
    logins: Logins | None = None
    owners: frozenset[str] = frozenset()
    """The user names of a Space's owners, in small letters."""

    @property
    def has_guests(self) -> bool:
        """Whether others than the owner reach the page."""
        return self.kind != "local"

    def role(self, request: Request) -> Role | None:
        """Return who asks; None for somebody without a login."""
        if self.kind == "local":
            return OWNER
        if self.kind == "space":
            return OWNER if _space_user(request.scope.get("session") or {}) in self.owners else GUEST
        names = [request.scope["app"].tokens.get(token) for token in tokens_of(request).values()]
        return next((name for name in names if name in (OWNER, GUEST)), None)

    def visitor(self, request: Request, role: Role | None) -> Visitor:
        """Return whose request it is: of which login, and from where."""
        if self.kind == "space":
            secret = _space_user(request.scope.get("session") or {}) or ""
        elif self.kind == "logins":
            tokens = request.scope["app"].tokens
            secret = next((token for token in tokens_of(request).values() if token in tokens), "")
        else:
            secret = ""
        return Visitor(hosts.caller(request.scope), login_of(secret), role == OWNER)


def tokens_of(request: Request) -> dict[str, str]:
    """Return the tokens of a request's login by their cookies: over HTTPS a browser sends both, else the second."""
    names = (
        f"access-token-{request.scope['app'].cookie_id}",
        f"access-token-unsecure-{request.scope['app'].cookie_id}",
    )
    return {name: request.cookies.get(name, "") for name in names}


def _space_user(session: Mapping[str, Any]) -> str | None:
    """Return the name of the user who has logged in at the Hub; None without one, or when that is too long ago."""
    account = session.get("oauth_info") or {}
    if account.get("expires_at", 0) < time.time():
        return None
    name = (account.get("userinfo") or {}).get("preferred_username")
    return name.lower() if isinstance(name, str) and name else None


def may(role: Role | None, path: str, kind: Kind = "logins") -> bool:
    """Whether somebody may ask for a path."""
    if role == OWNER:
        return True
    if path in OPEN or path.startswith(_FILES) or (kind == "space" and path in OF_SPACE):
        return True
    if role != GUEST:
        return False
    if path == "/logout":
        return True
    if path != GUEST_PATH and not path.startswith(GUEST_PATH + "/"):
        return False
    inner = path.removeprefix(GUEST_PATH)
    return inner in OF_GUEST or inner.startswith((*_FILES, _HEARTBEAT))


class Gate:
    """The ASGI application between Gradio's middleware and its routes."""

    def __init__(self, app: Any, door: Door):
        self._app, self._door = app, door
        self._open: Counter[str] = Counter()
        """Requests of guests and strangers that are not answered to their end, by address, and streams by session."""
        self._headers = hosts.frame_headers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is refused or sent elsewhere; hand on all others."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":  # Gradio has no web sockets
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._http(scope, receive, _with_headers(send, self._headers))

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        if key := self._door.names.refuse(request.headers, scope.get("scheme", "http")):
            await _refused(403, key, request.headers)(scope, receive, send)
            return
        path = _path(scope)
        role = self._door.role(request)
        if answer := self._answer(role, path, request):
            await answer(scope, receive, send)
            return
        visitor = self._door.visitor(request, role)
        visitor.keep(scope)
        ADDRESS.set(visitor.address)
        if path in LOGIN:
            send = _with_device(send, SignIn(request.cookies), is_secure=scope.get("scheme") == "https")
        if role == OWNER:
            await self._app(scope, receive, send)
            return
        receive = _limited(receive, LARGEST_OF_GUEST if role == GUEST else LARGEST_LOGIN)
        with self._counted(visitor, path, request) as is_free, contextlib.suppress(_Stalled):
            if is_free:
                await self._app(scope, receive, _timely(send))
            else:
                await _refused(429, "access.busy", request.headers)(scope, receive, send)

    @contextlib.contextmanager
    def _counted(self, visitor: Visitor, path: str, request: Request) -> Iterator[bool]:
        """Count a request while it is open; tells whether there are fewer than there may be.

        All of an address count, and the streams of a session: a session of one login or address, so that nobody takes
        those of others by their sessions' names.
        """
        keys = {visitor.address: MOST_REQUESTS}
        session = _session_of(path.removeprefix(GUEST_PATH), request)
        if session is not None:
            keys[f"{visitor.login or visitor.address} {session}"] = MOST_STREAMS
        if any(self._open[key] >= most for key, most in keys.items()):
            yield False
            return
        self._open.update(keys.keys())
        try:
            yield True
        finally:
            for key in keys:
                self._open[key] -= 1
                if not self._open[key]:
                    del self._open[key]

    def _answer(self, role: Role | None, path: str, request: Request) -> Response | None:
        """Return what is answered here; None for a request that is handed on."""
        reads = request.method in ("GET", "HEAD")
        if path == "/logout" and role is not None:
            return self._log_out(request)
        if role == GUEST and path == "/" and reads:
            return RedirectResponse(f".{GUEST_PATH}/", 302)
        if role is not None and path in ("/", f"{GUEST_PATH}/") and reads:
            language = language_of(request)
            if language != DEFAULT_LANGUAGE:
                return RedirectResponse(f"./{language}{'?' * bool(request.url.query)}{request.url.query}", 302)
        if may(role, path, self._door.kind):
            most = LARGEST_OF_GUEST if role == GUEST else LARGEST_LOGIN
            if role != OWNER and _length(request) > most:
                return _refused(413, "access.large", request.headers, most=most)
            return None
        if role == GUEST:
            return _refused(403, "access.guest", request.headers)
        if reads and "text/html" in request.headers.get("accept", ""):  # a person whose login has ended
            return RedirectResponse("../" * path[1:].count("/") or "./", 302)
        return _refused(401, "access.login", request.headers)

    def _log_out(self, request: Request) -> Response | None:
        """End a login, and no other one; None where Gradio does that.

        It is a link, which other pages may lead to: a browser tells by one of two headers that one of them does.
        """
        headers, names = request.headers, self._door.names
        referer = urlsplit(headers.get("referer", ""))
        origin = f"{referer.scheme}://{referer.netloc}"
        is_foreign = bool(referer.netloc) and not names.is_own(origin, headers["host"], request.scope["scheme"])
        if is_foreign or names.crosses(headers):
            return _refused(403, "access.origin", headers)
        if self._door.kind != "logins" or request.method not in ("GET", "POST"):
            return None
        answer = RedirectResponse("./", 302)
        for cookie, token in tokens_of(request).items():
            request.scope["app"].tokens.pop(token, None)
            answer.delete_cookie(cookie, httponly=True)
        return answer


def language_of(request: Request) -> str:
    """Return a page's language: that of its address (`?language=`), else the last one chosen, else the browser's."""
    chosen = request.query_params.get("language"), request.cookies.get("restyle-language")
    accepted = best_language(request.headers.get("accept-language", ""))
    return next((language for language in chosen if language in LANGUAGES), accepted)


def _path(scope: Scope) -> str:
    """Return the path as the routes see it."""
    root = scope.get("root_path", "")
    path = scope["path"]
    return path.removeprefix(root) if root and path.startswith(root + "/") else path


def _session_of(inner: str, request: Request) -> str | None:
    """Return the name of the session whose stream a path below `GUEST_PATH` is; None for all other paths."""
    if inner == _DATA:
        return request.query_params.get("session_hash", "")
    return inner.removeprefix(_HEARTBEAT) if inner.startswith(_HEARTBEAT) else None


def _length(request: Request) -> int:
    header = request.headers.get("content-length", "0")
    return int(header) if header.isdecimal() else 0


def _limited(receive: Receive, most: int) -> Receive:
    """Return a `receive` that ends a body beyond `most` bytes or seconds, as a browser that went away would."""
    left, ends, is_whole = most, time.monotonic() + LONGEST_BODY, False

    async def read() -> Message:
        nonlocal left, is_whole
        if is_whole:  # what is left to be heard is that the browser goes away
            return await receive()
        try:
            async with asyncio.timeout(max(0.0, ends - time.monotonic())):
                message = await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        left -= len(message.get("body", b"")) if message["type"] == "http.request" else 0
        is_whole = not message.get("more_body", False)
        return message if left >= 0 else {"type": "http.disconnect"}

    return read


class _Stalled(OSError):
    """Nobody takes what is sent."""


def _timely(send: Send) -> Send:
    """Return a `send` that gives up on a browser that takes nothing for a while."""

    async def write(message: Message) -> None:
        try:
            async with asyncio.timeout(LONGEST_STALL):
                await send(message)
        except TimeoutError as error:
            raise _Stalled from error

    return write


def _with_headers(send: Send, headers: Mapping[bytes, bytes]) -> Send:
    """Return a `send` that adds headers to the answer."""

    async def write(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *headers.items()]}
        await send(message)

    return write


def _with_device(send: Send, sign_in: SignIn, is_secure: bool) -> Send:
    """Return a `send` that lets a browser be known from a sign-in on."""
    SIGN_IN.set(sign_in)

    async def write(message: Message) -> None:
        if sign_in.device and message["type"] == "http.response.start":
            name, value = sign_in.device
            limits = f"Max-Age={DEVICE_SECONDS}; Path=/; HttpOnly; SameSite=Strict{'; Secure' * is_secure}"
            cookie = (b"set-cookie", f"{name}={value}; {limits}".encode())
            message = {**message, "headers": [*message.get("headers", ()), cookie]}
        await send(message)

    return write


def _refused(status: int, key: str, headers: Headers, **values: Any) -> Response:
    error = AccessError(key, **values)
    words = error.text(best_language(headers.get("accept-language", "")))
    if "text/html" in headers.get("accept", ""):
        return PlainTextResponse(words, status)
    return JSONResponse({"detail": words}, status)


def space() -> Door:
    """Return the door of a Space. Raises AccessError where its owner could not log in."""
    from gradio import oauth, utils

    if not oauth.OAUTH_CLIENT_ID or utils.get_space() is None:  # elsewhere, Gradio logs everybody in as one user
        raise AccessError("access.no_oauth")
    return Door("space", Names.here(open_=True), owners=hosts.space_owners())
