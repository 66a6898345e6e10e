"""The libraries of a training, imported once, by one thread at a time.

They import each other in circles. Of two threads that enter such a circle at two places, Python lets one see a part
that is not ready; so whatever needs most of them asks here first.
"""

import contextlib
import functools
import gc
import importlib
import importlib.metadata
import sys
import threading
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

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
                importlib.import_module("torch")
                _import_losses()
                with _replaced(importlib.metadata, "packages_distributions", _Distributions):
                    for name in _NAMES:
                        importlib.import_module(name)
            _ready.set()


def require_torch() -> None:
    """Import torch alone, for whoever needs no more of it at first than the names of the devices."""
    if "torch" not in sys.modules:  # else it is there, or another thread is at it, for which Python waits
        with _lock, _without_collections():
            importlib.import_module("torch")


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # first: the next object that is made would have all of it looked through
        if was_on:
            gc.enable()


def _import_losses() -> None:
    """Import transformers' losses without scipy, which those for finding objects in pictures import at once: 0.25 s.

    No text model has these. Where a later transformers has nothing under these names, scipy is imported with the rest.
    """
    with contextlib.suppress(ImportError, AttributeError):
        import transformers.utils

        with _replaced(transformers.utils, "is_scipy_available", lambda: False):
            importlib.import_module("transformers.loss.loss_utils")


_packages_distributions = importlib.metadata.packages_distributions


class _Distributions(Mapping[str, list[str]]):
    """What `importlib.metadata.packages_distributions` returns, as far as it is needed.

    It reads a file of each package there is, 0.2 s. TRL calls it as it is imported, and takes the distribution that is
    called like the package where there is one: that is known without the others.
    """

    @functools.cached_property
    def _known(self) -> Mapping[str, list[str]]:
        return _packages_distributions()

    def __getitem__(self, name: str) -> list[str]:
        own = name.replace("_", "-")
        try:
            importlib.metadata.distribution(own)
        except importlib.metadata.PackageNotFoundError:
            return self._known[name]
        return [own]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


@contextlib.contextmanager
def _replaced(module: ModuleType, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def are_imported() -> bool:
    """Whether `require` has nothing left to do."""
    return _ready.is_set()


def begin() -> None:
    """Import it in a thread of its own, the first time this is called; no part of the device is used."""
    if not _started.is_set():
        _started.set()
        # no daemon: a process that exits waits for it, since native code must not be left in the middle of its start
        threading.Thread(target=require, name="libraries").start()
