"""The endpoint that was started on the page: one for the process, which every session sees."""

import threading

from studio import gpu, runs
from studio.errors import ServeError
from studio.serve.engine import Limits
from studio.serve.models import catalogue
from studio.serve.server import Server, listen_address

_lock = threading.Lock()
_server: Server | None = None


def current() -> Server | None:
    """Return the endpoint that serves now."""
    return _server


def start(run_id: str, port: int) -> Server:
    """Serve a run on this machine's own address in place of what was served before; raises StudioError.

    Its base and adapter are loaded on the GPU thread first, so nothing is started while a run trains.
    """
    global _server
    thread = gpu.thread()
    if thread.is_taken:
        raise ServeError("serve.busy")
    models = catalogue([runs.find(run_id).id])
    stop()  # it may have the port
    with _lock:
        server = Server(models, Limits(), thread, listen_address("127.0.0.1", port))
        server.load()
        server.start()
        _server = server
    return server


def stop() -> None:
    """End the endpoint, if there is one."""
    global _server
    with _lock:
        server, _server = _server, None
        if server is not None:
            server.stop()
