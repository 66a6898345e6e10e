"""The endpoint's server: its address, its keys, its start and its end."""

import ipaddress
import os
import secrets
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from studio.errors import ServeError, StudioError
from studio.gpu import GpuThread
from studio.serve.engine import Engine, Limits
from studio.serve.models import Catalogue

KEY_VARIABLE = "RESTYLE_SERVE_KEY"
SHORTEST_KEY = 16
PORT = 8000
_GRACE_SECONDS = 3


@dataclass(frozen=True)
class ListenAddress:
    """Where the endpoint is reached, and with which keys."""

    host: str
    port: int
    keys: tuple[str, ...]
    generated: bool
    """Whether the key was made here, and has to be printed."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a host means this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen_address(host: str, port: int, keys: Sequence[str] = ()) -> ListenAddress:
    """Return how the endpoint is reached, with `keys` or the environment's, or a new one where others reach it."""
    own = tuple(key for key in keys or os.environ.get(KEY_VARIABLE, "").split(",") if key)
    if any(len(key) < SHORTEST_KEY for key in own):
        raise ServeError("serve.short_key", least=SHORTEST_KEY)
    if own or is_loopback(host):
        return ListenAddress(host, port, own, False)
    return ListenAddress(host, port, (f"sk-{secrets.token_urlsafe(24)}",), True)


class Server:
    """An endpoint on a port, which is taken when it is made; raises ServeError where it cannot be."""

    def __init__(self, catalogue: Catalogue, limits: Limits, thread: GpuThread, address: ListenAddress):
        import uvicorn

        from studio.serve.app import create

        self._socket = _bind(address.host, address.port)
        name = f"[{address.host}]" if ":" in address.host else address.host
        self.url = f"http://{name}:{self._socket.getsockname()[1]}/v1"
        """The address that clients are given, as OpenAI's `base_url`."""
        self.engine = Engine(catalogue, limits, thread)
        self.address = address
        # a page that points a name of its own at this machine is refused; with a key it gets nowhere anyway
        hosts = ["127.0.0.1", "localhost"] if address.is_loopback and not address.keys else None
        app = create(self.engine, address.keys, hosts)
        settings = uvicorn.Config(
            app, log_level="warning", timeout_graceful_shutdown=_GRACE_SECONDS, lifespan="off", server_header=False
        )
        self._server = uvicorn.Server(settings)
        self._thread: threading.Thread | None = None

    def load(self) -> None:
        """Load what is served; raises StudioError, and frees the port, where something cannot be."""
        try:
            self.engine.load()
        except StudioError:
            self._socket.close()
            raise

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM, or `stop`; open answers end then."""
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self.engine.close()
            self._socket.close()

    def start(self) -> None:
        """Serve on a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="serve", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the end."""
        self.engine.close()
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_GRACE_SECONDS + 2)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
        server.listen()  # else another process could bind the port too; clients wait until it is served
    except (OSError, OverflowError) as error:
        server.close()
        raise ServeError("serve.address", address=f"{host}:{port}", detail=str(error)) from error
    return server
