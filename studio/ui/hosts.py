"""Where the page runs, and under which names browsers may reach it.

A page without a login is kept from other sites by two headers that no page can forge: `Host` has to be a name of this
page (else a name was pointed at this machine: DNS rebinding), and `Origin` has to be this page itself (else another
page calls).
"""

import ipaddress
import os
import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from studio.files import home

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COLAB = ("-colab.googleusercontent.com", ".colab.dev")
"""The ends of the names under which Colab's proxy serves a port of its machine, to the notebook's owner alone."""
INSIDE_COLAB = (".colab-user-runtimes.internal", ".codatalab-user-runtimes.internal")
"""How the names end under which that proxy asks the machine."""
SPACE_DISK = Path("/data")
"""Where a Space's disk is mounted, unless its settings say otherwise."""


def on_space() -> bool:
    """Whether this is a Hugging Face Space, whose proxy is the only one that reaches the port."""
    return "SPACE_ID" in os.environ


def on_zero_gpu() -> bool:
    """Whether this is a Space that lends a GPU for a call at a time."""
    return on_space() and os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "true")


def on_colab() -> bool:
    """Whether this is a machine of Google Colab."""
    return "COLAB_RELEASE_TAG" in os.environ or "google.colab" in sys.modules


def space_owners() -> frozenset[str]:
    """Return the user names of a Space's owners: its author, and who is named in RESTYLE_OWNER (commas between)."""
    named = f"{os.environ.get('SPACE_AUTHOR_NAME', '')},{os.environ.get('RESTYLE_OWNER', '')}"
    return frozenset(name.strip().lower() for name in named.split(",") if name.strip())


def settle() -> None:
    """Let the studio's home be on a Space's disk where one is mounted, unless RESTYLE_HOME says otherwise."""
    if on_space() and "RESTYLE_HOME" not in os.environ and os.path.ismount(SPACE_DISK):
        os.environ["RESTYLE_HOME"] = str(SPACE_DISK / "restyle-studio")


def notices() -> list[str]:
    """Return the keys of what the owner must know about this host, the gravest first."""
    found = ["ui.host.zero_gpu"] if on_zero_gpu() else []
    if on_space() and not any(os.path.ismount(folder) for folder in _folders_above(home())):
        found.append("ui.host.no_disk")
    return found


def _folders_above(path: Path) -> Iterable[Path]:
    whole = path.resolve()
    return [folder for folder in (whole, *whole.parents) if folder != folder.parent]


def is_loopback(name: str) -> bool:
    """Whether a host name means this machine alone."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@dataclass
class Names:
    """The names under which the page is reached. `open` ones are reached by any address, which no rebinding changes."""

    open: bool = False
    own: set[str] = field(default_factory=set)
    """Names of its own, in small letters: the share link's, the Space's, this machine's, and what was given."""
    ends: tuple[str, ...] = ()
    """How the names end that a host's proxy gives it."""

    @classmethod
    def here(cls, open_: bool = False, given: Iterable[str] = ()) -> "Names":
        """Return the names of a page on this machine."""
        own = {name.lower() for name in given}
        if open_:
            own |= {socket.gethostname().lower(), f"{socket.gethostname().lower()}.local"}
        own |= {name.strip().lower() for name in os.environ.get("SPACE_HOST", "").split(",") if name.strip()}
        ends = (*((*COLAB, *INSIDE_COLAB) if on_colab() else ()), *((".hf.space",) if on_space() else ()))
        return cls(open_, own, ends)

    def knows(self, name: str) -> bool:
        """Whether a host name (without a port) is one of the page's."""
        named = name.lower().strip("[]")
        if is_loopback(named) or named in self.own or named.endswith(self.ends or ("\n",)):
            return True
        return self.open and _is_address(named)

    def refuse(self, headers: Mapping[str, str]) -> str | None:
        """Return the key of why a request is refused by its headers; None when it is not."""
        host = headers.get("host", "")
        if not self.knows(_name_of(host)):
            return "access.host"
        origin = headers.get("origin")
        if origin is not None:
            return None if self._is_own(origin, host) else "access.origin"
        crosses = headers.get("sec-fetch-site", "") in ("cross-site", "same-site")
        return "access.origin" if crosses and headers.get("sec-fetch-mode") != "navigate" else None

    def _is_own(self, origin: str, host: str) -> bool:
        """Whether a request's origin is the page it asks; behind a proxy that renames the host, one of its names."""
        try:
            parts = urlsplit(origin)
            name = (parts.hostname or "").lower()
        except ValueError:
            return False
        if parts.scheme not in ("http", "https") or not name:
            return False
        if parts.netloc.lower() == host.lower():
            return True
        asked = _name_of(host)
        renamed = on_colab() and (is_loopback(asked) or asked.endswith(INSIDE_COLAB))
        return name in self.own or (renamed and name.endswith(COLAB))


def _name_of(host: str) -> str:
    try:
        parts = urlsplit(f"//{host}")
        return "" if parts.port == 0 else parts.hostname or ""  # to ask for the port is to check it
    except ValueError:
        return ""
