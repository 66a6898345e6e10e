"""The program that downloads a model's files: `python -m studio.model.download`, used by `hub_models`.

The libraries that download (HTTP, and Xet in Rust) cannot be interrupted between two of their chunks, so they work in a
process of its own, which can. It reads one line of JSON, the arguments of `snapshot_download`, and prints lines of
JSON: `{"bytes": n}` as they arrive, then `{"path": …}`, or `{"error": kind, "status": n, …}`. The token comes this way,
and not as an argument or in the environment, where other programs could read it.
"""

import json
import os
import sys
import threading
import time
from typing import Any

REPORT_SECONDS = 0.1
"""Seconds between two reports of the progress."""


def main() -> None:
    """Carry out one download."""
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=end_with_parent, daemon=True).start()
    from huggingface_hub import snapshot_download

    try:
        path = snapshot_download(**request, tqdm_class=_counter())
    except Exception as error:  # the boundary: its class alone is reported, since its text may hold anything
        response = getattr(error, "response", None)
        status = getattr(response, "status_code", None)
        kinds = [kind.__name__ for kind in type(error).__mro__]
        _report({"error": kinds, "status": status, "errno": getattr(error, "errno", None)})
        os._exit(1)
    _report({"path": path})


def _counter() -> type:
    """Return a progress bar that prints nothing and reports the bytes that are on the disk."""
    from huggingface_hub.utils import tqdm

    class Counter(tqdm):
        def __init__(self, *args: Any, **kwargs: Any):
            self._counts = kwargs.get("name") == "huggingface_hub.snapshot_download"
            self._bytes, self._reported = 0, 0.0
            super().__init__(*args, **kwargs | {"disable": True})

        def update(self, n: float | None = 1) -> None:
            self._bytes += int(n or 0)
            if self._counts and time.monotonic() - self._reported > REPORT_SECONDS:
                self._reported = time.monotonic()
                _report({"bytes": self._bytes})

    return Counter


def _report(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def end_with_parent() -> None:
    """End this process when the one that started it is gone: its standard input is closed then."""
    while os.read(sys.stdin.fileno(), 1):  # not sys.stdin.read, whose lock would be held when this process ends
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
