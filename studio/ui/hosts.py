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

from starlette.datastructures import Headers
from starlette.types import Scope

from studio.files import home
from studio.model.hardware import is_lent

COLAB = ("-colab.googleusercontent.com", ".colab.dev")
"""The ends of the names under which Colab's proxy serves a port of its machine, to the notebook's owner alone."""
INSIDE_COLAB = (".colab-user-runtimes.internal", ".codatalab-user-runtimes.internal")
"""How the names end under which that proxy asks the machine."""
_FRAMES_OF_SPACE = "https://huggingface.co https://*.hf.space"
_FRAMES_OF_COLAB = "https://colab.research.google.com https://*.googleusercontent.com https://*.colab.dev"
"""The pages in which a host shows this one: a Space's own page, and a notebook with the frame of a cell's output."""
SPACE_DISK = Path("/data")
"""Where a Space's disk is mounted, unless its settings say otherwise."""


def on_space() -> bool:
    """Whether this is a Hugging Face Space, whose proxy is the only one that reaches the port."""
    return "SPACE_ID" in os.environ


def on_zero_gpu() -> bool:
    """Whether this is a Space that lends a GPU for a call at a time."""
    return on_space() and is_lent()


def on_colab() -> bool:
    """Whether this is a machine of Google Colab."""
    return "COLAB_RELEASE_TAG" in os.environ or "google.colab" in sys.modules


def frame_headers() -> dict[bytes, bytes]:
    """Return the headers that say which pages may show this one in a frame: itself, and those of its host.

    In a frame of any other page, a visitor could be made to click what they do not see.
    """
    hosts = _FRAMES_OF_SPACE if on_space() else _FRAMES_OF_COLAB if on_colab() else ""
    policy = {b"content-security-policy": f"frame-ancestors 'self' {hosts}".rstrip().encode()}
    return policy if hosts else {**policy, b"x-frame-options": b"SAMEORIGIN"}  # which can name no other page


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
    keys = ["ui.host.zero_gpu"] if on_zero_gpu() else []
    if on_space() and not any(os.path.ismount(folder) for folder in _folders_above(home())):
        keys.append("ui.host.no_disk")
    return keys


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
    """What a proxy in front of the page calls it, in small letters: the share link's name, the Space's, and what was
    given. With a scheme and a port if they are known; without a scheme it is HTTPS or HTTP, without a port the usual
    one."""
    ends: tuple[str, ...] = ()
    """How the names end that a host's proxy gives it."""
    machine: set[str] = field(default_factory=set)
    """Names of this machine, in small letters: known as a host, and never enough as an origin."""

    @classmethod
    def here(cls, open_: bool = False, more: Iterable[str] = (), machine: Iterable[str] = ()) -> "Names":
        """Return the names of a page on this machine; `more` are those of a proxy."""
        named = {name.lower() for name in machine}
        if open_:
            named |= {socket.gethostname().lower(), f"{socket.gethostname().lower()}.local"}
        spaces = [name.strip() for name in os.environ.get("SPACE_HOST", "").split(",") if name.strip()]
        own = {*(name.lower() for name in more), *(f"https://{name.lower()}" for name in spaces)}
        ends = (*((*COLAB, *INSIDE_COLAB) if on_colab() else ()), *((".hf.space",) if on_space() else ()))
        return cls(open_, own, ends, named)

    @property
    def _origins(self) -> set[tuple[str, str, int]]:
        return {_split(origin) for name in self.own for origin in _origins_of(name)}

    def knows(self, name: str) -> bool:
        """Whether a host name (without a port) is one of the page's."""
        named = name.lower().strip("[]")
        if is_loopback(named) or named in self.machine or named.endswith(self.ends or ("\n",)):
            return True
        return (self.open and _is_address(named)) or any(named == name for _, name, _ in self._origins)

    def refuse(self, headers: Mapping[str, str], scheme: str = "http") -> str | None:
        """Return the key of why a request is refused by its headers and the scheme of its URL; None when it is not."""
        host = headers.get("host", "")
        if not self.knows(_name_of(host)):
            return "access.host"
        origin = headers.get("origin")
        if origin is not None:
            return None if self.is_own(origin, host, scheme) else "access.origin"
        return "access.origin" if self.crosses(headers) and headers.get("sec-fetch-mode") != "navigate" else None

    def crosses(self, headers: Mapping[str, str]) -> bool:
        """Whether a browser says that another page asks, also one on another port of the same host."""
        return headers.get("sec-fetch-site", "") in ("cross-site", "same-site")

    def is_own(self, origin: str, host: str, scheme: str = "http") -> bool:
        """Whether an origin is the page that was asked under `host`: the same scheme, name and port.

        Behind a proxy that renames the host or ends its HTTPS, it is one that was named as the proxy's.
        """
        address = _split(origin)
        if not address[1]:
            return False
        if address == _split(f"{scheme}://{host}") or address in self._origins:
            return True
        return on_colab() and address[0] == "https" and address[2] == _PORTS["https"] and _is_colabs(address[1], host)


_PORTS = {"http": 80, "https": 443}


def _origins_of(name: str) -> set[str]:
    """Return the origins of a proxy's name; none for a bare name of this machine, where any port may be another's."""
    if "://" in name:
        return {name}
    return set() if is_loopback(_name_of(name)) else {f"{scheme}://{name}" for scheme in _PORTS}


def _split(origin: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an origin; all empty for what is none."""
    try:
        parts = urlsplit(origin.lower())
        port = _PORTS.get(parts.scheme) if parts.port is None else parts.port
    except ValueError:
        return "", "", 0
    extra = parts.path or parts.query or parts.fragment or "@" in parts.netloc
    if not port or not parts.hostname or extra or parts.scheme not in _PORTS:
        return "", "", 0
    return parts.scheme, parts.hostname, port


def _is_colabs(name: str, host: str) -> bool:
    """Whether a name is the one that Colab's proxy gives to the port that was asked; it has the port between dashes."""
    host_name = _name_of(host)
    if not name.endswith(COLAB) or not (is_loopback(host_name) or host_name.endswith(INSIDE_COLAB)):
        return False
    port = urlsplit(f"//{host}").port
    return port is None or str(port) in name.split(".")[0].split("-")


def caller(scope: Scope) -> str:
    """Return the address of who asks. Of IPv6 it is the network of 64 bits, all of which one household has."""
    name = (scope.get("client") or ("",))[0]
    if on_space() and (forwarded := Headers(scope=scope).getlist("x-forwarded-for")):
        name = forwarded[-1].rsplit(",", 1)[-1].strip()  # what the Space's own proxy has added, not what it was sent
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    if isinstance(address, ipaddress.IPv4Address) or address.is_loopback:
        return str(address)
    return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))


def _name_of(host: str) -> str:
    try:
        parts = urlsplit(f"//{host}")
        return "" if parts.port == 0 else parts.hostname or ""  # to ask for the port is to check it
    except ValueError:
        return ""
