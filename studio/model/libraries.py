"""The libraries of a training, imported once, by one thread at a time.

They import each other in circles. Of two threads that enter such a circle at two places, Python lets one see a part
that is not ready; so whatever needs most of them asks here first.
"""

import contextlib
import gc
import importlib
import threading
from collections.abc import Iterator

_NAMES = (
    "torch",
    "transformers.modeling_utils",
    "transformers.conversion_mapping",
    "peft",
    "datasets",
    "trl.trainer.sft_trainer",
)
_lock = threading.Lock()
_started, _ready = threading.Event(), threading.Event()


def require() -> None:
    """Import what a training needs, or wait until another thread has.

    What is there afterwards stays for as long as the process: garbage collections, of which each run makes some, no
    longer go through it. That is a processor second each; those during the imports, which would free next to nothing,
    are another, and are left out.
    """
    with _lock:
        if not _ready.is_set():
            with _without_collections():
                for name in _NAMES:
                    importlib.import_module(name)
            gc.freeze()
            _ready.set()


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def are_imported() -> bool:
    """Whether `require` has nothing left to do."""
    return _ready.is_set()


def begin() -> None:
    """Import it in a thread of its own, the first time this is called; no part of the device is used."""
    if not _started.is_set():
        _started.set()
        # no daemon: a process that exits waits for it, since native code must not be left in the middle of its start
        threading.Thread(target=require, name="libraries").start()
