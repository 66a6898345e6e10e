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
from collections.abc import Callable
from typing import Any

REPORT_SECONDS = 0.1
"""Seconds between two reports of the progress."""
_printing = threading.Lock()


def carry_out(work: Callable[[dict[str, Any]], dict[str, Any]], *, causes: bool = False) -> None:
    """Read a request from standard input, do `work` with it and print its result; ends with the parent process.

    Of an error, and of its `causes` too, only the classes and the status are printed: its text may hold the token.
    """
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        report(work(request))
    except Exception as error:
        chain: list[BaseException] = [error]
        while causes and (cause := chain[-1].__cause__ or chain[-1].__context__):
            chain.append(cause)
        responses = (getattr(each, "response", None) for each in chain)
        status = next((response.status_code for response in responses if response is not None), None)
        kinds = [kind.__name__ for each in chain for kind in type(each).__mro__]
        report({"error": kinds, "status": status, "errno": getattr(error, "errno", None)})
        os._exit(1)


def report(message: dict[str, Any]) -> None:
    """Print a line of JSON; safe to use from any thread."""
    with _printing:
        print(json.dumps(message), flush=True)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone: its standard input is closed then."""
    while os.read(sys.stdin.fileno(), 1):  # not sys.stdin.read, whose lock would be held when this process ends
        pass
    os._exit(1)


def _download(request: dict[str, Any]) -> dict[str, Any]:
    from huggingface_hub import snapshot_download

    return {"path": snapshot_download(**request, tqdm_class=_counter())}


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
                report({"bytes": self._bytes})

    return Counter


if __name__ == "__main__":
    carry_out(_download)
