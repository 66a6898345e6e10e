"""The two logins of a page that others reach: who they are, and what slows down somebody who guesses."""

import asyncio
import contextlib
import os
import secrets
from collections import defaultdict
from dataclasses import dataclass, field

from fastapi import HTTPException

from studio.errors import AccessError

OWNER, GUEST = "owner", "guest"
SHORTEST = 8
"""Characters of the shortest password that is taken."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds that a wrong password waits for its answer: doubled each time, up to the longest."""
MOST_WAITING = 8
"""Logins of one name that wait for their turn; more are sent away."""


def password(name: str, given: str | None = None) -> tuple[str, bool]:
    """Return a login's password, and whether it was made here.

    It is `given`, else what `RESTYLE_OWNER_PASSWORD` or `RESTYLE_GUEST_PASSWORD` says, which no child process gets to
    see, else made. Raises AccessError for a short one.
    """
    from_outside = os.environ.pop(f"RESTYLE_{name.upper()}_PASSWORD", None)
    chosen = given or from_outside
    if not chosen:
        return secrets.token_urlsafe(12), True
    if len(chosen) < SHORTEST:
        raise AccessError("access.short", name=name, least=SHORTEST)
    return chosen, False


@dataclass
class _Door:
    """The attempts to log in by one name, which are looked at one after the other."""

    failures: int = 0
    waiting: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Logins:
    """The passwords by name, and the attempts."""

    def __init__(self, passwords: dict[str, str]):
        self._passwords = passwords
        self._doors: defaultdict[str, _Door] = defaultdict(_Door)

    async def check(self, name: str, given: str) -> bool:
        """Return whether a login is right. A wrong one is answered late, and the next of its name waits for that.

        Raises HTTPException (429) where too many wait already.
        """
        known = self._passwords.get(name)
        door = self._doors[name if known else ""]
        if door.waiting >= MOST_WAITING:
            raise HTTPException(429, "Too many attempts to log in. Try again in a minute.")
        with _counted(door):
            async with door.turn:
                right = secrets.compare_digest((known or secrets.token_hex()).encode(), given.encode())
                if right and known:
                    door.failures = 0
                    return True
                door.failures += 1
                await asyncio.sleep(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (door.failures - 1)))
        return False


@contextlib.contextmanager
def _counted(door: _Door):
    door.waiting += 1
    try:
        yield
    finally:
        door.waiting -= 1
