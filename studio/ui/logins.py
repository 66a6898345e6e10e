"""The two logins of a page that others reach: who they are, what slows down somebody who guesses, and when they end."""

import asyncio
import contextlib
import hashlib
import hmac
import os
import secrets
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from starlette.types import Scope

from studio.errors import AccessError
from studio.files import owner_of

OWNER, GUEST = "owner", "guest"
SHORTEST = 8
"""Characters of the shortest password that is taken."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds that a wrong password waits for its answer: doubled each time, up to the longest."""
MOST_WAITING, MOST_PENDING = 8, 128
"""Wrong passwords of one address that wait for their turn, and those that wait to be sent away. Beyond these, no right
one from there is let in: it is answered at once, so whoever hangs up early would guess for free."""
FORGOTTEN = 600.0
"""Seconds without a wrong password after which an address begins anew."""
MOST_PER_MINUTE = 600
"""Wrong passwords of one login in a minute from all addresses: behind some proxies a header chooses the address."""
MOST_ADDRESSES = 10_000
MOST_OF_DEVICE, MOST_DEVICES, DEVICE_SECONDS = 10, 1000, 90 * 24 * 3600
"""Wrong passwords of a known browser that count apart from all others, before those are forgotten; such browsers of a
login whose wrong ones are counted; and the seconds that a browser stays known."""
UNUSED, LONGEST_LOGIN = 24 * 3600.0, 7 * 24 * 3600.0
"""Seconds after which a login ends that nobody uses, and any login."""
MOST_LOGINS = {OWNER: 64, GUEST: 2000}
"""Logins of one name at a time; the one that was not used for the longest time makes way."""

ADDRESS: ContextVar[str] = ContextVar("address", default="")
"""The address of whose request is answered here: all that Gradio hands to `Logins.check` is a name and a password."""


@dataclass
class SignIn:
    """The cookies that came with a name and a password, and the one that a right one is answered with."""

    sent: Mapping[str, str] = field(default_factory=dict)
    device: tuple[str, str] | None = None


SIGN_IN: ContextVar[SignIn] = ContextVar("sign_in")
"""The sign-in that is answered here."""


@dataclass(frozen=True)
class Visitor:
    """Who asks, as far as the gate knows it; it stays with the request."""

    address: str = ""
    login: str = ""
    """What tells this login from others, and is no secret; empty without one."""
    is_owner: bool = False

    def keep(self, scope: Scope) -> None:
        """Let a request know who asks."""
        scope["studio.visitor"] = self

    @classmethod
    def of(cls, request: Any) -> "Visitor":
        """Return who has made a request of Starlette's or Gradio's; nobody in particular without a gate in front."""
        inner = getattr(request, "request", None) or request  # Gradio's has Starlette's inside
        scope = getattr(inner, "scope", None)
        return scope.get("studio.visitor", cls()) if isinstance(scope, dict) else cls()


def login_of(secret: str) -> str:
    """Return a name for a login that does not give its secret away."""
    return hashlib.sha256(f"restyle-studio {secret}".encode()).hexdigest()[:12] if secret else ""


def password(name: str, wanted: str | None = None) -> tuple[str, bool]:
    """Return a login's password, and whether it was made here.

    It is the one that is `wanted`, else what `RESTYLE_OWNER_PASSWORD` or `RESTYLE_GUEST_PASSWORD` says, which no child
    process gets to see, else made. Raises AccessError for a short one.
    """
    from_outside = os.environ.pop(f"RESTYLE_{name.upper()}_PASSWORD", None)
    chosen = wanted or from_outside
    if not chosen:
        return secrets.token_urlsafe(12), True
    if len(chosen) < SHORTEST:
        raise AccessError("access.short", name=name, least=SHORTEST)
    return chosen, False


@dataclass
class _Guesses:
    """The wrong passwords of one address, or of one known browser."""

    count: int = 0
    last: float = 0.0
    pending: int = 0
    waiting: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def count_now(self) -> int:
        """Return how many count still."""
        return 0 if time.monotonic() - self.last > FORGOTTEN else self.count

    def pause(self) -> float:
        """Count one more and return how many seconds it waits."""
        self.count = self.count_now() + 1
        self.last = time.monotonic()
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self.count - 1, 30))


def device_key(folder: Path) -> bytes:
    """Return the key of device cookies. It is kept in a folder, so that browsers stay known when the studio restarts.

    Where it cannot be kept, or the file is another user's, it is a new one.
    """
    path = folder / "devices.key"
    key = b""
    with contextlib.suppress(OSError):
        with contextlib.suppress(FileExistsError), open(path, "xb", opener=_open_private) as file:
            file.write(secrets.token_bytes(32))
        key = path.read_bytes() if owner_of(path) is None else b""
    return key if len(key) == 32 else secrets.token_bytes(32)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class Devices:
    """The browsers in which a login has succeeded, by a signed cookie each. It is no login by itself.

    See https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies.
    """

    def __init__(self, key: bytes):
        """Take the key of the signatures."""
        self._key = key

    def remember(self, name: str) -> None:
        """Answer the sign-in with a cookie, which a browser that is known already keeps its number in."""
        if sign_in := SIGN_IN.get(None):
            signed = f"{name}.{self.known(name) or secrets.token_hex(8)}.{int(time.time()) + DEVICE_SECONDS}"
            sign_in.device = self._cookie(name), f"{signed}.{self._signature(signed)}"

    def known(self, name: str) -> str | None:
        """Return the number of the browser that signs in; None for one in which this login has not succeeded."""
        sign_in = SIGN_IN.get(None)
        signed, _, signature = (sign_in.sent.get(self._cookie(name), "") if sign_in else "").rpartition(".")
        if not hmac.compare_digest(self._signature(signed).encode(), signature.encode()):
            return None
        of_name, device, ends = signed.split(".")
        return device if of_name == name and int(ends) > time.time() else None

    def _cookie(self, name: str) -> str:
        return f"restyle-device-{name}-{hashlib.sha256(self._key).hexdigest()[:8]}"  # ports of a host share cookies

    def _signature(self, signed: str) -> str:
        return hmac.new(self._key, signed.encode(), "sha256").hexdigest()


class Logins:
    """The passwords by name, and the wrong ones that were given."""

    def __init__(self, passwords: dict[str, str], generated: Collection[str] = (), key: bytes | None = None):
        """Take the passwords; `generated` names those that are too long for anybody to guess at any rate.

        `key` signs the cookies of known browsers.
        """
        self._passwords = passwords
        self._devices = Devices(key or secrets.token_bytes(32))
        self._of_devices: defaultdict[str, OrderedDict[str, _Guesses]] = defaultdict(OrderedDict)
        self._wrong: dict[str, deque[float]] = {name: deque() for name in passwords if name not in generated}
        self._guesses: OrderedDict[str, _Guesses] = OrderedDict()

    async def check(self, name: str, given: str) -> bool:
        """Return whether a login is right. A right one is let in at once, whatever else waits.

        A wrong one is answered late, and the next one from its address waits for that. Raises HTTPException (429) where
        too many of that address wait already, or too many for a login came within a minute: for a wrong password, and
        for any that was not generated. What others do keeps no known browser waiting, until it has had its own share
        of wrong ones.
        """
        now = time.monotonic()
        known, wrong = self._passwords.get(name), self._wrong.get(name, deque())
        while wrong and wrong[0] < now - 60:
            wrong.popleft()
        is_right = secrets.compare_digest((known or secrets.token_hex()).encode(), given.encode()) and bool(known)
        guesses = self._of_device(name) if known else None
        is_known = guesses is not None
        if guesses is None:
            guesses = self._of_address()
        is_flood = not is_known and (guesses.pending >= MOST_PENDING or len(wrong) >= MOST_PER_MINUTE)
        if is_right and not (is_flood and name in self._wrong):
            self._devices.remember(name)
            return True
        if is_flood:
            raise _too_many()
        if not is_known:
            wrong.append(now)
        with _counted(guesses, "pending"):
            pause = guesses.pause()
            if guesses.waiting >= MOST_WAITING:
                await asyncio.sleep(LONGEST_PAUSE)
                raise _too_many()
            with _counted(guesses, "waiting"):
                async with guesses.turn:
                    await asyncio.sleep(pause)
        return False

    def _of_address(self) -> _Guesses:
        return _entry(self._guesses, ADDRESS.get(), MOST_ADDRESSES)

    def _of_device(self, name: str) -> _Guesses | None:
        """Return the wrong passwords of a known browser; None for another one, and for one that gave too many."""
        device = self._devices.known(name)
        guesses = _entry(self._of_devices[name], device, MOST_DEVICES) if device else None
        return guesses if guesses and guesses.count_now() < MOST_OF_DEVICE else None


def _entry(table: "OrderedDict[str, _Guesses]", key: str, most: int) -> _Guesses:
    """Return the wrong passwords by a key; beyond `most` keys, the one that was not used for longest is forgotten."""
    guesses = table.setdefault(key, _Guesses())
    table.move_to_end(key)
    if len(table) > most:
        idle = next((each for each, known in table.items() if not known.pending and each != key), None)
        if idle is not None:
            del table[idle]
    return guesses


def _too_many() -> HTTPException:
    return HTTPException(429, "Too many attempts to log in. Try again in a minute.")


@contextlib.contextmanager
def _counted(guesses: _Guesses, name: str) -> Iterator[None]:
    setattr(guesses, name, getattr(guesses, name) + 1)
    try:
        yield
    finally:
        setattr(guesses, name, getattr(guesses, name) - 1)


class SessionOwners:
    """Which login has a session of Gradio's, whose name is all that it takes to read or end what it waits for."""

    def __init__(self, most: int = 20_000):
        self._most = most
        self._logins: OrderedDict[str, str] = OrderedDict()
        """The one that was not used for the longest time is the first."""

    def claim(self, session: str, login: str) -> bool:
        """Take a session that nobody has for a login; returns whether it is the login's."""
        is_own = self._logins.setdefault(session, login) == login
        if is_own:
            self._logins.move_to_end(session)
            if len(self._logins) > self._most:
                self._logins.popitem(last=False)
        return is_own


SESSIONS = SessionOwners()


@dataclass
class _Login:
    name: str
    started_at: float
    used: float


class Tokens(MutableMapping[str, str]):
    """The names behind the logins' tokens, in place of Gradio's dict, which keeps every token for good."""

    def __init__(self, clock: Callable[[], float] = time.time):
        self._clock = clock
        self._logins: OrderedDict[str, _Login] = OrderedDict()
        """The one that was not used for the longest time is the first."""

    def __getitem__(self, token: str) -> str:
        """Return whose token it is, and count it as used; raises KeyError for an unknown or ended one."""
        login, now = self._logins[token], self._clock()
        if now - login.used > UNUSED or now - login.started_at > LONGEST_LOGIN:
            del self._logins[token]
            raise KeyError(token)
        login.used = now
        self._logins.move_to_end(token)
        return login.name

    def __setitem__(self, token: str, name: str) -> None:
        """Take a new login."""
        now = self._clock()
        self._logins[token] = _Login(name, now, now)
        of_name = [each for each, login in self._logins.items() if login.name == name]
        for each in of_name[: max(0, len(of_name) - MOST_LOGINS.get(name, 1))]:
            del self._logins[each]

    def __delitem__(self, token: str) -> None:
        """End a login."""
        del self._logins[token]

    def __iter__(self) -> Iterator[str]:
        """Yield all tokens."""
        return iter(list(self._logins))

    def __len__(self) -> int:
        """Return how many logins there are."""
        return len(self._logins)
